#pragma once

#include <algorithm>
#include <array>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/backend/cpu/kernels/rows/vector_forms.hpp"
#include "flowfar/core/handle.hpp"

namespace flowfar::cpu {

/// Gradient for the vector forms, from the input.
template <UnaryOp Op>
void vector_backward(const float* in, const float* result, const float* cotangent, float* out, Index count) {
    const ConstRow g(cotangent, count);
    Row d(out, count);
    if constexpr (Op == UnaryOp::exp) {
        d = g * ConstRow(result, count);
    } else if constexpr (Op == UnaryOp::tanh) {
        d = g * (1.0F - ConstRow(result, count).square());
    } else if constexpr (Op == UnaryOp::sigmoid) {
        const ConstRow y(result, count);
        d = g * y * (1.0F - y);
    } else if constexpr (Op == UnaryOp::silu) {
        const ConstRow x(in, count);
        d = -x;
        static_cast<void>(exponentials(out, count, 0.0F, out));
        d = 1.0F / (1.0F + d);
        d = g * d * (1.0F + x * (1.0F - d));
    } else if constexpr (Op == UnaryOp::gelu_erf) {
        for (Index i = 0; i < count; i += vector_chunk) {  // Φ(x) + x φ(x)
            VectorChunk x = VectorChunk::Zero();
            const Index used = std::min(vector_chunk, count - i);
            std::copy_n(in + i, used, x.data());
            x = normal_distribution<VectorChunk>(x) + x * 0.39894228F * (-0.5F * x.square()).exp();
            d.segment(i, used) = g.segment(i, used) * x.head(used);
        }
    } else {
        // s = sigmoid(2u): d/dx [x s] = s + x s (1 − s) 2u'
        const ConstRow x(in, count);
        d = x * (-1.5957691216F - 0.0713548163F * x.square());
        static_cast<void>(exponentials(out, count, 0.0F, out));
        d = 1.0F / (1.0F + d);
        d = g * d * (1.0F + x * (1.0F - d) * (1.5957691216F + 0.2140644488F * x.square()));
    }
}

/// Length of the pieces that stay in the first cache between the passes of a vector form.
inline constexpr Index vector_piece = 2048;

/// Elementwise operations on f32.
struct Elementwise {
    static Handle unary(const Handle& out, Unary op, const Handle& x) {
        const float* const in = x.data<float>();
        float* const to = out.data<float>();
        visit_unary(op.op, [&]<UnaryOp Op>() {
            if constexpr (has_vector_form(Op)) {
                parallel_for(x.count(), elementwise_grain, [&](Index begin, Index end) {
                    for (Index i = begin; i < end; i += vector_piece) {
                        vector_forward<Op>(in + i, to + i, std::min(vector_piece, end - i));
                    }
                });
            } else {
                const auto a = static_cast<float>(op.a);
                const auto b = static_cast<float>(op.b);
                parallel_elements(x.count(), [=](Index i) __attribute__((always_inline)) {
                    to[i] = UnaryFunctor<Op>::forward(in[i], a, b);
                });
            }
        });
        return out;
    }

    /// All given operands are contiguous; x or y may be undefined where the operation does not need them.
    static Handle unary_backward(const Handle& out, Unary op, const Handle& x, const Handle& y, const Handle& g) {
        const float* const cotangent = g.data<float>();
        const float* const in = x.defined() ? x.data<float>() : cotangent;
        const float* const result = y.defined() ? y.data<float>() : cotangent;
        float* const to = out.data<float>();
        visit_unary(op.op, [&]<UnaryOp Op>() {
            if constexpr (has_vector_form(Op)) {
                parallel_for(g.count(), elementwise_grain, [&](Index begin, Index end) {
                    for (Index i = begin; i < end; i += vector_piece) {
                        vector_backward<Op>(in + i, result + i, cotangent + i, to + i, std::min(vector_piece, end - i));
                    }
                });
            } else {
                const auto a = static_cast<float>(op.a);
                const auto b = static_cast<float>(op.b);
                parallel_elements(g.count(), [=](Index i) __attribute__((always_inline)) {
                    to[i] = UnaryFunctor<Op>::backward(in[i], result[i], cotangent[i], a, b);
                });
            }
        });
        return out;
    }

    static Handle binary(const Handle& out, BinaryOp op, const Handle& a, const Handle& b) {
        Layout to = with_row_axis(out.layout);
        Layout left = with_row_axis(expanded(a.layout, out.extents()));
        Layout right = with_row_axis(expanded(b.layout, out.extents()));
        merge_axes<3>({&to, &left, &right});
        const int inner = to.rank() - 1;
        const Index length = to.extents[inner];
        const std::array<Index, 3> strides{to.stride(inner), left.stride(inner), right.stride(inner)};
        const float* const pa = a.data<float>();
        const float* const pb = b.data<float>();
        float* const po = out.data<float>();
        visit_binary(op, [&]<BinaryOp Op>() {
            if (to.rank() == 1) {
                parallel_for(length, elementwise_grain, [&](Index begin, Index end) {
                    binary_row<Op>(po + begin * strides[0], pa + begin * strides[1], pb + begin * strides[2],
                                   end - begin, strides);
                });
            } else {
                parallel_rows<3>(to.extents, {&to, &left, &right}, [&](const auto& offset) {
                    binary_row<Op>(po + offset[0], pa + offset[1], pb + offset[2], length, strides);
                });
            }
        });
        return out;
    }

