#pragma once

/// Barriers, shuffles and votes.

#include <type_traits>

#include "block.hpp"

namespace cuda_emulation {

struct Exchange {
    std::uint64_t value;
    int source;  ///< lane whose value this lane gets
    std::uint64_t result;
};

inline void exchange(std::array<void*, 32>& operands, unsigned mask) {
    for (std::size_t lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1U) == 0) {
            continue;
        }
        auto* mine = static_cast<Exchange*>(operands[lane]);
        const auto source = static_cast<std::size_t>(mine->source);
        if ((mask >> source & 1U) == 0) {
            Block::current().fail("shuffle from lane " + std::to_string(source) + ", which is not in the mask");
        }
        mine->result = static_cast<const Exchange*>(operands[source])->value;
    }
}

template <class T>
[[nodiscard]] T shuffle(const char* name, unsigned mask, T value, int source) {
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "shuffles move numbers of 4 or 8 bytes");
    Exchange mine{0, source, 0};
    std::memcpy(&mine.value, &value, sizeof(T));
    Block::current().meet(name, exchange, mask, &mine);
    T out;
    std::memcpy(&out, &mine.result, sizeof(T));
    return out;
}

[[nodiscard]] inline int lane() {
    const unsigned linear = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    return static_cast<int>(linear % 32);
}

struct Vote {
    bool mine;
    unsigned result;
};

inline void vote(std::array<void*, 32>& operands, unsigned mask) {
    unsigned bits = 0;
    for (std::size_t lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1U) != 0 && static_cast<const Vote*>(operands[lane])->mine) {
            bits |= 1U << lane;
        }
    }
    for (std::size_t lane = 0; lane < 32; ++lane) {
        if ((mask >> lane & 1U) != 0) {
            static_cast<Vote*>(operands[lane])->result = bits;
        }
    }
}

}  // namespace cuda_emulation

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    cuda_emulation::Block::current().barrier(file, line);
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU) {
    cuda_emulation::Block::current().meet("__syncwarp", [](std::array<void*, 32>&, unsigned) {}, mask, nullptr);
}
[[nodiscard]] inline unsigned __ballot_sync(unsigned mask, int predicate) {
    cuda_emulation::Vote mine{predicate != 0, 0};
    cuda_emulation::Block::current().meet("__ballot_sync", cuda_emulation::vote, mask, &mine);
    return mine.result;
}
/// As on the device, lanes form groups of `width`; a source outside the group is the lane itself (xor: the whole warp's
/// groups below may be read).
template <class T>
[[nodiscard]] T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int me = cuda_emulation::lane();
    return cuda_emulation::shuffle("__shfl_sync", mask, value, (me & -width) | (source & (width - 1)));
}
template <class T>
[[nodiscard]] T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
    const int me = cuda_emulation::lane();
    const int source = me ^ bits;
    return cuda_emulation::shuffle("__shfl_xor_sync", mask, value, source >= (me & -width) + width ? me : source);
}
template <class T>
[[nodiscard]] T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32) {
    const int me = cuda_emulation::lane();
    const int source = me + static_cast<int>(distance);
    return cuda_emulation::shuffle("__shfl_down_sync", mask, value, source >= (me & -width) + width ? me : source);
}
