#pragma once

/// Attention and its gradients on the device: chooses the kernels, brings operands into a form that they read, and
/// allocates the results. What is computed: backend/composite.hpp.

#include "flowfar/backend/composite.hpp"
#include "flowfar/backend/cuda/kernels/attention/attention_scalar.cuh"
#include "flowfar/backend/cuda/ops/attention_choice.cuh"
#include "flowfar/core/shapes/attention_shape.hpp"

namespace flowfar::cuda {

enum class AttentionEngine : std::uint8_t {
    composite,   ///< logits in memory, for f64
    scalar,      ///< float arithmetic
    tensor_core  ///< mma.sync, sm_80 and later
};

[[nodiscard]] constexpr AttentionEngine attention_engine(DType dtype, Index width) {
    if (dtype == DType::bf16) {
        return padded_depth(width) != 0 ? AttentionEngine::tensor_core : AttentionEngine::scalar;
    }
    return dtype == DType::f32 ? AttentionEngine::scalar : AttentionEngine::composite;
}

namespace detail {

/// Whether the kernels can read h [batch, heads, tokens, width] in place: dense rows, and for `pieces` rows that begin
/// at multiples of 16 bytes.
[[nodiscard]] inline bool readable_rows(const Handle& h, bool pieces) {
    const auto size = static_cast<Index>(size_of(h.dtype));
    if (h.extents()[3] > 1 && h.layout.stride(3) != 1) {
        return false;
    }
    if (!pieces) {
        return true;
    }
    for (int axis = 0; axis < 3; ++axis) {
        if (h.extents()[axis] > 1 && h.layout.stride(axis) * size % 16 != 0) {
            return false;
        }
    }
    return is_aligned(h.storage.get() + h.layout.offset * size, 16);
}

template <class B>
[[nodiscard]] Handle attention_rows(const Handle& h, DType dtype, bool pieces) {
    const Handle x = h.dtype == dtype ? h : B::cast(h, dtype);
    if (readable_rows(x, pieces)) {
        return x;
    }
    const Handle copy = B::empty(x.extents(), dtype);
    B::assign(copy, x);
    return copy;
}

template <class T>
[[nodiscard]] HeadRows<T> head_rows(const Handle& h) {
    const Layout& layout = h.layout;
    return {h.data<std::remove_const_t<T>>(), layout.stride(0), layout.stride(1), layout.stride(2)};
}

[[nodiscard]] inline int attention_extent(Index value) {
    require(value <= (Index{1} << 30), "attention: an extent of ", value, " is more than the kernels count");
    return static_cast<int>(value);
}
/// What the arguments of forward and backward kernels have in common.
template <class Arguments>
void set_sizes(Arguments& arguments, const AttentionShape& shape, double scale) {
    arguments.heads = attention_extent(shape.heads);
    arguments.queries = attention_extent(shape.queries);
    arguments.keys = attention_extent(shape.keys);
    arguments.width = attention_extent(shape.width);
    arguments.scale = static_cast<float>(scale);
    arguments.causal = shape.mask == MaskKind::causal;
}

/// Throws unless the operands fit together and have one element type.
[[nodiscard]] inline AttentionShape attention_shape(const Handle& q, const Handle& k, const Handle& v, MaskKind mask) {
    require(q.dtype == k.dtype && q.dtype == v.dtype, "attention: queries of ", name_of(q.dtype), ", keys of ",
            name_of(k.dtype), " and values of ", name_of(v.dtype));
    return AttentionShape::of(q, k, v, mask);
}

}  // namespace detail

/// softmax(scale · q kᵀ + mask) v and the log-sum-exp (f32) for a backend B whose tensors are on the device.
/// q [batch, heads, queries, D], k and v [batch, key heads, keys, D]; f32, bf16 or f64, any strides. The kernels know
/// neither shared heads, which are repeated, nor masks of keys, for which there is the composite: in f32 for bf16, so
/// that logits and the log-sum-exp, which the gradients need, are not rounded.
template <class B>
[[nodiscard]] AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v, double scale,
                                                MaskKind mask, const Handle& key_mask = {}) {
    const AttentionShape shape = detail::attention_shape(q, k, v, mask);
    using Definition = Composite<B, Handle>;
    if (key_mask.defined()) {
        if (q.dtype == DType::bf16) {
            const auto wide = [](const Handle& h) { return B::cast(h, DType::f32); };
            const AttentionResult<Handle> y = Definition::attention(wide(q), wide(k), wide(v), scale, mask, key_mask);
            return {B::cast(y.output, DType::bf16), y.log_sum_exp};
        }
        return Definition::attention(q, k, v, scale, mask, key_mask);
    }
    if (shape.group() > 1) {
        return attention<B>(q, Definition::repeated_heads(k, shape.heads), Definition::repeated_heads(v, shape.heads),
                            scale, mask);
    }
    const AttentionEngine engine = attention_engine(q.dtype, shape.width);
    if (engine == AttentionEngine::composite) {
        return Composite<B, Handle>::attention(q, k, v, scale, mask);
    }
    const Handle out = B::token_major(q.extents(), q.dtype);
    const Handle log_sum_exp = B::empty(shape.row_extents(), DType::f32);
    const auto run = [&]<class T>(auto&& start) {
        const bool pieces = engine == AttentionEngine::tensor_core;
        const Handle rows_q = detail::attention_rows<B>(q, q.dtype, pieces);
        const Handle rows_k = detail::attention_rows<B>(k, q.dtype, pieces);
        const Handle rows_v = detail::attention_rows<B>(v, q.dtype, pieces);
        AttentionForward<T> arguments{};
        arguments.query = detail::head_rows<const T>(rows_q);
        arguments.key = detail::head_rows<const T>(rows_k);
        arguments.value = detail::head_rows<const T>(rows_v);
        arguments.output = detail::head_rows<T>(out);
        arguments.log_sum_exp = log_sum_exp.data<float>();
        detail::set_sizes(arguments, shape, scale);
        start(arguments);
    };
    if (engine == AttentionEngine::tensor_core) {
        const bool warpgroups =
            scale >= 0.0 && AttentionChoice::instance().kernels_for(shape.width) == AttentionKernels::warpgroups;
        run.template operator()<bf16>([&](const auto& arguments) {
            warpgroups ? launch_attention_hopper(arguments, shape.batch) : launch_attention(arguments, shape.batch);
        });
    } else if (q.dtype == DType::bf16) {
        run.template operator()<bf16>([&](const auto& arguments) { launch_attention_scalar(arguments, shape.batch); });
    } else {
        run.template operator()<float>([&](const auto& arguments) { launch_attention_scalar(arguments, shape.batch); });
    }
    return {out, log_sum_exp};
}

