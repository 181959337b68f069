#pragma once

/// Does the same work in several threads that start together.

#include <barrier>
#include <cstddef>
#include <thread>
#include <vector>

namespace flowfar::testing {

/// Calls `work(user)` `rounds` times in each of `users` threads, all starting at once. `work` returns whether its
/// result was right; the answer holds each thread's number of wrong results (an exception counts as one).
template <class Work>
[[nodiscard]] std::vector<int> at_once(int users, int rounds, Work&& work) {
    std::vector<int> wrong(static_cast<std::size_t>(users));
    std::barrier start(users);
    std::vector<std::jthread> threads;
    for (int user = 0; user < users; ++user) {
        threads.emplace_back([&, user] {
            start.arrive_and_wait();
            for (int round = 0; round < rounds; ++round) {
                bool right = false;
                try {
                    right = work(user);
                } catch (...) {  // counted: a thread must not end the process
                }
                wrong[static_cast<std::size_t>(user)] += right ? 0 : 1;
            }
        });
    }
    threads.clear();  // joins
    return wrong;
}

}  // namespace flowfar::testing