    /// All operands are contiguous and of the same extents.
    static Handle binary_backward(const Handle& out, BinaryOp op, Operand operand, const Handle& a, const Handle& b,
                                  const Handle& y, const Handle& g) {
        visit_binary(op, [&]<BinaryOp Op>() {
            parallel_elements(g.count(), [first = operand == Operand::first, pa = a.data<float>(), pb = b.data<float>(),
                                          py = y.data<float>(), pg = g.data<float>(), po = out.data<float>()](Index i)
                                             __attribute__((always_inline)) {
                                                 po[i] = first ? BinaryFunctor<Op>::grad_a(pa[i], pb[i], py[i], pg[i])
                                                               : BinaryFunctor<Op>::grad_b(pa[i], pb[i], py[i], pg[i]);
                                             });
        });
        return out;
    }

    static Handle where(const Handle& out, const Handle& condition, const Handle& a, const Handle& b) {
        Layout to = with_row_axis(out.layout);
        Layout choice = with_row_axis(expanded(condition.layout, out.extents()));
        Layout left = with_row_axis(expanded(a.layout, out.extents()));
        Layout right = with_row_axis(expanded(b.layout, out.extents()));
        merge_axes<4>({&to, &choice, &left, &right});
        const int inner = to.rank() - 1;
        const Index length = to.extents[inner];
        const auto row = [&](const std::array<Index, 4>& offset, Index begin, Index end) {
            const float* const pc = condition.data<float>() + offset[1];
            const float* const pa = a.data<float>() + offset[2];
            const float* const pb = b.data<float>() + offset[3];
            float* const po = out.data<float>() + offset[0];
            for (Index i = begin; i < end; ++i) {
                po[i] = pc[i * choice.stride(inner)] != 0.0F ? pa[i * left.stride(inner)] : pb[i * right.stride(inner)];
            }
        };
        if (to.rank() == 1) {
            parallel_for(length, elementwise_grain, [&](Index begin, Index end) { row({}, begin, end); });
        } else {
            parallel_rows<4>(to.extents, {&to, &choice, &left, &right},
                             [&](const std::array<Index, 4>& offset) { row(offset, 0, length); });
        }
        return out;
    }

    static Handle multiply_add(const Handle& out, const Handle& x, const Handle& factor, const Handle& addend,
                               FactorKind kind) {
        Layout to = with_row_axis(out.layout);
        Layout first = with_row_axis(expanded(x.layout, out.extents()));
        Layout second = with_row_axis(expanded(factor.layout, out.extents()));
        Layout third = with_row_axis(expanded(addend.layout, out.extents()));
        merge_axes<4>({&to, &first, &second, &third});
        const int inner = to.rank() - 1;
        const Index length = to.extents[inner];
        const std::array<Index, 4> strides{to.stride(inner), first.stride(inner), second.stride(inner),
                                           third.stride(inner)};
        const float extra = kind == FactorKind::plus_one ? 1.0F : 0.0F;
        const auto row = [&](const std::array<Index, 4>& offset, Index begin, Index end) {
            const auto at = [&](const Handle& h, std::size_t i) {
                return h.data<float>() + offset[i] + begin * strides[i];
            };
            multiply_add_row(at(out, 0), at(x, 1), at(factor, 2), at(addend, 3), extra, end - begin, strides);
        };
        if (to.rank() == 1) {
            parallel_for(length, elementwise_grain, [&](Index begin, Index end) { row({}, begin, end); });
        } else {
            parallel_rows<4>(to.extents, {&to, &first, &second, &third},
                             [&](const std::array<Index, 4>& offset) { row(offset, 0, length); });
        }
        return out;
    }

   private:
    static void multiply_add_row(float* out, const float* x, const float* factor, const float* addend, float extra,
                                 Index count, const std::array<Index, 4>& strides) {
        if (are(strides, std::array<Index, 4>{1, 1, 1, 1})) {
            with_instructions([=]() __attribute__((always_inline)) {
                for (Index i = 0; i < count; ++i) {
                    out[i] = x[i] * (factor[i] + extra) + addend[i];
                }
            });
        } else {
            for (Index i = 0; i < count; ++i) {
                out[i * strides[0]] = x[i * strides[1]] * (factor[i * strides[2]] + extra) + addend[i * strides[3]];
            }
        }
    }
    template <BinaryOp Op>
    static void binary_row(float* o, const float* x, const float* y, Index n, const std::array<Index, 3>& strides) {
        if (are(strides, std::array<Index, 3>{1, 1, 1})) {
            with_instructions([=]() __attribute__((always_inline)) {
                for (Index i = 0; i < n; ++i) {
                    o[i] = BinaryFunctor<Op>::forward(x[i], y[i]);
                }
            });
        } else if (are(strides, std::array<Index, 3>{1, 1, 0})) {
            with_instructions([=, constant = *y]() __attribute__((always_inline)) {
                for (Index i = 0; i < n; ++i) {
                    o[i] = BinaryFunctor<Op>::forward(x[i], constant);
                }
            });
        } else {
            for (Index i = 0; i < n; ++i) {
                o[i * strides[0]] = BinaryFunctor<Op>::forward(x[i * strides[1]], y[i * strides[2]]);
            }
        }
    }
};

}  // namespace flowfar::cpu
