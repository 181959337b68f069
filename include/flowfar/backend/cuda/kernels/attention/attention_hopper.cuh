#pragma once

/// Attention forward with Hopper's warpgroup products (sm_90a): a second engine beside attention_forward.cuh, with the
/// same operands and results. One warpgroup fetches tiles while two others, with 64 queries each, multiply; a
/// warpgroup's softmax runs while its product with the values before it does (after Shah et al., "FlashAttention-3",
/// 2024). Tiles come by cp.async rather than by the tensor memory accelerator, which would need the driver's tensor
/// maps for every operand.
///
/// NOT YET RUN ON A DEVICE: it compiles for sm_90a, and its source passes the tests on the emulator. It is used only
/// where choose_attention (backend/cuda/kernel_choice.hpp) asks for it.

#include "flowfar/backend/cuda/kernels/attention/attention_forward.cuh"
#include "flowfar/backend/cuda/kernels/attention/attention_warpgroup.cuh"

namespace flowfar::cuda {

namespace hopper {

inline constexpr int rows = 128;     ///< queries per block, half of them per warpgroup
inline constexpr int columns = 128;  ///< keys per tile
inline constexpr int stages = 2;     ///< tiles of keys and of values under way
inline constexpr int threads = 384;

inline constexpr int fetching_registers = 72;  ///< per thread of the warpgroup that fetches
inline constexpr int multiplying_registers = 216;
/// What the compiler gives each of `threads` threads at their launch: a multiple of 8 of the 65,536 that there are.
inline constexpr int launched_registers = 65536 / threads / 8 * 8;
static_assert(128 * fetching_registers + 256 * multiplying_registers <= threads * launched_registers,
              "a warpgroup would wait for ever for registers that nobody gives back");

/// Where tiles and their barriers are; each barrier counts either the fetching threads or the multiplying warps.
struct Barriers {
    std::uint64_t key_there[stages];
    std::uint64_t key_free[stages];
    std::uint64_t value_there[stages];
    std::uint64_t value_free[stages];
};

/// The head size for which a kernel is compiled and that holds `depth`, or 0.
[[nodiscard]] constexpr int padded_depth(Index depth) {
    if (cuda::padded_depth(depth) == 0) {
        return 0;
    }
    return depth <= 64 ? 64 : depth <= 96 ? 96 : 128;
}

/// Shared memory in bytes: queries, tiles of keys and values, and what alignment may take.
[[nodiscard]] constexpr int shared_bytes(int depth) {
    return 2 * depth * (rows + 2 * stages * columns) + 1024;
}

/// Begins to copy 128 rows from `first` on into the pages of a tile.
template <int depth>
__device__ __forceinline__ void load_pages(bf16* tile, const bf16* source, Index stride, int first, int count,
                                           int width) {
    constexpr int page = page_columns(depth);
#pragma unroll
    for (int begin = 0; begin < depth; begin += page) {
        load_tile<128, page, 128>(tile + 128 * begin, source + begin, stride, first, count, width - begin);
    }
}

/// A block's tiles in shared memory.
template <int depth>
struct Tiles {
    bf16* query;  ///< [pages][rows, page]
    bf16* key;    ///< [stages][pages][columns, page]
    bf16* value;  ///< [stages][pages][columns, page]

