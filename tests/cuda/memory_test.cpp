#include "suites/memory.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: conversions between all element types") {
    check_cast<Cuda>();
}
TEST_CASE("cuda: assignment into views") {
    check_assign<Cuda>(DType::f32);
    check_assign<Cuda>(DType::bf16);
    check_assign<Cuda>(DType::f64);
}
TEST_CASE("cuda: views") {
    check_views<Cuda>(DType::f32);
    check_views<Cuda>(DType::bf16);
}
TEST_CASE("cuda: concatenation and row selection") {
    check_indexing<Cuda>(DType::f32);
    check_indexing<Cuda>(DType::bf16);
    check_indexing<Cuda>(DType::f64);
}
TEST_CASE("cuda: random numbers are the reference's, bit for bit") {
    check_random<Cuda>();
}
TEST_CASE("cuda: constants of every element type") {
    for (const DType dtype : all_dtypes) {
        INFO(name_of(dtype));
        CHECK((values_of<Cuda>(Cuda::full({3, 11}, dtype, 5.0)) == std::vector<double>(33, 5.0)));
        CHECK(values_of<Cuda>(Cuda::full({0, 4}, dtype, 5.0)).empty());
    }
}
TEST_CASE("cuda: indices that changed on the device are read from there") {
    const Index values[] = {0, 2, 1};
    const Index others[] = {2, 2, 0};
    const Handle list = Cuda::from_host(values, {3}, DType::i64);
    Maker<Cuda> make(DType::f32, 611);
    const auto x = make.from({10.0, 11.0, 12.0}, {3});
    CHECK((values_of<Cuda>(Cuda::gather_rows(x.tested, list)) == std::vector<double>{10.0, 12.0, 11.0}));
    CHECK(
        (values_of<Cuda>(Cuda::gather_rows(x.tested, Cuda::slice(list, 0, 1, 3))) == std::vector<double>{12.0, 11.0}));
    Cuda::assign(list, Cuda::from_host(others, {3}, DType::i64));
    CHECK((values_of<Cuda>(Cuda::gather_rows(x.tested, list)) == std::vector<double>{12.0, 12.0, 10.0}));
    const Handle computed = Cuda::cast(make.from({1.0, 0.0}, {2}).tested, DType::i64);
    CHECK((values_of<Cuda>(Cuda::gather_rows(x.tested, computed)) == std::vector<double>{11.0, 10.0}));
}
TEST_CASE("cuda: transposed copies of all sizes of elements and matrices") {
    for (const DType dtype : {DType::u8, DType::bf16, DType::f32, DType::f64}) {
        for (const Extents& e : {Extents{33, 65}, Extents{8, 8}, Extents{3, 40, 9}, Extents{2, 3, 31, 64}}) {
            std::vector<double> values(static_cast<std::size_t>(e.count()));
            for (std::size_t i = 0; i < values.size(); ++i) {
                values[i] = static_cast<double>(i % 199);
            }
            Extents order;
            Extents other;
            for (int axis = 0; axis < e.rank(); ++axis) {
                order.push_back(axis < e.rank() - 2 ? axis : 2 * e.rank() - 3 - axis);
                other.push_back((axis + 1) % e.rank());
            }
            const Handle found = Cuda::cast(Cuda::from_host(values.data(), e, DType::f64), dtype);
            const Handle exact = Reference::from_host(values.data(), e, DType::f64);
            for (const Extents& permutation : {order, other}) {
                CHECK((values_of<Cuda>(Cuda::contiguous(Cuda::permute(found, permutation))) ==
                       values_of<Reference>(Reference::permute(exact, permutation))));
            }
        }
    }
}
TEST_CASE("cuda: memory is counted and limited, and a refusal leaves everything usable") {
    const std::size_t before = Cuda::memory_use().used;
    Cuda::reset_high_water();
    {
        const Handle h = Cuda::full({1000, 1000}, DType::f32, 1.0);
        CHECK(Cuda::memory_use().used >= before + 4000000);
        Cuda::set_memory_limit(Cuda::memory_use().used + 1000);
        CHECK_THROWS_AS(static_cast<void>(Cuda::empty({1000}, DType::f32)), Error);
        Cuda::set_memory_limit(~std::size_t{0});
        CHECK((values_of<Cuda>(Cuda::reduce(ReduceOp::sum, h, Axes::all(2), ReducedAxes::drop)) ==
               std::vector<double>{1e6}));
    }
    CHECK(Cuda::memory_use().used == before);
    CHECK(Cuda::memory_use().high_water >= before + 4000000);
}
