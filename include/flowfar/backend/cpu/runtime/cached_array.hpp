#pragma once

#include <memory>
#include <utility>

#include "flowfar/backend/cpu/runtime/block_cache.hpp"

namespace flowfar::cpu {

/// Memory for elements that a kernel writes before it reads them, from the cache of freed blocks: fresh pages would
/// cost more than filling it. It begins on a cache line: Eigen peels loops up to an aligned address, so that with the
/// alignment of `new` the last bits of results would change from call to call.
template <class T>
class CachedArray {
   public:
    explicit CachedArray(Index count)
        : block_(BlockCache::instance().allocate(static_cast<std::size_t>(count) * sizeof(T))) {}
    explicit CachedArray(std::shared_ptr<std::byte> block) : block_(std::move(block)) {}
    [[nodiscard]] T* data() const { return reinterpret_cast<T*>(block_.get()); }
    [[nodiscard]] const std::shared_ptr<std::byte>& block() const { return block_; }

   private:
    std::shared_ptr<std::byte> block_;
};

}  // namespace flowfar::cpu
