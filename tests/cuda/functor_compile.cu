// The arithmetic that host and device share compiles for both; with a device at hand, its results agree with the
// host's.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <doctest/doctest.h>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/functors/functor.hpp"
#include "flowfar/core/philox.hpp"

namespace {

using flowfar::BinaryOp;
using flowfar::UnaryOp;

constexpr int unary_count = static_cast<int>(UnaryOp::binary_entropy) + 1;
constexpr int binary_count = static_cast<int>(BinaryOp::greater) + 1;
constexpr int functor_values = 2 * unary_count + 3 * binary_count;
constexpr int draws = 1000;
constexpr std::uint64_t seed = 0x0123456789ABCDEFU;

// Forward and backward of every unary operation, then forward and both gradients of every binary one.
template <int... Unary, int... Binary>
FLOWFAR_HD void evaluate(float* out, std::integer_sequence<int, Unary...>, std::integer_sequence<int, Binary...>) {
    const float x = 0.7F;
    const float other = 1.3F;
    const float g = 0.9F;
    (..., (*out++ = flowfar::UnaryFunctor<static_cast<UnaryOp>(Unary)>::forward(x, 0.5F, 2.0F)));
    (..., (*out++ = flowfar::UnaryFunctor<static_cast<UnaryOp>(Unary)>::backward(x, other, g, 0.5F, 2.0F)));
    (..., (*out++ = flowfar::BinaryFunctor<static_cast<BinaryOp>(Binary)>::forward(x, other)));
    (..., (*out++ = flowfar::BinaryFunctor<static_cast<BinaryOp>(Binary)>::grad_a(x, other, 0.8F, g)));
    (..., (*out++ = flowfar::BinaryFunctor<static_cast<BinaryOp>(Binary)>::grad_b(x, other, 0.8F, g)));
}

FLOWFAR_HD void evaluate(float* out) {
    evaluate(out, std::make_integer_sequence<int, unary_count>{}, std::make_integer_sequence<int, binary_count>{});
}

// Per index: a uniform draw, a normal draw and the normal draw rounded to bf16.
FLOWFAR_HD void draw(float* out, std::uint64_t index) {
    out[0] = flowfar::uniform_at(seed, index);
    out[1] = flowfar::normal_at(seed, index);
    out[2] = static_cast<float>(flowfar::bf16(out[1]));
}

__global__ void evaluate_kernel(float* out) {
    evaluate(out);
}

__global__ void draw_kernel(float* out) {
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < draws) {
        draw(out + 3 * index, index);
    }
}

bool no_device() {
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) {
        return false;
    }
    std::puts("skipped: no CUDA device");
    return true;
}

template <class Launch>
std::vector<float> on_device(std::size_t count, Launch&& launch) {
    cudaStream_t stream = nullptr;
    float* memory = nullptr;
    std::vector<float> host(count, NAN);
    REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
    REQUIRE(cudaMalloc(reinterpret_cast<void**>(&memory), count * sizeof(float)) == cudaSuccess);
    launch(memory, stream);
    CHECK(cudaGetLastError() == cudaSuccess);
    CHECK(cudaMemcpyAsync(host.data(), memory, count * sizeof(float), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(cudaFree(memory) == cudaSuccess);
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
    return host;
}

}  // namespace

TEST_CASE("every functor gives on the device what it gives on the host, up to the math libraries") {
    if (no_device()) {
        return;
    }
    std::vector<float> expected(functor_values);
    evaluate(expected.data());
    const std::vector<float> found = on_device(
        functor_values, [](float* memory, cudaStream_t stream) { evaluate_kernel<<<1, 1, 0, stream>>>(memory); });
    for (int i = 0; i < functor_values; ++i) {
        CAPTURE(i);
        CHECK(std::isfinite(expected[i]));
        CHECK(std::fabs(found[i] - expected[i]) <= 2e-6F * (1.0F + std::fabs(expected[i])));
    }
}

TEST_CASE("random numbers have the same bits on host and device") {
    if (no_device()) {
        return;
    }
    std::vector<float> expected(3 * draws);
    for (int i = 0; i < draws; ++i) {
        draw(expected.data() + 3 * i, static_cast<std::uint64_t>(i));
    }
    const std::vector<float> found = on_device(3 * draws, [](float* memory, cudaStream_t stream) {
        draw_kernel<<<(draws + 127) / 128, 128, 0, stream>>>(memory);
    });
    for (int i = 0; i < 3 * draws; ++i) {
        CAPTURE(i);
        CHECK(std::bit_cast<std::uint32_t>(found[i]) == std::bit_cast<std::uint32_t>(expected[i]));
    }
}
