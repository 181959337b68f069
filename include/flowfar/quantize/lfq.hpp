#pragma once

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// What LFQ's training loss consists of (spec: entropies in nats).
template <class Scalar>
struct LfqLoss {
    Scalar sample_entropy;    ///< mean over positions of the entropy of one codeword
    Scalar codebook_entropy;  ///< entropy of the mean codeword distribution
    Scalar commitment;        ///< mean (x − q)²
    Scalar total;             ///< weighted: 0.0025 (sample − codebook) + 0.000625 commitment by default
};

struct LfqWeights {
    double entropy = 0.0025;
    double commitment = 0.000625;
    double temperature = 0.1;
};

/// Look-up-free quantization (Yu et al. 2024): every value becomes ±1, and `Bits` of them form a codeword, so the
/// codebook {−1, 1}^Bits is never stored. A code [batch, tokens, F] holds F / Bits codewords per token: value
/// f = g·(F / Bits) + j is bit g of codeword j.
template <Index Bits>
struct Lfq {
    static_assert(Bits >= 1 && Bits <= 24, "Lfq: bits must lie in 1..24");
    static constexpr Index bits = Bits;

    /// +1 where x > 0, else −1; the gradient passes straight through.
    template <AnyTensor X>
    [[nodiscard]] static X quantize(const X& code) {
        return binarize(code);
    }

    /// The losses of a code [batch, tokens, F] without the 2^Bits softmax: with logits 2 x·c at temperature τ the
    /// codeword distribution is a product of independent bits with log-odds a = 4 x / τ, so the sample entropy is a sum
    /// of binary entropies, and the mean distribution is one matrix product of two half-sized tables. Exact up to
    /// rounding; memory N·2^(Bits/2 + 1) for N codewords.
    template <AnyTensor X>
    [[nodiscard]] static auto loss(const X& code, LfqWeights weights = {}) {
        static_assert(X::Shape::rank == 3, "Lfq: a code is [batch, tokens, values]");
        static_assert(X::Shape::at(2) == dyn || X::Shape::at(2) % Bits == 0,
                      "Lfq: the codebook bits must divide the number of values per token");
        using Scalar = WithShape<X, Shape<>>;
        constexpr double epsilon = 1e-5;
        const auto a = codewords(code) * (4.0 / weights.temperature);  // [N, Bits]
        const auto count = static_cast<double>(a.extent(0));
        const auto p = sigmoid(a);
        constexpr Index low = (Bits + 1) / 2;
        const auto mean_distribution =
            matmul(transpose(products<0, low>(p)), products<low, Bits>(p), 1.0 / count);  // [2^low, 2^(Bits − low)]
        LfqLoss<Scalar> out;
        out.sample_entropy = sum(binary_entropy(a)) / count;
        out.codebook_entropy = -sum(mean_distribution * log(mean_distribution + epsilon));
        const X fixed = detach(quantize(code));
        out.commitment = mean(square(code - fixed));
        out.total = (out.sample_entropy - out.codebook_entropy) * weights.entropy + out.commitment * weights.commitment;
        return out;
    }

    /// [batch, tokens, F] → [batch·tokens·F/Bits, Bits], positions ordered (batch, token, codeword).
    template <AnyTensor X>
    [[nodiscard]] static auto codewords(const X& code) {
        const Index tokens = code.extent(0) * code.extent(1);
        require(code.extent(2) % Bits == 0, "Lfq: ", Bits, " bits do not divide ", code.extent(2), " values per token");
        const Index per_token = code.extent(2) / Bits;
        const auto grouped = reshape<dyn, Bits, dyn>(code, tokens, per_token);
        return reshape<dyn, Bits>(permute<0, 2, 1>(grouped), tokens * per_token);
    }

   private:
    /// Probabilities of all patterns of bits [First, Last): p [N, Bits] → [N, 2^(Last − First)], lowest bit first.
    template <Index First, Index Last, AnyTensor P>
    [[nodiscard]] static auto products(const P& p) {
        if constexpr (First == Last) {
            return ones(p);
        } else if constexpr (Last - First == 1) {
            const auto one = slice<1, First, Last>(p);
            return concat<1>(1.0 - one, one);
        } else {
            const auto lower = products<First, Last - 1>(p);
            const auto one = slice<1, Last - 1, Last>(p);
            return concat<1>(lower * (1.0 - one), lower * one);
        }
    }
    template <AnyTensor P>
    [[nodiscard]] static auto ones(const P& p) {
        return WithShape<P, Shape<dyn, 1>>::full(1.0, p.extent(0));
    }
};

}  // namespace flowfar
