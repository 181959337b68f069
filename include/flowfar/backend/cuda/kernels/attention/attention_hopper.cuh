#pragma once

/// Attention forward with Hopper's warpgroup products (sm_90a): a second engine beside attention_forward.cuh, with the
/// same operands and results. One warpgroup fetches tiles while two others, with 64 queries each, multiply; a
/// warpgroup's softmax runs while its product with the values before it does (after Shah et al., "FlashAttention-3",
/// 2024). Tiles come by cp.async rather than by the tensor memory accelerator, which would need the driver's tensor
/// maps for every operand.
///
/// NOT YET RUN ON A DEVICE: it compiles for sm_90a, and its source passes the tests on the emulator. It is used only
/// after prefer_warpgroup_attention() was set to true.

#include "flowfar/backend/cuda/kernels/attention/attention_forward.cuh"
#include "flowfar/backend/cuda/kernels/attention/attention_warpgroup.cuh"

namespace flowfar::cuda {

namespace hopper {

inline constexpr int rows = 128;     ///< queries per block, half of them per warpgroup
inline constexpr int columns = 128;  ///< keys per tile
inline constexpr int stages = 2;     ///< tiles of keys and of values under way
inline constexpr int threads = 384;

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

}  // namespace hopper

template <int depth>
__global__ void __launch_bounds__(hopper::threads, 1)
    attention_hopper_kernel([[maybe_unused]] const AttentionForward<bf16> arguments) {
    // Other architectures get an empty kernel, which the host knows by its lack of static shared memory.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    constexpr int rows = hopper::rows;
    constexpr int columns = hopper::columns;
    constexpr int stages = hopper::stages;
    constexpr int page = page_columns(depth);
    constexpr int pages = depth / page;
    __shared__ hopper::Barriers barriers;
    bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared_1024());
    bf16* const tiles_k = tile_q + rows * depth;               // [stages][pages][columns, page]
    bf16* const tiles_v = tiles_k + stages * columns * depth;  // [stages][pages][columns, page]

    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const bool causal = arguments.causal;
    const int blocks = (queries + rows - 1) / rows;
    const Index pair = blockIdx.x / static_cast<unsigned>(blocks);
    int block = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocks));
    block = causal ? blocks - 1 - block : block;  // the longest rows begin first
    const int first_query = block * rows;
    const int last_query = std::min(first_query + rows, queries) - 1;
    const int tiles = (visible_keys(last_query, queries, keys, causal) + columns - 1) / columns;

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
        fewer_registers<72>();
        const bf16* const key = arguments.key.of(pair, arguments.heads);
        const bf16* const value = arguments.value.of(pair, arguments.heads);
        // The first keys are there only after the queries: a barrier waits for all copies begun before.
        hopper::load_pages<depth>(tile_q, arguments.query.of(pair, arguments.heads), arguments.query.token, first_query,
                                  queries, arguments.width);
        for (int tile = 0; tile < tiles; ++tile) {
            const int stage = tile % stages;
            const int parity = tile / stages % 2 ^ 1;  // the first round finds every stage free
            barrier_wait(&barriers.key_free[stage], parity);
            hopper::load_pages<depth>(tiles_k + stage * columns * depth, key, arguments.key.token, tile * columns, keys,
                                      arguments.width);
            barrier_arrive_after_copies(&barriers.key_there[stage]);
            barrier_wait(&barriers.value_free[stage], parity);
            hopper::load_pages<depth>(tiles_v + stage * columns * depth, value, arguments.value.token, tile * columns,
                                      keys, arguments.width);
            barrier_arrive_after_copies(&barriers.value_there[stage]);
        }
        cp_async_commit();
        cp_async_wait<0>();
        return;
    }

    more_registers<216>();
    const int group = static_cast<int>(threadIdx.x / 128) - 1;
    const int warp_row = 64 * group + static_cast<int>(threadIdx.x / 32 % 4) * 16;
    const bool first_lane = lane_number() == 0;
    const float scale_log2 = fmaxf(arguments.scale * log2_e, 1e-30F);
    const int seen_by_all = visible_keys(first_query, queries, keys, causal);

    float s[1][columns / 8][4] = {};
    float out[1][depth / 8][4] = {};
    unsigned p[columns / 16][4] = {};
    float maximum[1][2] = {{minus_infinity, minus_infinity}};
    float sum[1][2] = {};
    float correction[1][2];

    const auto begin_logits = [&](int tile) {
        barrier_wait(&barriers.key_there[tile % stages], tile / stages % 2);
        async_proxy_fence();
        warpgroup_fence();
        const bf16* const tile_k = tiles_k + tile % stages * columns * depth;
#pragma unroll
        for (int n = 0; n < pages; ++n) {
            const std::uint64_t a = describe_page<page>(tile_q + (n * rows + 64 * group) * page);
            const std::uint64_t b = describe_page<page>(tile_k + n * columns * page);
#pragma unroll
            for (int k = 0; k < page / 16; ++k) {
                const auto along = static_cast<std::uint64_t>(2 * k);  // 32 bytes in units of 16
                multiply_shared<columns>(s[0], a + along, b + along, n + k > 0);
            }
        }
        warpgroup_commit();
    };
    const auto begin_output = [&](int tile) {
        barrier_wait(&barriers.value_there[tile % stages], tile / stages % 2);
        async_proxy_fence();
        warpgroup_fence();
        const bf16* const tile_v = tiles_v + tile % stages * columns * depth;
#pragma unroll
        for (int k = 0; k < columns / 16; ++k) {
            multiply_registers<depth>(out[0], p[k], describe_page<page>(tile_v + 16 * k * page, 2 * columns * page));
        }
        warpgroup_commit();
    };
    const auto release = [&](std::uint64_t* barrier) {
        __syncwarp();
        if (first_lane) {
            barrier_arrive(barrier);
        }
    };
    const auto softmax = [&](int tile) {
        pin_accumulators(s[0]);
        if ((tile + 1) * columns > seen_by_all) {
            detail::hide_keys<1, columns>(s, tile * columns, first_query + warp_row, queries, keys, causal);
        }
        detail::softmax_step<1, columns>(s, maximum, sum, correction, scale_log2);
    };
    const auto pack_shares = [&] {
#pragma unroll
        for (int k = 0; k < columns / 16; ++k) {
#pragma unroll
            for (int r = 0; r < 4; ++r) {
                const float(&pair_of)[4] = s[0][2 * k + r / 2];
                p[k][r] = pack_bf16(pair_of[r % 2 * 2], pair_of[r % 2 * 2 + 1]);
            }
        }
    };

    if (tiles > 0) {
        begin_logits(0);
        warpgroup_wait<0>();
        release(&barriers.key_free[0]);
        softmax(0);
        pack_shares();
        for (int tile = 1; tile < tiles; ++tile) {
            const int before = (tile - 1) % stages;
            begin_logits(tile);
            begin_output(tile - 1);
            warpgroup_wait<1>();
            release(&barriers.key_free[tile % stages]);
            softmax(tile);
            warpgroup_wait<0>();
            pin_accumulators(out[0]);
            release(&barriers.value_free[before]);
            detail::scale_rows(out, correction);
            pack_shares();
        }
        begin_output(tiles - 1);
        warpgroup_wait<0>();
        pin_accumulators(out[0]);
    }

    float factor[1][2];
    detail::finish_softmax(maximum, sum, factor, arguments.log_sum_exp + pair * queries, first_query + warp_row,
                           queries, scale_log2);
    const int lane = static_cast<int>(lane_number());
    bf16* const output = arguments.output.of(pair, arguments.heads);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = first_query + warp_row + 8 * half + lane / 4;
        if (query >= queries) {
            continue;
        }
        bf16* const to = output + query * arguments.output.token + 2 * (lane % 4);
#pragma unroll
        for (int n = 0; n < depth / 8; ++n) {
            if (8 * n < arguments.width) {
                *reinterpret_cast<unsigned*>(to + 8 * n) =
                    pack_bf16(out[0][n][2 * half] * factor[0][half], out[0][n][2 * half + 1] * factor[0][half]);
            }
        }
    }
#endif
}

/// Whether attention may take the warpgroup engine. Off until it has been measured on a device.
[[nodiscard]] inline bool& prefer_warpgroup_attention() {
    static bool prefer = false;
    return prefer;
}

/// Whether the warpgroup engine serves these operands on the current device and was compiled for it.
[[nodiscard]] inline bool warpgroup_attention_fits(Index width, double scale) {
    if (!prefer_warpgroup_attention() || hopper::padded_depth(width) == 0 || scale < 0.0 ||
        device_attribute(cudaDevAttrComputeCapabilityMajor) != 9) {
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
