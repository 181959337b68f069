#pragma once

#include <string_view>

#include "flowfar/backend/composite.hpp"
#include "flowfar/backend/concept.hpp"
#include "flowfar/backend/cpu/kernels/attention/attention.hpp"
#include "flowfar/backend/cpu/kernels/attention/bf16_attention.hpp"
#include "flowfar/backend/cpu/kernels/attention/bf16_attention_backward.hpp"
#include "flowfar/backend/cpu/kernels/conv/bf16_conv.hpp"
#include "flowfar/backend/cpu/kernels/conv/conv.hpp"
#include "flowfar/backend/cpu/kernels/conv/f32_conv.hpp"
#include "flowfar/backend/cpu/kernels/conv/pooling.hpp"
#include "flowfar/backend/cpu/kernels/conv/upsample.hpp"
#include "flowfar/backend/cpu/kernels/rows/copy.hpp"
#include "flowfar/backend/cpu/kernels/rows/elementwise.hpp"
#include "flowfar/backend/cpu/kernels/rows/group_norm.hpp"
#include "flowfar/backend/cpu/kernels/rows/norm.hpp"
#include "flowfar/backend/cpu/kernels/rows/optimizer.hpp"
#include "flowfar/backend/cpu/kernels/rows/reduce.hpp"
#include "flowfar/backend/cpu/ops/any_gemm.hpp"
#include "flowfar/backend/cpu/runtime/block_cache.hpp"
#include "flowfar/backend/cpu/runtime/thread_pool.hpp"
#include "flowfar/backend/precision.hpp"
#include "flowfar/backend/views.hpp"

namespace flowfar::cpu {

/// The CPU backend's operations on f32 tensors. `Cpu` (backend/cpu.hpp) adds the other element types.
struct Float : Views<Float>, HostMemory<Float>, Composite<Float, Handle> {
    using Handle = flowfar::Handle;

    [[nodiscard]] static std::string_view name() { return "cpu f32"; }

    static std::shared_ptr<std::byte> allocate(std::size_t bytes) { return BlockCache::instance().allocate(bytes); }
    template <class F>
    static void parallel(Index count, Index grain, F&& f) {
        parallel_for(count, grain, std::forward<F>(f));
    }

    static void assign(const Handle& target, const Handle& source) { Copy::assign(target, source); }

    [[nodiscard]] static Handle unary(Unary op, const Handle& x) {
        return Elementwise::unary(empty(x.extents(), x.dtype), op, contiguous(x));
    }
    [[nodiscard]] static Handle unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g) {
        return Elementwise::unary_backward(empty(g.extents(), g.dtype), op, dense(x), dense(y), contiguous(g));
    }
    [[nodiscard]] static Handle binary(BinaryOp op, const Handle& a, const Handle& b) {
        const Extents extents = broadcast(a.extents(), b.extents(), "binary");
        return Elementwise::binary(empty(extents, a.dtype), op, a, b);
    }
    /// dL/da (`first`) or dL/db of y = op(a, b) in y's extents: not yet summed over broadcast axes.
    [[nodiscard]] static Handle binary_backward(BinaryOp op, bool first, const Handle& a, const Handle& b,
                                                const Handle& y, const Handle& g) {
        return Elementwise::binary_backward(empty(g.extents(), g.dtype), op, first, contiguous(expand(a, g.extents())),
                                            contiguous(expand(b, g.extents())), contiguous(y), contiguous(g));
    }
    [[nodiscard]] static Handle multiply_add(const Handle& x, const Handle& factor, const Handle& addend,
                                             bool plus_one) {
        const Extents product = broadcast(x.extents(), factor.extents(), "multiply_add");
        const Extents extents = broadcast(product, addend.extents(), "multiply_add");
        return Elementwise::multiply_add(empty(extents, x.dtype), x, factor, addend, plus_one);
    }
    [[nodiscard]] static Handle where(const Handle& condition, const Handle& a, const Handle& b) {
        const Extents extents = broadcast(condition.extents(), broadcast(a.extents(), b.extents(), "where"), "where");
        return Elementwise::where(empty(extents, a.dtype), condition, a, b);
    }

