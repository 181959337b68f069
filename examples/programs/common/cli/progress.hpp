#pragma once

// A progress line on stderr: a bar that redraws in place on a terminal, one plain line every few seconds elsewhere.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <type_traits>
#include <unistd.h>
#include <utility>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar::program {

/// "42s", "3m05s", "2h07m", "4d03h"; "--" for what is not known.
[[nodiscard]] inline std::string format_duration(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) {
        return "--";
    }
    const auto whole = static_cast<Index>(std::min(std::round(seconds), 1e12));
    const auto two = [](Index larger, char larger_unit, Index smaller, char smaller_unit) {
        return text(larger, larger_unit, smaller < 10 ? "0" : "", smaller, smaller_unit);
    };
    if (whole < 60) {
        return text(whole, 's');
    }
    if (whole < 3600) {
        return two(whole / 60, 'm', whole % 60, 's');
    }
    if (whole < 86400) {
        return two(whole / 3600, 'h', whole % 3600 / 60, 'm');
    }
    return two(whole / 86400, 'd', whole % 86400 / 3600, 'h');
}

/// Three significant digits: "0.0123", "4.56", "123", "1.2e+04".
[[nodiscard]] inline std::string format_rate(double value) {
    char buffer[32];
    const double magnitude = std::abs(value);
    const char* format = magnitude >= 99.95 && magnitude < 1e6 ? "%.0f" : "%.3g";
    return std::string(buffer, static_cast<std::size_t>(std::snprintf(buffer, sizeof buffer, format, value)));
}

/// What a progress line says. NaN marks what is not known and is left out.
struct ProgressState {
    std::string label = {};  // "train"
    Index step = 0;
    Index total = 0;  // 0: no end known, hence no bar and no time left
    double loss = std::numeric_limits<double>::quiet_NaN();
    double images_per_second = std::numeric_limits<double>::quiet_NaN();
    double seconds_left = std::numeric_limits<double>::quiet_NaN();
    std::string extra = {};  // appended as it is
};

/// The facts of a progress line, without a bar: "train 120/1000 (12%)  loss 0.123  45.6 images/s  3m05s left".
[[nodiscard]] inline std::string format_progress(const ProgressState& state) {
    std::string out = state.label.empty() ? "" : state.label + " ";
    out += text(state.step);
    if (state.total > 0) {
        out += text('/', state.total, " (", 100 * std::clamp<Index>(state.step, 0, state.total) / state.total, "%)");
    }
    if (!std::isnan(state.loss)) {
        char buffer[32];
        std::snprintf(buffer, sizeof buffer, "  loss %.4g", state.loss);
        out += buffer;
    }
    if (!std::isnan(state.images_per_second)) {
        out += "  " + format_rate(state.images_per_second) + " images/s";
    }
    if (state.total > 0 && !std::isnan(state.seconds_left)) {
        out += "  " + format_duration(state.seconds_left) + " left";
    }
    return state.extra.empty() ? out : out + "  " + state.extra;
}

/// A terminal line of at most `width` columns: label, bar, facts. The bar takes the room that the facts leave, between
/// 10 and 40 columns, and goes first where there is no room.
[[nodiscard]] inline std::string format_progress_bar(const ProgressState& state, std::size_t width) {
    ProgressState facts = state;
    facts.label.clear();
    const std::string tail = format_progress(facts);
    std::string out = state.label.empty() ? "" : state.label + " ";
    const std::size_t taken = out.size() + tail.size() + 3;
    if (state.total > 0 && width >= taken + 10) {
        const std::size_t bar = std::min<std::size_t>(40, width - taken);
        const double share =
            static_cast<double>(std::clamp<Index>(state.step, 0, state.total)) / static_cast<double>(state.total);
        const auto filled = static_cast<std::size_t>(share * static_cast<double>(bar));
        out += '[' + std::string(filled, '#') + std::string(bar - filled, '.') + "] ";
    }
    out += tail;
    return out.substr(0, width);
}

/// Turns steps and a clock into a rate and the time left. The rate forgets with a time constant of 20 seconds, so it
/// follows a machine that gets busier but not the jitter of single steps.
class ProgressMeter {
   public:
    ProgressMeter(Index first_step, Index total, double now) : total_(total), step_(first_step), before_(now) {}

