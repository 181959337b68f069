#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/quantize/tokens.hpp"

namespace flowfar {

/// The codewords of a discrete quantizer: `sizeof...(Levels)` values per codeword, value g with Levels[g] levels. The
/// index of a codeword is Σ_g digit_g · Π_{g' < g} Levels[g'], the first value changing fastest. The codebook itself is
/// never stored.
///
///     using Book = Codebook<8, 8, 4>;   // 256 codewords of 3 values
///     Book::value<float>(9, 1);         // −0.75: digit 1 of 8 levels
template <Index... Levels>
struct Codebook {
    static_assert(sizeof...(Levels) >= 1 && ((Levels >= 2) && ...), "Codebook: values have two levels or more");
    static constexpr Index values = sizeof...(Levels);  ///< per codeword
    static constexpr std::array<Index, sizeof...(Levels)> levels{Levels...};
    static constexpr Index size = [] {
        Index product = 1;
        for (const Index level : levels) {  // stops where it is too large, so that it cannot overflow
            product = product > (Index{1} << 24) ? product : product * level;
        }
        return product;
    }();
    static_assert(size <= Index{1} << 24, "Codebook: at most 2^24 codewords");
    /// Bits that an index takes.
    static constexpr Index bits = std::bit_width(static_cast<std::uint64_t>(size - 1));

    /// "8 8 4": what tells codebooks apart.
    [[nodiscard]] static std::string levels_text() {
        std::string out;
        for (const Index count : levels) {
            out += text(out.empty() ? "" : " ", count);
        }
        return out;
    }

    /// Factor of value g's digit in an index.
    [[nodiscard]] static constexpr Index stride(Index g) {
        Index product = 1;
        for (Index i = 0; i < g; ++i) {
            product *= levels[static_cast<std::size_t>(i)];
        }
        return product;
    }
    /// Digit of value g, 0 … levels[g] − 1.
    [[nodiscard]] static constexpr Index digit(Index index, Index g) {
        return index / stride(g) % levels[static_cast<std::size_t>(g)];
    }
    /// What value g of a codeword is, in [−1, 1]: −1 or 1 of two levels, else (digit − ⌊L/2⌋)/⌊L/2⌋.
    template <class T>
    [[nodiscard]] static constexpr T value(Index index, Index g) {
        const Index count = levels[static_cast<std::size_t>(g)];
        const Index half = count / 2;
        const Index d = digit(index, g);
        const double whole = static_cast<double>(count == 2 ? 2 * d - 1 : d - half);
        return convert<T>(count == 2 ? whole : whole / static_cast<double>(half));
    }

    /// Throws unless every index of the tokens names a codeword; `where` begins the message.
    template <class Where>
    static void check(const Tokens& tokens, const Where& where) {
        require(tokens.bits == bits, where, ": expected indices of ", bits, " bits, found ", tokens.bits);
        for (std::size_t i = 0; i < tokens.indices.size(); ++i) {
            require(static_cast<Index>(tokens.indices[i]) < size, where, ": index ", i, " is ", tokens.indices[i],
                    ", expected 0 to ", size - 1);
        }
    }
    /// Values of tokens [batch, length, per_token · values]: value g·per_token + j is value g of codeword j. Throws for
    /// indices that name no codeword.
    template <class T>
    [[nodiscard]] static std::vector<T> values_of(const Tokens& tokens) {
        tokens.check();
        check(tokens, "tokens");
        const auto per_token = static_cast<std::size_t>(tokens.per_token);
        std::vector<T> out(tokens.indices.size() * static_cast<std::size_t>(values));
        for (std::size_t i = 0; i < tokens.indices.size(); ++i) {
            const std::size_t first = i / per_token * per_token * static_cast<std::size_t>(values) + i % per_token;
            for (Index g = 0; g < values; ++g) {
                out[first + static_cast<std::size_t>(g) * per_token] =
                    value<T>(static_cast<Index>(tokens.indices[i]), g);
            }
        }
        return out;
    }
};

namespace detail {

template <class>
struct TwoLevels;
template <std::size_t... G>
struct TwoLevels<std::index_sequence<G...>> {
    using type = Codebook<(static_cast<void>(G), Index{2})...>;
};

}  // namespace detail

/// The 2^Bits codewords of ±1 that bit quantizers have.
template <Index Bits>
using BitCodebook = typename detail::TwoLevels<std::make_index_sequence<static_cast<std::size_t>(Bits)>>::type;

}  // namespace flowfar
