#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "flowfar/core/handle.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cpu {

/// What a mask of keys leaves. In each batch row, the visible keys are moved together to the front, so that a query
/// sees the first so many of them, and kernels need no mask.
class VisibleKeys {
   public:
    /// `mask` i64 [batch, keys], dense: 0 hides a key.
    VisibleKeys(const Handle& mask, Index queries, MaskKind kind) {
        const Index batch = mask.extents()[0];
        const Index keys = mask.extents()[1];
        for (Index row = 0; row < batch; ++row) {
            const Index* const flags = mask.data<Index>() + row * keys;
            PoolVector<Index>& kept = kept_.emplace_back();
            Index key = 0;
            for (Index query = 0; query < queries; ++query) {
                const Index end =
                    kind == MaskKind::causal ? std::clamp<Index>(query + 1 + keys - queries, 0, keys) : keys;
                for (; key < end; ++key) {
                    if (flags[key] != 0) {
                        kept.push_back(key);
                    }
                }
                counts_.push_back(static_cast<Index>(kept.size()));
            }
            most_ = std::max(most_, static_cast<Index>(kept.size()));
        }
    }

    /// The most keys that a query sees.
    [[nodiscard]] Index most() const { return most_; }
    /// For AttentionShape.
    [[nodiscard]] const Index* counts() const { return counts_.data(); }

    /// Copies the visible rows of x [batch, heads, keys, D] to `to` [batch, heads, most(), D], zeros behind them. Both
    /// have dense rows and the same type.
    void gather(const Handle& x, const Handle& to) const {
        for_each_head(x, [&](const auto& row, std::size_t batch, Index head) {
            for (Index i = 0; i < most_; ++i) {
                std::byte* const place = row(to, batch, head, i);
                if (i < static_cast<Index>(kept_[batch].size())) {
                    std::memcpy(place, row(x, batch, head, kept_[batch][static_cast<std::size_t>(i)]), bytes(x));
                } else {
                    std::memset(place, 0, bytes(x));
                }
            }
        });
    }
    /// The reverse of gather: the other rows of `to` stay.
    void scatter(const Handle& x, const Handle& to) const {
        for_each_head(x, [&](const auto& row, std::size_t batch, Index head) {
            for (std::size_t i = 0; i < kept_[batch].size(); ++i) {
                std::memcpy(row(to, batch, head, kept_[batch][i]), row(x, batch, head, static_cast<Index>(i)),
                            bytes(x));
            }
        });
    }

   private:
    [[nodiscard]] static std::size_t bytes(const Handle& x) {
        return static_cast<std::size_t>(x.extents()[3]) * size_of(x.dtype);
    }
    template <class F>
    void for_each_head(const Handle& x, F&& f) const {
        const auto row = [](const Handle& h, std::size_t batch, Index head, Index token) {
            const Index at = h.layout.offset + static_cast<Index>(batch) * h.layout.stride(0) +
                             head * h.layout.stride(1) + token * h.layout.stride(2);
            return h.storage.get() + at * static_cast<Index>(size_of(h.dtype));
        };
        for (std::size_t batch = 0; batch < kept_.size(); ++batch) {
            for (Index head = 0; head < x.extents()[1]; ++head) {
                f(row, batch, head);
            }
        }
    }

    PoolVector<PoolVector<Index>> kept_;  // of each batch row
    PoolVector<Index> counts_;            // [batch, queries]
    Index most_ = 0;
};

}  // namespace flowfar::cpu
