#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "flowfar/quantize/codebook.hpp"
#include "flowfar/quantize/quantizer.hpp"

namespace flowfar {

/// Finite scalar quantization (Mentzer et al. 2024, arXiv 2309.15505, appendix A.1): value g of a codeword is bounded
/// by a tanh and rounded to one of Levels[g] levels, then scaled into [−1, 1]. Codewords lie in a code [batch, tokens,
/// F] as Lfq's do: value f = g·(F / sizeof...(Levels)) + j is value g of codeword j. It needs no loss.
template <Index... Levels>
struct Fsq {
    static_assert(((Levels >= 3) && ...), "Fsq: values have three levels or more");
    static constexpr bool discrete = true;
    using Codebook = flowfar::Codebook<Levels...>;

    [[nodiscard]] static std::string name() {
        std::string out = "fsq";
        static_cast<void>(((out += text(" ", Levels)), ...));
        return out;
    }
    [[nodiscard]] static constexpr bool fits(Index values) { return values % Codebook::values == 0; }
    [[nodiscard]] static constexpr Index width(Index values) { return values; }

    /// The code before it is rounded: value f lies within half a level of −⌊L/2⌋ … ⌈L/2⌉ − 1.
    template <AnyTensor X>
    [[nodiscard]] static X bounded(const X& code) {
        const auto half = [](Index levels) { return static_cast<double>(levels - 1) * (1.0 - 1e-3) / 2.0; };
        const auto offset = [](Index levels) { return levels % 2 == 0 ? 0.5 : 0.0; };
        const auto shift = [&](Index levels) { return std::tan(offset(levels) / half(levels)); };
        return tanh(code + each(code, shift)) * each(code, half) - each(code, offset);
    }

    /// Rounded and scaled into [−1, 1]; the gradient is that of the bounded code, straight through the rounding.
    template <AnyTensor X>
    [[nodiscard]] static X quantize(const X& code, std::uint64_t /*seed*/ = 0) {
        return round(bounded(code)) * each(code, [](Index levels) { return 1.0 / static_cast<double>(levels / 2); });
    }

    template <AnyTensor X>
    [[nodiscard]] static auto loss(const X& /*code*/, const QuantizerWeights& /*weights*/ = {}) {
        return QuantizerLoss<WithShape<X, Shape<>>>{};
    }

    /// The levels of a code; those of infinite values are the outermost. Throws `Error` for NaN, which has none.
    template <AnyTensor X>
    [[nodiscard]] static Tokens tokens(const X& code) {
        require(fits(code.extent(2)), "tokens: codewords of ", Codebook::values, " values do not divide ",
                code.extent(2), " values per token");
        const auto values = round(bounded(code)).to_host();
        const auto per_token = static_cast<std::size_t>(code.extent(2) / Codebook::values);
        Tokens out{code.extent(0), code.extent(1), static_cast<Index>(per_token), Codebook::bits, {}};
        out.indices.resize(values.size() / static_cast<std::size_t>(Codebook::values));
        for (std::size_t i = 0; i < out.indices.size(); ++i) {
            const std::size_t first =
                i / per_token * per_token * static_cast<std::size_t>(Codebook::values) + i % per_token;
            Index index = 0;
            for (Index g = 0; g < Codebook::values; ++g) {
                const std::size_t at = first + static_cast<std::size_t>(g) * per_token;
                const auto level = convert<double>(values[at]);
                require(std::isfinite(level), "tokens: value ", at, " of the code is ", level,
                        "; are the encoder's weights whole?");
                index += (static_cast<Index>(level) + Codebook::levels[static_cast<std::size_t>(g)] / 2) *
                         Codebook::stride(g);
            }
            out.indices[i] = static_cast<std::uint32_t>(index);
        }
        return out;
    }
    template <class T>
    [[nodiscard]] static std::vector<T> code(const Tokens& tokens) {
        return Codebook::template values_of<T>(tokens);
    }

   private:
    /// number(levels) of each of a token's values, [F].
    template <AnyTensor X, class Number>
    [[nodiscard]] static auto each(const X& code, const Number& number) {
        static_assert(X::Shape::rank == 3, "Fsq: a code is [batch, tokens, values]");
        static_assert(X::Shape::at(2) == dyn || X::Shape::at(2) % Codebook::values == 0,
                      "Fsq: the values per codeword must divide the number of values per token");
        require(fits(code.extent(2)), "Fsq: codewords of ", Codebook::values, " values do not divide ", code.extent(2),
                " values per token");
        using T = typename X::Element;
        const Index per_token = code.extent(2) / Codebook::values;
        std::vector<T> out;
        for (const Index levels : Codebook::levels) {
            out.insert(out.end(), static_cast<std::size_t>(per_token), convert<T>(number(levels)));
        }
        return WithShape<X, Shape<X::Shape::at(2)>>::from_host(out, {code.extent(2)});
    }
};

}  // namespace flowfar
