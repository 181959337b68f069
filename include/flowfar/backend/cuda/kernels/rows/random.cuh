#pragma once

/// Random tensors: each thread computes whole blocks of the counter-based generator, so the bits are the host's.

#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/core/philox.hpp"

namespace flowfar::cuda {

enum class Distribution : std::uint8_t { uniform, normal };

/// Writes elements offset … offset + count − 1 of a stream; a Philox block makes four of them.
template <class T, Distribution Kind>
__global__ void __launch_bounds__(map_threads)
    random_kernel(T* out, Index count, std::uint64_t seed, std::uint64_t offset) {
    const std::uint64_t first = offset / 4;
    const auto lead = static_cast<Index>(offset % 4);
    const Index blocks = (lead + count + 3) / 4;
    const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
    for (Index block = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; block < blocks; block += step) {
        float draws[4];
        if constexpr (Kind == Distribution::normal) {
            normal_block(seed, first + static_cast<std::uint64_t>(block), draws);
        } else {
            uniform_block(seed, first + static_cast<std::uint64_t>(block), draws);
        }
        const Index at = 4 * block - lead;
        if (lead == 0 && at + 4 <= count) {
            constexpr int part = pack_size<T> < 4 ? pack_size<T> : 4;
#pragma unroll
            for (int i = 0; i < 4; i += part) {
                Pack<T, part> pack;
#pragma unroll
                for (int k = 0; k < part; ++k) {
                    pack.values[k] = convert<T>(draws[i + k]);
                }
                store_pack<part>(out + at + i, pack);
            }
        } else {
            for (int i = 0; i < 4; ++i) {
                if (at + i >= 0 && at + i < count) {
                    out[at + i] = convert<T>(draws[i]);
                }
            }
        }
    }
}

/// Fills a tensor without gaps.
template <Distribution Kind>
void fill_random(const Handle& out, std::uint64_t seed, std::uint64_t offset) {
    visit_float(out.dtype, "random", [&]<class T>() {
        if (out.count() > 0) {
            launch(random_kernel<T, Kind>, dim3(map_blocks(out.count() / 4 + 2)), dim3(map_threads), 0, out.data<T>(),
                   out.count(), seed, offset);
        }
    });
}

}  // namespace flowfar::cuda
