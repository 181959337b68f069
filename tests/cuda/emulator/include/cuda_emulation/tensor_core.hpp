#pragma once

/// Twins of the tensor core's instructions. Fragment layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16" and
/// "ldmatrix".

#include "block.hpp"

namespace cuda_emulation {

namespace detail {

[[nodiscard]] inline float low_bf16(unsigned pair) {
    return std::bit_cast<float>(pair << 16);
}
[[nodiscard]] inline float high_bf16(unsigned pair) {
    return std::bit_cast<float>(pair & 0xFFFF0000U);
}

struct MmaOperands {
    const unsigned* a;
    const unsigned* b;
    float* d;
};

inline void mma_m16n8k16(std::array<void*, 32>& operands, unsigned /*mask*/) {
    float a[16][16];
    float b[8][16];
    for (std::size_t lane = 0; lane < 32; ++lane) {
        const auto* mine = static_cast<const MmaOperands*>(operands[lane]);
        const std::size_t g = lane / 4;
        const std::size_t t = lane % 4;
        for (std::size_t r = 0; r < 4; ++r) {
            const std::size_t row = g + 8 * (r & 1U);
            const std::size_t k = 2 * t + 8 * (r >> 1U);
            a[row][k] = low_bf16(mine->a[r]);
            a[row][k + 1] = high_bf16(mine->a[r]);
        }
        for (std::size_t r = 0; r < 2; ++r) {
            b[g][2 * t + 8 * r] = low_bf16(mine->b[r]);
            b[g][2 * t + 8 * r + 1] = high_bf16(mine->b[r]);
        }
    }
    for (std::size_t lane = 0; lane < 32; ++lane) {
        auto* mine = static_cast<MmaOperands*>(operands[lane]);
        for (std::size_t i = 0; i < 4; ++i) {
            const float* row = a[lane / 4 + 8 * (i >> 1U)];
            const float* column = b[2 * (lane % 4) + (i & 1U)];
            float sum = 0.0F;
            for (std::size_t k = 0; k < 16; ++k) {
                sum += row[k] * column[k];
            }
            mine->d[i] += sum;
        }
    }
}

struct LoadOperands {
    const void* row;
    unsigned* out;
};

template <bool transposed>
void ldmatrix_x4(std::array<void*, 32>& operands, unsigned /*mask*/) {
    const auto element = [&](std::size_t matrix, std::size_t row, std::size_t column) {
        const auto* base = static_cast<const LoadOperands*>(operands[8 * matrix + row])->row;
        return static_cast<unsigned>(static_cast<const std::uint16_t*>(base)[column]);
    };
    for (std::size_t lane = 0; lane < 32; ++lane) {
        const std::size_t g = lane / 4;
        const std::size_t t = 2 * (lane % 4);
        for (std::size_t m = 0; m < 4; ++m) {
            const unsigned low = transposed ? element(m, t, g) : element(m, g, t);
            const unsigned high = transposed ? element(m, t + 1, g) : element(m, g, t + 1);
            static_cast<LoadOperands*>(operands[lane])->out[m] = low | high << 16;
        }
    }
}

}  // namespace detail

/// d += a b; d [16, 8] in float, a [16, 16] and b [16, 8] in bf16.
inline void mma_m16n8k16_bf16(float* d, const unsigned* a, const unsigned* b) {
    detail::MmaOperands mine{a, b, d};
    Block::current().meet("mma", detail::mma_m16n8k16, 0xFFFFFFFFU, &mine);
}

/// Loads four 8×8 matrices of 16-bit elements; lane 8m + r gives the address of row r of matrix m.
inline void ldmatrix_x4(unsigned* out, const void* row, bool transposed) {
    Block& block = Block::current();
    block.check_aligned(row, 16, "ldmatrix");
    block.check_shared(row, 16, "ldmatrix");
    detail::LoadOperands mine{row, out};
    if (transposed) {
        block.meet("ldmatrix.trans", detail::ldmatrix_x4<true>, 0xFFFFFFFFU, &mine);
    } else {
        block.meet("ldmatrix", detail::ldmatrix_x4<false>, 0xFFFFFFFFU, &mine);
    }
}

/// Begins a copy of `valid` bytes to shared memory, followed by zeros up to `bytes`. Until a wait ends it, the target
/// holds NaN, and the source is read only then.
inline void cp_async(void* target, const void* source, std::size_t bytes, std::size_t valid) {
    Block& block = Block::current();
    block.check_aligned(target, bytes, "cp.async target");
    block.check_aligned(source, bytes, "cp.async source");
    block.check_shared(target, bytes, "cp.async");
    std::memset(target, 0xFF, bytes);
    block.here().groups.back().push_back({target, source, valid, bytes - valid});
}
inline void cp_async_commit() {
    Block::current().here().groups.emplace_back();
}
/// Ends all committed groups of the calling thread but the last `pending`.
inline void cp_async_wait(std::size_t pending) {
    auto& groups = Block::current().here().groups;
    while (groups.size() > pending + 1) {
        for (const PendingCopy& copy : groups.front()) {
            if (copy.bytes != 0) {
                std::memcpy(copy.target, copy.source, copy.bytes);
            }
            std::memset(static_cast<char*>(copy.target) + copy.bytes, 0, copy.zeros);
        }
        groups.erase(groups.begin());
    }
}

}  // namespace cuda_emulation
