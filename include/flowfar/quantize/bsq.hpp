#pragma once

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/derived/compare.hpp"
#include "flowfar/quantize/bit_entropies.hpp"
#include "flowfar/quantize/codebook.hpp"
#include "flowfar/quantize/quantizer.hpp"

namespace flowfar {

/// Binary spherical quantization (Zhao et al. 2024, arXiv 2406.07548): a codeword of `Bits` values is projected to the
/// unit sphere, u = x/‖x‖, and each value becomes ±1/√Bits. Codewords lie in a code as Lfq's do; the gradient passes
/// through the projection, straight through the signs.
template <Index Bits>
struct Bsq {
    static_assert(Bits >= 1 && Bits <= 24, "Bsq: bits must lie in 1..24");
    static constexpr Index bits = Bits;
    static constexpr bool discrete = true;
    using Codebook = BitCodebook<Bits>;

    [[nodiscard]] static std::string name() { return text("bsq ", Bits); }
    [[nodiscard]] static constexpr bool fits(Index values) { return values % Bits == 0; }
    [[nodiscard]] static constexpr Index width(Index values) { return values; }

    /// The codewords on the unit sphere [N, Bits]; norms below 1e-12 count as 1e-12.
    template <AnyTensor X>
    [[nodiscard]] static auto unit(const X& code) {
        const auto words = codewords<Bits>(code);
        const auto squares = sum<1>(square(words));
        return words * rsqrt(maximum(squares, detail::scalar_like(squares, 1e-24)));
    }

    /// ±1/√Bits: + where x > 0.
    template <AnyTensor X>
    [[nodiscard]] static X quantize(const X& code, std::uint64_t /*seed*/ = 0) {
        // Straight through the sign of √Bits · u, so that the slope of the whole is 1 at u.
        return from_codewords(binarize(unit(code) * root) * (1.0 / root), code);
    }

    /// The losses of a code [batch, tokens, F]: entropies of independent bits with P(+1) = σ(4 κ u/√Bits), and the
    /// distance of u from its codeword.
    template <AnyTensor X>
    [[nodiscard]] static auto loss(const X& code, const QuantizerWeights& weights = {}) {
        QuantizerLoss<WithShape<X, Shape<>>> out;
        const auto u = unit(code);
        const auto entropies = bit_entropies(u * (4.0 * weights.sharpness / root));
        out.sample_entropy = entropies.sample;
        out.codebook_entropy = entropies.codebook;
        out.commitment = mean(square(u - detach(binarize(u) * (1.0 / root))));
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
        std::vector<T> out = tokens.to_code<T>();
        for (T& value : out) {
            value = convert<T>(convert<double>(value) / root);
        }
        return out;
    }

   private:
    static constexpr double root = cx::sqrt(static_cast<double>(Bits));
};

}  // namespace flowfar
