#include "flowfar/metrics/precision_recall.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "metrics/feature_rows.hpp"

using flowfar::Index;
using flowfar::metrics::precision_recall;
using flowfar::metrics::PrecisionRecall;
using flowfar::metrics::PrecisionRecallOptions;
using flowfar::testing::feature_rows;

namespace {

double squared_distance(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        sum += difference * difference;
    }
    return sum;
}

/// Share of samples within some manifold row's ball, by sorting all distances.
double brute_force(std::span<const float> samples, std::span<const float> manifold, std::size_t width, std::size_t k) {
    const auto row = [&](std::span<const float> rows, std::size_t i) { return rows.subspan(i * width, width); };
    const std::size_t count = manifold.size() / width;
    std::vector<double> radii(count);
    for (std::size_t i = 0; i < count; ++i) {
        std::vector<double> distances;
        for (std::size_t j = 0; j < count; ++j) {
            distances.push_back(squared_distance(row(manifold, i), row(manifold, j)));
        }
        std::ranges::sort(distances);
        radii[i] = distances[k];  // the nearest is the row itself
    }
    std::size_t inside = 0;
    for (std::size_t s = 0; s < samples.size() / width; ++s) {
        bool found = false;
        for (std::size_t i = 0; i < count; ++i) {
            found = found || squared_distance(row(samples, s), row(manifold, i)) <= radii[i];
        }
        inside += found ? 1 : 0;
    }
    return static_cast<double>(inside) / static_cast<double>(samples.size() / width);
}

void check_against_brute_force(const std::vector<float>& real, const std::vector<float>& generated, std::size_t width) {
    for (const std::size_t neighbors : {1U, 3U, 5U}) {
        for (const Index block : {Index{1}, Index{31}, Index{64}, Index{2048}}) {
            CAPTURE(neighbors);
            CAPTURE(block);
            const PrecisionRecall found =
                precision_recall(real, generated, static_cast<Index>(width),
                                 {.neighbors = static_cast<Index>(neighbors), .block = block});
            CHECK(found.precision == brute_force(generated, real, width, neighbors));
            CHECK(found.recall == brute_force(real, generated, width, neighbors));
        }
    }
}

}  // namespace

TEST_CASE("precision and recall equal brute force") {
    const std::vector<float> real = feature_rows("metrics.real", 150, 4);
    std::vector<float> generated = feature_rows("metrics.generated", 131, 4);
    for (std::size_t i = 0; i < generated.size(); ++i) {
        generated[i] *= i % 4 == 0 ? 1.5F : 0.75F;
    }
    const PrecisionRecall found = precision_recall(real, generated, 4);
    CHECK((found.precision > 0.3 && found.precision < 0.99));
    CHECK((found.recall > 0.3 && found.recall < 0.99));
    check_against_brute_force(real, generated, 4);
}

TEST_CASE("ties on the edge of a ball count as inside, and a common offset changes nothing") {
    // Points of a small lattice: most distances occur many times, and many points coincide. All of it is exact in float
    // and double, so brute force is too.
    constexpr unsigned seed = 20240611;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (const float offset : {0.0F, 4096.0F}) {
        std::vector<float> real;
        std::vector<float> generated;
        for (int i = 0; i < 3 * 90; ++i) {
            real.push_back(offset + static_cast<float>(random() % 9));
        }
        for (int i = 0; i < 3 * 70; ++i) {
            generated.push_back(offset + static_cast<float>(random() % 15));
        }
        check_against_brute_force(real, generated, 3);
    }
}

TEST_CASE("equal sets cover each other, distant ones do not, a collapsed one has precision only") {
    const std::vector<float> real = feature_rows("metrics.real", 60, 3);
    const PrecisionRecall same = precision_recall(real, real, 3);
    CHECK(same.precision == 1);
    CHECK(same.recall == 1);
    const std::vector<float> away = feature_rows("metrics.generated", 60, 3, 100);
    CHECK(precision_recall(real, away, 3).precision == 0);
    CHECK(precision_recall(real, away, 3).recall == 0);
    std::vector<float> collapsed;
    for (int i = 0; i < 20; ++i) {
        collapsed.insert(collapsed.end(), real.begin(), real.begin() + 3);
    }
    const PrecisionRecall one = precision_recall(real, collapsed, 3);
    CHECK(one.precision == 1);
    CHECK(one.recall == 1.0 / 60);
}

TEST_CASE("bad input is refused") {
    const std::vector<float> rows = feature_rows("metrics.real", 10, 3);
    std::vector<float> broken(rows);
    broken[7] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS((void)precision_recall(rows, broken, 3),
                         "precision_recall: generated: feature 1 of row 2 is not finite: inf", flowfar::Error);
    CHECK_THROWS_AS((void)precision_recall(rows, rows, 4), flowfar::Error);
    CHECK_THROWS_AS((void)precision_recall(rows, rows, 0), flowfar::Error);
    CHECK_THROWS_AS((void)precision_recall(rows, rows, 3, {.neighbors = 10}), flowfar::Error);
    CHECK_THROWS_AS((void)precision_recall(rows, rows, 3, {.neighbors = 0}), flowfar::Error);
    CHECK_THROWS_AS((void)precision_recall(rows, rows, 3, {.block = 0}), flowfar::Error);
    CHECK_THROWS_AS((void)precision_recall({}, rows, 3), flowfar::Error);
    CHECK_NOTHROW((void)precision_recall(rows, rows, 3, {.neighbors = 9}));
}
