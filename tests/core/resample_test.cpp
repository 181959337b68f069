#include "flowfar/core/images/resample.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <filesystem>
#include <string>
#include <vector>

#include "flowfar/io/tensors/safetensors.hpp"

#include "folders.hpp"

using flowfar::Antialias;
using flowfar::area_weights;
using flowfar::bicubic_weights;
using flowfar::bilinear_weights;
using flowfar::Error;
using flowfar::Index;
namespace io = flowfar::io;

namespace {

using Weights = flowfar::PoolVector<double>;

void check_close(const Weights& found, const Weights& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        CAPTURE(i);
        CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-14));
    }
}

/// Applies `weights` [out, in] to both axes of planes [planes, in, in]; gives [planes, out, out].
std::vector<double> resample_planes(const std::vector<double>& input, const Weights& weights, Index in, Index out) {
    const auto n = static_cast<std::size_t>(in);
    const auto m = static_cast<std::size_t>(out);
    const std::size_t planes = input.size() / (n * n);
    std::vector<double> result(planes * m * m, 0.0);
    for (std::size_t p = 0; p < planes; ++p) {
        for (std::size_t y = 0; y < m; ++y) {
            for (std::size_t x = 0; x < m; ++x) {
                double sum = 0.0;
                for (std::size_t r = 0; r < n; ++r) {
                    for (std::size_t c = 0; c < n; ++c) {
                        sum += weights[y * n + r] * weights[x * n + c] * input[(p * n + r) * n + c];
                    }
                }
                result[(p * m + y) * m + x] = sum;
            }
        }
    }
    return result;
}

double relative_difference(const std::vector<double>& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    double difference = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        difference += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / norm);
}

}  // namespace

TEST_CASE("small matrices worked out by hand") {
    check_close(area_weights(4, 2), {0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5});
    const double third = 1.0 / 3.0;
    check_close(area_weights(5, 3), {0.5, 0.5, 0, 0, 0, 0, third, third, third, 0, 0, 0, 0, 0.5, 0.5});
    check_close(area_weights(2, 3), {1, 0, 0.5, 0.5, 0, 1});
    check_close(bilinear_weights(2, 4, Antialias::off), {1, 0, 0.75, 0.25, 0.25, 0.75, 0, 1});
    check_close(bilinear_weights(4, 2, Antialias::off), {0.5, 0.5, 0, 0, 0, 0, 0.5, 0.5});
    // The stretched triangle has weights 3, 3, 1 (of 8 with the dropped 1) at the border.
    check_close(bilinear_weights(4, 2, Antialias::on), {3.0 / 7, 3.0 / 7, 1.0 / 7, 0, 0, 1.0 / 7, 3.0 / 7, 3.0 / 7});
    // Halfway between samples the cubic gives a/8, 1/2 - a/8 and mirrored; border weights add up on the end sample.
    check_close(bicubic_weights(4, 2, Antialias::off, -0.75), {0.5, 0.59375, -0.09375, 0, 0, -0.09375, 0.59375, 0.5});
    check_close(bicubic_weights(1, 1, Antialias::off, -0.75), {1});
    check_close(bicubic_weights(1, 3, Antialias::on, -0.5), {1, 1, 1});
}

TEST_CASE("equal sizes give the identity") {
    for (const Index n : {1, 2, 3, 31, 32, 33}) {
        Weights identity(static_cast<std::size_t>(n * n), 0.0);
        for (Index i = 0; i < n; ++i) {
            identity[static_cast<std::size_t>(i * n + i)] = 1.0;
        }
        CHECK(area_weights(n, n) == identity);
        for (const Antialias antialias : {Antialias::off, Antialias::on}) {
            CHECK(bilinear_weights(n, n, antialias) == identity);
            CHECK(bicubic_weights(n, n, antialias, -0.75) == identity);
        }
    }
}