    [[nodiscard]] static __device__ __forceinline__ Tiles at(bf16* memory) {
        bf16* const key = memory + rows * depth;
        return {memory, key, key + stages * columns * depth};
    }
    [[nodiscard]] __device__ __forceinline__ bf16* key_of(int tile) const {
        return key + tile % stages * columns * depth;
    }
    [[nodiscard]] __device__ __forceinline__ bf16* value_of(int tile) const {
        return value + tile % stages * columns * depth;
    }
};

/// The part of an attention that a block computes.
struct Share {
    Index pair;  ///< batch · heads + head
    int first_query;
    int tiles;  ///< of keys that its queries see
};

/// The fetching warpgroup: queries once, then each tile of keys and of values as soon as its stage is free.
template <int depth>
__device__ __forceinline__ void fetch(const AttentionForward<bf16>& arguments, const Share& share,
                                      const Tiles<depth>& to, Barriers& barriers) {
    const bf16* const key = arguments.key.of(share.pair, arguments.heads);
    const bf16* const value = arguments.value.of(share.pair, arguments.heads);
    // The first keys are there only after the queries: a barrier waits for all copies begun before.
    load_pages<depth>(to.query, arguments.query.of(share.pair, arguments.heads), arguments.query.token,
                      share.first_query, arguments.queries, arguments.width);
    for (int tile = 0; tile < share.tiles; ++tile) {
        const int stage = tile % stages;
        const int parity = tile / stages % 2 ^ 1;  // the first round finds every stage free
        barrier_wait(&barriers.key_free[stage], parity);
        load_pages<depth>(to.key_of(tile), key, arguments.key.token, tile * columns, arguments.keys, arguments.width);
        barrier_arrive_after_copies(&barriers.key_there[stage]);
        barrier_wait(&barriers.value_free[stage], parity);
        load_pages<depth>(to.value_of(tile), value, arguments.value.token, tile * columns, arguments.keys,
                          arguments.width);
        barrier_arrive_after_copies(&barriers.value_there[stage]);
    }
    cp_async_commit();
    cp_async_wait<0>();
}

/// Begins s = q kᵀ for 64 queries from `row` on, once the tile's keys are there.
template <int depth>
__device__ __forceinline__ void begin_logits(float (&s)[columns / 8][4], const Tiles<depth>& tiles, int tile, int row,
                                             Barriers& barriers) {
    constexpr int page = page_columns(depth);
    barrier_wait(&barriers.key_there[tile % stages], tile / stages % 2);
    async_proxy_fence();
    warpgroup_fence();
    const bf16* const tile_k = tiles.key_of(tile);
#pragma unroll
    for (int n = 0; n < depth / page; ++n) {
        const std::uint64_t a = describe_page<page>(tiles.query + (n * rows + row) * page);
        const std::uint64_t b = describe_page<page>(tile_k + n * columns * page);
#pragma unroll
        for (int k = 0; k < page / 16; ++k) {
            const auto along = static_cast<std::uint64_t>(2 * k);  // 32 bytes in units of 16
            multiply_shared<columns>(s, a + along, b + along, n + k > 0);
        }
    }
    warpgroup_commit();
}

/// Begins out += p v, once the tile's values are there.
template <int depth>
__device__ __forceinline__ void begin_output(float (&out)[depth / 8][4], const unsigned (&p)[columns / 16][4],
                                             const Tiles<depth>& tiles, int tile, Barriers& barriers) {
    constexpr int page = page_columns(depth);
    barrier_wait(&barriers.value_there[tile % stages], tile / stages % 2);
    async_proxy_fence();
    warpgroup_fence();
    const bf16* const tile_v = tiles.value_of(tile);
#pragma unroll
    for (int k = 0; k < columns / 16; ++k) {
        multiply_registers<depth>(out, p[k], describe_page<page>(tile_v + 16 * k * page, 2 * columns * page));
    }
    warpgroup_commit();
}

/// The weights s as left operands of the product with the values.
__device__ __forceinline__ void pack_weights(unsigned (&p)[columns / 16][4], const float (&s)[columns / 8][4]) {
#pragma unroll
    for (int k = 0; k < columns / 16; ++k) {
#pragma unroll
        for (int r = 0; r < 4; ++r) {
            const float(&pair_of)[4] = s[2 * k + r / 2];
            p[k][r] = pack_bf16(pair_of[r % 2 * 2], pair_of[r % 2 * 2 + 1]);
        }
    }
}

/// Writes a warp's 16 rows from `row` on, each times its factor.
template <int depth>
__device__ __forceinline__ void write_rows(const AttentionForward<bf16>& arguments, Index pair, int row,
                                           const float (&out)[depth / 8][4], const float (&factor)[2]) {
    const int lane = static_cast<int>(lane_number());
    bf16* const output = arguments.output.of(pair, arguments.heads);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = row + 8 * half + lane / 4;
        if (query >= arguments.queries) {
            continue;
        }
        bf16* const to = output + query * arguments.output.token + 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < depth / 8; ++n) {
            if (8 * n < arguments.width) {
                *reinterpret_cast<unsigned*>(to + 8 * n) =
                    pack_bf16(out[n][2 * half] * factor[half], out[n][2 * half + 1] * factor[half]);
            }
        }
    }
}

}  // namespace hopper

