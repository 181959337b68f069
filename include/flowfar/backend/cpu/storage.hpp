#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace flowfar::cpu {

/// Keeps freed blocks for the next request of the same size: a model asks for the same sizes in every step, and fresh
/// pages from the kernel cost more than most row operations on them. Thread-safe.
class BlockCache {
   public:
    static BlockCache& instance() {
        static BlockCache* cache = new BlockCache;  // never destroyed: static tensors may be freed after main
        return *cache;
    }

    std::shared_ptr<std::byte> allocate(std::size_t bytes) {
        const std::size_t size = rounded(bytes);
        std::byte* block = take(size);
        if (block == nullptr) {
            try {
                block = static_cast<std::byte*>(::operator new(size, alignment));
            } catch (const std::bad_alloc&) {
                trim();
                block = static_cast<std::byte*>(::operator new(size, alignment));
            }
        }
        return {block, [this, size](std::byte* p) { give(p, size); }};
    }

    /// Returns all unused blocks to the system.
    void trim() {
        const std::lock_guard lock(mutex_);
        for (auto& [size, blocks] : free_) {
            for (std::byte* block : blocks) {
                ::operator delete(block, alignment);
            }
        }
        free_.clear();
        held_ = 0;
    }

    /// Unused bytes that the cache may keep; 0 switches it off.
    void set_limit(std::size_t bytes) {
        {
            const std::lock_guard lock(mutex_);
            limit_ = bytes;
        }
        trim();
    }

    [[nodiscard]] std::size_t held() const {
        const std::lock_guard lock(mutex_);
        return held_;
    }

   private:
    static constexpr std::align_val_t alignment{64};

    static std::size_t rounded(std::size_t bytes) {
        const std::size_t unit = bytes >= (std::size_t{1} << 20) ? 65536 : 64;
        return std::max<std::size_t>((bytes + unit - 1) / unit * unit, unit);
    }
    std::byte* take(std::size_t size) {
        const std::lock_guard lock(mutex_);
        const auto found = free_.find(size);
        if (found == free_.end() || found->second.empty()) {
            return nullptr;
        }
        std::byte* const block = found->second.back();
        found->second.pop_back();
        held_ -= size;
        return block;
    }
    void give(std::byte* block, std::size_t size) {
        {
            const std::lock_guard lock(mutex_);
            if (held_ + size <= limit_) {
                free_[size].push_back(block);
                held_ += size;
                return;
            }
        }
        ::operator delete(block, alignment);
    }

    mutable std::mutex mutex_;
    std::map<std::size_t, std::vector<std::byte*>> free_;
    std::size_t held_ = 0;
    std::size_t limit_ = std::size_t{1} << 30;
};

}  // namespace flowfar::cpu
