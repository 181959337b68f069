#include <doctest/doctest.h>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "flowfar/backend/cpu/runtime/thread_pool.hpp"
#include "flowfar/core/error.hpp"

using flowfar::Index;
using flowfar::cpu::parallel_for;
using flowfar::cpu::ThreadPool;

namespace {

/// Restores the number of threads.
struct Threads {
    explicit Threads(int count) { ThreadPool::instance().set_threads(count); }
    ~Threads() { ThreadPool::instance().set_threads(before); }
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    int before = ThreadPool::instance().threads();
};

/// Adds 1 to each element once per call.
void count_all(std::vector<int>& seen, Index grain) {
    parallel_for(static_cast<Index>(seen.size()), grain, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
            ++seen[static_cast<std::size_t>(i)];
        }
    });
}

}  // namespace

TEST_CASE("every index is visited exactly once") {
    for (const int threads : {1, 2, 3, 7}) {
        const Threads guard(threads);
        for (const Index count : {0, 1, 31, 32, 33, 1000, 10007}) {
            for (const Index grain : {0, 1, 7, 32, 5000}) {
                std::vector<int> seen(static_cast<std::size_t>(count));
                count_all(seen, grain);
                CHECK((seen == std::vector<int>(static_cast<std::size_t>(count), 1)));
            }
        }
    }
}

TEST_CASE("ranges begin at multiples of the grain") {
    const Threads guard(3);
    std::vector<int> wrong(1001);
    parallel_for(1001, 10, [&](Index begin, Index end) {
        wrong[static_cast<std::size_t>(begin)] = begin % 10 != 0 || (end % 10 != 0 && end != 1001) ? 1 : 0;
    });
    CHECK(std::accumulate(wrong.begin(), wrong.end(), 0) == 0);
}

TEST_CASE("a loop inside a loop runs on the thread it started on") {
    const Threads guard(3);
    std::vector<std::vector<int>> seen(64, std::vector<int>(500));
    std::vector<int> moved(64);
    parallel_for(64, 1, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
            const auto outer = static_cast<std::size_t>(i);
            const auto here = std::this_thread::get_id();
            count_all(seen[outer], 1);
            parallel_for(10, 1, [&](Index, Index) { moved[outer] += std::this_thread::get_id() != here ? 1 : 0; });
        }
    });
    CHECK((seen == std::vector<std::vector<int>>(64, std::vector<int>(500, 1))));
    CHECK((moved == std::vector<int>(64)));
}

TEST_CASE("an exception reaches the caller and leaves the pool usable") {
    for (const int threads : {1, 3}) {
        const Threads guard(threads);
        for (int round = 0; round < 20; ++round) {
            const auto faulty = [&](Index begin, Index end) {
                if (begin <= 57 && 57 < end) {
                    throw std::runtime_error("range with 57");
                }
            };
            CHECK_THROWS_WITH_AS(parallel_for(100, 1, faulty), "range with 57", std::runtime_error);
        }
        CHECK_THROWS_AS(parallel_for(100, 1, [](Index, Index) { throw std::logic_error("all fail"); }),
                        std::logic_error);
        std::vector<int> seen(1000);
        count_all(seen, 1);
        CHECK((seen == std::vector<int>(1000, 1)));
    }
}

TEST_CASE("several threads may use the pool at once") {
    const Threads guard(3);
    std::vector<std::vector<int>> seen(4, std::vector<int>(3000));
    std::vector<int> caught(4);
    std::vector<std::thread> users;
    for (std::size_t user = 0; user < seen.size(); ++user) {
        users.emplace_back([&, user] {
            for (int round = 0; round < 100; ++round) {
                count_all(seen[user], 10);
                try {
                    parallel_for(30, 1, [](Index begin, Index) {
                        if (begin == 0) {
                            throw flowfar::Error("expected");
                        }
                    });
                } catch (const flowfar::Error&) {
                    ++caught[user];
                }
            }
        });
    }
    for (std::thread& user : users) {
        user.join();
    }
    CHECK((seen == std::vector<std::vector<int>>(4, std::vector<int>(3000, 100))));
    CHECK((caught == std::vector<int>(4, 100)));
}

TEST_CASE("the number of threads can change while other threads compute") {
    const Threads guard(2);
    std::vector<int> seen(2000);
    std::thread user([&] {
        for (int round = 0; round < 200; ++round) {
            count_all(seen, 5);
        }
    });
    for (int round = 0; round < 20; ++round) {
        ThreadPool::instance().set_threads(1 + round % 4);
        CHECK(ThreadPool::instance().threads() == 1 + round % 4);
    }
    user.join();
    CHECK((seen == std::vector<int>(2000, 200)));
}

TEST_CASE("senseless numbers of threads are refused") {
    CHECK_THROWS_AS(ThreadPool::instance().set_threads(0), flowfar::Error);
    CHECK_THROWS_AS(ThreadPool::instance().set_threads(-3), flowfar::Error);
    CHECK_THROWS_AS(ThreadPool::instance().set_threads(100000), flowfar::Error);
    const Threads guard(2);
    const auto inside = [](Index, Index) { ThreadPool::instance().set_threads(1); };
    CHECK_THROWS_AS(parallel_for(10, 1, inside), flowfar::Error);
}
