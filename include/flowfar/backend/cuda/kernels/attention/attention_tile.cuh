#pragma once

/// What the attention kernels on tensor cores are made of: tile shapes, tiles of rows in shared memory, and the two
/// products of a warp. Fragment layouts: tensor_core.cuh. Scheme: Dao, "FlashAttention-2" (2023).

#include <limits>

#include "flowfar/backend/cuda/kernels/gemm/tensor_core.cuh"
#include "flowfar/backend/cuda/runtime/launch.cuh"

namespace flowfar::cuda {

/// How a block of an attention kernel works: each warp keeps 16 · slabs rows, and all walk over tiles of `columns` rows
/// of the other operands.
struct AttentionTileShape {
    int slabs;
    int warps;
    int columns;

    [[nodiscard]] constexpr int warp_rows() const { return 16 * slabs; }
    [[nodiscard]] constexpr int rows() const { return 16 * slabs * warps; }
    [[nodiscard]] constexpr int threads() const { return 32 * warps; }
};

/// The head size for which the kernels are compiled and that holds `depth`, or 0 if the tensor cores do not serve it:
/// rows must consist of whole 16-byte pieces, and the accumulators must fit into the registers.
[[nodiscard]] constexpr int padded_depth(Index depth) {
    if (depth <= 0 || depth % 8 != 0 || depth > 128) {
        return 0;
    }
    return depth <= 32 ? 32 : depth <= 64 ? 64 : depth <= 80 ? 80 : depth <= 96 ? 96 : 128;
}

/// Forward: rows are queries, columns keys. The widest heads leave registers for half a tile of logits only.
[[nodiscard]] constexpr AttentionTileShape forward_shape(int depth) {
    return {2, 4, depth <= 96 ? 64 : 32};
}
/// Gradients of keys and values: rows are keys, columns queries. Two accumulators per row leave room for narrow tiles.
[[nodiscard]] constexpr AttentionTileShape key_gradient_shape(int depth) {
    return {1, 8, depth <= 96 ? 64 : 32};
}
/// Gradient of queries: rows are queries, columns keys.
[[nodiscard]] constexpr AttentionTileShape query_gradient_shape(int depth) {
    return {1, 8, depth <= 96 ? 64 : 32};
}

/// Shared memory in bytes: queries, one tile of keys and one of values.
[[nodiscard]] constexpr int forward_shared_bytes(int depth) {
    const AttentionTileShape shape = forward_shape(depth);
    return 2 * depth * (shape.rows() + 2 * shape.columns);
}
/// Shared memory in bytes: two operands by rows, two tiles of each of two operands by columns, two floats per column
/// and tile.
[[nodiscard]] constexpr int gradient_shared_bytes(int depth, AttentionTileShape shape) {
    return 2 * depth * (2 * shape.rows() + 4 * shape.columns) + 16 * shape.columns;
}

/// Neighboring 16-byte pieces that take part in the swizzle of a tile's rows: the largest power of two, up to 8, that
/// divides the pieces of a row.
[[nodiscard]] FLOWFAR_HD constexpr int swizzled_chunks(int depth) {
    const int chunks = depth / 8;
    return chunks % 8 == 0 ? 8 : chunks % 4 == 0 ? 4 : chunks % 2 == 0 ? 2 : 1;
}

/// Where the piece `chunk` of row `row` lies in a tile of rows of `depth` elements, counted in pieces: the same piece
/// of eight neighboring rows, which ldmatrix reads at once, and neighboring pieces of a row lie in different banks.
[[nodiscard]] FLOWFAR_HD constexpr int tile_chunk(int row, int chunk, int depth) {
    const int group = swizzled_chunks(depth);
    const int mixed = row % 8 / (8 / group);
    // Written so that compilers see which part of the address is constant.
    return row * (depth / 8) + chunk / group * group + ((chunk % group) ^ mixed);
}

/// Calls `f.template operator()<depth>()` with the head size whose kernel serves `width`.
template <class F>
void visit_depth(Index width, F&& f) {
    switch (padded_depth(width)) {
        case 32:
            return f.template operator()<32>();
        case 64:
            return f.template operator()<64>();
        case 80:
            return f.template operator()<80>();
        case 96:
            return f.template operator()<96>();
        case 128:
            return f.template operator()<128>();
        default:
            fail("cuda: no attention kernel for a head size of ", width);
    }
}

inline constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
inline constexpr float log2_e = 1.44269504088896340736F;
inline constexpr float ln_2 = 0.693147180559945309417F;

/// The rows [tokens, depth] of all batches and heads of one operand; strides in elements, the last is 1.
template <class T>
struct HeadRows {
    T* data;
    Index batch;
    Index head;
    Index token;

