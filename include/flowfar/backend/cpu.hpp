#pragma once

#include <string_view>

#include "flowfar/backend/cpu/float.hpp"
#include "flowfar/backend/reference.hpp"

namespace flowfar {

/// The CPU backend: Eigen for matrix products and vector functions, own partitioning over a thread pool. It computes in
/// f32; bf16 tensors are widened for each operation and rounded again (storage, not speed); f64, which only tests and
/// small exact computations use, goes to the reference loops.
struct Cpu : Views<Cpu>, HostMemory<Cpu> {
    using Handle = flowfar::Handle;

   private:
    static Handle widen(const Handle& h) { return h.defined() && h.dtype == DType::bf16 ? cast(h, DType::f32) : h; }
    static Handle narrow(const Handle& h) { return h.defined() ? cast(h, DType::bf16) : h; }
    static NormGradients<Handle> narrow(const NormGradients<Handle>& d) {
        return {narrow(d.input), narrow(d.scale), narrow(d.shift)};
    }
    static AttentionResult<Handle> narrow(const AttentionResult<Handle>& y) {
        return {narrow(y.output), y.log_sum_exp};
    }
    static AttentionGradients<Handle> narrow(const AttentionGradients<Handle>& d) {
        return {narrow(d.query), narrow(d.key), narrow(d.value)};
    }

    /// Calls `f(backend, operands…)` with the loops for the first operand's element type, which all must share.
    template <class F, class... Rest>
    static auto route(F&& f, const Handle& first, const Rest&... rest) {
        [[maybe_unused]] const auto same = [&](const Handle& h) { return !h.defined() || h.dtype == first.dtype; };
        if (first.dtype == DType::bf16) {
            [[maybe_unused]] const auto fits = [](const Handle& h) {
                return !h.defined() || h.dtype == DType::bf16 || h.dtype == DType::f32;
            };
            require((fits(rest) && ...), "cpu: expected F32 elements beside BF16");
            return narrow(f(cpu::Float{}, widen(first), widen(rest)...));
        }
        require((same(rest) && ...), "cpu: operands have different element types; the first has ",
                name_of(first.dtype));
        if (first.dtype == DType::f64) {
            return f(Reference{}, first, rest...);
        }
        require(first.dtype == DType::f32, "cpu: expected F32, F64 or BF16 elements, found ", name_of(first.dtype));
        return f(cpu::Float{}, first, rest...);
    }
    template <class F>
    static void in_place(DType dtype, const char* what, F&& f) {
        require(dtype == DType::f32 || dtype == DType::f64, what, ": expected F32 or F64 elements, found ",
                name_of(dtype), "; keep master weights in F32");
        if (dtype == DType::f64) {
            f(Reference{});
        } else {
            f(cpu::Float{});
        }
    }

   public:
    [[nodiscard]] static std::string_view name() { return "cpu"; }
    [[nodiscard]] static bool available() { return true; }
    /// Number of threads that operations use, 1 to 1024; by default one per processor.
    static void set_threads(int count) { cpu::ThreadPool::instance().set_threads(count); }
    [[nodiscard]] static int threads() { return cpu::ThreadPool::instance().threads(); }
    /// Bytes of freed blocks that are kept for reuse at most (default 1 GiB); gives back what is unused now.
    static void set_cache_limit(std::size_t bytes) { cpu::BlockCache::instance().set_limit(bytes); }

    static std::shared_ptr<std::byte> allocate(std::size_t bytes) {
        return cpu::BlockCache::instance().allocate(bytes);
    }
    template <class F>
    static void parallel(Index count, Index grain, F&& f) {
        cpu::parallel_for(count, grain, std::forward<F>(f));
    }
    static void assign(const Handle& target, const Handle& source) {
        const auto computes = [](DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f64; };
        if (target.dtype == source.dtype || (computes(target.dtype) && computes(source.dtype))) {
            cpu::Copy::assign(target, source);
        } else {
            Reference::assign(target, source);  // indices and file types are rare: not worth loops of their own
        }
    }

