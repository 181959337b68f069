#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "flowfar/backend/composite.hpp"
#include "flowfar/backend/concept.hpp"
#include "flowfar/backend/cuda/runtime/fetched.hpp"
#include "flowfar/backend/views.hpp"
#include "flowfar/core/handle.hpp"

struct CUstream_st;

namespace flowfar {

namespace cuda {

/// Bytes of device memory that tensors use now, the most they used at once, and the most they may use.
struct MemoryUse {
    std::size_t used = 0;
    std::size_t high_water = 0;
    std::size_t limit = 0;
};

}  // namespace cuda

/// The CUDA backend: own kernels, cuBLASLt for matrix products. It computes in f32 and, with f32 accumulation, in bf16;
/// f64 serves tests and small exact computations. While a Bf16Products (backend/precision.hpp) lives, products,
/// convolutions and attention of f32 tensors round their operands to bf16, attention its results, too. Operations are
/// queued on the current stream and return before they are done; only `to_host` and `synchronize` wait, row selection
/// by indices that were computed on the device, and `from_host` of more than 64 MiB that are not page-locked.
///
/// A program works on one device: the one that is current (`cudaSetDevice`, by default number 0) when the backend is
/// first used. Later uses make it the calling thread's current device; `CUDA_VISIBLE_DEVICES` chooses from outside.
///
/// This header declares only and needs no CUDA headers: any host compiler can build a model over `Cuda`. The
/// CMake target flowfar::cuda_compiled has nvcc compile the operations; without it one unit of the program that nvcc
/// compiles includes flowfar/backend/cuda/ops/all.cuh.
struct Cuda : Views<Cuda>, Composite<Cuda, Handle> {
    using Handle = flowfar::Handle;

    [[nodiscard]] static std::string_view name() { return "cuda"; }
    /// Whether there is a device and a driver for it.
    [[nodiscard]] static bool available();
    [[nodiscard]] static const Extents& extents(const Handle& h) { return h.layout.extents; }
    [[nodiscard]] static DType dtype(const Handle& h) { return h.dtype; }

    /// Where this thread's operations are queued; null stands for the backend's own stream.
    static void set_stream(CUstream_st* stream);
    [[nodiscard]] static CUstream_st* stream();
    /// Waits until everything queued on the current stream is done.
    static void synchronize();

    [[nodiscard]] static cuda::MemoryUse memory_use();
    /// Tensors may use so many bytes, and the backend takes no more of the device for them, what lies idle between them
    /// included; a request beyond throws Error and changes nothing.
    static void set_memory_limit(std::size_t bytes);
    /// Sets the high-water mark to what is in use now.
    static void reset_high_water();

    [[nodiscard]] static Handle empty(const Extents& extents, DType dtype);
    [[nodiscard]] static Handle full(const Extents& extents, DType dtype, double value);
    /// Does not wait for the device. Page-locked memory is read when the stream gets there, so leave it alone until
    /// then; any other has been read on return.
    [[nodiscard]] static Handle from_host(const void* data, const Extents& extents, DType dtype);
    /// Writes the elements in row-major order, in the handle's own element type. Waits for them.
    static void to_host(const Handle& h, void* data);
    /// Queues a copy of the elements, in row-major order, to the host and returns at once; Error while a graph is
    /// recorded.
    [[nodiscard]] static std::shared_ptr<const cuda::Fetched> fetch(const Handle& h);
    [[nodiscard]] static Handle cast(const Handle& h, DType dtype);
    [[nodiscard]] static Handle contiguous(const Handle& h);
    /// Copies source, broadcast and converted, into the elements of target.
    static void assign(const Handle& target, const Handle& source);
    /// Independent U(0, 1) and N(0, 1) numbers; element i is number `offset + i` of the Philox stream of `seed`, the
    /// same bits as on every backend.
    [[nodiscard]] static Handle uniform(const Extents& extents, DType dtype, std::uint64_t seed, std::uint64_t offset);
    [[nodiscard]] static Handle normal(const Extents& extents, DType dtype, std::uint64_t seed, std::uint64_t offset);

