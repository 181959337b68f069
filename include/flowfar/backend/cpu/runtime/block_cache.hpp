#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "flowfar/core/handle.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar::cpu {

/// Copies of matrices in the order in which products read them, kept with the memory that they were copied from. A
/// matrix is copied for keeping when it is used for the second time: weights are, activations seldom. Thread-safe.
class PackedCopies {
   public:
    /// The copy of this view for kernels of this kind, if there is one. Otherwise null, and `wanted` says whether it is
    /// worth keeping.
    [[nodiscard]] std::shared_ptr<std::byte> find(const Handle& h, int kind, bool& wanted) {
        Copy oldest;  // freed, as below, when the lock no longer is held: freeing memory asks for it
        const std::lock_guard lock(mutex());
        for (const Copy& copy : copies_) {
            if (copy.matches(h, kind)) {
                wanted = copy.packed == nullptr;
                return copy.packed;
            }
        }
        wanted = false;
        if (copies_.size() == most) {
            oldest = std::move(copies_.front());
            copies_.erase(copies_.begin());
        }
        copies_.push_back({h.layout, kind, nullptr});
        return nullptr;
    }
    void keep(const Handle& h, int kind, std::shared_ptr<std::byte> packed) {
        const std::lock_guard lock(mutex());
        for (Copy& copy : copies_) {
            if (copy.matches(h, kind)) {
                packed.swap(copy.packed);
                return;
            }
        }
    }
    /// To be called before the memory changes.
    void clear() {
        PoolVector<Copy> old;
        const std::lock_guard lock(mutex());
        old.swap(copies_);
    }

   private:
    struct Copy {
        Layout layout;
        int kind = 0;
        std::shared_ptr<std::byte> packed;

        [[nodiscard]] bool matches(const Handle& h, int wanted) const {
            return kind == wanted && layout.extents == h.extents() && layout.offset == h.layout.offset &&
                   layout.stride(0) == h.layout.stride(0) && layout.stride(1) == h.layout.stride(1);
        }
    };
    static constexpr std::size_t most = 8;  // views per block: parts of one matrix, as they are and transposed

    /// One for all: it is held for a few instructions per product.
    static std::mutex& mutex() {
        static std::mutex one;
        return one;
    }

    PoolVector<Copy> copies_;
};

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
        return {block, Owner{this, size, {}, {}}, PoolAllocator<std::byte>()};
    }

    /// Memory of another owner, which lives as long as the result does.
    [[nodiscard]] static std::shared_ptr<std::byte> borrow(std::byte* memory, std::shared_ptr<const void> owner) {
        return {memory, Owner{nullptr, 0, {}, std::move(owner)}, PoolAllocator<std::byte>()};
    }

    /// Where copies of the matrices in this handle's memory are kept; null for memory from elsewhere.
    [[nodiscard]] static PackedCopies* copies(const Handle& h) {
        Owner* const owner = std::get_deleter<Owner>(h.storage);
        return owner == nullptr ? nullptr : &owner->copies;
    }
    /// To be called before these elements are changed in place.
    static void changes(const Handle& h) {
        if (PackedCopies* const kept = copies(h)) {
            kept->clear();
        }
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
    struct Owner {
        BlockCache* cache;
        std::size_t size;
        PackedCopies copies;
        std::shared_ptr<const void> other;  ///< whose memory it is, where it is not the cache's

        void operator()(std::byte* block) {
            copies.clear();
            if (cache != nullptr) {
                cache->give(block, size);
            }
        }
    };

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