TEST_CASE("every row sums to one and mirrors its opposite") {
    for (const Index in : {1, 2, 5, 16, 33}) {
        for (const Index out : {1, 2, 3, 13, 32, 50}) {
            CAPTURE(in);
            CAPTURE(out);
            for (const Weights& weights :
                 {area_weights(in, out), bilinear_weights(in, out, Antialias::off),
                  bilinear_weights(in, out, Antialias::on), bicubic_weights(in, out, Antialias::off, -0.75),
                  bicubic_weights(in, out, Antialias::on, -0.5)}) {
                double worst_sum = 0.0;
                double worst_mirror = 0.0;
                for (Index i = 0; i < out; ++i) {
                    double sum = 0.0;
                    for (Index k = 0; k < in; ++k) {
                        const double weight = weights[static_cast<std::size_t>(i * in + k)];
                        const double mirrored = weights[static_cast<std::size_t>((out - i) * in - 1 - k)];
                        sum += weight;
                        worst_mirror = std::max(worst_mirror, std::abs(weight - mirrored));
                    }
                    worst_sum = std::max(worst_sum, std::abs(sum - 1.0));
                }
                CHECK(worst_sum < 1e-13);
                CHECK(worst_mirror < 1e-12);
            }
        }
    }
}

TEST_CASE("interpolation keeps straight lines away from the borders") {
    constexpr Index in = 20;
    constexpr Index out = 47;
    for (const Weights& weights :
         {bilinear_weights(in, out, Antialias::off), bicubic_weights(in, out, Antialias::off, -0.5)}) {
        for (Index i = 5; i < out - 5; ++i) {
            double value = 0.0;
            for (Index k = 0; k < in; ++k) {
                value += weights[static_cast<std::size_t>(i * in + k)] * static_cast<double>(k);
            }
            CHECK(value == doctest::Approx((static_cast<double>(i) + 0.5) * in / out - 0.5));
        }
    }
}

TEST_CASE("empty axes are refused") {
    CHECK_THROWS_AS((void)area_weights(0, 3), Error);
    CHECK_THROWS_AS((void)bilinear_weights(3, 0, Antialias::on), Error);
    CHECK_THROWS_AS((void)bicubic_weights(-1, 3, Antialias::off, -0.75), Error);
}

TEST_CASE("results agree with the recorded reference") {
    const io::SafetensorsFile file(flowfar::testing::source_folder() / "tests/golden/far_filter.safetensors");
    const auto tensor = [&](const std::string& name) { return io::values<double>(file.at(name)); };
    constexpr double tolerance = 5e-6;  // the reference is float32
    const std::vector<double> latent = tensor("latent");
    for (const Index core : {2, 5, 13}) {
        CAPTURE(core);
        const auto area = tensor("area" + std::to_string(core));
        CHECK(relative_difference(resample_planes(latent, area_weights(16, core), 16, core), area) < tolerance);
        CHECK(relative_difference(resample_planes(area, bicubic_weights(core, 16, Antialias::off, -0.75), core, 16),
                                  tensor("bicubic_from_area" + std::to_string(core))) < tolerance);
    }
    for (Index core = 1; core <= 15; ++core) {
        CAPTURE(core);
        const auto low = resample_planes(latent, area_weights(16, core), 16, core);
        CHECK(relative_difference(resample_planes(low, bicubic_weights(core, 16, Antialias::off, -0.75), core, 16),
                                  tensor("core" + std::to_string(core))) < tolerance);
    }
    std::vector<double> corner;  // the top left 4 x 4 of every plane
    for (std::size_t plane = 0; plane < latent.size() / 256; ++plane) {
        for (std::size_t i = 0; i < 16; ++i) {
            corner.push_back(latent[plane * 256 + i / 4 * 16 + i % 4]);
        }
    }
    const auto enlarged = tensor("up_area_4to13");
    CHECK(relative_difference(resample_planes(corner, area_weights(4, 13), 4, 13), enlarged) < tolerance);
    CHECK(relative_difference(resample_planes(enlarged, bicubic_weights(13, 4, Antialias::off, -0.75), 13, 4),
                              tensor("down_bicubic_13to4")) < tolerance);
}
