#pragma once

#include "flowfar/core/layout.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// Default definitions of what a linear layer is fused with, from the operations themselves. `Autodiff` keeps them: its
/// gradients need what a fused form would not keep.
template <class B, class H>
struct CompositeLinear {
    /// residual + gate ∘ (a b + bias): a and b as gemm takes them; residual is shaped like the result, gate undefined,
    /// [N], or [batch, N] for a result of [batch, …, N].
    [[nodiscard]] static H gemm_add(const H& residual, const H& gate, const H& a, const H& b, const H& bias,
                                    GemmOptions options) {
        const H y = B::gemm(a, b, bias, options);
        require(B::extents(residual) == B::extents(y), "gemm_add: adding ", B::extents(residual), " to ",
                B::extents(y));
        return gate.defined() ? B::multiply_add(y, per_row(gate, y), residual, FactorKind::plain)
                              : B::binary(BinaryOp::add, residual, y);
    }

    /// Layer norm with gain and bias [C] each, then adaptive modulation: LN(x) ∘ (1 + scale) + shift, these [C] or
    /// [batch, C] for x [batch, …, C]. `options` belong to the norm; `plus_one` is about its gain.
    [[nodiscard]] static H modulated_layer_norm(const H& x, const H& gain, const H& bias, const H& scale,
                                                const H& shift, NormOptions options) {
        return B::multiply_add(B::layer_norm(x, gain, bias, options), per_row(scale, x), per_row(shift, x),
                               FactorKind::plus_one);
    }

   protected:
    /// A [C] or [batch, C] operand as a view that broadcasts against x [batch, …, C].
    [[nodiscard]] static H per_row(const H& operand, const H& x) {
        const Extents e = B::extents(operand);
        const int rank = B::extents(x).rank();
        if (e.rank() != 2 || rank == 2) {
            return operand;
        }
        Extents spread;
        for (int axis = 0; axis < rank; ++axis) {
            spread.push_back(axis == 0 ? e[0] : (axis == rank - 1 ? e[1] : 1));
        }
        return B::reshape(operand, spread);
    }
};

}  // namespace flowfar
