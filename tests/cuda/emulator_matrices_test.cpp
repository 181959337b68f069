// The emulator's asynchronous copies, matrix loads and products, of warps and of warpgroups.
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cuda/kernels/attention/attention_warpgroup.cuh"
#include "flowfar/backend/cuda/kernels/gemm/tensor_core.cuh"

#include "emulator_checks.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::testing;

template <int kind>
__global__ void asynchronous(const float* in, float* out) {
    float* const shared = reinterpret_cast<float*>(cuda::dynamic_shared());
    cuda::cp_async_16(shared, 16 * static_cast<int>(threadIdx.x) + (kind == 1 ? 4 : 0),
                      in + 4 * threadIdx.x + (kind == 2 ? 1 : 0), kind != 5 || threadIdx.x != 3);
    cuda::cp_async_commit();
    if (kind == 3) {
        return;
    }
    if (kind != 4) {
        cuda::cp_async_wait<0>();
    }
    __syncthreads();
    const auto pack = cuda::load_pack<4>(shared + 4 * (blockDim.x - 1 - threadIdx.x) + (kind == 6 ? 2 : 0));
    cuda::store_pack(out + 4 * threadIdx.x, pack);
    cuda::cp_async_wait<0>();
}

template <int kind>
__global__ void matrices(const unsigned short* in, unsigned* out) {
    auto* const shared = reinterpret_cast<unsigned short*>(cuda::dynamic_shared());
    for (unsigned i = 0; i < 8; ++i) {
        shared[8 * threadIdx.x + i] = in[8 * threadIdx.x + i];
    }
    __syncthreads();
    unsigned fragment[4];
    if (kind == 2) {
        cuda::ldmatrix_x4_trans(fragment, shared, 16 * static_cast<int>(threadIdx.x));
    } else {
        cuda::ldmatrix_x4(fragment, shared, (kind == 1 ? 8 : 16) * static_cast<int>(threadIdx.x));
    }
    for (unsigned m = 0; m < 4; ++m) {
        out[4 * threadIdx.x + m] = fragment[m];
    }
}

__global__ void multiply(const float* a, const float* b, float* d) {
    const unsigned g = threadIdx.x / 4;
    const unsigned t = threadIdx.x % 4;
    unsigned fa[4];
    unsigned fb[2];
    float fd[4] = {1.0F, 1.0F, 1.0F, 1.0F};
    for (unsigned r = 0; r < 4; ++r) {
        const float* p = a + 16 * (g + 8 * (r % 2)) + 2 * t + 8 * (r / 2);
        fa[r] = cuda::pack_bf16(p[0], p[1]);
    }
    for (unsigned r = 0; r < 2; ++r) {
        const float* p = b + 8 * (2 * t + 8 * r) + g;
        fb[r] = cuda::pack_bf16(p[0], p[8]);
    }
    cuda::mma_m16n8k16_bf16(fd, fa, fb);
    for (unsigned i = 0; i < 4; ++i) {
        d[8 * (g + 8 * (i / 2)) + 2 * t + i % 2] = fd[i];
    }
}

}  // namespace

TEST_CASE("emulator: asynchronous copies arrive when they are waited for") {
    std::vector<float> x(132);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<float>(i);
    }
    const Array<float> in(x);
    const Array<float> out(std::vector<float>(128, 0.0F));
    CHECK(fault_of(asynchronous<0>, 32, 512, in.data(), out.data()) == "");
    CHECK(out.values()[1] == 125.0F);
    CHECK(mentions(fault_of(asynchronous<1>, 32, 528, in.data(), out.data()), "multiple of 16"));
    CHECK(mentions(fault_of(asynchronous<2>, 32, 512, in.data(), out.data()), "multiple of 16"));
    CHECK(mentions(fault_of(asynchronous<3>, 32, 512, in.data(), out.data()), "under way"));
    CHECK(fault_of(asynchronous<4>, 32, 512, in.data(), out.data()) == "");
    const std::vector<float> early = out.values();  // read before the wait: the threads that run first find NaN
    CHECK((std::isnan(early.front()) || std::isnan(early.back())));
    CHECK(fault_of(asynchronous<5>, 32, 512, in.data(), out.data()) == "");
    CHECK(out.values()[4 * 28] == 0.0F);
    CHECK(out.values()[4 * 27] == 16.0F);
    CHECK(mentions(fault_of(asynchronous<6>, 32, 528, in.data(), out.data()), "multiple of 16"));
    CHECK(mentions(fault_of(asynchronous<0>, 32, 256, in.data(), out.data()), "outside"));
}