template <int depth>
__global__ void __launch_bounds__(hopper::threads, 1)
    attention_hopper_kernel([[maybe_unused]] const AttentionForward<bf16> arguments) {
    // Other architectures get an empty kernel, which the host knows by its lack of static shared memory.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    constexpr int rows = hopper::rows;
    constexpr int columns = hopper::columns;
    constexpr int stages = hopper::stages;
    __shared__ hopper::Barriers barriers;
    const auto tiles = hopper::Tiles<depth>::at(reinterpret_cast<bf16*>(dynamic_shared_1024()));

    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const bool causal = arguments.causal;
    const int blocks = (queries + rows - 1) / rows;
    int block = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocks));
    block = causal ? blocks - 1 - block : block;  // the longest rows begin first
    const int last_query = std::min(block * rows + rows, queries) - 1;
    const hopper::Share share{blockIdx.x / static_cast<unsigned>(blocks), block * rows,
                              (visible_keys(last_query, queries, keys, causal) + columns - 1) / columns};

    if (threadIdx.x == 0) {
        for (int stage = 0; stage < stages; ++stage) {
            barrier_init(&barriers.key_there[stage], 128);
            barrier_init(&barriers.value_there[stage], 128);
            barrier_init(&barriers.key_free[stage], 8);
            barrier_init(&barriers.value_free[stage], 8);
        }
    }
    __syncthreads();

    if (threadIdx.x < 128) {
        fewer_registers<hopper::fetching_registers>();
        hopper::fetch<depth>(arguments, share, tiles, barriers);
        return;
    }

    more_registers<hopper::multiplying_registers>();
    const int group_row = 64 * (static_cast<int>(threadIdx.x / 128) - 1);
    const int first_row = share.first_query + group_row + static_cast<int>(threadIdx.x / 32 % 4) * 16;  // of the warp
    const bool first_lane = lane_number() == 0;
    const float scale_log2 = fmaxf(arguments.scale * log2_e, 1e-30F);
    const int seen_by_all = visible_keys(share.first_query, queries, keys, causal);

    float s[1][columns / 8][4] = {};
    float out[1][depth / 8][4] = {};
    unsigned p[columns / 16][4] = {};
    float maximum[1][2] = {{minus_infinity, minus_infinity}};
    float sum[1][2] = {};
    float correction[1][2];

    const auto release = [&](std::uint64_t* barrier) {
        __syncwarp();
        if (first_lane) {
            barrier_arrive(barrier);
        }
    };
    const auto softmax = [&](int tile) {
        pin_accumulators(s[0]);
        if ((tile + 1) * columns > seen_by_all) {
            detail::hide_keys<1, columns>(s, tile * columns, first_row, queries, keys, causal);
        }
        detail::softmax_step<1, columns>(s, maximum, sum, correction, scale_log2);
    };

    if (share.tiles > 0) {
        hopper::begin_logits<depth>(s[0], tiles, 0, group_row, barriers);
        warpgroup_wait<0>();
        release(&barriers.key_free[0]);
        softmax(0);
        hopper::pack_weights(p, s[0]);
        for (int tile = 1; tile < share.tiles; ++tile) {
            hopper::begin_logits<depth>(s[0], tiles, tile, group_row, barriers);
            hopper::begin_output<depth>(out[0], p, tiles, tile - 1, barriers);
            warpgroup_wait<1>();
            release(&barriers.key_free[tile % stages]);
            softmax(tile);
            warpgroup_wait<0>();
            pin_accumulators(out[0]);
            release(&barriers.value_free[(tile - 1) % stages]);
            detail::scale_rows(out, correction);
            hopper::pack_weights(p, s[0]);
            pin_accumulators(out[0]);  // scaled before the next product begins
        }
        hopper::begin_output<depth>(out[0], p, tiles, share.tiles - 1, barriers);
        warpgroup_wait<0>();
        pin_accumulators(out[0]);
    }

    float factor[1][2];
    detail::finish_softmax(maximum, sum, factor, arguments.log_sum_exp + share.pair * queries, first_row, queries,
                           scale_log2);
    hopper::write_rows<depth>(arguments, share.pair, first_row, out[0], factor[0]);
#endif
}

/// Whether the warpgroup engine has a kernel for heads of `width` channels and was compiled for the current device.
[[nodiscard]] inline bool warpgroup_attention_runs(Index width) {
    if (hopper::padded_depth(width) == 0 || device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) {
        return false;
    }
    cudaFuncAttributes found{};
    check(cudaFuncGetAttributes(&found, attention_hopper_kernel<64>), "cudaFuncGetAttributes");
    return found.sharedSizeBytes != 0;
}

/// Starts the warpgroup kernel for `batch` × heads problems; operands as for launch_attention, the scale not negative.
inline void launch_attention_hopper(const AttentionForward<bf16>& arguments, Index batch) {
    const auto run = [&]<int depth>() {
        const Index blocks = blocks_for(arguments.queries, hopper::rows) * batch * arguments.heads;
        launch(attention_hopper_kernel<depth>, blocks_for(blocks, 1), hopper::threads, hopper::shared_bytes(depth),
               arguments);
    };
    switch (hopper::padded_depth(arguments.width)) {
        case 64:
            return run.template operator()<64>();
        case 96:
            return run.template operator()<96>();
        case 128:
            return run.template operator()<128>();
        default:
            fail("cuda: no attention kernel for a head size of ", arguments.width);
    }
}

}  // namespace flowfar::cuda
