#pragma once

// Ctrl-C that lets a program finish what is at hand and save: the first signal sets a flag and says so, one that
// follows after a second ends the process.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <unistd.h>

namespace flowfar::program {

namespace detail {

inline std::atomic<int> caught_signal = 0;
inline std::atomic<std::int64_t> caught_at = 0;               // nanoseconds of the monotonic clock; 0: none came
inline std::atomic<const char*> interrupt_line = nullptr;     // what the first signal prints
inline constexpr std::int64_t second_signal = 1'000'000'000;  // nanoseconds after the first from which a signal counts
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free &&
                  std::atomic<const char*>::is_always_lock_free,
              "a signal handler may only touch lock-free atomics");

/// Terminals and wrappers send several signals for one wish (`timeout -s INT` signals the process and its group), so
/// what follows within a second is the same wish.
extern "C" inline void flowfar_program_catch_signal(int signal) {
    timespec time = {};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    const std::int64_t now = std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    std::int64_t first = 0;
    if (caught_at.compare_exchange_strong(first,
                                          now)) {  // its time is the flag: another thread may have the second one
        caught_signal = signal;
        const int error = errno;  // of the code that was interrupted
        const char* const line = interrupt_line;
        [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, std::strlen(line));
        errno = error;
    } else if (now - first >= second_signal) {
        std::_Exit(128 + signal);  // what a shell reports for a process that a signal ended
    }
}

}  // namespace detail

/// Leaves a computation whose result is no longer wanted; thrown out of callbacks after a signal.
struct Interrupted {};

/// While one lives, SIGINT and SIGTERM only set a flag; one that comes a second later exits at once. At most one at a
/// time.
class InterruptGuard {
   public:
    /// `line`, of static storage, is printed when the first signal comes.
    explicit InterruptGuard(const char* line = "\nstopping, again to abandon\n") {
        detail::interrupt_line = line;
        detail::caught_signal = 0;
        detail::caught_at = 0;
        struct sigaction action = {};
        action.sa_handler = detail::flowfar_program_catch_signal;
        action.sa_flags = SA_RESTART;  // reads and writes under way are not to fail
        sigemptyset(&action.sa_mask);
        sigaddset(&action.sa_mask, SIGINT);
        sigaddset(&action.sa_mask, SIGTERM);
        sigaction(SIGINT, &action, &interrupt_before_);
        sigaction(SIGTERM, &action, &terminate_before_);
    }
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;
    ~InterruptGuard() {
        sigaction(SIGINT, &interrupt_before_, nullptr);
        sigaction(SIGTERM, &terminate_before_, nullptr);
    }

    /// Whether a signal came; ask between steps.
    [[nodiscard]] bool requested() const { return detail::caught_signal != 0; }
    /// What main() should return after an orderly end: 0, or 128 + the signal's number.
    [[nodiscard]] int exit_code() const { return requested() ? 128 + detail::caught_signal.load() : 0; }

   private:
    struct sigaction interrupt_before_ = {}, terminate_before_ = {};
};

}  // namespace flowfar::program
