// What the CUDA backend's host code decides before a kernel starts: divisions, ways through views, parts of large
// convolutions. The decisions live beside the kernels, so nvcc compiles this for a device.
#include <cstdint>
#include <random>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/kernels/conv/conv.cuh"

#include "suites/conv.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("fast division is division") {
    std::mt19937 engine(901);
    std::vector<std::uint32_t> divisors{1,   2,     3,     5,     7,          31,         32,        33,
                                        641, 65535, 65536, 65537, 0x3FFFFFFF, 0x7FFFFFFE, 0x7FFFFFFF};
    for (int i = 0; i < 300; ++i) {
        divisors.push_back(static_cast<std::uint32_t>(1 + engine() % (0x7FFFFFFFU >> (engine() % 31))));
    }
    for (const std::uint32_t d : divisors) {
        const auto divide = cuda::FastDivide::by(d);
        const auto check = [&](std::uint64_t n) {
            if (n <= 0x7FFFFFFF) {
                REQUIRE(divide.quotient(static_cast<std::uint32_t>(n)) == n / d);
            }
        };
        for (const std::uint64_t multiple : {0U, 1U, 2U, 3U, 1000U}) {
            for (int around = 0; around < 3; ++around) {
                check(multiple * d + static_cast<std::uint64_t>(around));
                check(multiple * d + d - 1);
            }
        }
        for (int i = 0; i < 200; ++i) {
            check(engine() & 0x7FFFFFFFU);
        }
        check(0x7FFFFFFF);
    }
}

TEST_CASE("views are walked in packs where they permit it") {
    alignas(16) static float memory[4096];
    const auto plan = [](Layout out, Layout in, Index offset = 0) {
        return cuda::plan_map<2>({&out, &in}, {memory, memory + offset}, {4, 4}, 4);
    };
    const Layout dense = contiguous_layout({6, 8});
    CHECK(plan(dense, dense).packed);
    CHECK(plan(dense, dense).count == 12);
    CHECK(plan(dense, dense).units.rank == 1);
    CHECK_FALSE(plan(dense, dense, 1).packed);  // not aligned
    CHECK(plan(dense, dense, 4).packed);
    const auto odd = plan(contiguous_layout({5, 7}), contiguous_layout({5, 7}));  // one axis: the last pack is partial
    CHECK(odd.packed);
    CHECK(odd.count == 9);
    CHECK(odd.elements == 35);
    const auto row = plan(dense, expanded(contiguous_layout({8}), {6, 8}));
    CHECK(row.packed);
    CHECK(row.units.rank == 2);
    const auto column = plan(dense, expanded(contiguous_layout({6, 1}), {6, 8}));
    CHECK(column.packed);
    CHECK(column.repeats[1]);
    CHECK_FALSE(plan(contiguous_layout({6, 7}), expanded(contiguous_layout({7}), {6, 7})).packed);
    CHECK_FALSE(plan(dense, permuted(contiguous_layout({8, 6}), {1, 0})).packed);
    const Layout turned = permuted(contiguous_layout({8, 6}), {1, 0});  // both lie the other way: walked in their order
    CHECK(plan(turned, turned).packed);
    CHECK(plan(turned, turned).units.rank == 1);
}

TEST_CASE("a part of a view begins where its axis does") {
    static const float memory[21000]{};
    const cuda::View<const float> view{memory, contiguous_layout({3, 1000, 7})};
    const auto part = view.part(1, 400, 1000);
    CHECK(part.layout.extents == Extents{3, 600, 7});
    CHECK(part.layout.stride(0) == 7000);
    CHECK(part.data == memory + 2800);
}

TEST_CASE("convolutions whose gathered matrix does not fit are done in parts") {
    std::size_t& limit = cuda::Conv<float>::scratch_limit();
    const std::size_t before = limit;
    Maker<Cuda> make(DType::f32, 902);
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{20000}, std::size_t{200000}}) {
        limit = bytes;
        check_conv2d_of<Cuda>(make, make.uniform({3, 5, 17, 13}), make.uniform({6, 5, 3, 3}), make.uniform({6}),
                              ConvOptions::same(3));
        check_conv2d_of<Cuda>(make, make.uniform({2, 3, 30, 31}), make.uniform({2, 3, 1, 1}), Twin<Cuda>{}, {});
        check_conv2d_of<Cuda>(make, make.uniform({2, 3, 12, 12}), make.uniform({4, 3, 3, 3}), make.uniform({4}),
                              {2, 0, 0, 1, 1});
    }
    limit = before;
}

TEST_CASE("an algorithm is looked up once per problem") {
    Maker<Cuda> make(DType::f32, 903);
    const auto a = make.uniform({9, 21}).tested;
    const auto b = make.uniform({21, 15}).tested;
    const Handle none;
    static_cast<void>(Cuda::gemm(a, b, none, {}));
    const std::size_t known = cuda::LtEngine::instance().known();
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(Cuda::gemm(a, b, none, {.alpha = 0.5}));
    }
    CHECK(cuda::LtEngine::instance().known() == known);
    static_cast<void>(Cuda::gemm(Cuda::slice(a, 0, 0, 8), b, none, {}));
    CHECK(cuda::LtEngine::instance().known() == known + 1);
}