    [[nodiscard]] static Handle unary(Unary op, const Handle& x) {
        return route([op](auto b, const Handle& h) { return b.unary(op, h); }, x);
    }
    [[nodiscard]] static Handle unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g) {
        return route([op](auto b, const Handle& hg, const Handle& hx,
                          const Handle& hy) { return b.unary_backward(op, hx, hy, hg); },
                     g, x, y);
    }
    [[nodiscard]] static Handle binary(BinaryOp op, const Handle& x, const Handle& y) {
        return route([op](auto b, const Handle& hx, const Handle& hy) { return b.binary(op, hx, hy); }, x, y);
    }
    /// dL/da (`first`) or dL/db of y = op(a, b) in y's extents: not yet summed over broadcast axes.
    [[nodiscard]] static Handle binary_backward(BinaryOp op, bool first, const Handle& x, const Handle& y,
                                                const Handle& z, const Handle& g) {
        return route([op, first](auto b, const Handle& hx, const Handle& hy, const Handle& hz,
                                 const Handle& hg) { return b.binary_backward(op, first, hx, hy, hz, hg); },
                     x, y, z, g);
    }
    [[nodiscard]] static Handle where(const Handle& condition, const Handle& x, const Handle& y) {
        return route([](auto b, const Handle& hx, const Handle& hy, const Handle& hc) { return b.where(hc, hx, hy); },
                     x, y, cast(condition, x.dtype));
    }
    [[nodiscard]] static Handle reduce(ReduceOp op, const Handle& x, Axes axes, bool keep) {
        return route([=](auto b, const Handle& h) { return b.reduce(op, h, axes, keep); }, x);
    }
    /// Softmax and log-softmax over the last axis.
    [[nodiscard]] static Handle softmax(const Handle& x) {
        return route([](auto b, const Handle& h) { return b.softmax(h); }, x);
    }
    [[nodiscard]] static Handle log_softmax(const Handle& x) {
        return route([](auto b, const Handle& h) { return b.log_softmax(h); }, x);
    }
    [[nodiscard]] static Handle softmax_backward(const Handle& y, const Handle& g) {
        return route([](auto b, const Handle& hy, const Handle& hg) { return b.softmax_backward(hy, hg); }, y, g);
    }
    [[nodiscard]] static Handle log_softmax_backward(const Handle& y, const Handle& g) {
        return route([](auto b, const Handle& hy, const Handle& hg) { return b.log_softmax_backward(hy, hg); }, y, g);
    }
    /// act(alpha · x y + bias): x [batch…, M, K], y [batch…, K, N] or [K, N], bias [N] or undefined.
    [[nodiscard]] static Handle gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options) {
        return route([options](auto b, const Handle& hx, const Handle& hy,
                               const Handle& hb) { return b.gemm(hx, hy, hb, options); },
                     x, y, bias);
    }

    /// The fused operations: backend/composite.hpp says what each computes.
    [[nodiscard]] static Handle layer_norm(const Handle& x, const Handle& scale, const Handle& shift,
                                           NormOptions options) {
        return route([options](auto b, const Handle& hx, const Handle& hs,
                               const Handle& hb) { return b.layer_norm(hx, hs, hb, options); },
                     x, scale, shift);
    }
    [[nodiscard]] static NormGradients<Handle> layer_norm_backward(const Handle& x, const Handle& scale,
                                                                   const Handle& shift, const Handle& g,
                                                                   NormOptions options) {
        return route([options](auto b, const Handle& hx, const Handle& hs, const Handle& hb,
                               const Handle& hg) { return b.layer_norm_backward(hx, hs, hb, hg, options); },
                     x, scale, shift, g);
    }
    [[nodiscard]] static Handle rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
        return route([options](auto b, const Handle& hx, const Handle& hs) { return b.rms_norm(hx, hs, options); }, x,
                     scale);
    }
    [[nodiscard]] static NormGradients<Handle> rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                                                 NormOptions options) {
        return route([options](auto b, const Handle& hx, const Handle& hs,
                               const Handle& hg) { return b.rms_norm_backward(hx, hs, hg, options); },
                     x, scale, g);
    }
    [[nodiscard]] static Handle rope(const Handle& x, const Handle& cos, const Handle& sin, bool inverse) {
        return route([inverse](auto b, const Handle& hx, const Handle& hc,
                               const Handle& hs) { return b.rope(hx, hc, hs, inverse); },
                     x, cos, sin);
    }
    [[nodiscard]] static AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v,
                                                           double scale, MaskKind mask) {
        return route([=](auto b, const Handle& hq, const Handle& hk,
                         const Handle& hv) { return b.attention(hq, hk, hv, scale, mask); },
                     q, k, v);
    }
    [[nodiscard]] static AttentionGradients<Handle> attention_backward(const Handle& q, const Handle& k,
                                                                       const Handle& v,
                                                                       const AttentionResult<Handle>& y,
                                                                       const Handle& g, double scale, MaskKind mask) {
        return route(
            [=](auto b, const Handle& hq, const Handle& hk, const Handle& hv, const Handle& ho, const Handle& hl,
                const Handle& hg) {
                return b.attention_backward(hq, hk, hv, {ho, hl}, hg, scale, mask);
            },
            q, k, v, y.output, y.log_sum_exp, g);
    }

    static void add_into(const Handle& target, const Handle& source) {
        if (target.dtype == DType::f32) {
            cpu::Float::add_into(target, cast(source, DType::f32));
        } else {
            assign(target, binary(BinaryOp::add, target, source));
        }
    }
    static void lerp(const Handle& target, const Handle& source, double weight) {
        in_place(target.dtype, "lerp", [&](auto b) { b.lerp(target, cast(source, target.dtype), weight); });
    }
    static void adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v,
                          const AdamOptions& options) {
        in_place(p.dtype, "adam_step", [&](auto b) { b.adam_step(p, cast(g, p.dtype), m, v, options); });
    }
};

static_assert(PlainBackend<Cpu>);

}  // namespace flowfar
