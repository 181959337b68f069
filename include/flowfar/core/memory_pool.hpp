#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

namespace flowfar {

/// Memory for small objects of which every step makes as many as the one before: what is freed waits for the next
/// request of its size class, so that after the first step none reaches the heap. Thread-safe. Blocks are aligned for
/// any fundamental type. Where an address sanitizer looks for the use of freed memory, nothing is kept.
class Pool {
   public:
#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool keeps = false;
#elif defined(__has_feature)
    static constexpr bool keeps = !__has_feature(address_sanitizer);
#else
    static constexpr bool keeps = true;
#endif

    [[nodiscard]] static void* allocate(std::size_t bytes) {
        const std::size_t i = class_of(bytes);
        if (i == classes || !keeps) {
            return ::operator new(bytes);
        }
        Class& c = of(i);
        {
            const std::lock_guard lock(c.mutex);
            if (Block* const block = c.first) {
                c.first = block->next;
                return block;
            }
        }
        return ::operator new(std::size_t{smallest} << i);
    }
    static void release(void* memory, std::size_t bytes) noexcept {
        const std::size_t i = class_of(bytes);
        if (i == classes || !keeps) {
            ::operator delete(memory);
            return;
        }
        Class& c = of(i);
        const std::lock_guard lock(c.mutex);
        c.first = new (memory) Block{c.first};
    }

   private:
    struct Block {
        Block* next;
    };
    struct Class {
        std::mutex mutex;
        Block* first = nullptr;
    };
    static constexpr std::size_t smallest = 32;
    static constexpr std::size_t classes = 16;  // 32 bytes to 1 MiB by powers of two

    static constexpr std::size_t class_of(std::size_t bytes) {
        const auto units = (bytes + smallest - 1) / smallest;
        const auto i = units <= 1 ? std::size_t{0} : static_cast<std::size_t>(std::bit_width(units - 1));
        return i < classes ? i : classes;
    }

    static Class& of(std::size_t i) {
        static auto* const all = new std::array<Class, classes>;  // never destroyed: static objects may outlive it
        return (*all)[i];
    }
};

/// A standard allocator over `Pool`.
template <class T>
struct PoolAllocator {
    using value_type = T;
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

    PoolAllocator() = default;
    template <class U>
    PoolAllocator(const PoolAllocator<U>&) {}

    [[nodiscard]] T* allocate(std::size_t count) { return static_cast<T*>(Pool::allocate(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t count) noexcept { Pool::release(memory, count * sizeof(T)); }

    friend bool operator==(const PoolAllocator&, const PoolAllocator&) { return true; }
};

template <class T>
using PoolVector = std::vector<T, PoolAllocator<T>>;

/// Gives a class, and what derives from it, `new` and `delete` over `Pool`.
struct Pooled {
    static void* operator new(std::size_t bytes) { return Pool::allocate(bytes); }
    static void operator delete(void* memory, std::size_t bytes) noexcept { Pool::release(memory, bytes); }
};

}  // namespace flowfar
