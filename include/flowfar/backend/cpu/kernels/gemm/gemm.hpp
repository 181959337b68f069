#pragma once

#include <atomic>

#include "flowfar/backend/cpu/kernels/gemm/gemm_avx512.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm_block.hpp"
#include "flowfar/backend/cpu/kernels/rows/per_row.hpp"
#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/backend/cpu/kernels/rows/vector_forms.hpp"

namespace flowfar::cpu {

/// Calls `f.operator()<Isa>()` with the product's kernels for the instructions in use.
template <class F>
void with_product_kernels(F&& f) {
#if defined(FLOWFAR_AVX512)
    const InstructionSet set = instruction_set();
    if (set == InstructionSet::avx512) {
        f.template operator()<product::Avx512>();
        return;
    }
    if (set == InstructionSet::avx2) {
        f.template operator()<product::Avx2>();
        return;
    }
#endif
    if constexpr (narrowest_instruction_set == InstructionSet::portable) {
        f.template operator()<product::Portable>();
    }
}

/// c[rows, columns] = alpha · a[rows, inner] b[inner, columns] (added to c with `accumulate`) on one thread; c is
/// row-major with leading stride `ldc`. An element's bits depend on its row of a, its column of b, alpha and what it is
/// added to; not on the other rows and columns, nor on how the operands lie in memory. All CPUs with fused
/// multiply-adds (on x86-64: AVX2 and FMA) give the same bits.
inline void multiply(MatrixView a, MatrixView b, float* c, Index ldc, Index rows, Index inner, Index columns,
                     float alpha, bool accumulate = false) {
    with_product_kernels([&]<class Isa>() {
        product::multiply_part<Isa>({a, b, c, ldc, rows, inner, columns, alpha, accumulate}, 0, rows, 0, columns);
    });
}

namespace product {

/// Divides the result of a product into a grid of tasks.
template <class Isa>
void multiply_parts(const Operands& p, Index wanted) {
    // Every task packs its part of b, and its rows of a for each block of columns: of all grids, the one that copies
    // least is taken.
    constexpr Index unit = 2 * Isa::lanes;
    const Index row_units = (p.rows + tile_rows<Isa> - 1) / tile_rows<Isa>;
    const Index column_units = (p.columns + unit - 1) / unit;
    Index row_parts = 1;
    Index column_parts = 1;
    Index least = -1;
    for (Index n = 1; n <= std::min(wanted, column_units); ++n) {
        const Index m = std::min((wanted + n - 1) / n, row_units);
        const Index blocks = std::max(n, (p.columns + column_block() - 1) / column_block());
        const Index copies = m * p.inner * p.columns + blocks * p.inner * p.rows;
        if (n * m >= std::min(wanted, row_units * column_units) && (least < 0 || copies < least)) {
            least = copies;
            row_parts = m;
            column_parts = n;
        }
    }
    parallel_for(row_parts * column_parts, 1, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
            const Index m = i % row_parts;
            const Index n = i / row_parts;
            const Index row = p.rows * m / row_parts;
            const Index column = column_units * n / column_parts * unit;
            multiply_part<Isa>(p, row, p.rows * (m + 1) / row_parts - row, column,
                               std::min(column_units * (n + 1) / column_parts * unit, p.columns) - column);
        }
    });
}

/// Calls `f(i)` for i = 0, …, count - 1, each on the next thread that is free: for long tasks, of which the pool would
/// give a thread several at once.
template <class F>
void for_each_task(Index count, F&& f) {
    std::atomic<Index> next{0};
    parallel_for(std::min<Index>(count, ThreadPool::instance().threads()), 1, [&](Index, Index) {
        for (Index i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
            f(i);
        }
    });
}

/// Rows of c per task of a large product: with `column_block()` columns they stay in the second-level cache while the
/// blocks of `depth_block` products are added to them.
template <class Isa>
inline constexpr Index task_rows = 280 / tile_rows<Isa> * tile_rows<Isa>;

