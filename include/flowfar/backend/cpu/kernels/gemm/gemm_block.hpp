#pragma once

/// A rectangle of an f32 product on one thread, in blocks that stay in the caches.

#include <algorithm>
#include <array>
#include <cstring>

#include "flowfar/backend/cpu/kernels/gemm/gemm_kernel.hpp"
#include "flowfar/backend/cpu/kernels/gemm/matrix_view.hpp"
#include "flowfar/backend/cpu/runtime/cached_array.hpp"

namespace flowfar::cpu {

namespace product {

/// One product: c[rows, columns] (+)= alpha · a[rows, inner] b[inner, columns].
struct Operands {
    MatrixView a;
    MatrixView b;
    float* c;
    Index ldc;
    Index rows;
    Index inner;
    Index columns;
    float alpha;
    bool accumulate;
};

/// A thread's memory for packed operands, kept for its next product.
template <class Isa>
class Workspace {
   public:
    static Workspace& instance() {
        static thread_local Workspace workspace;
        return workspace;
    }
    [[nodiscard]] float* left() const { return memory_.data(); }
    [[nodiscard]] float* right() const { return memory_.data() + left_size; }

   private:
    static constexpr Index left_size = (tile_rows<Isa> + Isa::lanes) * left_stride;

    Workspace() : memory_(left_size + depth_block * (column_block() + Isa::lanes)) {}

