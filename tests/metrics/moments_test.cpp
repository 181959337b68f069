#include "flowfar/metrics/moments.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <span>
#include <vector>

#include "metrics/feature_rows.hpp"

using flowfar::Index;
using flowfar::metrics::FeatureMoments;
using flowfar::metrics::FeatureStatistics;
using flowfar::testing::feature_rows;

namespace {

/// Mean first, then products of centered values: two passes in double.
FeatureStatistics two_passes(std::span<const float> rows, std::size_t width) {
    const std::size_t count = rows.size() / width;
    FeatureStatistics out{static_cast<Index>(count), std::vector<double>(width), std::vector<double>(width * width)};
    for (std::size_t i = 0; i < rows.size(); ++i) {
        out.mean[i % width] += static_cast<double>(rows[i]) / static_cast<double>(count);
    }
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            for (std::size_t k = 0; k < width; ++k) {
                out.covariance[j * width + k] += (static_cast<double>(rows[i * width + j]) - out.mean[j]) *
                                                 (static_cast<double>(rows[i * width + k]) - out.mean[k]) /
                                                 static_cast<double>(count - 1);
            }
        }
    }
    return out;
}

void check_equal(const FeatureStatistics& found, const FeatureStatistics& expected, double tolerance) {
    REQUIRE(found.count == expected.count);
    REQUIRE(found.mean.size() == expected.mean.size());
    REQUIRE(found.covariance.size() == expected.covariance.size());
    for (std::size_t i = 0; i < found.mean.size(); ++i) {
        CHECK(std::fabs(found.mean[i] - expected.mean[i]) <= tolerance * (1 + std::fabs(expected.mean[i])));
    }
    for (std::size_t i = 0; i < found.covariance.size(); ++i) {
        CHECK(std::fabs(found.covariance[i] - expected.covariance[i]) <= tolerance);
    }
}

FeatureStatistics at_once(std::span<const float> rows, Index width) {
    FeatureMoments moments(width);
    moments.add(rows);
    return moments.statistics();
}

}  // namespace

TEST_CASE("mean and covariance equal two passes, however the rows arrive") {
    constexpr std::size_t width = 7;
    const std::vector<float> rows = feature_rows("metrics.real", 700, width);
    const FeatureStatistics expected = two_passes(rows, width);
    check_equal(at_once(rows, width), expected, 1e-13);
    for (const std::size_t piece : {1U, 31U, 32U, 33U, 256U, 257U}) {
        CAPTURE(piece);
        FeatureMoments moments(width);
        std::span<const float> rest(rows);
        while (!rest.empty()) {
            const std::size_t values = std::min(piece * width, rest.size());
            moments.add(rest.first(values));
            moments.add({});
            rest = rest.subspan(values);
        }
        CHECK(moments.count() == 700);
        check_equal(moments.statistics(), expected, 1e-13);
    }
}

TEST_CASE("merging equals one pass, in any order and with empty parts") {
    constexpr std::size_t width = 5;
    const std::vector<float> rows = feature_rows("metrics.real", 611, width);
    const std::span<const float> all(rows);
    FeatureMoments parts[3] = {FeatureMoments(width), FeatureMoments(width), FeatureMoments(width)};
    parts[0].add(all.first(3 * width));
    parts[1].add(all.subspan(3 * width, 400 * width));
    parts[2].add(all.subspan(403 * width));
    const FeatureStatistics expected = at_once(rows, width);
    FeatureMoments forward(width);
    for (const FeatureMoments& part : parts) {
        forward.merge(part);
        forward.merge(FeatureMoments(width));
    }
    check_equal(forward.statistics(), expected, 1e-14);
    FeatureMoments backward = parts[2];
    backward.merge(parts[1]);
    backward.merge(parts[0]);
    check_equal(backward.statistics(), expected, 1e-14);
    FeatureMoments twice = parts[1];
    twice.merge(twice);
    std::vector<float> repeated(all.begin() + 3 * width, all.begin() + 403 * width);
    repeated.insert(repeated.end(), all.begin() + 3 * width, all.begin() + 403 * width);
    check_equal(twice.statistics(), at_once(repeated, width), 1e-14);
}

TEST_CASE("a large offset costs no digits") {
    constexpr std::size_t width = 3;
    std::vector<float> rows = feature_rows("metrics.real", 2000, width);
    for (float& value : rows) {
        value = std::round(value * 64) / 64;  // exact after the offset is added
    }
    const FeatureStatistics small = at_once(rows, width);
    for (float& value : rows) {
        value += 65536;
    }
    const FeatureStatistics large = at_once(rows, width);
    for (std::size_t i = 0; i < small.covariance.size(); ++i) {
        CHECK(std::fabs(large.covariance[i] - small.covariance[i]) < 1e-10);
    }
}

TEST_CASE("covariance is symmetric to the bit") {
    const FeatureStatistics s = at_once(feature_rows("metrics.real", 50, 9), 9);
    for (std::size_t i = 0; i < 9; ++i) {
        for (std::size_t j = 0; j < 9; ++j) {
            CHECK(s.covariance[i * 9 + j] == s.covariance[j * 9 + i]);
        }
    }
}

TEST_CASE("bad rows are refused and change nothing") {
    FeatureMoments moments(3);
    const std::vector<float> rows{1, 2, 3, 4, 5, 7};
    std::vector<float> broken(rows);
    broken[4] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS(moments.add(broken), "FeatureMoments: feature 1 of row 1 is not finite: nan", flowfar::Error);
    CHECK_THROWS_WITH_AS(moments.add(std::span(rows).first(4)),
                         "FeatureMoments: 4 values are no whole rows of 3 features", flowfar::Error);
    CHECK(moments.count() == 0);
    CHECK_THROWS_AS((void)moments.statistics(), flowfar::Error);
    moments.add(std::span(rows).first(3));
    CHECK_THROWS_WITH_AS((void)moments.statistics(), "FeatureMoments: a covariance needs at least 2 rows, found 1",
                         flowfar::Error);
    CHECK_THROWS_AS(moments.merge(FeatureMoments(4)), flowfar::Error);
    CHECK_THROWS_AS(FeatureMoments(0), flowfar::Error);
    moments.add(std::span(rows).last(3));
    CHECK(moments.statistics().covariance[0] == 4.5);
}
