#include "flowfar/metrics/frechet.hpp"

#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <optional>
#include <vector>

#include "flowfar/metrics/covariance_root.hpp"

#include "metrics/feature_rows.hpp"

using flowfar::Index;
using flowfar::metrics::FeatureMoments;
using flowfar::metrics::FeatureStatistics;
using flowfar::metrics::frechet_distance;
using flowfar::metrics::FrechetDistance;
using flowfar::metrics::TraceForm;
using flowfar::testing::feature_rows;

namespace {

FeatureStatistics statistics(std::string_view name, std::size_t count, std::size_t width, double offset) {
    FeatureMoments moments(static_cast<Index>(width));
    moments.add(feature_rows(name, count, width, offset));
    return moments.statistics();
}

/// Computed by numpy 2.4.6 and scipy 1.17.1 in double: numpy.cov with rowvar = False, then scipy.linalg.sqrtm(C1 C2),
/// and the roots of scipy.linalg.eigvalsh of C1^1/2 C2 C1^1/2.
struct Recorded {
    std::size_t real;
    std::size_t generated;
    std::size_t width;
    double offset;
    double sqrtm;
    double eigenvalues;
};

const Recorded recorded[] = {
    {200, 300, 16, 0, 0.43803238884761, 0.438032388847674},
    {1000, 700, 3, 0, 0.00485581486533615, 0.00485581486533526},
    {500, 400, 8, 1000, 0.0615051425565767, 0.0615051425565643},
    {40, 60, 64, 0, 33.7302154203575, 33.7302154725031},
    {400, 300, 64, -3, 4.81428345315986, 4.81428345316013},
};

FeatureStatistics diagonal(std::vector<double> mean, const std::vector<double>& variances) {
    const std::size_t width = mean.size();
    FeatureStatistics out{100, std::move(mean), std::vector<double>(width * width)};
    for (std::size_t i = 0; i < width; ++i) {
        out.covariance[i * width + i] = variances[i];
    }
    return out;
}

}  // namespace

TEST_CASE("both trace forms equal scipy") {
    for (const Recorded& want : recorded) {
        CAPTURE(want.width);
        CAPTURE(want.real);
        const FeatureStatistics a = statistics("metrics.real", want.real, want.width, want.offset);
        const FeatureStatistics b = statistics("metrics.generated", want.generated, want.width, want.offset);
        // at low rank the two recorded values agree to 2e-9 only: an eigenvalue 0 that rounds to 1e-16 has a root of
        // 1e-8
        CHECK(frechet_distance(a, b).value == doctest::Approx(want.eigenvalues).epsilon(1e-7));
        CHECK(frechet_distance(b, a).value == doctest::Approx(want.eigenvalues).epsilon(1e-7));
        CHECK(frechet_distance(a, b, TraceForm::sqrtm).value == doctest::Approx(want.sqrtm).epsilon(1e-7));
    }
}

TEST_CASE("the fast way to the sqrtm form equals the slow one, and is left alone at low rank") {
    using flowfar::metrics::detail::ConstMatrix;
    int fast = 0;
    for (const Recorded& want : recorded) {
        CAPTURE(want.width);
        const FeatureStatistics a = statistics("metrics.real", want.real, want.width, want.offset);
        const FeatureStatistics b = statistics("metrics.generated", want.generated, want.width, want.offset);
        const ConstMatrix first(a.covariance.data(), a.width(), a.width());
        const ConstMatrix second(b.covariance.data(), b.width(), b.width());
        const std::optional<double> found = flowfar::metrics::detail::definite_root_trace(first, second);
        CHECK(found.has_value() == (want.real > want.width && want.generated > want.width));
        if (found) {
            const double slow = flowfar::metrics::detail::product_root_trace(first, second).real();
            CHECK(std::fabs(*found - slow) <= 1e-11 * slow);
            ++fast;
        }
    }
    CHECK(fast == 4);
    // eigenvalues from 1 to 1e-15: definite, but their rounding would show
    const FeatureStatistics steep = diagonal({0, 0}, {1, 1e-15});
    const ConstMatrix matrix(steep.covariance.data(), 2, 2);
    CHECK(!flowfar::metrics::detail::definite_root_trace(matrix, matrix));
    CHECK(frechet_distance(steep, steep, TraceForm::sqrtm).value < 1e-10);
}