    CachedArray<float> memory_;
};

/// Short rows, for which calling memcpy would take longer than copying: sizes that the compiler knows need no call.
inline void copy(const float* from, Index count, float* to) {
    for (; count >= 16; count -= 16, from += 16, to += 16) {
        std::memcpy(to, from, 16 * sizeof(float));
    }
    if (count >= 8) {
        std::memcpy(to, from, 8 * sizeof(float));
        count -= 8, from += 8, to += 8;
    }
    if (count >= 4) {
        std::memcpy(to, from, 4 * sizeof(float));
        count -= 4, from += 4, to += 4;
    }
    for (; count > 0; --count) {
        *to++ = *from++;
    }
}

/// Rows [row, row + rows) of a, `depth` columns from k on, as rows that are `left_stride` apart: in `buffer`, or in
/// place if there is but one.
template <class Isa>
[[nodiscard]] const float* pack_left(const Operands& p, Index row, Index rows, Index k, Index depth, float* buffer) {
    constexpr Index lanes = Isa::lanes;
    const Index ld = p.a.ld;
    if (!p.a.row_major) {  // whole vectors where the matrix has them, even if the tile does not need all
        const Index whole = std::min((rows + lanes - 1) / lanes * lanes, p.rows - row);
        Isa::transpose(p.a.data + k * ld + row, ld, depth, whole, buffer, left_stride);
        return buffer;
    }
    const float* const from = p.a.data + row * ld + k;
    if (rows == 1) {
        return from;
    }
    for (Index i = 0; i < rows; ++i) {
        std::copy_n(from + i * ld, depth, buffer + i * left_stride);
    }
    return buffer;
}

/// Columns [column, column + columns) of b, `depth` rows from k on, as one panel after the other.
template <class Isa>
void pack_right(const Operands& p, Index column, Index columns, Index k, Index depth, Index vectors, float* to) {
    const Index ld = p.b.ld;
    for (Index j = 0; j < columns;) {
        const Index width = panel_width<Isa>(vectors, columns - j);
        const Index used = std::min(width, columns - j);
        float* const panel = to + j * depth;
        if (used < width) {
            std::fill_n(panel, depth * width, 0.0F);
        }
        if (p.b.row_major) {
            const float* from = p.b.data + k * ld + column + j;
            for (Index i = 0; i < depth; ++i) {
                copy(from + i * ld, used, panel + i * width);
            }
        } else {
            Isa::transpose(p.b.data + (column + j) * ld + k, ld, used, depth, panel, width);
        }
        j += width;
    }
}

/// Columns that panels of two vectors take.
template <class Isa>
[[nodiscard]] constexpr Index padded(Index columns) {
    return (columns + Isa::lanes - 1) / Isa::lanes * Isa::lanes;
}

/// What a tile multiplies: rows of a, a panel of b and their `depth` products.
struct TileOperands {
    const float* a;
    const float* b;
    Index depth;
    float alpha;
    bool add;
};
/// Where a tile's sums go: c[rows, columns], rows `ld` apart.
struct TileResult {
    float* c;
    Index ld;
    Index rows;
    Index columns;
};

/// c[rows, columns] (+)= … by a tile that is `width` wide, from a packed panel; a partial one goes through a buffer.
template <class Isa>
void run_tile(Tile tile, Index width, const TileOperands& in, const TileResult& out) {
    if (out.columns == width) {
        tile(in.a, in.b, width, in.depth, in.alpha, in.add, out.c, out.ld);
        return;
    }
    alignas(64) std::array<float, tile_floats<Isa>> whole{};
    for (Index i = 0; in.add && i < out.rows; ++i) {
        copy(out.c + i * out.ld, out.columns, whole.data() + i * width);
    }
    tile(in.a, in.b, width, in.depth, in.alpha, in.add, whole.data(), width);
    for (Index i = 0; i < out.rows; ++i) {
        copy(whole.data() + i * width, out.columns, out.c + i * out.ld);
    }
}

/// The rectangle of the result at (row, column) on one thread. `packed` is null or has the rectangle's columns of b in
/// panels for the whole of its height, the next block of `depth_block` rows after the whole of one.
template <class Isa>
void multiply_part(const Operands& p, Index row, Index rows, Index column, Index columns,
                   const float* packed = nullptr) {
    if (rows <= 0 || columns <= 0) {
        return;
    }
    constexpr Index lanes = Isa::lanes;
    const Workspace<Isa>& workspace = Workspace<Isa>::instance();
    const Index tiles = (rows + tile_rows<Isa> - 1) / tile_rows<Isa>;  // of as equal heights as possible
    // Packing would cost more than it saves for a single tile of a row-major b, or very few rows of the other.
    const bool thin = packed == nullptr && !p.b.row_major && rows <= thin_rows;
    const bool direct = thin || (packed == nullptr && p.b.row_major && tiles == 1);
    const Index vectors = packed != nullptr || thin ? 2 : panel_vectors<Isa>((rows + tiles - 1) / tiles);
    // thin: the rows of bᵀ are read from end to end
    const Index whole_block = packed != nullptr ? columns
                              : thin            ? 2 * lanes
                                                : block_length(columns, column_block(), vectors * lanes);
    const Index ldb = p.b.ld;
    for (Index j = 0; j < columns; j += whole_block) {
        const Index block = std::min(whole_block, columns - j);
        const Index unpacked = direct ? block / lanes * lanes : 0;
        for (Index k = 0; k < p.inner; k += depth_block) {
            const Index depth = std::min(depth_block, p.inner - k);
            const bool add = p.accumulate || k > 0;
            const float* const b = p.b.data + (p.b.row_major ? k * ldb + column + j : (column + j) * ldb + k);
            const float* right = workspace.right();
            if (packed != nullptr) {
                right = packed + k * padded<Isa>(block);
            } else {
                pack_right<Isa>(p, column + j + unpacked, block - unpacked, k, depth, vectors, workspace.right());
            }
            for (Index t = 0; t < tiles; ++t) {
                const Index first = row + rows * t / tiles;
                const Index height = row + rows * (t + 1) / tiles - first;
                float* const c = p.c + first * p.ldc + column + j;
                const float* const a = pack_left<Isa>(p, first, height, k, depth, workspace.left());
                for (Index n = 0; n < block;) {
                    const Index left = (n < unpacked ? unpacked : block) - n;
                    const Index width = panel_width<Isa>(vectors, left);
                    if (n >= unpacked) {
                        run_tile<Isa>(tile_of<Isa>(height, width / lanes), width,
                                      {a, right + (n - unpacked) * depth, depth, p.alpha, add},
                                      {c + n, p.ldc, height, std::min(width, left)});
                    } else if (thin) {
                        thin_tile_of<Isa>(height, width / lanes)(a, b + n * ldb, ldb, depth, p.alpha, add, c + n,
                                                                 p.ldc);
                    } else {
                        tile_of<Isa>(height, width / lanes)(a, b + n, ldb, depth, p.alpha, add, c + n, p.ldc);
                    }
                    n += width;
                }
            }
        }
    }
    if (p.inner == 0 && !p.accumulate) {
        for (Index i = row; i < row + rows; ++i) {
            std::fill_n(p.c + i * p.ldc + column, columns, 0.0F);
        }
    }
}

}  // namespace product

}  // namespace flowfar::cpu
