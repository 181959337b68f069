// The emulator finds the errors it is there for, and runs correct kernels correctly. Without it, no other test in this
// folder proves anything.
#include <doctest/doctest.h>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/backend/cuda/runtime/device.cuh"
#include "flowfar/backend/cuda/runtime/launch.cuh"

#include "emulator_checks.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::testing;
namespace emulation = cuda_emulation;

/// One block per row: warps reduce with shuffles, their sums meet in shared memory.
__global__ void row_sums(const float* x, int columns, float* sums) {
    __shared__ float partial[32];
    float sum = 0.0F;
    for (int i = static_cast<int>(threadIdx.x); i < columns; i += static_cast<int>(blockDim.x)) {
        sum += x[static_cast<int>(blockIdx.x) * columns + i];
    }
    sum = cuda::warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
        partial[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = cuda::warp_sum(threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0.0F);
        if (threadIdx.x == 0) {
            sums[blockIdx.x] = sum;
        }
    }
}

template <bool barrier>
__global__ void reverse(int* x) {
    int* const shared = reinterpret_cast<int*>(cuda::dynamic_shared());
    shared[threadIdx.x] = x[threadIdx.x];
    if (barrier) {
        __syncthreads();
    }
    x[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

}  // namespace

TEST_CASE("emulator: a reduction over warps and blocks") {
    for (const int columns : {1, 31, 33, 1000}) {
        std::vector<float> x(static_cast<std::size_t>(3 * columns));
        for (std::size_t i = 0; i < x.size(); ++i) {
            x[i] = static_cast<float>(i % 7);
        }
        const Array<float> in(x);
        const Array<float> out(std::vector<float>(3, NAN));
        cuda::launch(row_sums, 3, 128, 0, in.data(), columns, out.data());
        const std::vector<float> found = out.values();
        for (std::size_t row = 0; row < 3; ++row) {
            float expected = 0.0F;
            for (std::size_t i = 0; i < static_cast<std::size_t>(columns); ++i) {
                expected += x[row * static_cast<std::size_t>(columns) + i];
            }
            CHECK(found[row] == expected);
        }
    }
}

TEST_CASE("emulator: a missing barrier shows in the result") {
    std::vector<int> x(256);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<int>(i);
    }
    const std::vector<int> reversed(x.rbegin(), x.rend());
    const Array<int> good(x);
    cuda::launch(reverse<true>, 1, 256, 256 * sizeof(int), good.data());
    CHECK((good.values() == reversed));
    const Array<int> bad(x);
    cuda::launch(reverse<false>, 1, 256, 256 * sizeof(int), bad.data());
    CHECK((bad.values() != reversed));
}

namespace {

template <int kind>
__global__ void wrong_barrier() {
    if (kind == 0 && threadIdx.x == 5) {
        return;
    }
    if (kind == 1 && threadIdx.x == 5) {
        __syncthreads();
    }
    if (kind == 2 && threadIdx.x < 32) {
        __syncwarp();  // lanes of the other warp are at the barrier: allowed
    }
    if (kind == 3 && threadIdx.x % 2 == 0) {
        __syncwarp();  // the odd lanes wait at the barrier
    }
    __syncthreads();
}

template <int kind>
__global__ void wrong_warp(float* out) {
    float x = static_cast<float>(threadIdx.x);
    if (kind == 0 && threadIdx.x == 7) {
        return;
    }
    if (kind == 1) {
        x = threadIdx.x < 16 ? __shfl_xor_sync(cuda::all_lanes, x, 1) : __shfl_sync(cuda::all_lanes, x, 1);
    } else if (kind == 2) {
        x = __shfl_sync(0xFFU, x, 0);  // lanes 8 and up are not in the mask
    } else if (kind == 3) {
        x = threadIdx.x < 8 ? __shfl_sync(0xFFU, x, 9, 16) : x;  // lane 9 is not in the mask
    } else {
        x = cuda::warp_sum(x);
    }
    out[threadIdx.x] = x;
}

}  // namespace

TEST_CASE("emulator: barriers that not all threads reach") {
    CHECK(mentions(fault_of(wrong_barrier<0>, 64, 0), "barrier"));
    CHECK(mentions(fault_of(wrong_barrier<1>, 64, 0), "different barriers"));
    CHECK(fault_of(wrong_barrier<2>, 64, 0) == "");
    CHECK(mentions(fault_of(wrong_barrier<3>, 64, 0), "deadlock"));
    CHECK(fault_of(wrong_barrier<4>, 64, 0) == "");  // a fault leaves the emulator usable
}