    /// `step` steps are done, the last ones with `images` images in all (a share of one, where an image takes several
    /// steps); `now` in seconds of any steady clock.
    void observe(Index step, double images, double now) {
        const double elapsed = now - before_;
        const auto steps = static_cast<double>(step - step_);
        // Decayed sums of time, steps and images: their quotients weigh recent time exponentially more.
        const double keep = std::exp(-std::max(elapsed, 0.0) / 20.0);
        seconds_ = seconds_ * keep + std::max(elapsed, 0.0);
        steps_ = steps_ * keep + steps;
        images_ = images_ * keep + images;
        step_ = step;
        before_ = now;
    }
    [[nodiscard]] double images_per_second() const {
        return seconds_ > 0 && images_ > 0 ? images_ / seconds_ : unknown;
    }
    [[nodiscard]] double seconds_left() const {
        return steps_ > 0 ? static_cast<double>(total_ - step_) * seconds_ / steps_ : unknown;
    }

   private:
    static constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
    Index total_, step_;
    double before_, seconds_ = 0, steps_ = 0, images_ = 0;
};

/// Draws progress on `file`. On a terminal it redraws one line at most ten times a second, each time with a single
/// write that overdraws before it erases; elsewhere it prints a line every `line_seconds`.
class Progress {
   public:
    Progress(std::string label, Index total, Index first_step = 0, double line_seconds = 10.0, std::FILE* file = stderr)
        : file_(file),
          terminal_(can_redraw(file)),
          line_seconds_(line_seconds),
          meter_(first_step, total, now()),
          drawn_(now()) {
        state_.label = std::move(label);
        state_.step = first_step;
        state_.total = total;
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { finish(); }

    /// `step` steps are done, the latest with this loss (NaN: none) and this many images, or this share of one.
    template <class Number>
        requires std::is_arithmetic_v<Number>
    void update(Index step, double loss, Number images, std::string extra = {}) {
        state_.step = step;
        state_.loss = loss;
        state_.extra = std::move(extra);
        const double time = now();
        meter_.observe(step, static_cast<double>(images), time);
        state_.images_per_second = meter_.images_per_second();
        state_.seconds_left = meter_.seconds_left();
        pending_ = true;
        if (time - drawn_ >= (terminal_ ? 0.1 : line_seconds_)) {
            draw(time);
        }
    }

    /// Prints a line of its own without disturbing the bar.
    void note(std::string_view line) {
        std::string out = text(terminal_ ? "\r" : "", line, terminal_ ? "\x1b[K\n" : "\n");
        std::fwrite(out.data(), 1, out.size(), file_);
        if (terminal_ && state_.step > 0) {
            draw(now());
        }
        std::fflush(file_);
    }

    /// Erases the bar, until it is drawn again, so that others may print.
    void hide() {
        if (terminal_ && !finished_ && std::exchange(shown_, false)) {
            std::fputs("\r\x1b[K", file_);
            std::fflush(file_);
        }
    }

    /// Draws the last state and ends the line. Also happens on destruction; later calls do nothing.
    void finish() {
        if (std::exchange(finished_, true)) {
            return;
        }
        if (pending_) {
            draw(now());
        }
        if (terminal_ && shown_) {
            std::fputc('\n', file_);
            std::fflush(file_);
        }
    }

   private:
    /// Whether escape codes are understood: by a terminal that does not call itself dumb.
    static bool can_redraw(std::FILE* file) {
        const char* const kind = std::getenv("TERM");
        return ::isatty(::fileno(file)) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
    }
    static double now() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    void draw(double time) {
        drawn_ = time;
        pending_ = false;
        shown_ = true;
        std::string out;
        if (terminal_) {
            winsize size{};
            const bool known = ::ioctl(::fileno(file_), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
            // One column stays free: writing the last one makes some terminals wrap.
            out = '\r' + format_progress_bar(state_, known ? size.ws_col - 1U : 79U) + "\x1b[K";
        } else {
            out = format_progress(state_) + '\n';
        }
        std::fwrite(out.data(), 1, out.size(), file_);
        std::fflush(file_);
    }

    std::FILE* file_;
    bool terminal_;
    double line_seconds_;
    ProgressState state_;
    ProgressMeter meter_;
    double drawn_;
    bool pending_ = false, shown_ = false, finished_ = false;
};

}  // namespace flowfar::program
