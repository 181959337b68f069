#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "flowfar/backend/cpu/runtime/subnormals.hpp"
#include "flowfar/core/dtype.hpp"

namespace flowfar::cpu {

/// A small pool of worker threads that runs index ranges. One loop runs at a time; a loop that starts inside another,
/// or while another thread's loop runs, is executed by its caller alone, so any thread may use the backend. Loops
/// compute without subnormal numbers (FlushSubnormals) on whichever thread they run.
class ThreadPool {
   public:
    static ThreadPool& instance() {
        static ThreadPool pool;
        return pool;
    }
    ~ThreadPool() { stop(); }
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    [[nodiscard]] int threads() const { return threads_.load(std::memory_order_relaxed); }

    /// Number of threads that loops use, the caller included; at least 1. Not to be called during a loop.
    void set_threads(int count) {
        require(count >= 1 && count <= 1024, "threads: expected 1 to 1024, found ", count);
        require(!inside(), "threads: cannot change inside a parallel loop");
        const std::lock_guard busy(busy_);
        stop();
        start(count);
    }

    /// Calls `f(begin, end)` over disjoint ranges that cover [0, count), each a multiple of `grain` long but the last.
    template <class F>
    void run(Index count, Index grain, F&& f) {
        // Through a pointer even where one thread computes: so the loop's body is compiled once.
        void* const context = const_cast<void*>(static_cast<const void*>(std::addressof(f)));
        run(count, grain, context,
            [](void* body, Index begin, Index end) { (*static_cast<std::remove_reference_t<F>*>(body))(begin, end); });
    }

   private:
    using Call = void (*)(void* context, Index begin, Index end);

    struct Job {
        void* context = nullptr;
        Call call = nullptr;
        Index count = 0;
        Index step = 1;
        std::atomic<Index> next{0};
        std::mutex error_mutex;
        std::exception_ptr error;
    };

    ThreadPool() { start(static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))); }

    void run(Index count, Index grain, void* context, Call call) {
        if (count <= 0) {
            return;
        }
        const FlushSubnormals flush;
        const Index chunks = (count + grain - 1) / grain;
        std::unique_lock busy(busy_, std::defer_lock);
        if (chunks == 1 || threads() == 1 || inside() || !busy.try_lock()) {
            call(context, Index{0}, count);
            return;
        }
        // About four ranges per thread keep both busy when one of them is interrupted.
        const Index ranges = std::min<Index>(chunks, Index{4} * threads());
        const Index step = (chunks + ranges - 1) / ranges * grain;
        Job job;
        job.context = context;
        job.call = call;
        job.count = count;
        job.step = step;
        {
            const std::lock_guard lock(mutex_);
            job_ = &job;
            ++generation_;
        }
        wake_.notify_all();
        work(job);
        spin([&] { return active_ == 0; });
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return active_ == 0; });
        job_ = nullptr;
        if (job.error) {
            std::rethrow_exception(job.error);
        }
    }
    static bool& inside() {
        thread_local bool value = false;
        return value;
    }
    static void work(Job& job) {
        const bool outer = inside();
        inside() = true;
        for (Index begin = job.next.fetch_add(job.step); begin < job.count; begin = job.next.fetch_add(job.step)) {
            try {
                job.call(job.context, begin, std::min(begin + job.step, job.count));
            } catch (...) {
                const std::lock_guard lock(job.error_mutex);
                job.error = job.error ? job.error : std::current_exception();
            }
        }
        inside() = outer;
    }
    /// Waits a little for `ready()` without sleeping: loops mostly follow each other within microseconds, and to wake a
    /// thread takes longer. Not where threads would spin on processors that others of them need.
    template <class F>
    void spin(F&& ready) const {
        if (!spins_) {
            return;
        }
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(30);
        while (!ready() && std::chrono::steady_clock::now() < end) {
            for (int i = 0; i < 4; ++i) {
#if defined(__x86_64__)
                __builtin_ia32_pause();
#elif defined(__aarch64__)
                asm volatile("yield");
#endif
            }
        }
    }
    void start(int count) {
        threads_ = count;
        spins_ = count <= static_cast<int>(std::thread::hardware_concurrency());
        stopping_ = false;
        for (int i = 1; i < count; ++i) {
            workers_.emplace_back([this, seen = generation_.load()]() mutable { loop(seen); });
        }
    }
    void stop() {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) {
            worker.join();
        }
        workers_.clear();
    }
    void loop(std::uint64_t seen) {
        const FlushSubnormals flush;
        std::unique_lock lock(mutex_);
        while (true) {
            lock.unlock();
            spin([&] { return stopping_ || generation_ != seen; });
            lock.lock();
            wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
            if (stopping_) {
                return;
            }
            seen = generation_;
            Job* const job = job_;
            if (job == nullptr) {
                continue;
            }
            ++active_;
            lock.unlock();
            work(*job);
            lock.lock();
            if (--active_ == 0) {
                done_.notify_all();
            }
        }
    }

    std::mutex busy_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    std::vector<std::thread> workers_;
    std::atomic<int> threads_{1};
    Job* job_ = nullptr;
    bool spins_ = false;
    // Changed under the mutex, and also read without it while spinning.
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<int> active_{0};
    std::atomic<bool> stopping_{false};
};

/// Calls `f(begin, end)` on the pool's threads over ranges that cover [0, count).
template <class F>
void parallel_for(Index count, Index grain, F&& f) {
    ThreadPool::instance().run(count, std::max<Index>(grain, 1), std::forward<F>(f));
}

}  // namespace flowfar::cpu
