#pragma once

#include <Eigen/Core>

#include "flowfar/backend/cpu/elementwise.hpp"

namespace flowfar::cpu {

/// One matrix operand: `row_major` with leading stride `ld`, or its transpose.
struct MatrixView {
    const float* data;
    Index ld;
    bool row_major;
};

template <int Order>
using MatrixMap = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Order>, 0,
                             Eigen::OuterStride<Eigen::Dynamic>>;

/// c[rows, columns] = alpha · a[rows, inner] b[inner, columns] (added to c with `accumulate`) on one thread; c is
/// row-major with leading stride `ldc`.
inline void multiply(MatrixView a, MatrixView b, float* c, Index ldc, Index rows, Index inner, Index columns,
                     float alpha, bool accumulate = false) {
    using Result = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
                              Eigen::OuterStride<Eigen::Dynamic>>;
    Result out(c, rows, columns, Eigen::OuterStride<Eigen::Dynamic>(ldc));
    if (!accumulate) {
        out.setZero();
    }
    const auto add = [&]<int OrderA, int OrderB>() {
        using Stride = Eigen::OuterStride<Eigen::Dynamic>;
        out.noalias() += (alpha * MatrixMap<OrderA>(a.data, rows, inner, Stride(a.ld))) *
                         MatrixMap<OrderB>(b.data, inner, columns, Stride(b.ld));
    };
    if (a.row_major && b.row_major) {
        add.template operator()<Eigen::RowMajor, Eigen::RowMajor>();
    } else if (a.row_major) {
        add.template operator()<Eigen::RowMajor, Eigen::ColMajor>();
    } else if (b.row_major) {
        add.template operator()<Eigen::ColMajor, Eigen::RowMajor>();
    } else {
        add.template operator()<Eigen::ColMajor, Eigen::ColMajor>();
    }
}

/// Multiplies on all threads: Eigen's own partitioning scales badly on wide shapes, so panels of rows (or of columns,
/// when there are few rows) are handed out here. Their size depends on the shape alone, because Eigen may round
/// differently in differently sized panels: the result is the same for any number of threads.
inline void multiply_parallel(MatrixView a, MatrixView b, float* c, Index rows, Index inner, Index columns,
                              float alpha) {
    constexpr Index small = Index{1} << 17;  // multiply-adds not worth a second thread
    if (rows * inner * columns < small) {
        multiply(a, b, c, columns, rows, inner, columns, alpha);
        return;
    }
    const auto panels = [](Index count, Index unit, auto&& f) {
        const Index panel = std::clamp((count / 8 + unit - 1) / unit * unit, unit, Index{1024});
        parallel_for((count + panel - 1) / panel, 1, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                f(i * panel, std::min((i + 1) * panel, count));
            }
        });
    };
    if (rows >= columns / 2 || rows >= 512) {
        panels(rows, 32, [&](Index begin, Index end) {
            const MatrixView part{a.data + begin * (a.row_major ? a.ld : 1), a.ld, a.row_major};
            multiply(part, b, c + begin * columns, columns, end - begin, inner, columns, alpha);
        });
    } else {
        panels(columns, 64, [&](Index begin, Index end) {
            const MatrixView part{b.data + begin * (b.row_major ? 1 : b.ld), b.ld, b.row_major};
            multiply(a, part, c + begin, columns, rows, inner, end - begin, alpha);
        });
    }
}