/// A large product: b is packed once for all tasks.
template <class Isa>
void multiply_large(const Operands& p) {
    const Index block = block_length(p.columns, column_block(), 2 * Isa::lanes);
    const Index blocks = (p.columns + block - 1) / block;
    const auto columns_of = [&](Index n) { return std::min(block, p.columns - n * block); };
    const CachedArray<float> memory(p.inner * padded<Isa>(p.columns));
    float* const packed = memory.data();
    const Index depths = (p.inner + depth_block - 1) / depth_block;
    constexpr Index strip = 8 * Isa::lanes;
    const Index strips = (block + strip - 1) / strip;
    for_each_task(blocks * depths * strips, [&](Index i) {
        const Index n = i / strips / depths;
        const Index k = i / strips % depths * depth_block;
        const Index depth = std::min(depth_block, p.inner - k);
        const Index first = i % strips * strip;
        pack_right<Isa>(p, n * block + first, std::min(strip, columns_of(n) - first), k, depth, 2,
                        packed + n * block * p.inner + k * padded<Isa>(columns_of(n)) + first * depth);
    });
    const Index row_units = (p.rows + tile_rows<Isa> - 1) / tile_rows<Isa>;
    const Index wanted = (4 * ThreadPool::instance().threads() + blocks - 1) / blocks;
    const Index row_parts = std::max((p.rows + task_rows<Isa> - 1) / task_rows<Isa>, std::min(wanted, row_units));
    for_each_task(blocks * row_parts, [&](Index i) {
        const Index n = i / row_parts;
        const Index m = i % row_parts;
        const Index row = p.rows * m / row_parts;
        multiply_part<Isa>(p, row, p.rows * (m + 1) / row_parts - row, n * block, columns_of(n),
                           packed + n * block * p.inner);
    });
}

}  // namespace product

/// `multiply` on all threads, with the bits of one thread. c has no gaps between its rows.
inline void multiply_parallel(MatrixView a, MatrixView b, float* c, Index rows, Index inner, Index columns,
                              float alpha) {
    constexpr Index task = Index{1} << 19;  // multiply-adds that are worth a task
    const Index threads = ThreadPool::instance().threads();
    const Index wanted = std::min(rows * inner * columns / task, 4 * threads);
    constexpr Index large = Index{1} << 26;  // multiply-adds beside which waking the threads twice costs nothing
    with_product_kernels([&]<class Isa>() {
        const product::Operands operands{a, b, c, columns, rows, inner, columns, alpha, false};
        if (rows * inner * columns >= large && rows >= 2 * product::task_rows<Isa>) {
            product::multiply_large<Isa>(operands);
        } else if (threads == 1 || wanted <= 1) {
            product::multiply_part<Isa>(operands, 0, rows, 0, columns);
        } else {
            product::multiply_parts<Isa>(operands, wanted);
        }
    });
}

/// What becomes of a product y: residual + gate ∘ act(y + bias), each part if it is there. The residual is contiguous.
struct Epilogue {
    const float* bias = nullptr;  ///< [columns]
    Activation activation = Activation::none;
    const float* residual = nullptr;  ///< [rows, columns]
    PerRow gate{};                    ///< only with a residual
};

struct Gemm {
    /// Whether one of the last two axes has stride 1.
    static bool is_dense(const Handle& h) {
        const int rank = h.rank();
        return h.layout.stride(rank - 1) == 1 || h.extents()[rank - 1] == 1 || h.layout.stride(rank - 2) == 1 ||
               h.extents()[rank - 2] == 1;
    }

    /// Number of matrices: the product of all axes but the last two.
    static Index batches(const Handle& h) {
        Index count = 1;
        for (int axis = 0; axis < h.rank() - 2; ++axis) {
            count *= h.extents()[axis];
        }
        return count;
    }
    /// Where matrix number `batch` begins, in elements from the view's first.
    static Index batch_offset(const Handle& h, Index batch) {
        Index offset = 0;
        for (int axis = h.rank() - 3; axis >= 0; --axis) {
            offset += batch % h.extents()[axis] * h.layout.stride(axis);
            batch /= h.extents()[axis];
        }
        return offset;
    }

