#pragma once

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/quantize/bit_entropies.hpp"
#include "flowfar/quantize/codebook.hpp"
#include "flowfar/quantize/quantizer.hpp"

namespace flowfar {

/// Look-up-free quantization (Yu et al. 2024): every value becomes ±1, and `Bits` of them form a codeword, so the
/// codebook {−1, 1}^Bits is never stored. A code [batch, tokens, F] holds F / Bits codewords per token: value
/// f = g·(F / Bits) + j is bit g of codeword j.
template <Index Bits>
struct Lfq {
    static_assert(Bits >= 1 && Bits <= 24, "Lfq: bits must lie in 1..24");
    static constexpr Index bits = Bits;
    static constexpr bool discrete = true;
    using Codebook = BitCodebook<Bits>;

    [[nodiscard]] static std::string name() { return text("lfq ", Bits); }
    [[nodiscard]] static constexpr bool fits(Index values) { return values % Bits == 0; }
    [[nodiscard]] static constexpr Index width(Index values) { return values; }

    /// +1 where x > 0, else −1; the gradient passes straight through.
    template <AnyTensor X>
    [[nodiscard]] static X quantize(const X& code, std::uint64_t /*seed*/ = 0) {
        return binarize(code);
    }

    /// The losses of a code [batch, tokens, F] without the 2^Bits softmax: with logits 2 x·c at temperature τ the
    /// codeword distribution is a product of independent bits with log-odds a = 4 x / τ.
    template <AnyTensor X>
    [[nodiscard]] static auto loss(const X& code, const QuantizerWeights& weights = {}) {
        QuantizerLoss<WithShape<X, Shape<>>> out;
        const auto entropies = bit_entropies(codewords<Bits>(code) * (4.0 / weights.temperature));
        out.sample_entropy = entropies.sample;
        out.codebook_entropy = entropies.codebook;
        const X fixed = detach(quantize(code));
        out.commitment = mean(square(code - fixed));
        out.total = (out.sample_entropy - out.codebook_entropy) * weights.entropy + out.commitment * weights.commitment;
        return out;
    }

    /// The signs of a code. Throws `Error` for values that are not finite, which have none.
    template <AnyTensor X>
    [[nodiscard]] static Tokens tokens(const X& code) {
        const auto values = code.to_host();
        return Tokens::from_code(std::span<const typename X::Element>(values), code.extent(0), code.extent(1),
                                 code.extent(2), Bits);
    }
    template <class T>
    [[nodiscard]] static std::vector<T> code(const Tokens& tokens) {
        return tokens.to_code<T>();
    }
};

}  // namespace flowfar