    [[nodiscard]] static Handle reduce(ReduceOp op, const Handle& x, Axes axes, bool keep) {
        Extents kept = x.extents();
        Extents result;
        int first = x.rank();
        int last = -1;
        int reduced = 0;
        for (int axis = 0; axis < x.rank(); ++axis) {
            if (axes.contains(axis)) {
                kept[axis] = 1;
                first = std::min(first, axis);
                last = axis;
                ++reduced;
            } else {
                result.push_back(x.extents()[axis]);
            }
        }
        const Extents& extents = keep ? kept : result;
        if (reduced == 0) {
            first = last = 0;
        }
        if (last - first + 1 > reduced && reduced > 0) {  // axes in between stay: bring the reduced ones together
            Extents order;
            for (const bool wanted : {false, true}) {
                for (int axis = 0; axis < x.rank(); ++axis) {
                    if (axes.contains(axis) == wanted) {
                        order.push_back(axis);
                    }
                }
            }
            const Axes trailing{Axes::all(x.rank()).bits & ~Axes::all(x.rank() - reduced).bits};
            return reshape(reduce(op, contiguous(permute(x, order)), trailing, false), extents);
        }
        const Handle source = contiguous(x);
        Index outer = 1;
        Index middle = 1;
        Index inner = 1;
        for (int axis = 0; axis < x.rank(); ++axis) {
            (axes.contains(axis) ? middle : (axis < first ? outer : inner)) *= x.extents()[axis];
        }
        const Handle out = empty(extents, x.dtype);
        Reduce::block(source.data<float>(), out.data<float>(), outer, middle, inner, op);
        return out;
    }
    /// Softmax over the last axis.
    [[nodiscard]] static Handle softmax(const Handle& x) { return softmax_of(x, false); }
    /// Log-softmax over the last axis.
    [[nodiscard]] static Handle log_softmax(const Handle& x) { return softmax_of(x, true); }

    /// act(alpha · a b + bias): a [batch…, M, K], b [batch…, K, N] or [K, N], bias [N] or undefined.
    [[nodiscard]] static Handle gemm(const Handle& a, const Handle& b, const Handle& bias, GemmOptions options) {
        const Extents extents = AnyGemm::extents(a, b, bias);
        const DType dtype = options.from_operand ? DType::f32 : a.dtype;
        const Handle out = options.to_operand ? empty_operand(extents, dtype) : empty(extents, dtype);
        const Handle offset = dense(bias);
        AnyGemm::run(out, a, b, {.bias = data_of(offset), .activation = options.activation}, options, &contiguous);
        return out;
    }
    [[nodiscard]] static Handle gemm_add(const Handle& residual, const Handle& gate, const Handle& a, const Handle& b,
                                         const Handle& bias, GemmOptions options) {
        const Extents extents = AnyGemm::extents(a, b, bias);
        require(residual.extents() == extents, "gemm_add: adding ", residual.extents(), " to ", extents);
        const Handle out = empty(extents, DType::f32);
        const Handle offset = dense(bias);
        const Handle added = contiguous(residual);
        const Handle factor = dense_rows(gate);
        AnyGemm::run(out, a, b,
                     {.bias = data_of(offset),
                      .activation = options.activation,
                      .residual = data_of(added),
                      .gate = {factor, extents, "gemm_add: gate"}},
                     options, &contiguous);
        return out;
    }

