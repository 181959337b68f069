#include "../../examples/programs/common/cli/progress.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "../../examples/programs/common/cli/byte_progress.hpp"
#include "../../examples/programs/common/cli/interrupt.hpp"
#include "contents.hpp"

namespace {

using namespace flowfar::program;
using flowfar::testing::contents;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

TEST_CASE("durations and rates") {
    CHECK(format_duration(0) == "0s");
    CHECK(format_duration(59.4) == "59s");
    CHECK(format_duration(59.6) == "1m00s");
    CHECK(format_duration(185) == "3m05s");
    CHECK(format_duration(7620) == "2h07m");
    CHECK(format_duration(4 * 86400 + 3 * 3600) == "4d03h");
    CHECK(format_duration(nan) == "--");
    CHECK(format_duration(-1) == "--");
    CHECK(format_duration(std::numeric_limits<double>::infinity()) == "--");
    CHECK(format_rate(0.01234) == "0.0123");
    CHECK(format_rate(4.56) == "4.56");
    CHECK(format_rate(99.97) == "100");
    CHECK(format_rate(1234.5) == "1234");
}

TEST_CASE("a plain line leaves out what is not known") {
    ProgressState state{.label = "train", .step = 120, .total = 1000};
    CHECK(format_progress(state) == "train 120/1000 (12%)");
    state.loss = 0.12345;
    state.images_per_second = 45.6;
    state.seconds_left = 185;
    CHECK(format_progress(state) == "train 120/1000 (12%)  loss 0.1235  45.6 images/s  3m05s left");
    state.total = 0;
    state.extra = "lr 0.001";
    CHECK(format_progress(state) == "train 120  loss 0.1235  45.6 images/s  lr 0.001");
}

TEST_CASE("the bar fills in proportion and never exceeds the terminal") {
    ProgressState state{.label = "sample", .step = 5, .total = 10};
    CHECK(format_progress_bar(state, 200) == "sample [" + std::string(20, '#') + std::string(20, '.') + "] 5/10 (50%)");
    state.step = 11;
    CHECK(format_progress_bar(state, 200) == "sample [" + std::string(40, '#') + "] 11/10 (100%)");
    state.loss = 1.5;
    state.seconds_left = 1e6;
    for (std::size_t width = 0; width < 120; ++width) {
        CAPTURE(width);
        CHECK(format_progress_bar(state, width).size() <= width);
    }
    CHECK(format_progress_bar(state, 30).find('[') == std::string::npos);
}

TEST_CASE("the meter measures a steady run exactly and follows a change") {
    ProgressMeter meter(100, 1100, 50.0);
    CHECK(std::isnan(meter.images_per_second()));
    CHECK(std::isnan(meter.seconds_left()));
    double now = 50;
    flowfar::Index step = 100;
    for (int i = 0; i < 100; ++i) {
        now += 0.5;
        meter.observe(++step, 8, now);
    }
    CHECK(meter.images_per_second() == doctest::Approx(16));
    CHECK(meter.seconds_left() == doctest::Approx(900 * 0.5));
    for (int i = 0; i < 100; ++i) {
        now += 2;
        meter.observe(++step, 8, now);
    }
    CHECK(meter.images_per_second() == doctest::Approx(4).epsilon(0.01));
    CHECK(meter.seconds_left() == doctest::Approx(800 * 2.0).epsilon(0.01));
}

TEST_CASE("without a terminal: whole lines, no escapes, and always the last state") {
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    {
        Progress progress("train", 3, 0, 1e9, file);
        progress.update(1, 2.0, 4);
        progress.note("saved");
        progress.update(2, 1.0, 4);
        progress.update(3, 0.5, 4);
        progress.finish();
    }
    const std::string out = contents(file);
    CAPTURE(out);
    CHECK(out.starts_with("saved\ntrain 3/3 (100%)  loss 0.5"));
    CHECK(out.find('\r') == std::string::npos);
    CHECK(out.find('\x1b') == std::string::npos);
    CHECK(out.ends_with("\n"));
    CHECK(std::count(out.begin(), out.end(), '\n') == 2);
}

TEST_CASE("bytes are counted in megabytes, and only much data is worth a line") {
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    {
        ByteProgress few("MB loaded", file);
        few(0, 200'000'000);
        few(200'000'000, 200'000'000);
        const ByteProgress many("MB loaded", file);
        ByteProgress copy = many;
        copy(0, 300'000'000);
        copy.hide();
        copy(150'000'000, 300'000'000);
        copy(300'000'000, 300'000'000);
    }
    const std::string out = contents(file);
    CAPTURE(out);
    CHECK(out.starts_with("MB loaded 300/300 (100%)"));
    CHECK(std::count(out.begin(), out.end(), '\n') == 1);
}

TEST_CASE("the first signal sets a flag, and the old handlers come back") {
    struct sigaction before = {}, after = {};
    sigaction(SIGINT, nullptr, &before);
    for (const int signal : {SIGINT, SIGTERM}) {
        InterruptGuard guard;
        CHECK(!guard.requested());
        CHECK(guard.exit_code() == 0);
        std::raise(signal);
        CHECK(guard.requested());
        CHECK(guard.exit_code() == 128 + signal);
    }
    sigaction(SIGINT, nullptr, &after);
    const bool restored = before.sa_handler == after.sa_handler;
    CHECK(restored);
}

TEST_CASE("a second signal ends the process at once, unless it follows within a second") {
    for (const bool later : {false, true}) {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            InterruptGuard guard("");
            std::raise(SIGINT);
            std::raise(SIGTERM);
            if (later) {  // as if the first had come a second ago
                flowfar::program::detail::caught_at -= flowfar::program::detail::second_signal;
            }
            std::raise(SIGTERM);
            std::_Exit(guard.exit_code() - 128);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == (later ? 128 + SIGTERM : SIGINT));
    }
}

}  // namespace