/// The gradients of attention() from its result y and the output's gradient g. No atomics: the same operands give the
/// same bits.
template <class B>
[[nodiscard]] AttentionGradients<Handle> attention_backward(const Handle& q, const Handle& k, const Handle& v,
                                                            const AttentionResult<Handle>& y, const Handle& g,
                                                            double scale, MaskKind mask, const Handle& key_mask = {}) {
    const AttentionShape shape = detail::attention_shape(q, k, v, mask);
    require(g.extents() == q.extents() && y.output.extents() == q.extents(), "attention: queries ", q.extents(),
            ", output ", y.output.extents(), " and its gradient ", g.extents(), " do not fit");
    using Definition = Composite<B, Handle>;
    if (key_mask.defined()) {
        if (q.dtype == DType::bf16) {
            const auto wide = [](const Handle& h) { return B::cast(h, DType::f32); };
            const auto narrow = [](const Handle& h) { return B::cast(h, DType::bf16); };
            const AttentionGradients<Handle> d = Definition::attention_backward(
                wide(q), wide(k), wide(v), {wide(y.output), wide(y.log_sum_exp)}, wide(g), scale, mask, key_mask);
            return {narrow(d.query), narrow(d.key), narrow(d.value)};
        }
        return Definition::attention_backward(q, k, v, y, g, scale, mask, key_mask);
    }
    if (shape.group() > 1) {
        const AttentionGradients<Handle> d =
            attention_backward<B>(q, Definition::repeated_heads(k, shape.heads),
                                  Definition::repeated_heads(v, shape.heads), y, g, scale, mask);
        return {d.query, Definition::summed_heads(d.key, shape.key_heads),
                Definition::summed_heads(d.value, shape.key_heads)};
    }
    const AttentionEngine engine = attention_engine(q.dtype, shape.width);
    if (engine == AttentionEngine::composite) {
        return Composite<B, Handle>::attention_backward(q, k, v, y, g, scale, mask);
    }
    const AttentionGradients<Handle> out{B::token_major(q.extents(), q.dtype), B::token_major(k.extents(), q.dtype),
                                         B::token_major(k.extents(), q.dtype)};
    const Handle row_dots = B::empty({shape.batch, shape.heads, shape.queries}, DType::f32);
    const Handle log_sum_exp = B::contiguous(B::cast(y.log_sum_exp, DType::f32));
    const auto run = [&]<class T>(auto&& start) {
        const bool pieces = engine == AttentionEngine::tensor_core;
        const Handle rows_q = detail::attention_rows<B>(q, q.dtype, pieces);
        const Handle rows_k = detail::attention_rows<B>(k, q.dtype, pieces);
        const Handle rows_v = detail::attention_rows<B>(v, q.dtype, pieces);
        const Handle rows_o = detail::attention_rows<B>(y.output, q.dtype, pieces);
        const Handle rows_g = detail::attention_rows<B>(g, q.dtype, pieces);
        AttentionBackward<T> arguments{};
        arguments.query = detail::head_rows<const T>(rows_q);
        arguments.key = detail::head_rows<const T>(rows_k);
        arguments.value = detail::head_rows<const T>(rows_v);
        arguments.output = detail::head_rows<const T>(rows_o);
        arguments.gradient = detail::head_rows<const T>(rows_g);
        arguments.log_sum_exp = log_sum_exp.data<float>();
        arguments.row_dots = row_dots.data<float>();
        arguments.query_gradient = detail::head_rows<T>(out.query);
        arguments.key_gradient = detail::head_rows<T>(out.key);
        arguments.value_gradient = detail::head_rows<T>(out.value);
        detail::set_sizes(arguments, shape, scale);
        start(arguments);
    };
    if (engine == AttentionEngine::tensor_core) {
        run.template operator()<bf16>(
            [&](const auto& arguments) { launch_attention_backward(arguments, shape.batch); });
    } else if (q.dtype == DType::bf16) {
        run.template operator()<bf16>(
            [&](const auto& arguments) { launch_attention_scalar_backward(arguments, shape.batch); });
    } else {
        run.template operator()<float>(
            [&](const auto& arguments) { launch_attention_scalar_backward(arguments, shape.batch); });
    }
    return out;
}

}  // namespace flowfar::cuda
