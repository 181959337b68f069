#pragma once

#include <cmath>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/layout.hpp"

namespace flowfar {

/// Quantized codes as a value: `batch` × `length` tokens of `per_token` codewords of `bits` bits each.
///
///     const Tokens tokens = model.encode(photo);
///     std::cout << tokens;   // 1 x 256 tokens of 2 x 9 bits: 17 403 ...
struct Tokens {
    Index batch = 0;
    Index length = 0;                    ///< code tokens per image
    Index per_token = 0;                 ///< codewords per token
    Index bits = 0;                      ///< bits per codeword
    std::vector<std::uint32_t> indices;  ///< [batch, length, per_token]; of signs, bit g is value g·per_token + j > 0

    /// Bits per token; where codewords are signs, also its values.
    [[nodiscard]] Index context_dim() const { return per_token * bits; }
    /// Bits that one image takes.
    [[nodiscard]] Index bits_per_image() const { return length * per_token * bits; }

    /// Reads the signs of a code [batch, length, per_token·bits]. Throws `Error` for values that are not finite, which
    /// have none.
    template <class T>
    [[nodiscard]] static Tokens from_code(std::span<const T> code, Index batch, Index length, Index context_dim,
                                          Index bits) {
        require(bits >= 1 && bits <= 32 && context_dim % bits == 0, "tokens: ", bits, " bits do not divide ",
                context_dim, " values per token");
        require(static_cast<Index>(code.size()) == batch * length * context_dim, "tokens: ", code.size(),
                " values for ", batch, " x ", length, " x ", context_dim);
        Tokens out{batch, length, context_dim / bits, bits, {}};
        out.indices.resize(static_cast<std::size_t>(batch * length * out.per_token));
        for (std::size_t i = 0; i < code.size(); ++i) {
            const auto value = static_cast<float>(code[i]);
            require(std::isfinite(value), "tokens: value ", i, " of the code is ", value,
                    "; are the encoder's weights whole?");
            const auto [position, bit] = out.locate(i);
            out.indices[position] |= static_cast<std::uint32_t>(value > 0.0F) << bit;
        }
        return out;
    }

    /// The code as ±1 values [batch, length, per_token·bits].
    template <class T>
    [[nodiscard]] std::vector<T> to_code() const {
        check();
        std::vector<T> code(indices.size() * static_cast<std::size_t>(bits));
        for (std::size_t i = 0; i < code.size(); ++i) {
            const auto [position, bit] = locate(i);
            code[i] = ((indices[position] >> bit) & 1U) != 0 ? T(1) : T(-1);
        }
        return code;
    }

    /// Throws unless the sizes fit together and every index fits into its bits.
    void check() const {
        require(batch >= 0 && length >= 1 && per_token >= 1 && bits >= 1 && bits <= 32, "tokens: impossible sizes ",
                batch, " x ", length, " x ", per_token, " x ", bits, " bits");
        require(static_cast<Index>(indices.size()) == batch * length * per_token, "tokens: expected ",
                batch * length * per_token, " indices, found ", indices.size());
        for (const std::uint32_t index : indices) {
            require(bits == 32 || (index >> bits) == 0, "tokens: index ", index, " does not fit into ", bits, " bits");
        }
    }

    friend bool operator==(const Tokens&, const Tokens&) = default;

   private:
    struct Place {
        std::size_t position;
        std::size_t bit;
    };
    [[nodiscard]] Place locate(std::size_t value) const {
        const auto width = static_cast<std::size_t>(per_token * bits);
        const auto j = static_cast<std::size_t>(per_token);
        const std::size_t f = value % width;
        return {value / width * j + f % j, f / j};
    }
};

/// Sizes and the first indices.
[[nodiscard]] inline std::string to_string(const Tokens& tokens) {
    constexpr std::size_t shown = 8;
    std::string out =
        text(tokens.batch, " x ", tokens.length, " tokens of ", tokens.per_token, " x ", tokens.bits, " bits:");
    for (std::size_t i = 0; i < tokens.indices.size() && i < shown; ++i) {
        out += text(" ", tokens.indices[i]);
    }
    return out + (tokens.indices.size() > shown ? " ..." : "");
}
inline std::ostream& operator<<(std::ostream& out, const Tokens& tokens) {
    return out << to_string(tokens);
}

}  // namespace flowfar