TEST_CASE("independent features have a closed form") {
    const FeatureStatistics a = diagonal({0, 1, 2}, {1, 4, 0.25});
    const FeatureStatistics b = diagonal({1, 1, 0}, {9, 1, 0});
    const double covariance = (1 - 3.0) * (1 - 3.0) + (2 - 1.0) * (2 - 1.0) + 0.5 * 0.5;
    for (const TraceForm form : {TraceForm::eigenvalues, TraceForm::sqrtm}) {
        const FrechetDistance found = frechet_distance(a, b, form);
        CHECK(found.mean_part == doctest::Approx(5));
        CHECK(found.covariance_part == doctest::Approx(covariance));
        CHECK(found.value == doctest::Approx(5 + covariance));
        CHECK(found.warning.empty());
    }
    // constant features, of which nothing varies
    const FeatureStatistics still = diagonal({1, 2}, {0, 0});
    CHECK(frechet_distance(still, still, TraceForm::sqrtm).value == 0);
    CHECK(frechet_distance(still, diagonal({1, 4}, {0, 0})).value == 4);
}

TEST_CASE("equal statistics are at distance 0, and a shift at its square") {
    const FeatureStatistics a = statistics("metrics.real", 300, 12, 0);
    CHECK(frechet_distance(a, a).value < 1e-10);
    CHECK(frechet_distance(a, a, TraceForm::sqrtm).value < 1e-10);
    FeatureStatistics b = a;
    for (double& value : b.mean) {
        value += 0.5;
    }
    CHECK(frechet_distance(a, b).value == doctest::Approx(12 * 0.25).epsilon(1e-10));
}

TEST_CASE("too few samples for full rank are named") {
    const FeatureStatistics few = statistics("metrics.real", 16, 16, 0);
    const FeatureStatistics enough = statistics("metrics.generated", 17, 16, 0);
    CHECK(frechet_distance(enough, enough).warning.empty());
    CHECK(frechet_distance(enough, few).warning ==
          "frechet_distance: the second covariance of 16 samples has rank 15 at most, in 16 dimensions; use more "
          "samples than dimensions");
    FeatureStatistics unknown = few;
    unknown.count = 0;
    CHECK(frechet_distance(unknown, enough).warning.empty());
}

TEST_CASE("what is no mean and covariance is refused") {
    const FeatureStatistics good = diagonal({0, 0}, {1, 1});
    FeatureStatistics bad = good;
    bad.covariance.pop_back();
    CHECK_THROWS_AS((void)frechet_distance(good, bad), flowfar::Error);
    CHECK_THROWS_WITH_AS((void)frechet_distance(good, diagonal({0, 0, 0}, {1, 1, 1})),
                         "frechet_distance: features of width 2 and 3", flowfar::Error);
    bad = good;
    bad.mean[1] = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS((void)frechet_distance(bad, good), flowfar::Error);
    bad = good;
    bad.covariance[1] = std::nan("");
    CHECK_THROWS_AS((void)frechet_distance(bad, good), flowfar::Error);
    bad = good;
    bad.covariance[1] = 0.5;
    CHECK_THROWS_WITH_AS((void)frechet_distance(good, bad),
                         "frechet_distance: the second covariance is not symmetric: [1, 0] 0 and 0.5", flowfar::Error);
    bad = good;
    bad.covariance[3] = -1;
    CHECK_THROWS_AS((void)frechet_distance(good, bad), flowfar::Error);
    bad = good;
    bad.count = 1;
    CHECK_THROWS_AS((void)frechet_distance(good, bad), flowfar::Error);
    CHECK_THROWS_AS((void)frechet_distance({}, {}), flowfar::Error);
    // symmetric, but with eigenvalues 3 and -1: no covariance, and its root is complex
    bad = good;
    bad.covariance = {1, 2, 2, 1};
    CHECK_THROWS_AS((void)frechet_distance(good, bad, TraceForm::sqrtm), flowfar::Error);
}
