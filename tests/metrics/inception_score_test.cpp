#include "flowfar/metrics/inception_score.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "fill.hpp"

using flowfar::Index;
using flowfar::metrics::inception_score;
using flowfar::metrics::InceptionScore;

namespace {

/// Computed by numpy 2.4.6 in double from logits fill("metrics.logits") with scale 4.
struct Recorded {
    Index rows;
    Index classes;
    Index splits;
    double mean;
    double deviation;
};

const Recorded recorded[] = {
    {60, 10, 1, 2.68160972332333, 0},
    {53, 7, 4, 2.43250820291868, 0.154249766576092},
    {100, 1008, 10, 2.53796829992271, 0.0196298494881851},
};

}  // namespace

TEST_CASE("the score and its deviation over splits equal numpy") {
    for (const Recorded& want : recorded) {
        CAPTURE(want.classes);
        const auto count = static_cast<std::size_t>(want.rows * want.classes);
        const std::vector<float> logits = flowfar::testing::fill("metrics.logits", count, 0, 4);
        const InceptionScore found = inception_score(logits, want.classes, want.splits);
        CHECK(found.mean == doctest::Approx(want.mean).epsilon(1e-12));
        CHECK(std::fabs(found.standard_deviation - want.deviation) < 1e-12);
    }
}

TEST_CASE("the score lies between 1 and the number of classes") {
    const std::vector<float> same{1, 2, 3, 1, 2, 3, 1, 2, 3};
    CHECK(inception_score(same, 3, 1).mean == doctest::Approx(1).epsilon(1e-14));
    std::vector<float> certain(16, 0.0F);  // four certain classes, equally often; large logits do not overflow
    for (std::size_t i = 0; i < 4; ++i) {
        certain[i * 5] = 10000;
    }
    CHECK(inception_score(certain, 4, 1).mean == doctest::Approx(4).epsilon(1e-14));
    CHECK(inception_score(certain, 4, 2).mean == doctest::Approx(2).epsilon(1e-14));
    CHECK(inception_score(certain, 4, 4).mean == doctest::Approx(1).epsilon(1e-14));
}

TEST_CASE("bad input is refused") {
    const std::vector<float> logits(12, 0.5F);
    std::vector<float> broken(logits);
    broken[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS((void)inception_score(broken, 4, 1), "inception_score: feature 1 of row 1 is not finite: nan",
                         flowfar::Error);
    CHECK_THROWS_AS((void)inception_score(logits, 5, 1), flowfar::Error);
    CHECK_THROWS_AS((void)inception_score(logits, 4, 0), flowfar::Error);
    CHECK_THROWS_AS((void)inception_score({}, 4, 1), flowfar::Error);
    CHECK_THROWS_WITH_AS((void)inception_score(logits, 4),
                         "inception_score: expected 1..3 splits (the number of rows), "
                         "found 10",
                         flowfar::Error);
}
