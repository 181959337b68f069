#pragma once

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// Entropies in nats of codewords whose bits are independent.
template <class Scalar>
struct BitEntropies {
    Scalar sample;    ///< mean over positions of the entropy of one codeword
    Scalar codebook;  ///< entropy of the mean codeword distribution
};

namespace detail {

/// Probabilities of all patterns of bits [First, Last): p [N, Bits] → [N, 2^(Last − First)], lowest bit first.
template <Index First, Index Last, AnyTensor P>
[[nodiscard]] auto pattern_products(const P& p) {
    if constexpr (First == Last) {
        return WithShape<P, Shape<dyn, 1>>::full(1.0, p.extent(0));
    } else if constexpr (Last - First == 1) {
        const auto one = slice<1, First, Last>(p);
        return concat<1>(1.0 - one, one);
    } else {
        const auto lower = pattern_products<First, Last - 1>(p);
        const auto one = slice<1, Last - 1, Last>(p);
        return concat<1>(lower * (1.0 - one), lower * one);
    }
}

}  // namespace detail

/// The entropies of N codewords with log-odds a [N, Bits], without the 2^Bits probabilities of each: the sample entropy
/// is a sum of binary entropies, and the mean distribution is one matrix product of two half-sized tables. Exact up to
/// rounding; memory N·2^(Bits/2 + 1).
template <AnyTensor X>
[[nodiscard]] auto bit_entropies(const X& a) {
    using Scalar = WithShape<X, Shape<>>;
    constexpr Index bits = X::Shape::at(1);
    constexpr double epsilon = 1e-5;
    const auto count = static_cast<double>(a.extent(0));
    const auto p = sigmoid(a);
    constexpr Index low = (bits + 1) / 2;
    const auto mean_distribution =
        matmul(transpose(detail::pattern_products<0, low>(p)), detail::pattern_products<low, bits>(p),
               1.0 / count);  // [2^low, 2^(bits − low)]
    return BitEntropies<Scalar>{sum(binary_entropy(a)) / count,
                                -sum(mean_distribution * log(mean_distribution + epsilon))};
}

}  // namespace flowfar