    [[nodiscard]] static Handle unary(Unary op, const Handle& x);
    [[nodiscard]] static Handle unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g);
    [[nodiscard]] static Handle binary(BinaryOp op, const Handle& x, const Handle& y);
    /// dL/da or dL/db of y = op(a, b) in y's extents: not yet summed over broadcast axes.
    [[nodiscard]] static Handle binary_backward(BinaryOp op, Operand operand, const Handle& x, const Handle& y,
                                                const Handle& z, const Handle& g);
    [[nodiscard]] static Handle where(const Handle& condition, const Handle& x, const Handle& y);
    [[nodiscard]] static Handle reduce(ReduceOp op, const Handle& x, Axes axes, ReducedAxes reduced);
    /// Softmax and log-softmax over the last axis.
    [[nodiscard]] static Handle softmax(const Handle& x);
    [[nodiscard]] static Handle log_softmax(const Handle& x);
    [[nodiscard]] static Handle softmax_backward(const Handle& y, const Handle& g);
    [[nodiscard]] static Handle log_softmax_backward(const Handle& y, const Handle& g);
    /// act(alpha · x y + bias): x [batch…, M, K], y [batch…, K, N] or [K, N], bias [N] or undefined.
    [[nodiscard]] static Handle gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options);

    /// Row i of the result is row rows[i] of x: x [N, …], rows i64 [M] → [M, …].
    [[nodiscard]] static Handle gather_rows(const Handle& x, const Handle& rows);
    /// Zeros [count, …] with row i of x added to row rows[i].
    [[nodiscard]] static Handle scatter_add_rows(const Handle& x, const Handle& rows, Index count);

    /// The fused operations: backend/composite.hpp says what each computes.
    [[nodiscard]] static Handle multiply_add(const Handle& x, const Handle& factor, const Handle& addend,
                                             FactorKind kind);
    [[nodiscard]] static Handle layer_norm(const Handle& x, const Handle& scale, const Handle& shift,
                                           NormOptions options);
    [[nodiscard]] static NormGradients<Handle> layer_norm_backward(const Handle& x, const Handle& scale,
                                                                   const Handle& shift, const Handle& g,
                                                                   NormOptions options);
    [[nodiscard]] static Handle rms_norm(const Handle& x, const Handle& scale, NormOptions options);
    [[nodiscard]] static NormGradients<Handle> rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                                                 NormOptions options);
    [[nodiscard]] static Handle rope(const Handle& x, const Handle& cos, const Handle& sin, Rotation rotation);
    static constexpr bool joins_heads = true;
    /// x Wᵀ + bias of each sequence, laid out (3, heads, D) and side by side along the tokens; of queries and keys RMS
    /// norm and rotary embedding, cos and sin [all tokens, D/2]. D is even and at most 256; operands have one element
    /// type.
    [[nodiscard]] static JointHeads<Handle> joint_heads(std::span<const HeadSource<Handle>> sources, const Handle& cos,
                                                        const Handle& sin, Index heads);
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
    /// SiLU of group_norm, in its kernel.
    [[nodiscard]] static Handle group_norm_silu(const Handle& x, const Handle& weight, const Handle& bias, Index groups,
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
    /// `adam_step` for all targets with the same bits, many of them in one kernel.
    static void adam_steps(std::span<const AdamTarget<Handle>> targets);
    /// `adam_steps` with gradients limited to a norm that the device knows.
    static void adam_steps(std::span<const AdamTarget<Handle>> targets, const GradientLimit<Handle>& limit);
    /// Many tensors in one kernel, too: backend/tensor_lists.hpp says what each computes.
    static void lerp_each(std::span<const Handle> targets, std::span<const Handle> sources, double weight);
    [[nodiscard]] static Handle square_sums(std::span<const Handle> tensors);
    static void multiply_each(std::span<const Handle> targets, const Handle& factors);
};

static_assert(PlainBackend<Cuda>);

}  // namespace flowfar