    [[nodiscard]] FLOWFAR_HD T* of(Index pair, int heads) const {
        return data + pair / heads * batch + pair % heads * head;
    }
};

/// How many keys, counted from the first, the query sees.
[[nodiscard]] FLOWFAR_HD inline int visible_keys(int query, int queries, int keys, bool causal) {
    const int last = query + (keys - queries) + 1;
    return causal && last < keys ? (last > 0 ? last : 0) : keys;
}

/// What depends on `value` is computed after this point: for work that few passes of a loop need and that would cost
/// registers in all of them if it were done before the loop.
__device__ __forceinline__ void compute_late([[maybe_unused]] int& value) {
#if defined(__CUDA_ARCH__)
    asm volatile("" : "+r"(value));
#endif
}

/// Begins to copy rows [first, first + rows) to a tile; elements beyond `count` rows or `width` columns become zero.
template <int rows, int depth, int threads>
__device__ __forceinline__ void load_tile(bf16* tile, const bf16* source, Index stride, int first, int count,
                                          int width) {
    // A thread always serves the same place in a group of pieces, so one address each for reading and writing is
    // enough.
    constexpr int group = swizzled_chunks(depth);
    constexpr int step = threads / group;
    const int row = static_cast<int>(threadIdx.x / group);
    const int chunk = static_cast<int>(threadIdx.x % group);
    const bf16* from = source + (first + row) * stride + 8 * chunk;
    const int to = 16 * tile_chunk(row, chunk, depth);
    const int left = count - first - row;
    const int room = width - 8 * chunk;
#pragma unroll
    for (int r = 0; r < rows; r += step) {
        if (rows % step == 0 || r + row < rows) {
#pragma unroll
            for (int c = 0; c < depth / 8; c += group) {
                const bool valid = r < left && 8 * c < room;
                cp_async_16(tile, to + 2 * r * depth + 16 * c, valid ? from + 8 * c : source, valid);
            }
        }
        from += step * stride;
    }
}

/// The byte offsets at which a lane reads a tile, for ldmatrix: of the rows r + `row` and pieces 2i + `side`, with r a
/// multiple of 8. Only the place within a group of pieces needs a register; the rest is constant.
template <int depth>
struct LaneOffsets {
    static constexpr int count = swizzled_chunks(depth) / 2;
    unsigned places[count];

