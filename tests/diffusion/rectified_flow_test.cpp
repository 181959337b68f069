#include "flowfar/diffusion/rectified_flow.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/reference.hpp"

namespace {

using namespace flowfar;
using X = Tensor<Reference, Shape<dyn, 3, dyn, dyn>, double>;
using Times = Tensor<Reference, Shape<dyn>, double>;

double normal_cdf(double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
}
double logit_normal_cdf(double t) {
    return normal_cdf(std::log(t / (1.0 - t)));
}

/// Largest distance between the empirical distribution of `count` draws and `cdf` (Kolmogorov–Smirnov).
template <class Draw, class Cdf>
double distance(Draw draw, Cdf cdf, int count) {
    Random random(2024);
    std::vector<double> times;
    for (int i = 0; i < count; ++i) {
        times.push_back(draw(random));
    }
    std::sort(times.begin(), times.end());
    CHECK(times.front() > 0.0);
    CHECK(times.back() < 1.0);
    double worst = 0.0;
    for (int i = 0; i < count; ++i) {
        worst = std::max(worst, std::fabs(cdf(times[static_cast<std::size_t>(i)]) - (i + 0.5) / count));
    }
    return worst;
}

TEST_CASE("training times follow their distributions") {
    constexpr int count = 20000;
    const double limit = 1.63 / std::sqrt(static_cast<double>(count));  // 1% significance; the seed is fixed
    CHECK(distance([](Random& r) { return UniformTime::draw(r); }, [](double t) { return t; }, count) < limit);
    CHECK(distance([](Random& r) { return LogitNormalTime::draw(r); }, logit_normal_cdf, count) < limit);
    const auto thick = [](double t) { return 0.9 * logit_normal_cdf(t) + 0.1 * t; };
    CHECK(distance([](Random& r) { return ThickTailedTime::draw(r); }, thick, count) < limit);
    CHECK(distance([](Random& r) { return LogitNormalTime::draw(r); }, thick, count) > limit);  // they do differ
}

TEST_CASE("the run-time twin draws the same times") {
    for (const auto& [name, policy] :
         {std::pair{"thick_tailed", &ThickTailedTime::draw}, std::pair{"logit_normal", &LogitNormalTime::draw},
          std::pair{"uniform", &UniformTime::draw}}) {
        Random a(7);
        Random b(7);
        for (int i = 0; i < 50; ++i) {
            CHECK(policy(a) == draw_time(time_distribution(name), b));
        }
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(time_distribution("beta")), doctest::Contains("found beta"), Error);
}

TEST_CASE("interpolation, prediction and loss belong together") {
    const auto x = X::normal({2, 3, 2, 2}, 1);
    const auto noise = X::normal({2, 3, 2, 2}, 2);
    const auto t = Times::from_host(std::vector<double>{0.25, 1.0}, {2});
    const auto z = rectified_flow::interpolate(x, noise, t);
    CHECK(z.to_host()[0] == doctest::Approx(0.75 * x.to_host()[0] + 0.25 * noise.to_host()[0]));
    CHECK(z.to_host()[23] == doctest::Approx(noise.to_host()[23]));
    const X exact = noise - x;
    CHECK(rectified_flow::loss(x, noise, exact).item() == doctest::Approx(0.0));
    const auto back = rectified_flow::predict(z, exact, t).to_host();
    for (std::size_t i = 0; i < back.size(); ++i) {
        CHECK(back[i] == doctest::Approx(x.to_host()[i]));
    }
}

}  // namespace