TEST_CASE("emulator: operations of a warp in which lanes are missing") {
    const Array<float> out(std::vector<float>(32, 0.0F));
    CHECK(mentions(fault_of(wrong_warp<0>, 32, 0, out.data()), "return"));
    CHECK(mentions(fault_of(wrong_warp<1>, 32, 0, out.data()), "different operations"));
    CHECK(mentions(fault_of(wrong_warp<2>, 32, 0, out.data()), "not in the mask"));
    CHECK(mentions(fault_of(wrong_warp<3>, 32, 0, out.data()), "not in the mask"));
    CHECK(mentions(fault_of(wrong_warp<4>, 24, 0, out.data()), "do not exist"));
    CHECK(fault_of(wrong_warp<4>, 32, 0, out.data()) == "");
    CHECK(out.values()[31] == 496.0F);
}

TEST_CASE("emulator: launches that a device refuses") {
    const Array<int> x(std::vector<int>(2048, 0));
    CHECK_THROWS_AS(cuda::launch(reverse<true>, 1, 1025, 8192, x.data()), Error);
    CHECK_THROWS_AS(cuda::launch(reverse<true>, 1, 0, 8192, x.data()), Error);
    CHECK_THROWS_AS(cuda::launch(reverse<true>, dim3(1, 65536), 32, 8192, x.data()), Error);
    CHECK_THROWS_AS(cuda::launch(reverse<true>, 1, 32, emulation::device().shared_limit + 1, x.data()), Error);
    const std::size_t before = emulation::device().counters.launches;
    cuda::launch(reverse<true>, dim3(0, 4), 32, 128, x.data());
    CHECK(emulation::device().counters.launches == before);
    cuda::launch(reverse<true>, 1, 32, emulation::device().shared_limit, x.data());
    CHECK(emulation::device().counters.launches == before + 1);
}

TEST_CASE("cuda: memory counts what is held and keeps to its cap") {
    auto& memory = cuda::Memory::instance();
    const std::size_t before = memory.held();
    memory.reset_peak();
    {
        const auto first = cuda::allocate(1000);
        const auto nothing = cuda::allocate(0);
        CHECK(nothing != nullptr);
        CHECK(reinterpret_cast<std::uintptr_t>(first.get()) % 256 == 0);
        CHECK(memory.held() == before + 1001);
        memory.set_cap(before + 3000);
        std::string said;
        try {
            const auto large = cuda::allocate(4096);
        } catch (const Error& error) {
            said = error.what();
        }
        CHECK(said.find(text("asked for 4096 bytes, ", before + 1001, " bytes are held, the cap is ", before + 3000)) !=
              std::string::npos);
        CHECK(cuda::allocate(1999) != nullptr);
    }
    CHECK(memory.held() == before);
    CHECK(memory.peak() == before + 3000);
    memory.set_cap(cuda::Memory::no_cap);

    const std::size_t device = std::exchange(emulation::device().memory, emulation::device().used() + 1000);
    CHECK_THROWS_AS(static_cast<void>(cuda::allocate(2000)), Error);
    CHECK(cudaPeekAtLastError() == cudaSuccess);
    CHECK(cuda::allocate(500) != nullptr);
    emulation::device().memory = device;
    CHECK(memory.held() == before);
}

TEST_CASE("cuda: an arena hands out the same blocks again") {
    const std::size_t before = cuda::Memory::instance().held();
    {
        cuda::Arena arena;
        const cuda::Arena::Scope scope(arena);
        auto first = cuda::allocate(100);
        std::byte* const address = first.get();
        first.reset();
        CHECK(cuda::Memory::instance().held() == before + 100);
        first = cuda::allocate(100);
        CHECK(first.get() == address);
        CHECK(cuda::allocate(100).get() != address);
    }
    CHECK(cuda::Memory::instance().held() == before);
}

TEST_CASE("emulator: a lazy stream works when it is waited for, a graph when it is launched") {
    std::vector<int> x(64);
    for (std::size_t i = 0; i < x.size(); ++i) {
        x[i] = static_cast<int>(i);
    }
    const std::vector<int> reversed(x.rbegin(), x.rend());
    const Array<int> data(x);
    std::vector<int> out(64, -1);
    const auto fetch = [&] {
        cuda::check(cudaMemcpyAsync(out.data(), data.data(), 256, cudaMemcpyDeviceToHost, cuda::current_stream()),
                    "copy");
    };
    emulation::device().lazy = true;
    cuda::launch(reverse<true>, 1, 64, 256, data.data());
    fetch();
    CHECK(out[0] == -1);
    cuda::synchronize();
    CHECK((out == reversed));
    emulation::device().lazy = false;

    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    {
        const cuda::StreamScope scope(stream);
        REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
        cuda::launch(reverse<true>, 1, 64, 256, data.data());
        fetch();
        REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
        CHECK((out == reversed));
        REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
        REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
        CHECK((out == x));
        REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
        CHECK((out == reversed));

        cudaGraph_t nothing = nullptr;  // who waits for a recording makes it void
        REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
        CHECK_THROWS_AS(cuda::synchronize(), Error);
        CHECK(cudaStreamEndCapture(stream, &nothing) == cudaErrorStreamCaptureInvalidated);
        CHECK(nothing == nullptr);
        cudaGetLastError();
    }
    CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}
