#pragma once

#include <string_view>
#include <utility>

#include "flowfar/backend/composite.hpp"
#include "flowfar/backend/concept.hpp"
#include "flowfar/backend/cpu/runtime/block_cache.hpp"
#include "flowfar/backend/cpu/runtime/instruction_set.hpp"
#include "flowfar/backend/cpu/runtime/thread_pool.hpp"
#include "flowfar/backend/host_memory.hpp"
#include "flowfar/backend/precision.hpp"
#include "flowfar/backend/views.hpp"
#include "flowfar/config.hpp"

namespace flowfar {

/// The CPU backend: own matrix products and attention, Eigen's vector functions, own partitioning over a thread pool.
/// It computes in f32. Products and attention of bf16 tensors, and of f32 tensors under Bf16Products, use the CPU's
/// bf16 instructions where it has them; other operations widen bf16 tensors and round the result. f64, which only tests
/// and small exact computations use, goes to the reference loops.
///
///     Cpu::set_threads(4);
///     const auto x = Tensor<Cpu, Shape<2, 3>>::normal(7);
struct Cpu : Views<Cpu>, HostMemory<Cpu>, Composite<Cpu, Handle> {
    using Handle = flowfar::Handle;
    static constexpr bool packs_linear_inputs = true;

    [[nodiscard]] static std::string_view name() { return "cpu"; }
    [[nodiscard]] static bool available() { return true; }
    /// Number of threads that operations use, 1 to 1024; by default one per processor.
    static void set_threads(int count) { cpu::ThreadPool::instance().set_threads(count); }
    [[nodiscard]] static int threads() { return cpu::ThreadPool::instance().threads(); }
    /// Bytes of freed blocks that are kept for reuse at most (default 1 GiB); gives back what is unused now.
    static void set_cache_limit(std::size_t bytes) { cpu::BlockCache::instance().set_limit(bytes); }
    /// Whether this CPU multiplies bf16 numbers (Bf16Products), and bytes (Int8Products).
    [[nodiscard]] static bool has_bf16_products() { return cpu::has_avx512_bf16(); }
    [[nodiscard]] static bool has_int8_products() { return cpu::has_avx512_int8(); }
    /// A contiguous tensor in memory of another owner, which lives as long as the tensor does. The memory must be
    /// aligned for the element type, and writable if the tensor is ever changed in place.
    [[nodiscard]] static Handle borrow(std::byte* memory, const Extents& extents, DType dtype,
                                       std::shared_ptr<const void> owner) {
        return {contiguous_layout(extents), dtype, cpu::BlockCache::borrow(memory, std::move(owner))};
    }

    static std::shared_ptr<std::byte> allocate(std::size_t bytes) {
        return cpu::BlockCache::instance().allocate(bytes);
    }
    template <class F>
    static void parallel(Index count, Index grain, F&& f) {
        cpu::parallel_for(count, grain, std::forward<F>(f));
    }
    static void assign(const Handle& target, const Handle& source);

    [[nodiscard]] static Handle unary(Unary op, const Handle& x);
    [[nodiscard]] static Handle unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g);
    [[nodiscard]] static Handle binary(BinaryOp op, const Handle& x, const Handle& y);
    /// dL/da or dL/db of y = op(a, b) in y's extents: not yet summed over broadcast axes.
    [[nodiscard]] static Handle binary_backward(BinaryOp op, Operand operand, const Handle& x, const Handle& y,
                                                const Handle& z, const Handle& g);
    [[nodiscard]] static Handle multiply_add(const Handle& x, const Handle& factor, const Handle& addend,
                                             FactorKind kind);
    [[nodiscard]] static Handle where(const Handle& condition, const Handle& x, const Handle& y);
    [[nodiscard]] static Handle reduce(ReduceOp op, const Handle& x, Axes axes, ReducedAxes reduced);
    /// Softmax and log-softmax over the last axis.
    [[nodiscard]] static Handle softmax(const Handle& x);
    [[nodiscard]] static Handle log_softmax(const Handle& x);
    [[nodiscard]] static Handle softmax_backward(const Handle& y, const Handle& g);
    [[nodiscard]] static Handle log_softmax_backward(const Handle& y, const Handle& g);
    /// act(alpha · x y + bias): x [batch…, M, K], y [batch…, K, N] or [K, N], bias [N] or undefined.
    [[nodiscard]] static Handle gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options);

    /// The fused operations: backend/composite.hpp and composite_linear.hpp say what each computes.
    [[nodiscard]] static Handle gemm_add(const Handle& residual, const Handle& gate, const Handle& x, const Handle& y,
                                         const Handle& bias, GemmOptions options);
    [[nodiscard]] static Handle modulated_layer_norm(const Handle& x, const Handle& gain, const Handle& bias,
                                                     const Handle& scale, const Handle& shift, NormOptions options);
    [[nodiscard]] static Handle layer_norm(const Handle& x, const Handle& scale, const Handle& shift,
                                           NormOptions options);
    [[nodiscard]] static NormGradients<Handle> layer_norm_backward(const Handle& x, const Handle& scale,
                                                                   const Handle& shift, const Handle& g,
                                                                   NormOptions options);
    [[nodiscard]] static Handle rms_norm(const Handle& x, const Handle& scale, NormOptions options);
    [[nodiscard]] static NormGradients<Handle> rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                                                 NormOptions options);
    [[nodiscard]] static Handle rope(const Handle& x, const Handle& cos, const Handle& sin, Rotation rotation);
    [[nodiscard]] static AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v,
                                                           double scale, MaskKind mask, const Handle& key_mask = {});
    [[nodiscard]] static AttentionGradients<Handle> attention_backward(const Handle& q, const Handle& k,
                                                                       const Handle& v,
                                                                       const AttentionResult<Handle>& y,
                                                                       const Handle& g, double scale, MaskKind mask,
                                                                       const Handle& key_mask = {});

    /// Operations on images: backend/composite_conv.hpp says what each computes.
    [[nodiscard]] static Handle conv2d(const Handle& x, const Handle& weight, const Handle& bias,
                                       const ConvOptions& options);
    [[nodiscard]] static Handle conv2d_backward_input(const Handle& weight, const Handle& g, const Extents& x,
                                                      const ConvOptions& options);
    [[nodiscard]] static Handle conv2d_backward_weight(const Handle& x, const Handle& g, const Extents& weight,
                                                       const ConvOptions& options);
    [[nodiscard]] static Handle group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups,
                                           double epsilon);
    [[nodiscard]] static NormGradients<Handle> group_norm_backward(const Handle& x, const Handle& weight,
                                                                   const Handle& g, Index groups, double epsilon);
    [[nodiscard]] static Handle upsample_nearest2(const Handle& x);
    [[nodiscard]] static Handle upsample_nearest2_backward(const Handle& g);
    [[nodiscard]] static Handle pool2d(const Handle& x, const PoolOptions& options);
    [[nodiscard]] static Handle pool2d_backward(const Handle& x, const Handle& g, const Extents& extents,
                                                const PoolOptions& options);

    static void add_into(const Handle& target, const Handle& source);
    static void lerp(const Handle& target, const Handle& source, double weight);
    static void adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v,
                          const AdamOptions& options);
};

static_assert(PlainBackend<Cpu>);

}  // namespace flowfar

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/backend/cpu/ops/all.ipp"
#endif
