#pragma once

/// Matrix products of tensors: strided and broadcast batches, transposed operands recognized by their layout. cuBLASLt
/// multiplies f32 (without TF32) and bf16 (added in f32); a plain kernel does f64 and what cuBLASLt refuses.

#include <atomic>

#include "flowfar/backend/cuda/kernels/elementwise/copy.cuh"
#include "flowfar/backend/cuda/kernels/elementwise/functor_map.cuh"
#include "flowfar/backend/cuda/runtime/lt.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

inline constexpr int plain_tile = 16;

/// One element of c per thread, tiles of a and b through shared memory. Operands as in MatrixProduct, as row and column
/// strides.
template <class In, class Out>
__global__ void __launch_bounds__(plain_tile* plain_tile)
    plain_product_kernel(Out* c, const In* a, const In* b, MatrixProduct p, FastDivide row_tiles,
                         FastDivide column_tiles) {
    using C = Compute<In>;
    __shared__ C left[plain_tile][plain_tile + 1];
    __shared__ C right[plain_tile][plain_tile + 1];
    const std::uint32_t rest = column_tiles.quotient(blockIdx.x);
    const std::uint32_t batch = row_tiles.quotient(rest);
    const Index row = static_cast<Index>(rest - batch * row_tiles.divisor) * plain_tile + threadIdx.y;
    const Index column = static_cast<Index>(blockIdx.x - rest * column_tiles.divisor) * plain_tile + threadIdx.x;
    a += batch * p.a.batch_stride;
    b += batch * p.b.batch_stride;
    const Index a_row = p.a.row_major ? p.a.ld : 1;
    const Index a_column = p.a.row_major ? 1 : p.a.ld;
    const Index b_row = p.b.row_major ? p.b.ld : 1;
    const Index b_column = p.b.row_major ? 1 : p.b.ld;
    C sum = 0;
    for (Index first = 0; first < p.inner; first += plain_tile) {
        const Index k = first + threadIdx.x;
        const Index l = first + threadIdx.y;
        left[threadIdx.y][threadIdx.x] = row < p.rows && k < p.inner ? convert<C>(a[row * a_row + k * a_column]) : C(0);
        right[threadIdx.y][threadIdx.x] =
            column < p.columns && l < p.inner ? convert<C>(b[l * b_row + column * b_column]) : C(0);
        __syncthreads();
        for (int i = 0; i < plain_tile; ++i) {
            sum += left[threadIdx.y][i] * right[i][threadIdx.x];
        }
        __syncthreads();
    }
    if (row < p.rows && column < p.columns) {
        Out* const to = c + batch * p.c_stride + row * p.ldc + column;
        C value = static_cast<C>(p.alpha) * sum;
        if (p.beta != 0.0) {
            value += static_cast<C>(p.beta) * convert<C>(*to);
        }
        if (p.bias != nullptr) {
            value += convert<C>(static_cast<const Out*>(p.bias)[column]);
        }
        *to = convert<Out>(p.gelu ? UnaryFunctor<UnaryOp::gelu_tanh>::forward(value, C(0), C(0)) : value);
    }
}

struct Gemm {
    /// Queues a product whose extents are positive.
    static void multiply(const MatrixProduct& p) {
        if (p.batches > 1 && (p.a.batch_stride == 0 || p.b.batch_stride == 0) && !may_repeat()) {
            each_alone(p);
        } else if (p.in == DType::f64) {
            plain<double, double>(p);
        } else if (!LtEngine::instance().multiply(p)) {
            ++refused();
            if (p.in == DType::f32) {
                plain<float, float>(p);
            } else if (p.out == DType::f32) {
                plain<bf16, float>(p);
            } else {
                plain<bf16, bf16>(p);
            }
        }
    }
    /// Products that cuBLASLt refused and the plain kernel did.
    [[nodiscard]] static std::atomic<std::size_t>& refused() {
        static std::atomic<std::size_t> products = 0;
        return products;
    }

    /// out [batch…, M, N] = act(alpha · a b + bias). a and b have one element type, out and bias the same, or f32 if
    /// that is bf16; out has dense rows, the bias is contiguous. b is one matrix, or its batch axes broadcast to a's.
    static void run(const Handle& out, const Handle& a, const Handle& b, const Handle& bias,
                    const GemmOptions& options) {
        if (out.count() == 0) {
            return;
        }
        // cuBLASLt's GELU is the tanh form, by an approximation of tanh that bf16 does not show.
        bool activated = options.activation == Activation::gelu_tanh && out.dtype == DType::bf16;
        if (a.extents().back() == 0) {
            activated = false;
            if (bias.defined()) {
                Copy::assign(out, bias);
            } else {
                Copy::fill(out, 0.0);
            }
        } else {
            MatrixProduct p;
            p.in = a.dtype;
            p.out = out.dtype;
            p.inner = a.extents().back();
            p.columns = out.extents().back();
            p.alpha = options.alpha;
            p.bias = bias.defined() ? at(bias, 0) : nullptr;
            p.gelu = activated;
            batched(out, a, b, p);
        }
        if (options.activation != Activation::none && !activated) {
            activate(out, options.activation);
        }
    }

    /// The last two axes as an operand, if one of them is dense.
    [[nodiscard]] static std::optional<MatrixOperand> matrix(const Handle& h) {
        const int rank = h.rank();
        const Index rows = h.extents()[rank - 2];
        const Index columns = h.extents()[rank - 1];
        const Index down = h.layout.stride(rank - 2);
        const Index right = h.layout.stride(rank - 1);
        if (right == 1 || columns == 1) {
            const Index ld = rows == 1 ? columns : down;
            if (ld >= columns) {
                return MatrixOperand{at(h, 0), ld, true, 0};
            }
        }
        if (down == 1 || rows == 1) {
            const Index ld = columns == 1 ? rows : right;
            if (ld >= rows) {
                return MatrixOperand{at(h, 0), ld, false, 0};
            }
        }
        return std::nullopt;
    }

