// Hopper's warpgroup products in each layout that attention uses, against the host: if this fails, one line says which
// encoding is wrong; if only attention fails, the encodings are right.
#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/kernels/attention/attention_hopper.cuh"

#include "hopper_device.hpp"
#include "twin.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// One warpgroup: s = q kᵀ for q [64, depth] and k [128, depth], both by rows, then out = s v for v [128, depth], by
/// columns, with s in registers.
template <int depth>
__global__ void __launch_bounds__(128)
    products_kernel([[maybe_unused]] float* s_out, [[maybe_unused]] float* out_out, [[maybe_unused]] const bf16* q,
                    [[maybe_unused]] const bf16* k, [[maybe_unused]] const bf16* v) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
    constexpr int page = cuda::page_columns(depth);
    constexpr int columns = cuda::hopper::columns;
    __shared__ std::uint64_t there;
    auto* const tile_q = reinterpret_cast<bf16*>(cuda::dynamic_shared_1024());
    bf16* const tile_k = tile_q + 128 * depth;
    bf16* const tile_v = tile_k + 128 * depth;
    if (threadIdx.x == 0) {
        cuda::barrier_init(&there, 128);
    }
    __syncthreads();
    cuda::hopper::load_pages<depth>(tile_q, q, depth, 0, 64, depth);
    cuda::hopper::load_pages<depth>(tile_k, k, depth, 0, columns, depth);
    cuda::hopper::load_pages<depth>(tile_v, v, depth, 0, columns, depth);
    cuda::barrier_arrive_after_copies(&there);
    cuda::barrier_wait(&there, 0);
    cuda::async_proxy_fence();

    float s[columns / 8][4] = {};
    cuda::warpgroup_fence();
    for (int n = 0; n < depth / page; ++n) {
        const std::uint64_t a = cuda::describe_page<page>(tile_q + n * 128 * page);
        const std::uint64_t b = cuda::describe_page<page>(tile_k + n * columns * page);
        for (int i = 0; i < page / 16; ++i) {
            const auto along = static_cast<std::uint64_t>(2 * i);
            cuda::multiply_shared<columns>(s, a + along, b + along, n + i > 0);
        }
    }
    cuda::warpgroup_commit();
    cuda::warpgroup_wait<0>();
    cuda::pin_accumulators(s);

    unsigned p[columns / 16][4];
    cuda::hopper::pack_weights(p, s);
    float out[depth / 8][4] = {};
    cuda::pin_accumulators(out);
    cuda::warpgroup_fence();
#pragma unroll
    for (int i = 0; i < columns / 16; ++i) {
        cuda::multiply_registers<depth>(out, p[i],
                                        cuda::describe_page<page>(tile_v + 16 * i * page, 2 * columns * page));
    }
    cuda::warpgroup_commit();
    cuda::warpgroup_wait<0>();
    cuda::pin_accumulators(out);

    const int lane = static_cast<int>(threadIdx.x % 32);
    const int row = static_cast<int>(threadIdx.x / 32) * 16 + lane / 4;
    const auto write = [&](float* to, const auto& part, int width) {
#pragma unroll
        for (int n = 0; n < width / 8; ++n) {
            for (int i = 0; i < 4; ++i) {
                to[(row + i / 2 * 8) * width + 8 * n + 2 * (lane % 4) + i % 2] = part[n][i];
            }
        }
    };
    write(s_out, s, columns);
    write(out_out, out, depth);
#endif
}

template <int depth>
void check_products() {
    constexpr int columns = cuda::hopper::columns;
    Maker<Cuda> make(DType::bf16, 531);
    const auto drawn = [&](Index rows) {  // −1, 0 and 1: every sum is exact
        std::vector<double> values(static_cast<std::size_t>(rows * depth));
        for (double& value : values) {
            value = static_cast<double>(make.engine()() % 3) - 1.0;
        }
        return make.from(values, {rows, depth});
    };
    const auto q = drawn(64);
    const auto k = drawn(columns);
    const auto v = drawn(columns);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Handle s = Cuda::full({64, columns}, DType::f32, nan);
    const Handle out = Cuda::full({64, depth}, DType::f32, nan);
    const std::size_t bytes = 3 * 128 * depth * sizeof(bf16) + 1024;
    cuda::launch(products_kernel<depth>, 1, 128, bytes, s.data<float>(), out.data<float>(),
                 static_cast<const bf16*>(q.tested.template data<bf16>()),
                 static_cast<const bf16*>(k.tested.template data<bf16>()),
                 static_cast<const bf16*>(v.tested.template data<bf16>()));
    const Handle exact_s = Reference::gemm(q.exact, Reference::permute(k.exact, {1, 0}), Handle{}, {});
    const Handle exact_out = Reference::gemm(exact_s, v.exact, Handle{}, {});
    INFO("by rows, head size ", depth, ", pages of ", 2 * cuda::page_columns(depth), " bytes");
    CHECK((values_of<Cuda>(s) == values_of<Reference>(exact_s)));
    INFO("by columns");
    CHECK((values_of<Cuda>(out) == values_of<Reference>(exact_out)));
}

}  // namespace

TEST_CASE("cuda: warpgroup products by rows and by columns") {
    const HopperDevice device;
    if (device.there()) {
        check_products<64>();
        check_products<96>();
        check_products<128>();
    }
}
