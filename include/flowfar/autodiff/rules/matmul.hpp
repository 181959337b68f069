#pragma once

#include "flowfar/autodiff/record.hpp"

namespace flowfar::rules {

/// Matrix products on tracked handles.
template <PlainBackend B>
struct Matmul {
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    /// y = alpha · a b + bias: da = alpha · g bᵀ, db = alpha · aᵀ g, dbias = Σ rows of g.
    [[nodiscard]] static Handle gemm(const Handle& a, const Handle& b, const Handle& bias, GemmOptions options) {
        if (options.activation != Activation::none && (a.node || b.node || bias.node)) {
            const Handle linear = gemm(a, b, bias, {.alpha = options.alpha});
            H y = B::unary({unary_of(options.activation)}, linear.value);
            return record<B>(
                std::move(y), {&linear},
                [op = unary_of(options.activation), x = linear.value](const H& g, const Cotangents<B>& grads) {
                    grads.add(0, B::unary_backward({op}, x, H{}, g));
                });
        }
        H y = B::gemm(a.value, b.value, bias.value, options);
        const H va = b.node != nullptr ? a.value : H{};
        const H vb = a.node != nullptr ? b.value : H{};
        return record<B>(
            std::move(y), {&a, &b, &bias},
            [va, vb, eb = B::extents(b.value), alpha = options.alpha](const H& g, const Cotangents<B>& grads) {
                if (grads.wants(0)) {
                    grads.add(0, B::gemm(g, transposed(vb), H{}, {.alpha = alpha}));
                }
                if (grads.wants(1)) {
                    const bool shared = eb.rank() == 2;  // one matrix for all batches: sum over them too
                    const H left = shared ? as_matrix(va) : va;
                    const H right = shared ? as_matrix(g) : g;
                    // Computed as (gᵀ a)ᵀ: the weight of a linear layer is stored transposed, so its
                    // gradient comes out contiguous.
                    const H gb = transposed(B::gemm(transposed(right), left, H{}, {.alpha = alpha}));
                    grads.add(1, detail::sum_to<B>(gb, eb));
                }
                if (grads.wants(2)) {
                    grads.add(2, B::reduce(ReduceOp::sum, as_matrix(g), Axes::only(0), ReducedAxes::drop));
                }
            });
    }

   private:
    [[nodiscard]] static H transposed(const H& x) {
        const int rank = B::extents(x).rank();
        Extents order;
        for (int axis = 0; axis < rank; ++axis) {
            order.push_back(axis < rank - 2 ? axis : 2 * rank - 3 - axis);
        }
        return B::permute(x, order);
    }
    [[nodiscard]] static H as_matrix(const H& x) {
        const Extents e = B::extents(x);
        Index rows = 1;
        for (int axis = 0; axis < e.rank() - 1; ++axis) {
            rows *= e[axis];
        }
        return B::reshape(x, {rows, e.back()});
    }
};

}  // namespace flowfar::rules