TEST_CASE("emulator: matrix loads and products") {
    std::vector<unsigned short> x(256);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<unsigned short>(i);
    }
    const Array<unsigned short> in(x);
    const Array<unsigned> out(std::vector<unsigned>(128, 0));
    CHECK(fault_of(matrices<0>, 32, 512, in.data(), out.data()) == "");
    CHECK(out.values()[4 * 9 + 1] == (64U + 8U * 2U + 2U) + ((64U + 8U * 2U + 3U) << 16));
    CHECK(fault_of(matrices<2>, 32, 512, in.data(), out.data()) == "");
    CHECK(out.values()[4 * 9 + 1] == (64U + 8U * 2U + 2U) + ((64U + 8U * 3U + 2U) << 16));
    CHECK(mentions(fault_of(matrices<1>, 32, 512, in.data(), out.data()), "multiple of 16"));

    std::vector<float> a(256);
    std::vector<float> b(128);
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = static_cast<float>(i % 11) - 5.0F;
    }
    for (std::size_t i = 0; i < b.size(); ++i) {
        b[i] = static_cast<float>(i % 5) - 2.0F;
    }
    const Array<float> da(a);
    const Array<float> db(b);
    const Array<float> dd(std::vector<float>(128, 0.0F));
    cuda::launch(multiply, 1, 32, 0, da.data(), db.data(), dd.data());
    const std::vector<float> found = dd.values();
    for (std::size_t row = 0; row < 16; ++row) {
        for (std::size_t column = 0; column < 8; ++column) {
            float expected = 1.0F;
            for (std::size_t k = 0; k < 16; ++k) {
                expected += a[16 * row + k] * b[8 * k + column];
            }
            CHECK(found[8 * row + column] == expected);
        }
    }
}

namespace {

/// One product of a warpgroup: d = a bᵀ for rows of 64 elements in the 128-byte swizzle.
template <int kind>
__global__ void warpgroup_product(const unsigned short* a, const unsigned short* b, float* d) {
    __shared__ std::uint64_t barrier;
    auto* const shared = reinterpret_cast<unsigned short*>(cuda::dynamic_shared_1024());
    if (threadIdx.x == 0) {
        cuda::barrier_init(&barrier, 128);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < 192 * 64; i += 128) {
        const int row = i / 64;
        const unsigned short value = row < 64 ? a[i] : b[i - 64 * 64];
        const int base = row < 64 ? 0 : 64 * 64;
        shared[base + 8 * cuda::tile_chunk(row % 64 + (row >= 128 ? 64 : 0), i % 64 / 8, 64) + i % 8] = value;
    }
    if (kind != 3 || threadIdx.x != 17) {
        cuda::barrier_arrive(&barrier);
    }
    cuda::barrier_wait(&barrier, 0);
    if (kind == 2 && threadIdx.x == 5) {
        return;
    }
    float acc[16][4] = {};
    const std::uint64_t in_a = cuda::describe_page<64>(shared);
    const std::uint64_t in_b = cuda::describe_page<64>(shared + 64 * 64);
    cuda::warpgroup_fence();
    for (std::uint64_t k = 0; k < 4; ++k) {
        cuda::multiply_shared<128>(acc, in_a + 2 * k, in_b + 2 * k, k > 0);
    }
    cuda::warpgroup_commit();
    if (kind != 1) {
        cuda::warpgroup_wait<0>();
    }
    for (unsigned n = 0; n < 16; ++n) {
        for (unsigned i = 0; i < 4; ++i) {
            const unsigned row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + 8 * (i / 2);
            d[128 * row + 8 * n + 2 * (threadIdx.x % 4) + i % 2] = acc[n][i];
        }
    }
    cuda::warpgroup_wait<0>();
}

}  // namespace

TEST_CASE("emulator: products of a warpgroup end when they are waited for, and all its threads take part") {
    std::vector<unsigned short> a(64 * 64);
    std::vector<unsigned short> b(128 * 64);
    const auto number = [](std::size_t i) { return static_cast<float>(i % 13) - 6.0F; };
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = bf16(number(i)).bits;
    }
    for (std::size_t i = 0; i < b.size(); ++i) {
        b[i] = bf16(number(7 * i)).bits;
    }
    const Array<unsigned short> da(a);
    const Array<unsigned short> db(b);
    const Array<float> dd(std::vector<float>(64 * 128, 0.0F));
    constexpr std::size_t bytes = 192 * 64 * 2 + 1024;
    CHECK(fault_of(warpgroup_product<0>, 128, bytes, da.data(), db.data(), dd.data()) == "");
    const std::vector<float> found = dd.values();
    bool equal = true;
    for (std::size_t row = 0; row < 64; ++row) {
        for (std::size_t column = 0; column < 128; ++column) {
            float expected = 0.0F;
            for (std::size_t k = 0; k < 64; ++k) {
                expected += number(64 * row + k) * number(7 * (64 * column + k));
            }
            equal = equal && found[128 * row + column] == expected;
        }
    }
    CHECK(equal);
    CHECK(fault_of(warpgroup_product<1>, 128, bytes, da.data(), db.data(), dd.data()) == "");
    CHECK(std::isnan(dd.values()[5]));  // read before the wait
    CHECK(mentions(fault_of(warpgroup_product<2>, 128, bytes, da.data(), db.data(), dd.data()), "deadlock"));
    CHECK(mentions(fault_of(warpgroup_product<3>, 128, bytes, da.data(), db.data(), dd.data()), "for arrivals"));
}
