#pragma once

// Ctrl-C that lets a program finish its step and save: the first signal sets a flag, the second ends the process.

#include <atomic>
#include <csignal>
#include <cstdlib>

namespace flowfar::program {

namespace detail {

inline std::atomic<int> caught_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

extern "C" inline void flowfar_program_catch_signal(int signal) {
    if (caught_signal.exchange(signal) != 0) {
        std::_Exit(128 + signal);  // what a shell reports for a process that a signal ended
    }
}

}  // namespace detail

/// While one lives, SIGINT and SIGTERM only set a flag; a second one exits at once. At most one at a time.
class InterruptGuard {
   public:
    InterruptGuard() {
        detail::caught_signal = 0;
        struct sigaction action = {};
        action.sa_handler = detail::flowfar_program_catch_signal;
        action.sa_flags = SA_RESTART;  // reads and writes under way are not to fail
        sigemptyset(&action.sa_mask);
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
