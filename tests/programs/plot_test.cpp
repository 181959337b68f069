#include "../../examples/programs/common/draw/plot.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

#include "flowfar/core/error.hpp"

namespace {

using namespace flowfar::program;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::vector<std::string> labels(const std::vector<Tick>& ticks) {
    std::vector<std::string> out;
    for (const Tick& tick : ticks) {
        if (!tick.label.empty()) {
            out.push_back(tick.label + (tick.exponent.empty() ? "" : "^" + tick.exponent));
        }
    }
    return out;
}
using Labels = std::vector<std::string>;

TEST_CASE("steps are 1, 2 or 5 times a power of ten and never too many") {
    CHECK(nice_step(10, 5) == doctest::Approx(2));
    CHECK(nice_step(10, 10) == doctest::Approx(1));
    CHECK(nice_step(0.9, 3) == doctest::Approx(0.5));
    CHECK(nice_step(7, 1) == doctest::Approx(10));
    for (double span = 1e-7; span < 1e7; span *= 1.37) {
        for (int most = 1; most < 12; ++most) {
            CAPTURE(span);
            CAPTURE(most);
            CHECK(span / nice_step(span, most) <= most * (1 + 1e-6));
            CHECK(span / nice_step(span, most) > most / 2.6);
        }
    }
}

TEST_CASE("linear ticks") {
    CHECK(labels(linear_ticks(0, 1, 5)) == Labels{"0", "0.2", "0.4", "0.6", "0.8", "1.0"});
    CHECK(labels(linear_ticks(-0.25, 0.25, 6)) == Labels{"-0.2", "-0.1", "0", "0.1", "0.2"});
    CHECK(labels(linear_ticks(17.3, 28.1, 6)) == Labels{"18", "20", "22", "24", "26", "28"});
    CHECK(labels(linear_ticks(0, 40000, 4)) == Labels{"0", "10k", "20k", "30k", "40k"});
    CHECK(labels(linear_ticks(0, 2e6, 4)) == Labels{"0", "0.5M", "1.0M", "1.5M", "2.0M"});
    CHECK(labels(linear_ticks(0.001, 0.0021, 3)) == Labels{"0.0010", "0.0015", "0.0020"});
    for (const Tick& tick : linear_ticks(-3, 11, 9)) {
        CHECK(tick.value >= -3);
        CHECK(tick.value <= 11);
    }
    CHECK_THROWS_AS(static_cast<void>(linear_ticks(1, 1, 5)), flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(linear_ticks(0, nan, 5)), flowfar::Error);
}

TEST_CASE("logarithmic ticks") {
    CHECK(labels(log_ticks(0.001, 10, 8)) == Labels{"10^-3", "10^-2", "10^-1", "1", "10"});
    CHECK(labels(log_ticks(0.04, 2.3, 8)) == Labels{"0.05", "0.1", "0.2", "0.5", "1", "2"});
    CHECK(labels(log_ticks(1.6, 8.2, 8)) == Labels{"2", "3", "4", "5", "6", "7", "8"});
    CHECK(labels(log_ticks(20, 60, 5)) == Labels{"20", "30", "40", "50", "60"});
    CHECK(log_ticks(0.001, 10, 8).size() == 4 * 9 + 1);
    const auto many = log_ticks(1e-12, 1e12, 6);
    CHECK(labels(many).size() <= 7);
    CHECK(labels(many).size() >= 4);
    CHECK_THROWS_AS(static_cast<void>(log_ticks(0, 1, 5)), flowfar::Error);
}

TEST_CASE("scales place values and fit data") {
    const Scale linear{2, 4, false};
    CHECK(linear.place(2) == 0);
    CHECK(linear.place(3) == doctest::Approx(0.5));
    CHECK(linear.place(5) == doctest::Approx(1.5));
    const Scale log{0.01, 100, true};
    CHECK(log.place(1) == doctest::Approx(0.5));
    CHECK(!log.takes(0));
    CHECK(!log.takes(-1));
    CHECK(!linear.takes(nan));

    const Scale fitted = fitting_scale({3, nan, 1, 2}, false);
    CHECK(fitted.low == doctest::Approx(0.92));
    CHECK(fitted.high == doctest::Approx(3.08));
    const Scale positive = fitting_scale({-1, 0, 0.1, 10}, true);
    CHECK(positive.low < 0.1);
    CHECK(positive.low > 0.05);
    for (const double value : {0.0, 5.0, -5.0, 1e-9, 1e9}) {
        CAPTURE(value);
        const Scale one = fitting_scale({value}, false);
        CHECK(one.low < value);
        CHECK(one.high > value);
    }
    CHECK(fitting_scale({}, false).high == 1);
    CHECK(fitting_scale({nan}, true).low > 0);
}

TEST_CASE("the running average keeps constants and skips gaps") {
    const auto constant = smoothed({2, 2, nan, 2}, 10);
    CHECK(constant[0] == doctest::Approx(2));
    CHECK(constant[1] == doctest::Approx(2));
    CHECK(std::isnan(constant[2]));
    CHECK(constant[3] == doctest::Approx(2));
    CHECK(smoothed({1, 5}, 1) == std::vector<double>{1, 5});
    const auto step = smoothed({0, 0, 0, 1}, 4);
    CHECK(step[3] > 0.25);
    CHECK(step[3] < 0.5);
}

int count(const flowfar::Image& image, Color color) {
    const Canvas canvas(image);
    int found = 0;
    for (int row = 0; row < canvas.height(); ++row) {
        for (int column = 0; column < canvas.width(); ++column) {
            found += canvas.at(row, column) == color ? 1 : 0;
        }
    }
    return found;
}

TEST_CASE("a chart has the asked size and its curves' colors") {
    const Color red{200, 0, 0}, blue{0, 0, 200};
    Plot plot{
        .title = "Loss", .x = {.label = "step"}, .left = {.label = "loss", .log = true}, .width = 320, .height = 200};
    plot.series.push_back({.label = "a", .x = {1, 2, 3}, .y = {1, 0.1, 0.01}, .color = red});
    const auto one = render(plot);
    CHECK(one.height == 200);
    CHECK(one.width == 320);
    CHECK(count(one, red) > 100);
    CHECK(count(one, blue) == 0);
    plot.series.push_back(
        {.label = "b", .x = {1, 2, 3}, .y = {20, nan, 25}, .right = true, .markers = true, .color = blue});
    plot.right.label = "PSNR";
    CHECK(count(render(plot), blue) > 30);
    CHECK(render(plot) == render(plot));
}

TEST_CASE("charts without data or with one point still draw; wrong ones are refused") {
    Plot plot{.width = 200, .height = 150};
    CHECK_NOTHROW(static_cast<void>(render(plot)));
    plot.series.push_back({.label = "point", .x = {0}, .y = {0}});
    CHECK_NOTHROW(static_cast<void>(render(plot)));
    plot.left.log = true;  // nothing positive
    CHECK_NOTHROW(static_cast<void>(render(plot)));
    plot.series.back().y = {1e300};
    CHECK_NOTHROW(static_cast<void>(render(plot)));

    plot.series.back().y = {1, 2};
    CHECK_THROWS_AS(static_cast<void>(render(plot)), flowfar::Error);
    plot.series.clear();
    plot.left.low = -1;
    CHECK_THROWS_AS(static_cast<void>(render(plot)), flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(render(Plot{.width = 50, .height = 50})), flowfar::Error);
}

}  // namespace
