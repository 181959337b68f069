#pragma once

#include "flowfar/core/ops.hpp"

namespace flowfar {

/// Comparisons, elementwise and broadcast: 1 where they hold, else 0, in the operands' element type. They have no
/// gradient; with NaN only != holds.
///
///     const double share = mean(x > 0.0).item();
///     const auto kept = where(x == max(x), x, 0.0 * x);

// clang-format off
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator<(const A& a, const B& b) { return detail::apply(BinaryOp::less, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator>(const A& a, const B& b) { return detail::apply(BinaryOp::greater, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator==(const A& a, const B& b) { return detail::apply(BinaryOp::equal, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator<=(const A& a, const B& b) { return (a < b) + (a == b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator>=(const A& a, const B& b) { return (a > b) + (a == b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto operator!=(const A& a, const B& b) { return 1.0 - (a == b); }
// Of tensors by name: clang refuses these operators for other types before it looks at constraints.
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator<(const Tensor<B, S, T>& x, double c) { return x < detail::scalar_like(x, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator>(const Tensor<B, S, T>& x, double c) { return x > detail::scalar_like(x, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator==(const Tensor<B, S, T>& x, double c) { return x == detail::scalar_like(x, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator<=(const Tensor<B, S, T>& x, double c) { return x <= detail::scalar_like(x, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator>=(const Tensor<B, S, T>& x, double c) { return x >= detail::scalar_like(x, c); }
template <class B, class S, class T> [[nodiscard]] Tensor<B, S, T> operator!=(const Tensor<B, S, T>& x, double c) { return x != detail::scalar_like(x, c); }
/// The larger and the smaller of two elements each; a tie shares the gradient.
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto maximum(const A& a, const B& b) { return detail::apply(BinaryOp::max, a, b); }
template <AnyTensor A, AnyTensor B> [[nodiscard]] auto minimum(const A& a, const B& b) { return -maximum(-a, -b); }
// clang-format on

/// x^exponent. Whole exponents up to 64 are products, for any x; others are e^(exponent · log x), for x > 0.
///
///     const auto cubes = pow(x, 3);
template <AnyTensor X>
[[nodiscard]] X pow(const X& x, double exponent) {
    const double size = exponent < 0.0 ? -exponent : exponent;
    if (!(size <= 64.0) || static_cast<double>(static_cast<int>(size)) != size) {
        return exp(log(x) * exponent);
    }
    X result = X::full(x.extents(), 1.0);
    X power = x;
    for (int left = static_cast<int>(size); left > 0; left /= 2) {
        result = left % 2 == 1 ? result * power : result;
        power = left > 1 ? square(power) : power;
    }
    return exponent < 0.0 ? X(1.0 / result) : result;
}

}  // namespace flowfar
