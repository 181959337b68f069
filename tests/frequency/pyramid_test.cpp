/// The low-pass filters against their definitions.

#include "flowfar/frequency/pyramid.hpp"

#include <cmath>
#include <complex>
#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Wide = Tensor<Reference, Shape<dyn, dyn, dyn, dyn>, double>;

Wide random_latents(const Extents& extents, std::uint32_t seed) {
    return Wide(random_handle(extents, seed));
}

/// The Fourier low-pass of one axis by its definition: weights on the discrete Fourier transform.
std::vector<double> fourier_by_definition(const std::vector<double>& x, Index level) {
    const auto n = static_cast<Index>(x.size());
    std::vector<double> out(x.size(), 0.0);
    const double turn = 2.0 * cx::pi / static_cast<double>(n);
    for (Index k = 0; k < n; ++k) {
        const Index f = 2 * k > n ? n - k : k;  // |f|
        const double weight = level >= n ? 1.0 : 2 * f < level ? 1.0 : 2 * f == level ? 0.5 : 0.0;
        std::complex<double> sum = 0;
        for (Index i = 0; i < n; ++i) {
            sum += x[static_cast<std::size_t>(i)] * std::polar(1.0, -turn * static_cast<double>(i * k % n));
        }
        for (Index i = 0; i < n; ++i) {
            out[static_cast<std::size_t>(i)] +=
                weight * (sum * std::polar(1.0, turn * static_cast<double>(i * k % n))).real() / static_cast<double>(n);
        }
    }
    return level == 0 ? std::vector<double>(x.size(), 0.0) : out;
}

}  // namespace

TEST_CASE("Fourier low-pass against the transform itself: even and odd sizes, the longer side in proportion") {
    const std::vector<std::pair<std::size_t, std::size_t>> sizes{{1, 1}, {2, 2},   {3, 3}, {8, 8},
                                                                 {9, 9}, {16, 16}, {4, 6}, {12, 5}};
    for (const auto& [height, width] : sizes) {
        const Wide x = random_latents({2, 3, static_cast<Index>(height), static_cast<Index>(width)}, 5);
        const std::size_t shorter = std::min(height, width);
        for (Index level = 0; level <= static_cast<Index>(shorter) + 1; ++level) {
            CAPTURE(height);
            CAPTURE(width);
            CAPTURE(level);
            std::vector<double> want = x.to_host();
            for (std::size_t image = 0; image < 6; ++image) {
                for (const bool rows : {true, false}) {
                    const std::size_t size = rows ? width : height;
                    const double share = static_cast<double>(size) / static_cast<double>(shorter);
                    const auto kept = static_cast<Index>(std::lround(static_cast<double>(level) * share));
                    for (std::size_t line = 0; line < (rows ? height : width); ++line) {
                        std::vector<double> axis(size);
                        const auto at = [&](std::size_t i) {
                            return image * height * width + (rows ? line * width + i : i * width + line);
                        };
                        for (std::size_t i = 0; i < size; ++i) {
                            axis[i] = want[at(i)];
                        }
                        axis = fourier_by_definition(axis, kept);
                        for (std::size_t i = 0; i < size; ++i) {
                            want[at(i)] = axis[i];
                        }
                    }
                }
            }
            CHECK(difference_of(FourierFilter::apply(x, level).to_host(), want, 1e-12) == "");
        }
    }
}

TEST_CASE("both filters: zeros, mean, identity, any size") {
    const Wide x = random_latents({1, 2, 6, 10}, 8);
    const std::vector<double> values = x.to_host();
    CHECK(SpatialFilter::apply(x, 0).to_host() == std::vector<double>(120, 0.0));
    CHECK(FourierFilter::apply(x, 0).to_host() == std::vector<double>(120, 0.0));
    for (const Index level : {6, 10}) {  // the shorter side's, and beyond
        CHECK(FourierFilter::apply(x, level).to_host() == values);
    }
    CHECK(SpatialFilter::apply(x, 6).to_host() == values);
    // What an upright latent keeps is the transpose of what a wide one keeps.
    for (Index level = 1; level < 6; ++level) {
        CHECK(difference_of(SpatialFilter::apply(Wide(transpose(x)), level).to_host(),
                            transpose(SpatialFilter::apply(x, level)).to_host(), 1e-12) == "");
    }
    const Wide square = random_latents({1, 1, 8, 8}, 9);
    const std::vector<double> spatial = SpatialFilter::apply(square, 1).to_host();
    CHECK(difference_of(spatial, FourierFilter::apply(square, 1).to_host(), 1e-12) == "");
    double mean = 0;
    for (const double value : square.to_host()) {
        mean += value / 64;
    }
    CHECK(spatial[7] == doctest::Approx(mean));
    CHECK(SpatialFilter::apply(square, 8).to_host() == square.to_host());
}

TEST_CASE("both filters are differentiable") {
    for (const Index level : {1, 2, 3}) {
        check_gradient(
            "spatial",
            [=](const auto& in) {
                return SpatialFilter::apply(Tensor<Tape, Shape<dyn, dyn, dyn, dyn>, double>(in[0]), level).handle();
            },
            {random_handle({1, 2, 4, 5}, 3)});
        check_gradient(
            "Fourier",
            [=](const auto& in) {
                return FourierFilter::apply(Tensor<Tape, Shape<dyn, dyn, dyn, dyn>, double>(in[0]), level).handle();
            },
            {random_handle({1, 2, 4, 5}, 4)});
    }
}

TEST_CASE("the pyramid and its run-time twin agree; levels per sample") {
    using List = Levels<0, 2, 5>;
    const Wide x = random_latents({3, 2, 6, 6}, 2);
    const auto fixed = FrequencyPyramid<FourierFilter, List>::decompose(x);
    const auto free = RuntimePyramid<FourierFilter>(List{}).decompose(x);
    REQUIRE(free.size() == fixed.size());
    for (std::size_t i = 0; i < free.size(); ++i) {
        CHECK(free[i].to_host() == fixed[i].to_host());
    }
    const std::vector<Index> levels{5, 5, 2};
    const Wide each = low_pass_each<FourierFilter>(x, levels);
    CHECK(slice<0>(each, 0, 2).to_host() == slice<0>(fixed[2], 0, 2).to_host());
    CHECK(slice<0>(each, 2, 3).to_host() == slice<0>(fixed[1], 2, 3).to_host());
}

TEST_CASE("wrong levels are named") {
    CHECK_THROWS_WITH_AS(RuntimePyramid<SpatialFilter>({0, 4, 3}),
                         "levels: level 2 is 3, expected more than 4: levels must increase", Error);
    CHECK_THROWS_WITH_AS(RuntimePyramid<SpatialFilter>({0, 4, 4}),
                         "levels: level 2 is 4, expected more than 4: levels must increase", Error);
    CHECK_THROWS_WITH_AS(RuntimePyramid<SpatialFilter>({-1, 4}), "levels: level 0 is -1, expected at least 0", Error);
    CHECK_THROWS_AS(RuntimePyramid<SpatialFilter>({}), Error);
    const Wide x = random_latents({2, 1, 4, 4}, 1);
    CHECK_THROWS_AS(static_cast<void>(SpatialFilter::apply(x, -2)), Error);
    const std::vector<Index> one{1};
    CHECK_THROWS_AS(static_cast<void>(low_pass_each<SpatialFilter>(x, one)), Error);
}