struct Gemm {
    /// The last two axes as a matrix, copied first if neither is dense. `h` is replaced by the copy.
    static MatrixView matrix(const Handle& h) {
        const int rank = h.rank();
        const bool row_major = h.layout.stride(rank - 1) == 1 || h.extents()[rank - 1] == 1;
        // Eigen wants the outer stride to be at least the inner extent, also where only one row exists.
        const int outer = row_major ? rank - 2 : rank - 1;
        const int inner = row_major ? rank - 1 : rank - 2;
        const Index ld = std::max(h.layout.stride(outer), h.extents()[inner]);
        return {h.data<float>(), ld, row_major};
    }
    static bool is_dense(const Handle& h) {
        const int rank = h.rank();
        const Extents& e = h.extents();
        const bool rows = (h.layout.stride(rank - 1) == 1 || e[rank - 1] == 1) &&
                          (h.layout.stride(rank - 2) >= e[rank - 1] || e[rank - 2] == 1);
        const bool columns = (h.layout.stride(rank - 2) == 1 || e[rank - 2] == 1) &&
                             (h.layout.stride(rank - 1) >= e[rank - 2] || e[rank - 1] == 1);
        return rows || columns;
    }

    /// out[batch…, M, N] = alpha · a b, all f32. b may be a single matrix.
    static void run(const Handle& out, Handle a, Handle b, double alpha, Handle (*contiguous)(const Handle&)) {
        a = is_dense(a) ? a : contiguous(a);
        b = is_dense(b) ? b : contiguous(b);
        const int rank = a.rank();
        Index rows = a.extents()[rank - 2];
        const Index inner = a.extents()[rank - 1];
        const Index columns = b.extents().back();
        Index batches = 1;
        for (int axis = 0; axis < rank - 2; ++axis) {
            batches *= a.extents()[axis];
        }
        if (out.count() == 0) {
            return;
        }
        float* const c = out.data<float>();
        if (inner == 0) {
            std::fill_n(c, out.count(), 0.0F);
            return;
        }
        if (b.rank() == 2 && (batches == 1 || is_contiguous(a.layout))) {
            const MatrixView left = batches == 1 ? matrix(a) : MatrixView{a.data<float>(), inner, true};
            multiply_parallel(left, matrix(b), c, rows * batches, inner, columns, static_cast<float>(alpha));
            return;
        }
        const auto offset_of = [](const Handle& h, Index batch) {
            Index offset = 0;
            for (int axis = h.rank() - 3; axis >= 0; --axis) {
                offset += batch % h.extents()[axis] * h.layout.stride(axis);
                batch /= h.extents()[axis];
            }
            return offset;
        };
        const auto one = [&](Index batch, auto&& multiply_one) {
            MatrixView left = matrix(a);
            MatrixView right = matrix(b);
            left.data += offset_of(a, batch);
            right.data += b.rank() == 2 ? 0 : offset_of(b, batch);
            multiply_one(left, right, c + batch * rows * columns);
        };
        if (batches >= 8) {  // decided by the shape, as the panels are
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

    /// Adds the bias [N] and applies the activation to rows of `out`, in place, while they are in cache.
    static void epilogue(const Handle& out, const Handle& bias, Activation activation) {
        const Index columns = out.extents().back();
        const Index rows = columns == 0 ? 0 : out.count() / columns;
        float* const data = out.data<float>();
        const float* const offset = bias.defined() ? bias.data<float>() : nullptr;
        parallel_for(rows, std::max<Index>(1, elementwise_grain / std::max<Index>(columns, 1)),
                     [&](Index begin, Index end) {
                         for (Index row = begin; row < end; ++row) {
                             float* const y = data + row * columns;
                             if (offset != nullptr) {
                                 for (Index i = 0; i < columns; ++i) {
                                     y[i] += offset[i];
                                 }
                             }
                             activate(y, columns, activation);
                         }
                     });
    }

   private:
    static void activate(float* y, Index count, Activation activation) {
        if (activation == Activation::none) {
            return;
        }
        if (activation == Activation::silu) {
            vector_forward<UnaryOp::silu>(y, y, count);
        } else if (activation == Activation::gelu_tanh) {
            vector_forward<UnaryOp::gelu_tanh>(y, y, count);
        } else {
            for (Index i = 0; i < count; ++i) {
                y[i] = UnaryFunctor<UnaryOp::gelu_erf>::forward(y[i], 0.0F, 0.0F);
            }
        }
    }
};

}  // namespace flowfar::cpu