    __device__ __forceinline__ LaneOffsets(unsigned row, unsigned side) {
        constexpr unsigned group = swizzled_chunks(depth);
        const unsigned mixed = row % 8 / (8 / group);
#pragma unroll
        for (unsigned i = 0; i < count; ++i) {
            places[i] = 2 * depth * row + 16 * ((2 * i + side) ^ mixed);
        }
    }
    /// Of row r + `row`, piece 2i + `side`; r and i should be constants.
    [[nodiscard]] __device__ __forceinline__ int of(int r, int i) const {
        return static_cast<int>(places[i % count]) + 2 * depth * r + 32 * (i / count * count);
    }
};

[[nodiscard]] __device__ __forceinline__ unsigned lane_number() {
    return threadIdx.x % 32;
}

/// acc += a bᵀ for one warp; a [16 slabs, depth] and b [columns, depth] are rows of tiles.
template <int slabs, int columns, int depth>
__device__ __forceinline__ void multiply_by_rows(float (&acc)[slabs][columns / 8][4], const bf16* tile_a,
                                                 const bf16* tile_b) {
    const unsigned lane = lane_number();
    const LaneOffsets<depth> in_a(lane % 16, lane / 16);
    const LaneOffsets<depth> in_b(lane % 8 + lane / 16 * 8, lane / 8 % 2);
#pragma unroll
    for (int k = 0; k < depth / 16; ++k) {
        unsigned a[slabs][4];
#pragma unroll
        for (int s = 0; s < slabs; ++s) {
            ldmatrix_x4(a[s], tile_a, in_a.of(16 * s, k));
        }
#pragma unroll
        for (int n = 0; n < columns / 16; ++n) {
            unsigned b[4];
            ldmatrix_x4(b, tile_b, in_b.of(16 * n, k));
#pragma unroll
            for (int s = 0; s < slabs; ++s) {
                mma_m16n8k16_bf16(acc[s][2 * n], a[s], {b[0], b[1]});
                mma_m16n8k16_bf16(acc[s][2 * n + 1], a[s], {b[2], b[3]});
            }
        }
    }
}

/// acc += p b for one warp; p [16 slabs, columns] is in registers, as multiply_by_rows gives it, and is rounded to
/// bf16; b [columns, depth] is a tile.
template <int slabs, int columns, int depth>
__device__ __forceinline__ void multiply_by_columns(float (&acc)[slabs][depth / 8][4],
                                                    const float (&p)[slabs][columns / 8][4], const bf16* tile_b) {
    const unsigned lane = lane_number();
    const LaneOffsets<depth> in_b(lane % 16, lane / 16);
#pragma unroll
    for (int k = 0; k < columns / 16; ++k) {
        unsigned a[slabs][4];
#pragma unroll
        for (int s = 0; s < slabs; ++s) {
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const float(&pair)[4] = p[s][2 * k + r / 2];
                a[s][r] = pack_bf16(pair[r % 2 * 2], pair[r % 2 * 2 + 1]);
            }
        }
#pragma unroll
        for (int n = 0; n < depth / 16; ++n) {
            unsigned b[4];
            ldmatrix_x4_trans(b, tile_b, in_b.of(16 * k, n));
#pragma unroll
            for (int s = 0; s < slabs; ++s) {
                mma_m16n8k16_bf16(acc[s][2 * n], a[s], {b[0], b[1]});
                mma_m16n8k16_bf16(acc[s][2 * n + 1], a[s], {b[2], b[3]});
            }
        }
    }
}

/// Writes a warp's rows, times factor[slab][half], as bf16; rows beyond `count` and columns beyond `width` are left
/// out. They pass through rows of a tile that only this warp uses, so that whole pieces go out.
template <int slabs, int depth>
__device__ __forceinline__ void store_rows(const float (&acc)[slabs][depth / 8][4], const float (&factor)[slabs][2],
                                           bf16* tile, bf16* out, Index stride, int first, int count, int width) {
    constexpr int group = swizzled_chunks(depth);
    const int lane = static_cast<int>(lane_number());
    __syncwarp();
    const int mixed = lane / 4 / (8 / group);
#pragma unroll
    for (int s = 0; s < slabs; ++s) {
#pragma unroll
        for (int n = 0; n < depth / 8; ++n) {
            const int place =
                depth * (16 * s + lane / 4) + 8 * (n / group * group + ((n % group) ^ mixed)) + 2 * (lane % 4);
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                *reinterpret_cast<unsigned*>(tile + place + 8 * depth * half) =
                    pack_bf16(acc[s][n][2 * half] * factor[s][half], acc[s][n][2 * half + 1] * factor[s][half]);
            }
        }
    }
    __syncwarp();
    const int row = lane / group;
    const int chunk = lane % group;
    bf16* to = out + (first + row) * stride + 8 * chunk;
#pragma unroll
    for (int r = 0; r < 16 * slabs; r += 32 / group) {
#pragma unroll
        for (int c = 0; c < depth / 8; c += group) {
            if (first + r + row < count && 8 * (chunk + c) < width) {
                store_pack(to + 8 * c, load_pack<8>(tile + 8 * tile_chunk(r + row, chunk + c, depth)));
            }
        }
        to += 32 / group * stride;
    }
}

}  // namespace flowfar::cuda