    [[nodiscard]] static Handle layer_norm(const Handle& x, const Handle& scale, const Handle& shift,
                                           NormOptions options) {
        return norm(x, scale, shift, options, true);
    }
    [[nodiscard]] static NormGradients<Handle> layer_norm_backward(const Handle& x, const Handle& scale,
                                                                   const Handle& shift, const Handle& g,
                                                                   NormOptions options) {
        return norm_backward(x, scale, shift, g, options, true);
    }
    [[nodiscard]] static Handle modulated_layer_norm(const Handle& x, const Handle& gain, const Handle& bias,
                                                     const Handle& scale, const Handle& shift, NormOptions options) {
        const Handle weight = dense_rows(gain);
        const Handle offset = dense_rows(bias);
        const Handle factor = dense_rows(scale);
        const Handle added = dense_rows(shift);
        return norm(x,
                    std::array{Norm::affine(weight, offset, x.extents(), options.plus_one),
                               Norm::affine(factor, added, x.extents(), true)},
                    options, true);
    }
    [[nodiscard]] static Handle rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
        return norm(x, scale, Handle{}, options, false);
    }
    [[nodiscard]] static NormGradients<Handle> rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                                                 NormOptions options) {
        return norm_backward(x, scale, Handle{}, g, options, false);
    }
    [[nodiscard]] static Handle rope(const Handle& x, const Handle& cos, const Handle& sin, bool inverse) {
        const Extents table{x.extents()[x.rank() - 2], x.extents().back() / 2};
        require(cos.extents() == table && sin.extents() == table && x.extents().back() % 2 == 0, "rope: input ",
                x.extents(), ", tables ", cos.extents(), " and ", sin.extents());
        const Handle out = empty(x.extents(), x.dtype);
        Norm::rope(dense_rows(x), contiguous(cos), contiguous(sin), out, inverse);
        return out;
    }
    [[nodiscard]] static AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v,
                                                           double scale, MaskKind mask) {
        if (k.extents()[2] == 0) {
            return Composite::attention(q, k, v, scale, mask);
        }
        const Handle out = token_major(q.extents(), q.dtype);
        const Handle log_sum_exp = empty({q.extents()[0], q.extents()[1], q.extents()[2], 1}, DType::f32);
#if defined(FLOWFAR_AVX512_BF16)
        if (multiplies_bf16(q.dtype)) {
            Bf16Attention(dense_rows(q), dense_rows(k), dense_rows(v), scale, mask)
                .forward(out, log_sum_exp.data<float>());
            return {out, log_sum_exp};
        }
#endif
        Attention(q, k, scale, mask)
            .forward(dense_rows(q), dense_rows(k), dense_rows(v), out, log_sum_exp.data<float>());
        return {out, log_sum_exp};
    }
    [[nodiscard]] static AttentionGradients<Handle> attention_backward(const Handle& q, const Handle& k,
                                                                       const Handle& v,
                                                                       const AttentionResult<Handle>& y,
                                                                       const Handle& g, double scale, MaskKind mask) {
        if (k.extents()[2] == 0 || q.extents()[2] == 0) {
            return Composite::attention_backward(q, k, v, y, g, scale, mask);
        }
        const AttentionGradients<Handle> out{token_major(q.extents(), q.dtype), token_major(k.extents(), q.dtype),
                                             token_major(v.extents(), q.dtype)};
#if defined(FLOWFAR_AVX512_BF16)
        if (multiplies_bf16(q.dtype)) {
            Bf16AttentionBackward(dense_rows(q), dense_rows(k), dense_rows(v), scale, mask)(
                dense_rows(y.output), y.log_sum_exp.data<float>(), dense_rows(g), out.query, out.key, out.value);
            return out;
        }
#endif
        Attention(q, k, scale, mask)
            .backward(dense_rows(q), dense_rows(k), dense_rows(v), dense_rows(y.output), y.log_sum_exp.data<float>(),
                      dense_rows(g), out.query, out.key, out.value);
        return out;
    }

    [[nodiscard]] static Handle conv2d(const Handle& x, const Handle& weight, const Handle& bias,
                                       const ConvOptions& options) {
        const ConvShape shape = ConvShape::of(x.extents(), weight.extents(), options);
        require(!bias.defined() || bias.count() == shape.out, "conv2d: a bias of ", bias.extents(), " for ", shape.out,
                " channels");
        const Handle out = empty(shape.output(), x.dtype);
#if defined(FLOWFAR_AVX512_BF16)
        if (multiplies_bf16(x.dtype) && Bf16Conv::takes(shape)) {
            Bf16Conv(shape).forward(contiguous(x), contiguous(weight), dense(bias), out);
            return out;
        }
#endif
#if defined(FLOWFAR_AVX512)
        if (instruction_set() == InstructionSet::avx512 && shape.taps() > 1 && F32Conv::takes(shape)) {
            F32Conv(shape).forward(contiguous(x), contiguous(weight), dense(bias), out);
            return out;
        }
#endif
        Conv(shape).forward(contiguous(x), contiguous(weight), dense(bias), out);
        return out;
    }
    [[nodiscard]] static Handle conv2d_backward_input(const Handle& weight, const Handle& g, const Extents& x,
                                                      const ConvOptions& options) {
        const Handle out = full(x, g.dtype, 0.0);
        Conv(ConvShape::of(x, weight.extents(), g.extents(), options))
            .backward_input(contiguous(weight), contiguous(g), out);
        return out;
    }
    [[nodiscard]] static Handle conv2d_backward_weight(const Handle& x, const Handle& g, const Extents& weight,
                                                       const ConvOptions& options) {
        const Handle out = full(weight, g.dtype, 0.0);
        Conv(ConvShape::of(x.extents(), weight, g.extents(), options))
            .backward_weight(contiguous(x), contiguous(g), out);
        return out;
    }
    [[nodiscard]] static Handle group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups,
                                           double epsilon) {
        check_group_norm(x.extents(), weight.count(), bias.count(), groups);
        const Handle out = empty(x.extents(), x.dtype);
        GroupNorm(x.extents(), groups, epsilon).forward(contiguous(x), contiguous(weight), contiguous(bias), out);
        return out;
    }
    [[nodiscard]] static NormGradients<Handle> group_norm_backward(const Handle& x, const Handle& weight,
                                                                   const Handle& g, Index groups, double epsilon) {
        check_group_norm(x.extents(), weight.count(), x.extents()[1], groups);
        require(g.extents() == x.extents(), "group_norm: input ", x.extents(), ", gradient ", g.extents());
        const NormGradients<Handle> out{empty(x.extents(), x.dtype), empty({x.extents()[1]}, x.dtype),
                                        empty({x.extents()[1]}, x.dtype)};
        GroupNorm(x.extents(), groups, epsilon).backward(contiguous(x), contiguous(weight), contiguous(g), out);
        return out;
    }
    [[nodiscard]] static Handle upsample_nearest2(const Handle& x) {
        const Extents& e = x.extents();
        require(e.rank() == 4, "upsample_nearest2: expected four axes, found ", e);
        const Handle out = empty({e[0], e[1], 2 * e[2], 2 * e[3]}, x.dtype);
        Upsample::forward(contiguous(x), out);
        return out;
    }
    [[nodiscard]] static Handle upsample_nearest2_backward(const Handle& g) {
        const Extents& e = g.extents();
        require(e.rank() == 4 && e[2] % 2 == 0 && e[3] % 2 == 0, "upsample_nearest2: a gradient of ", e);
        const Handle out = empty({e[0], e[1], e[2] / 2, e[3] / 2}, g.dtype);
        Upsample::backward(contiguous(g), out);
        return out;
    }

    [[nodiscard]] static Handle pool2d(const Handle& x, const PoolOptions& options) {
        const PoolShape shape = PoolShape::of(x.extents(), options);
        const Handle out = empty(shape.windows.output(), x.dtype);
        Pool(shape).forward(contiguous(x), out);
        return out;
    }
    [[nodiscard]] static Handle pool2d_backward(const Handle& x, const Handle& g, const Extents& extents,
                                                const PoolOptions& options) {
        const Handle out = full(extents, g.dtype, 0.0);
        Pool(PoolShape::of(extents, g.extents(), options)).backward(dense(x), contiguous(g), out);
        return out;
    }

    static void add_into(const Handle& target, const Handle& source) {
        Elementwise::binary(target, BinaryOp::add, target, source);
    }
    static void lerp(const Handle& target, const Handle& source, double weight) {
        require(is_contiguous(target.layout) && target.extents() == source.extents() && target.dtype == source.dtype,
                "lerp: the target must be contiguous and have the source's extents and element type");
        Optimiser::lerp(target.data<float>(), contiguous(source).data<float>(), target.count(), weight);
    }
    static void adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v,
                          const AdamOptions& options) {
        const auto fits = [&p](const Handle& h) { return h.extents() == p.extents() && h.dtype == p.dtype; };
        require(fits(g) && fits(m) && fits(v),
                "adam_step: parameter, gradient and moments must have the same extents and element type");
        require(is_contiguous(p.layout) && is_contiguous(m.layout) && is_contiguous(v.layout),
                "adam_step: parameter and moments must be contiguous");
        const Handle gradient = contiguous(g);
        Optimiser::adam(p.data<float>(), gradient.data<float>(), m.data<float>(), v.data<float>(), p.count(), options);
    }

   private:
    /// Contiguous, or undefined if `h` is.
    [[nodiscard]] static Handle dense(const Handle& h) {
        return h.defined() ? contiguous(h) : h;
    }
    [[nodiscard]] static Handle dense_rows(const Handle& h) {
        return !h.defined() || h.layout.stride(h.rank() - 1) == 1 || h.extents().back() == 1 ? h : contiguous(h);
    }
    /// [batch, heads, tokens, D] stored as [batch, tokens, heads, D], so that merging the heads again costs nothing.
    [[nodiscard]] static Handle token_major(const Extents& e, DType dtype) {
        return permute(empty({e[0], e[2], e[1], e[3]}, dtype), {0, 2, 1, 3});
    }
    [[nodiscard]] static Handle softmax_of(const Handle& x, bool logarithm) {
        const Handle in = contiguous(x);
        const Handle out = empty(x.extents(), x.dtype);
        Reduce::softmax(in.data<float>(), out.data<float>(), row_count(x.extents()), x.extents().back(), logarithm);
        return out;
    }
    [[nodiscard]] static const float* data_of(const Handle& h) {
        return h.defined() ? h.data<float>() : nullptr;
    }

    /// Memory for the left operand of products: bf16 rows where they read them, if they round such operands.
    [[nodiscard]] static Handle empty_operand(const Extents& extents, [[maybe_unused]] DType dtype) {
#if defined(FLOWFAR_AVX512_BF16)
        if (extents.rank() > 1 && multiplies_bf16(dtype) && !ProductPrecision::current().quantized &&
            bf16_product::can_be_operand(extents.back())) {
            return {bf16_product::operand_layout(extents), DType::bf16,
                    BlockCache::instance().allocate(bf16_product::operand_bytes(extents))};
        }
#endif
        return empty(extents, dtype);
    }

    [[nodiscard]] static Handle norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options,
                                     bool centre) {
        const Handle factor = dense_rows(scale);
        const Handle added = dense_rows(shift);
        return norm(x, std::array{Norm::affine(factor, added, x.extents(), options.plus_one)}, options, centre);
    }
    template <std::size_t N>
    [[nodiscard]] static Handle norm(const Handle& x, const std::array<Norm::Affine, N>& steps, NormOptions options,
                                     bool centre) {
        const Handle out = options.to_operand ? empty_operand(x.extents(), x.dtype) : empty(x.extents(), x.dtype);
        Norm::forward(dense_rows(x), steps, out, options.epsilon, centre);
        return out;
    }
    [[nodiscard]] static NormGradients<Handle> norm_backward(const Handle& x, const Handle& scale, const Handle& shift,
                                                             const Handle& g, NormOptions options, bool centre) {
        if (scale.defined() && shift.defined() && scale.extents() != shift.extents()) {
            return Composite::layer_norm_backward(x, scale, shift, g, options);  // only layer norm has a shift
        }
        const NormGradients<Handle> out{empty(x.extents(), x.dtype),
                                        scale.defined() ? empty(scale.extents(), x.dtype) : Handle{},
                                        shift.defined() ? empty(shift.extents(), x.dtype) : Handle{}};
        Norm::backward(dense_rows(x), dense(scale), dense_rows(g), out.input, out.scale, out.shift, options, centre);
        return out;
    }
};

static_assert(PlainBackend<Float>);

}  // namespace flowfar::cpu
