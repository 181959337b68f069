// The emulator finds the errors it is there for, and runs correct kernels correctly. Without it, no other test in this
// folder proves anything.
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cuda/kernels/attention/attention_warpgroup.cuh"
#include "flowfar/backend/cuda/kernels/gemm/tensor_core.cuh"
#include "flowfar/backend/cuda/runtime/launch.cuh"
#include "flowfar/core/op_options.hpp"

namespace {

using namespace flowfar;
namespace emulation = cuda_emulation;

/// Device memory with the elements of `values`.
template <class T>
class Array {
   public:
    explicit Array(const std::vector<T>& values)
        : count_(values.size()), block_(cuda::allocate(values.size() * sizeof(T))) {
        cuda::check(
            cudaMemcpyAsync(data(), values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice, cuda::current_stream()),
            "copy");
    }
    [[nodiscard]] T* data() const { return reinterpret_cast<T*>(block_.get()); }
    [[nodiscard]] std::vector<T> values() const {
        std::vector<T> out(count_);
        cuda::check(
            cudaMemcpyAsync(out.data(), data(), count_ * sizeof(T), cudaMemcpyDeviceToHost, cuda::current_stream()),
            "copy");
        cuda::synchronize();
        return out;
    }

   private:
    std::size_t count_;
    std::shared_ptr<std::byte> block_;
};

/// What the launch reports, or "" for nothing.
template <class... Parameters, class... Arguments>
std::string fault_of(void (*kernel)(Parameters...), unsigned threads, std::size_t shared_bytes,
                     Arguments... arguments) {
    try {
        cuda::launch(kernel, 1, threads, shared_bytes, arguments...);
    } catch (const emulation::Fault& fault) {
        return fault.what();
    }
    return "";
}
bool mentions(const std::string& text, const std::string& part) {
    CAPTURE(text);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

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

namespace {

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
    CHECK(std::isnan(out.values()[1]));  // read before the wait
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
        CHECK_THROWS_AS(cuda::synchronize(), Error);
        fetch();
        REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
        CHECK((out == reversed));
        REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
        REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
        CHECK((out == x));
        REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
        CHECK((out == reversed));
    }
    CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
    CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}
