#pragma once

/// A fiber: a function with a stack of its own that can be left and entered again. Every thread of an emulated block is
/// one. The switch knows x86-64; elsewhere the C library's ucontext does it.

#include <cstddef>
#include <stdexcept>
#include <sys/mman.h>
#include <utility>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CUDA_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_EMULATION_ASAN 1
#endif
#endif
#if defined(CUDA_EMULATION_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_emulation {

/// Memory for one stack, with a page below it that must not be touched.
class Stack {
   public:
#if defined(CUDA_EMULATION_ASAN)
    static constexpr std::size_t size = 512 * 1024;
#else
    static constexpr std::size_t size = 128 * 1024;
#endif

    Stack() {
        void* const memory =
            ::mmap(nullptr, guard + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || ::mprotect(memory, guard, PROT_NONE) != 0) {
            throw std::runtime_error("cuda emulation: no memory for the stack of a thread");
        }
        base_ = static_cast<std::byte*>(memory);
    }
    Stack(Stack&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}
    Stack& operator=(Stack&&) = delete;
    ~Stack() {
        if (base_ != nullptr) {
            ::munmap(base_, guard + size);
        }
    }

    [[nodiscard]] std::byte* bottom() const { return base_ + guard; }
    [[nodiscard]] std::byte* top() const { return base_ + guard + size; }

   private:
    static constexpr std::size_t guard = 4096;
    std::byte* base_;
};

#if defined(__x86_64__)
/// Stores the callee-saved registers on the stack, its pointer in `from`, and continues where `to` was stored.
[[gnu::naked, gnu::noinline]] inline void switch_stack(void** /*from*/, void* /*to*/) {
    asm volatile(
        "pushq %rbp\n"
        "pushq %rbx\n"
        "pushq %r12\n"
        "pushq %r13\n"
        "pushq %r14\n"
        "pushq %r15\n"
        "movq %rsp, (%rdi)\n"
        "movq %rsi, %rsp\n"
        "popq %r15\n"
        "popq %r14\n"
        "popq %r13\n"
        "popq %r12\n"
        "popq %rbx\n"
        "popq %rbp\n"
        "retq\n");
}
#endif

/// Where a flow of control was left.
class Context {
   public:
    /// Prepares to run `entry` on `stack`; entry must never return.
    void prepare(const Stack& stack, void (*entry)()) {
        bottom_ = stack.bottom();
#if defined(CUDA_EMULATION_ASAN)
        // A function that ended leaves the frame of `entry` behind, the thread of a failed block all it had called.
        const std::size_t left = std::exchange(ended_, false) ? 4096 : Stack::size;
        __asan_unpoison_memory_region(stack.top() - left, left);
        fake_ = nullptr;
#endif
#if defined(__x86_64__)
        auto* place = reinterpret_cast<void**>(stack.top()) - 2;  // so that entry finds the alignment of a call
        *place = reinterpret_cast<void*>(entry);
        place[1] = nullptr;
        pointer_ = place - 6;
#else
        ::getcontext(&context_);
        context_.uc_stack.ss_sp = bottom_;
        context_.uc_stack.ss_size = Stack::size;
        context_.uc_link = nullptr;
        ::makecontext(&context_, entry, 0);
#endif
    }
    /// Leaves this context for `to`; returns when something switches back. `last`: nothing ever will.
    void leave_for(Context& to, [[maybe_unused]] bool last = false) {
#if defined(CUDA_EMULATION_ASAN)
        __sanitizer_start_switch_fiber(last ? nullptr : &fake_, to.bottom_, to.size_);
        to.from_ = this;
        ended_ = last;
#endif
#if defined(__x86_64__)
        switch_stack(&pointer_, to.pointer_);
#else
        ::swapcontext(&context_, &to.context_);
#endif
        arrived();
    }
    /// Must be the first call on a new stack.
    void arrived() {
#if defined(CUDA_EMULATION_ASAN)
        __sanitizer_finish_switch_fiber(fake_, &from_->bottom_, &from_->size_);
#endif
    }

   private:
#if defined(__x86_64__)
    void* pointer_ = nullptr;
#else
    ucontext_t context_{};
#endif
    const void* bottom_ = nullptr;
#if defined(CUDA_EMULATION_ASAN)
    std::size_t size_ = Stack::size;
    void* fake_ = nullptr;
    Context* from_ = nullptr;
    bool ended_ = false;
#endif
};

}  // namespace cuda_emulation
