#pragma once

// Counts what a program takes from the heap. Replaces the global operator new, so it belongs into one unit only.

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <doctest/doctest.h>
#include <new>

#include "flowfar/backend/cpu/cpu.hpp"

namespace flowfar::testing {

inline std::atomic<long> heap_allocations{0};

inline void* counted(void* memory) {
    ++heap_allocations;
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

/// Whether counts say anything: freed memory is kept for reuse. With one thread from here on; with several, each
/// allocates its workspace in the first step that it takes part in.
inline bool counts_allocations() {
    Cpu::set_threads(1);
    if (!Pool::keeps) {
        MESSAGE("under the address sanitizer nothing is kept for reuse: not checked");
    }
    return Pool::keeps;
}

}  // namespace flowfar::testing

[[gnu::noinline]] void* operator new(std::size_t bytes) {
    return flowfar::testing::counted(std::malloc(bytes));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
    const auto unit = static_cast<std::size_t>(alignment);
    return flowfar::testing::counted(std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
