#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <span>

#include "flowfar/backend/cpu/kernels/rows/exponential.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cpu {

/// Functions with an exponential inside, which Eigen has as vector code; the rest vectorizes by itself.
[[nodiscard]] constexpr bool has_vector_form(UnaryOp op) {
    return op == UnaryOp::exp || op == UnaryOp::tanh || op == UnaryOp::sigmoid || op == UnaryOp::silu ||
           op == UnaryOp::gelu_tanh || op == UnaryOp::gelu_erf;
}

using Row = Eigen::Map<Eigen::ArrayXf>;
using ConstRow = Eigen::Map<const Eigen::ArrayXf>;

/// Elements that a vector form computes at a time. With a size known to the compiler Eigen uses no scalar code, whose
/// functions round differently: an element's bits do not depend on its address or on its place in the row.
inline constexpr Index vector_chunk = 64;
using VectorChunk = Eigen::Array<float, vector_chunk, 1>;

/// Φ(x), the normal distribution function, as exponential.hpp has it. x is evaluated at once: an array, not an
/// expression.
template <class A>
[[nodiscard]] A normal_distribution(const A& x) {
    const A z = x.abs() * vectors::inverse_sqrt_two;
    const A t = 1.0F / (1.0F + 0.5F * z);
    A p = t * vectors::tail_polynomial[0] + vectors::tail_polynomial[1];
    for (const float c : std::span(vectors::tail_polynomial).template subspan<2>()) {
        p = p * t + c;
    }
    const A tail = 0.5F * t * (p - z.square()).exp();  // Φ(−|x|)
    return (x > 0.0F).select(1.0F - tail, tail);
}

template <UnaryOp Op>
void vector_forward_chunk(const float* in, float* out) {
    const Eigen::Map<const VectorChunk> x(in);
    Eigen::Map<VectorChunk> y(out);
    if constexpr (Op == UnaryOp::exp) {
        y = x.exp();
    } else if constexpr (Op == UnaryOp::tanh) {
        y = x.tanh();
    } else if constexpr (Op == UnaryOp::sigmoid) {
        y = 1.0F / (1.0F + (-x).exp());
    } else if constexpr (Op == UnaryOp::silu) {
        y = x / (1.0F + (-x).exp());
    } else if constexpr (Op == UnaryOp::gelu_erf) {
        y = x * normal_distribution<VectorChunk>(x);
    } else {
        y = x / (1.0F + (x * (vectors::gelu_linear + vectors::gelu_cubic * x.square())).exp());
    }
}

template <UnaryOp Op>
void vector_forward(const float* in, float* out, Index count) {
    if constexpr (Op != UnaryOp::tanh) {
        if (with_vectors([&]<class V>() { V::template apply<Op>(in, out, count); })) {
            return;
        }
    }
    Index i = 0;
    for (; i + vector_chunk <= count; i += vector_chunk) {
        vector_forward_chunk<Op>(in + i, out + i);
    }
    if (i < count) {
        std::array<float, vector_chunk> rest{};
        std::copy_n(in + i, count - i, rest.data());
        vector_forward_chunk<Op>(rest.data(), rest.data());
        std::copy_n(rest.data(), count - i, out + i);
    }
}

/// to[i] = exp(from[i] − shift); gives their sum.
inline float exponentials(const float* from, Index count, float shift, float* to) {
    float total = 0.0F;
    if (!with_vectors([&]<class V>() { total = V::exponentials(from, count, shift, to); })) {
        for (Index i = 0; i < count; i += vector_chunk) {
            VectorChunk x = VectorChunk::Constant(shift);
            const Index used = std::min(vector_chunk, count - i);
            std::copy_n(from + i, used, x.data());
            x = (x - shift).exp();
            std::copy_n(x.data(), used, to + i);
            total += x.head(used).sum();
        }
    }
    return total;
}
/// The largest of count > 0 numbers.
[[nodiscard]] inline float row_peak(const float* x, Index count) {
    float peak = 0.0F;
    if (!with_vectors([&]<class V>() { peak = V::largest(x, count); })) {
        peak = ConstRow(x, count).maxCoeff();
    }
    return peak;
}

}  // namespace flowfar::cpu
