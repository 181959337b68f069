#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "flowfar/diffusion/time_schedule.hpp"

using flowfar::EvenSteps;
using flowfar::GuidanceInterval;
using flowfar::Power;
using flowfar::ShiftedSchedule;
using flowfar::ShiftedSteps;

namespace {

// Usable at compile time.
static_assert(ShiftedSteps<25, Power<1, 4>>::times[0] == 1.0);
static_assert(ShiftedSteps<25, Power<1, 4>>::times[25] == 0.0);
static_assert(ShiftedSteps<10, EvenSteps>::times[1] == 0.9);
static_assert(ShiftedSteps<4>::step(3) == 0.25);
static_assert(GuidanceInterval::from_sigma(0.17, 1.02).contains(0.4));
static_assert(GuidanceInterval::always().contains(0.0) && GuidanceInterval::always().contains(1.0));

/// Times, steps and guided steps recorded from the published sampler in single precision.
struct Recorded {
    std::vector<float> times;
    std::vector<float> steps;
    std::vector<int> guided;
};

const Recorded quartic{
    {1.0F,        0.8493466F,  0.71639293F, 0.5996954F,  0.49787137F, 0.4096F,     0.33362177F,
     0.26873857F, 0.21381377F, 0.16777216F, 0.1296F,     0.09834496F, 0.07311616F, 0.05308416F,
     0.03748096F, 0.0256F,     0.01679616F, 0.01048576F, 0.00614656F, 0.00331776F, 0.0016F,
     0.00065536F, 0.00020736F, 4.096e-05F,  2.56e-06F,   0.0F},
    {0.15065342F,    0.13295364F,  0.11669755F,   0.101824015F, 0.08827138F,  0.07597822F,   0.0648832F,
     0.0549248F,     0.046041608F, 0.038172156F,  0.031255044F, 0.025228798F, 0.020032F,     0.0156032F,
     0.011880962F,   0.008803839F, 0.0063104006F, 0.0043392F,   0.0028288F,   0.0017177601F, 0.00094463996F,
     0.00044799998F, 0.0001664F,   3.84e-05F,     2.56e-06F},
    {0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
const Recorded linear25{{1.0F,  0.96F, 0.92F, 0.88F, 0.84F, 0.8F,  0.76F, 0.72F, 0.68F, 0.64F, 0.6F,  0.56F, 0.52F,
                         0.48F, 0.44F, 0.4F,  0.36F, 0.32F, 0.28F, 0.24F, 0.2F,  0.16F, 0.12F, 0.08F, 0.04F},
                        {0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F,
                         0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F, 0.04F},
                        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}};
const Recorded linear10{{1.0F, 0.9F, 0.8F, 0.7F, 0.6F, 0.5F, 0.4F, 0.3F, 0.2F, 0.1F},
                        {0.1F, 0.1F, 0.1F, 0.1F, 0.1F, 0.1F, 0.1F, 0.1F, 0.1F, 0.1F},
                        {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
const Recorded quadratic7{{1.0F, 0.7346939F, 0.5102041F, 0.3265306F, 0.18367347F, 0.08163265F, 0.020408163F, 0.0F},
                          {0.26530612F, 0.22448981F, 0.18367347F, 0.14285713F, 0.10204082F, 0.06122449F, 0.020408163F},
                          {0, 0, 1, 1, 0, 0, 0}};

/// `times` may leave out the final 0, which the sampler never evaluates.
template <class Schedule>
void check_recorded(const Recorded& want, const GuidanceInterval& guidance) {
    const std::vector<double> twin = flowfar::shifted_times(Schedule::steps, Schedule::power);
    const ShiftedSchedule schedule{Schedule{}};
    REQUIRE(want.steps.size() == static_cast<std::size_t>(Schedule::steps));
    for (std::size_t i = 0; i < want.times.size(); ++i) {
        CAPTURE(i);
        CHECK(Schedule::times[i] == doctest::Approx(static_cast<double>(want.times[i])).epsilon(1e-6));
    }
    for (int i = 0; i < Schedule::steps; ++i) {
        const auto k = static_cast<std::size_t>(i);
        CAPTURE(i);
        CHECK(Schedule::step(i) == doctest::Approx(static_cast<double>(want.steps[k])).epsilon(1e-6));
        CHECK(schedule.step(i) == Schedule::step(i));
        CHECK(guidance.contains(Schedule::times[k]) == (want.guided[k] != 0));
    }
    REQUIRE(twin.size() == Schedule::times.size());
    for (std::size_t i = 0; i < twin.size(); ++i) {
        CHECK(twin[i] == Schedule::times[i]);
        CHECK(schedule.times()[i] == Schedule::times[i]);
    }
}

}  // namespace

TEST_CASE("schedules equal the published sampler's and their run-time twins bit for bit") {
    const GuidanceInterval published = GuidanceInterval::from_sigma(0.17, 1.02);
    check_recorded<ShiftedSteps<25, Power<1, 4>>>(quartic, published);
    check_recorded<ShiftedSteps<25, EvenSteps>>(linear25, published);
    check_recorded<ShiftedSteps<10, EvenSteps>>(linear10, GuidanceInterval::always());
    check_recorded<ShiftedSteps<7, Power<1, 2>>>(quadratic7, GuidanceInterval::from_sigma(0.3, 2.0));
}

TEST_CASE("times follow their formula") {
    using Schedule = ShiftedSteps<30, Power<3, 7>>;
    for (int i = 0; i <= 30; ++i) {
        const double want = std::pow((30.0 - i) / 30.0, 7.0 / 3.0);
        CHECK(Schedule::times[static_cast<std::size_t>(i)] == doctest::Approx(want).epsilon(1e-14));
    }
    for (int i = 0; i < 30; ++i) {
        CHECK(Schedule::step(i) > 0);
    }
}

TEST_CASE("the guidance interval is closed and mapped from noise levels") {
    const GuidanceInterval interval = GuidanceInterval::from_sigma(1.0, 3.0);
    CHECK(interval.low == 0.5);
    CHECK(interval.high == 0.75);
    CHECK(interval.contains(0.5));
    CHECK(interval.contains(0.75));
    CHECK_FALSE(interval.contains(std::nextafter(0.5, 0.0)));
    CHECK_FALSE(interval.contains(std::nextafter(0.75, 1.0)));
    CHECK_FALSE(interval.contains(std::numeric_limits<double>::quiet_NaN()));
}

TEST_CASE("wrong requests are refused") {
    CHECK_THROWS_WITH_AS((void)flowfar::shifted_times(0, 1.0), "shifted_times: expected at least 1 step, found 0",
                         flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::shifted_times(-3, 1.0), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::shifted_times(5, 0.0), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::shifted_times(5, -1.0), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::shifted_times(5, std::numeric_limits<double>::infinity()), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::shifted_times(5, std::numeric_limits<double>::quiet_NaN()), flowfar::Error);
    CHECK_THROWS_AS((void)ShiftedSchedule(5, 1.0).step(5), flowfar::Error);
    CHECK_THROWS_AS((void)ShiftedSchedule(5, 1.0).step(-1), flowfar::Error);
    CHECK_THROWS_AS((void)GuidanceInterval::from_sigma(2.0, 1.0), flowfar::Error);
    CHECK_THROWS_AS((void)GuidanceInterval::from_sigma(-0.1, 1.0), flowfar::Error);
}