    /// out[batch…, M, N] = alpha · a b, all f32, operands as `is_dense` wants them. b may be a single matrix.
    static void run(const Handle& out, const Handle& a, const Handle& b, double alpha) {
        const int rank = a.rank();
        Index rows = a.extents()[rank - 2];
        const Index inner = a.extents()[rank - 1];
        const Index columns = b.extents().back();
        const Index batches = Gemm::batches(a);
        if (out.count() == 0) {
            return;
        }
        float* const c = out.data<float>();
        if (inner == 0) {
            std::fill_n(c, out.count(), 0.0F);
            return;
        }
        if (b.rank() == 2 && (batches == 1 || is_contiguous(a.layout))) {
            const MatrixView left = batches == 1 ? MatrixView::of(a) : MatrixView{a.data<float>(), inner, true};
            multiply_parallel(left, MatrixView::of(b), c, rows * batches, inner, columns, static_cast<float>(alpha));
            return;
        }
        const auto one = [&](Index batch, auto&& multiply_one) {
            multiply_one(MatrixView::of(a, batch_offset(a, batch)),
                         MatrixView::of(b, b.rank() == 2 ? 0 : batch_offset(b, batch)), c + batch * rows * columns);
        };
        if (batches >= 8) {
            const Index work = std::max<Index>(rows * inner * columns, 1);
            parallel_for(batches, std::max<Index>(1, (Index{1} << 17) / work), [&](Index begin, Index end) {
                for (Index batch = begin; batch < end; ++batch) {
                    one(batch, [&](auto left, auto right, float* result) {
                        multiply(left, right, result, columns, rows, inner, columns, static_cast<float>(alpha));
                    });
                }
            });
        } else {
            for (Index batch = 0; batch < batches; ++batch) {
                one(batch, [&](auto left, auto right, float* result) {
                    multiply_parallel(left, right, result, rows, inner, columns, static_cast<float>(alpha));
                });
            }
        }
    }

    /// Finishes the rows of `out` in place.
    static void finish(const Handle& out, const Epilogue& epilogue) {
        if (epilogue.bias == nullptr && epilogue.activation == Activation::none && epilogue.residual == nullptr) {
            return;
        }
        const Index columns = out.extents().back();
        const Index rows = columns == 0 ? 0 : out.count() / columns;
        float* const data = out.data<float>();
        parallel_for(rows, std::max<Index>(1, elementwise_grain / std::max<Index>(columns, 1)),
                     [&](Index begin, Index end) {
                         for (Index row = begin; row < end; ++row) {
                             float* const y = data + row * columns;
                             if (epilogue.bias != nullptr) {
                                 add_row(y, epilogue.bias, columns);
                             }
                             activate(y, columns, epilogue.activation);
                             if (const float* const gate = epilogue.gate.row(row); gate != nullptr) {
                                 scale_row(y, gate, columns);
                             }
                             if (epilogue.residual != nullptr) {
                                 add_row(y, epilogue.residual + row * columns, columns);
                             }
                         }
                     });
    }

    /// Applies the activation in place.
    static void activate(float* y, Index count, Activation activation) {
        if (activation == Activation::none) {
            return;
        }
        if (activation == Activation::silu) {
            vector_forward<UnaryOp::silu>(y, y, count);
        } else if (activation == Activation::gelu_tanh) {
            vector_forward<UnaryOp::gelu_tanh>(y, y, count);
        } else {
            vector_forward<UnaryOp::gelu_erf>(y, y, count);
        }
    }

   private:
    static void add_row(float* y, const float* x, Index count) {
        with_instructions([=]() __attribute__((always_inline)) {
            for (Index i = 0; i < count; ++i) {
                y[i] += x[i];
            }
        });
    }
    static void scale_row(float* y, const float* x, Index count) {
        with_instructions([=]() __attribute__((always_inline)) {
            for (Index i = 0; i < count; ++i) {
                y[i] *= x[i];
            }
        });
    }
};

}  // namespace flowfar::cpu
