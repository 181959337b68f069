#pragma once

#include "flowfar/autodiff/record.hpp"

namespace flowfar::rules {

/// Elementwise operations on tracked handles.
template <PlainBackend B>
struct Elementwise {
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    [[nodiscard]] static Handle unary(Unary op, const Handle& x) {
        H y = B::unary(op, x.value);
        const H saved_x = backward_uses_input(op.op) ? x.value : H{};
        const H saved_y = backward_uses_output(op.op) ? y : H{};
        return record<B>(std::move(y), {&x}, [op, saved_x, saved_y](const H& g, const Cotangents<B>& grads) {
            grads.add(0, B::unary_backward(op, saved_x, saved_y, g));
        });
    }

    [[nodiscard]] static Handle binary(BinaryOp op, const Handle& a, const Handle& b) {
        H y = B::binary(op, a.value, b.value);
        const Extents ea = B::extents(a.value);
        const Extents eb = B::extents(b.value);
        switch (op) {
            case BinaryOp::equal:
            case BinaryOp::less:
            case BinaryOp::greater:
                return {std::move(y), nullptr};
            case BinaryOp::add:
            case BinaryOp::sub:
                return record<B>(std::move(y), {&a, &b}, [op, ea, eb](const H& g, const Cotangents<B>& grads) {
                    if (grads.wants(0)) {
                        grads.add(0, detail::sum_to<B>(g, ea));
                    }
                    if (grads.wants(1)) {
                        const H gb = detail::sum_to<B>(g, eb);
                        grads.add(1, op == BinaryOp::add ? gb : B::unary({UnaryOp::affine, -1.0, 0.0}, gb));
                    }
                });
            case BinaryOp::mul: {
                const H va = b.node != nullptr ? a.value : H{};
                const H vb = a.node != nullptr ? b.value : H{};
                return record<B>(std::move(y), {&a, &b}, [va, vb, ea, eb](const H& g, const Cotangents<B>& grads) {
                    if (grads.wants(0)) {
                        grads.add(0, detail::sum_to<B>(B::binary(BinaryOp::mul, g, vb), ea));
                    }
                    if (grads.wants(1)) {
                        grads.add(1, detail::sum_to<B>(B::binary(BinaryOp::mul, g, va), eb));
                    }
                });
            }
            default: {
                const H saved = y;
                return record<B>(std::move(y), {&a, &b},
                                 [op, va = a.value, vb = b.value, saved](const H& g, const Cotangents<B>& grads) {
                                     for (const std::size_t i : {0U, 1U}) {
                                         if (grads.wants(i)) {
                                             const H wide = B::binary_backward(
                                                 op, i == 0 ? Operand::first : Operand::second, va, vb, saved, g);
                                             grads.add(i, detail::sum_to<B>(wide, B::extents(i == 0 ? va : vb)));
                                         }
                                     }
                                 });
            }
        }
    }

    [[nodiscard]] static Handle multiply_add(const Handle& x, const Handle& factor, const Handle& addend,
                                             FactorKind kind) {
        const H vx = factor.node != nullptr ? x.value : H{};
        const H vf = x.node != nullptr ? factor.value : H{};
        return record<B>(B::multiply_add(x.value, factor.value, addend.value, kind), {&x, &factor, &addend},
                         [vx, vf, kind, ex = B::extents(x.value), ef = B::extents(factor.value),
                          ea = B::extents(addend.value)](const H& g, const Cotangents<B>& grads) {
                             if (grads.wants(0)) {
                                 const H gx = kind == FactorKind::plus_one
                                                  ? B::multiply_add(g, vf, g, FactorKind::plain)
                                                  : B::binary(BinaryOp::mul, g, vf);
                                 grads.add(0, detail::sum_to<B>(gx, ex));
                             }
                             if (grads.wants(1)) {
                                 grads.add(1, detail::sum_to<B>(B::binary(BinaryOp::mul, g, vx), ef));
                             }
                             if (grads.wants(2)) {
                                 grads.add(2, detail::sum_to<B>(g, ea));
                             }
                         });
    }

    /// a where condition is not zero, else b. The condition has no gradient.
    [[nodiscard]] static Handle where(const Handle& condition, const Handle& a, const Handle& b) {
        return record<B>(B::where(condition.value, a.value, b.value), {&a, &b},
                         [c = condition.value, ea = B::extents(a.value), eb = B::extents(b.value)](
                             const H& g, const Cotangents<B>& grads) {
                             const H zero = B::full({}, B::dtype(g), 0.0);
                             if (grads.wants(0)) {
                                 grads.add(0, detail::sum_to<B>(B::where(c, g, zero), ea));
                             }
                             if (grads.wants(1)) {
                                 grads.add(1, detail::sum_to<B>(B::where(c, zero, g), eb));
                             }
                         });
    }

    [[nodiscard]] static Handle cast(const Handle& x, DType dtype) {
        const DType from = B::dtype(x.value);
        if (from == dtype) {
            return x;
        }
        return record<B>(B::cast(x.value, dtype), {&x},
                         [from](const H& g, const Cotangents<B>& grads) { grads.add(0, B::cast(g, from)); });
    }
};

}  // namespace flowfar::rules
