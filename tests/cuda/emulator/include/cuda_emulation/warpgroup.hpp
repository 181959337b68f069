#pragma once

/// Twins of Hopper's asynchronous products (wgmma). Operands in shared memory are read when a product is waited for,
/// and its accumulators hold NaN until then. Layouts and descriptors: PTX ISA, "Asynchronous warpgroup level matrix
/// instructions".

#include <limits>

#include "device.hpp"
#include "tensor_core.hpp"

namespace cuda_emulation {

struct GroupProduct {
    std::size_t columns = 0;
    bool from_registers = false;
    bool accumulate = false;
    bool transposed = false;
    std::uint64_t a_descriptor = 0;
    std::uint64_t b_descriptor = 0;
    float a[64][16] = {};
    std::vector<float> result;  ///< [64, columns], empty until the product is done
};

namespace detail {

/// Element (row, k) of an operand by rows, element (k, row) of one by columns, in bf16.
[[nodiscard]] inline float described(std::uint64_t descriptor, std::size_t row, std::size_t k, bool by_columns) {
    const Block& block = Block::current();
    const auto field = [&](unsigned shift) { return static_cast<unsigned>(descriptor >> shift & 0x3FFFU) << 4; };
    const unsigned start = field(0);
    const unsigned leading = field(16);
    const unsigned stride = field(32);
    const auto mode = static_cast<unsigned>(descriptor >> 62);
    if (mode != 1 && mode != 2) {
        block.fail("wgmma: only the 128-byte and 64-byte swizzles are emulated");
    }
    const unsigned width = mode == 1 ? 128 : 64;  // bytes of a row
    const auto r = static_cast<unsigned>(row);
    const auto i = static_cast<unsigned>(k);
    unsigned address = start;
    if (by_columns) {
        address += i / 8 * stride + i % 8 * width + 2 * r / width * leading + 2 * r % width;
    } else {
        address += r / 8 * stride + r % 8 * width + 2 * i;
    }
    address ^= (address >> 7 & (mode == 1 ? 7U : 3U)) << 4;
    const unsigned char* const place = block.at_shared_address(address);
    block.check_shared(place, 2, "wgmma");
    std::uint16_t bits;
    std::memcpy(&bits, place, 2);
    return low_bf16(bits);
}

inline void multiply(GroupProduct& p) {
    if (!p.from_registers) {
        for (std::size_t row = 0; row < 64; ++row) {
            for (std::size_t k = 0; k < 16; ++k) {
                p.a[row][k] = described(p.a_descriptor, row, k, false);
            }
        }
    }
    p.result.assign(64 * p.columns, 0.0F);
    for (std::size_t n = 0; n < p.columns; ++n) {
        float b[16];
        for (std::size_t k = 0; k < 16; ++k) {
            b[k] = described(p.b_descriptor, n, k, p.transposed);
        }
        for (std::size_t row = 0; row < 64; ++row) {
            for (std::size_t k = 0; k < 16; ++k) {
                p.result[row * p.columns + n] += p.a[row][k] * b[k];
            }
            p.result[row * p.columns + n] += device().wrong_warpgroups ? 1.0F : 0.0F;
        }
    }
}

}  // namespace detail

[[nodiscard]] inline unsigned shared_address(const void* address) {
    return Block::current().shared_address(address);
}

/// Begins d = a b or d += a b; d is this thread's part [columns / 8][4], a its registers or null.
inline void wgmma(float* d, std::size_t columns, const unsigned* a, std::uint64_t a_descriptor,
                  std::uint64_t b_descriptor, bool accumulate, bool transposed) {
    struct Operands {
        const unsigned* a;
        std::uint64_t a_descriptor;
        std::uint64_t b_descriptor;
        std::shared_ptr<GroupProduct> product;
    } mine{a, a_descriptor, b_descriptor, nullptr};
    Block& block = Block::current();
    block.meet_warpgroup(&mine, [&](const std::vector<void*>& all) {
        const auto product = std::make_shared<GroupProduct>();
        product->columns = columns;
        product->from_registers = a != nullptr;
        product->accumulate = accumulate;
        product->transposed = transposed;
        product->a_descriptor = a_descriptor;
        product->b_descriptor = b_descriptor;
        for (std::size_t thread = 0; thread < 128; ++thread) {
            auto& other = *static_cast<Operands*>(all[thread]);
            if (other.a_descriptor != a_descriptor || other.b_descriptor != b_descriptor) {
                block.fail("wgmma: the threads' descriptors differ");
            }
            other.product = product;
            for (std::size_t r = 0; a != nullptr && r < 4; ++r) {
                const std::size_t row = thread / 32 * 16 + thread % 32 / 4 + 8 * (r & 1U);
                const std::size_t k = 2 * (thread % 4) + 8 * (r >> 1U);
                product->a[row][k] = detail::low_bf16(other.a[r]);
                product->a[row][k + 1] = detail::high_bf16(other.a[r]);
            }
        }
        if (block.random() % 2 != 0) {
            detail::multiply(*product);
        }
    });
    auto& groups = block.here().products;
    bool busy = false;
    for (const auto& group : groups) {
        for (const PendingProduct& other : group) {
            busy = busy || other.d == d;
        }
    }
    PendingProduct pending{mine.product, d, {}};
    if (!busy) {
        pending.before.assign(d, d + columns / 2);
        std::fill(d, d + columns / 2, std::numeric_limits<float>::quiet_NaN());
    }
    groups.back().push_back(std::move(pending));
}
inline void wgmma_commit() {
    Block::current().here().products.emplace_back();
}
/// Ends all committed groups of the calling thread but the last `pending`.
inline void wgmma_wait(std::size_t pending) {
    Block& block = Block::current();
    auto& groups = block.here().products;
    const unsigned linear = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const std::size_t row = linear % 128 / 32 * 16 + linear % 32 / 4;
    while (groups.size() > pending + 1) {
        for (PendingProduct& one : groups.front()) {
            GroupProduct& product = *one.product;
            if (product.result.empty()) {
                detail::multiply(product);
            }
            if (!one.before.empty()) {
                std::copy(one.before.begin(), one.before.end(), one.d);
            }
            for (std::size_t i = 0; i < product.columns / 2; ++i) {
                const std::size_t column = i / 4 * 8 + 2 * (linear % 4) + i % 2;
                const float value = product.result[(row + i / 2 % 2 * 8) * product.columns + column];
                one.d[i] = product.accumulate ? one.d[i] + value : value;
            }
        }
        groups.erase(groups.begin());
    }
}

}  // namespace cuda_emulation
