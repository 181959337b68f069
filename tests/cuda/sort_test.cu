// Sorting, selection and sums by CUB against the standard library.
#include <algorithm>
#include <numeric>

#include "flowfar/backend/cuda/ops/sort.cuh"

#include "twin.hpp"

namespace flowfar::testing {

TEST_CASE("cuda: the sorting order is the standard library's stable one") {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        Maker<Cuda> make(dtype, 801);
        for (const Index size : awkward_sizes) {
            const Twin<Cuda> keys = make.quarters({size});  // with many ties
            const std::vector<double> values = values_of<Reference>(keys.exact);
            std::vector<double> order(values.size());
            std::iota(order.begin(), order.end(), 0.0);
            const auto at = [&](double i) { return values[static_cast<std::size_t>(i)]; };
            std::stable_sort(order.begin(), order.end(), [&](double a, double b) { return at(a) < at(b); });
            CHECK((values_of<Cuda>(cuda::argsort(keys.tested)) == order));
            std::iota(order.begin(), order.end(), 0.0);
            std::stable_sort(order.begin(), order.end(), [&](double a, double b) { return at(a) > at(b); });
            CHECK((values_of<Cuda>(cuda::argsort(keys.tested, true)) == order));
        }
    }
    CHECK_THROWS_AS(static_cast<void>(cuda::argsort(Cuda::full({3}, DType::u8, 1.0))), Error);
}

TEST_CASE("cuda: selection finds what is not zero") {
    Maker<Cuda> make(DType::f32, 802);
    for (const Index size : awkward_sizes) {
        const Twin<Cuda> mask = make.quarters({size});
        const std::vector<double> values = values_of<Reference>(mask.exact);
        std::vector<double> expected;
        for (std::size_t i = 0; i < values.size(); ++i) {
            if (values[i] != 0.0) {
                expected.push_back(static_cast<double>(i));
            }
        }
        CHECK((values_of<Cuda>(cuda::nonzero(mask.tested)) == expected));
    }
    const Twin<Cuda> list = Maker<Cuda>::indices({0, 3, 0, -1});
    CHECK((values_of<Cuda>(cuda::nonzero(list.tested)) == std::vector<double>{1.0, 3.0}));
}

TEST_CASE("cuda: the sum of a tensor") {
    Maker<Cuda> make(DType::f32, 803);
    for (const Index size : awkward_sizes) {
        const Twin<Cuda> x = make.uniform({size}, 0.5, 1.0);
        check_handles<Cuda>("total", {cuda::total(x.tested)},
                            {Reference::reduce(ReduceOp::sum, x.exact, Axes::all(1), ReducedAxes::drop)}, DType::f32,
                            approx::reduction(size), make.seed());
    }
}

}  // namespace flowfar::testing