   private:
    [[nodiscard]] static std::byte* at(const Handle& h, Index offset) {
        return h.storage.get() + (h.layout.offset + offset) * static_cast<Index>(size_of(h.dtype));
    }
    template <UnaryOp Op>
    static void apply(const Handle& out) {
        visit_float(out.dtype, "gemm", [&]<class T>() {
            map(UnaryMap<T, Op>{Compute<T>(0), Compute<T>(0)}, View<T>::of(out), View<const T>::of(out));
        });
    }
    static void activate(const Handle& out, Activation activation) {
        if (activation == Activation::silu) {
            apply<UnaryOp::silu>(out);
        } else if (activation == Activation::gelu_tanh) {
            apply<UnaryOp::gelu_tanh>(out);
        } else {
            apply<UnaryOp::gelu_erf>(out);
        }
    }
    [[nodiscard]] static Handle dense(const Handle& h) { return matrix(h) ? h : contiguous(h); }

    static constexpr Index many_rows = 64;  ///< of a matrix that is worth a product of its own

    static void batched(Handle out, Handle a, Handle b, MatrixProduct p) {
        if (b.rank() == 2 && a.rank() > 2) {  // all rows of all batches are one matrix, if the layouts permit it
            const Extents rows{a.count() / p.inner};
            const auto merged = [&](const Handle& h, Index columns) { return reshaped(h.layout, {rows[0], columns}); };
            if (const std::optional<Layout> target = merged(out, p.columns)) {
                const bool even = merged(a, p.inner).has_value();
                if (even || a.extents()[a.rank() - 2] < many_rows || !matrix(a)) {
                    a = even ? a : contiguous(a);
                    a = a.with(*merged(a, p.inner));
                    out = out.with(*target);
                }
            }
        }
        const int rank = a.rank();
        a = dense(a);
        b = dense(b);
        p.rows = a.extents()[rank - 2];
        p.ldc = std::max(out.layout.stride(rank - 2), p.columns);
        if (rank == 2) {
            p.a = *matrix(a);
            p.b = *matrix(b);
            p.c = at(out, 0);
            multiply(p);
            return;
        }
        Extents spread = a.extents();
        spread[rank - 2] = b.extents()[b.rank() - 2];
        spread[rank - 1] = b.extents()[b.rank() - 1];
        b = b.with(expanded(b.layout, spread));
        each_batch(out, a, b, p);
    }

    /// One call for all batches if their strides are even, else one per index of the outer axes.
    static void each_batch(const Handle& out, const Handle& a, const Handle& b, MatrixProduct p) {
        Layout to = batch_axes(out.layout);
        Layout left = batch_axes(a.layout);
        Layout right = batch_axes(b.layout);
        merge_axes<3>({&to, &left, &right});
        const int inner = to.rank() - 1;
        const Index calls = row_count(to.extents);
        if (calls > 16 && !(is_contiguous(a.layout) && is_contiguous(b.layout))) {
            each_batch(out, contiguous(a), contiguous(b), p);
            return;
        }
        p.batches = to.extents[inner];
        const MatrixOperand first = *matrix(a);
        const MatrixOperand second = *matrix(b);
        p.a = first;
        p.b = second;
        p.a.batch_stride = left.stride(inner);
        p.b.batch_stride = right.stride(inner);
        p.c_stride = to.stride(inner);
        for_each_row<3>(to.extents, {&to, &left, &right}, 0, calls, [&](Index /*row*/, const auto& offset) {
            p.c = at(out, offset[0]);
            p.a.data = at(a, offset[1]);
            p.b.data = at(b, offset[2]);
            multiply(p);
        });
    }
    /// All axes but the last two.
    [[nodiscard]] static Layout batch_axes(const Layout& layout) {
        Layout out;
        for (int axis = 0; axis < layout.rank() - 2; ++axis) {
            out.extents.push_back(layout.extents[axis]);
            out.set_stride(axis, layout.stride(axis));
        }
        return with_row_axis(out);
    }

    /// Whether cuBLASLt repeats one matrix for a batch correctly: from 13.0 U2 on, Blackwell's small chips may read
    /// beyond it.
    [[nodiscard]] static bool may_repeat() {
        static const bool fits = device_attribute(cudaDevAttrComputeCapabilityMajor) != 12;
        return fits;
    }
    static void each_alone(MatrixProduct p) {
        const auto moved = [&](const void* data, DType type, Index stride) {
            return static_cast<const std::byte*>(data) + stride * static_cast<Index>(size_of(type));
        };
        for (Index left = std::exchange(p.batches, 1); left > 0; --left) {
            multiply(p);
            p.a.data = moved(p.a.data, p.in, p.a.batch_stride);
            p.b.data = moved(p.b.data, p.in, p.b.batch_stride);
            p.c = static_cast<std::byte*>(p.c) + p.c_stride * static_cast<Index>(size_of(p.out));
        }
    }

    template <class In, class Out>
    static void plain(const MatrixProduct& p) {
        const Index row_tiles = (p.rows + plain_tile - 1) / plain_tile;
        const Index column_tiles = (p.columns + plain_tile - 1) / plain_tile;
        launch(plain_product_kernel<In, Out>, dim3(blocks_for(row_tiles * column_tiles * p.batches, 1)),
               dim3(plain_tile, plain_tile), 0, static_cast<Out*>(p.c), static_cast<const In*>(p.a.data),
               static_cast<const In*>(p.b.data), p, FastDivide::by(row_tiles), FastDivide::by(column_tiles));
    }
};

}  // namespace flowfar::cuda
