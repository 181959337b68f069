#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/philox.hpp"

namespace flowfar {

/// Which tokens of each sample are hidden from the encoder: equally many in every sample.
class TokenMask {
   public:
    /// Hides the first `hidden` entries of each sample's order; `orders` holds a permutation of 0 … tokens − 1 per
    /// sample, [batch, tokens].
    TokenMask(std::span<const Index> orders, Index tokens, Index hidden) : tokens_(tokens), hidden_(hidden) {
        require(tokens >= 1 && static_cast<Index>(orders.size()) % tokens == 0, "TokenMask: ", orders.size(),
                " order entries for ", tokens, " tokens per sample");
        require(hidden >= 0 && hidden <= tokens, "TokenMask: cannot hide ", hidden, " of ", tokens, " tokens");
        batch_ = static_cast<Index>(orders.size()) / tokens;
        flags_.assign(orders.size(), 0);
        for (Index sample = 0; sample < batch_; ++sample) {
            PoolVector<bool> seen(static_cast<std::size_t>(tokens), false);
            for (Index i = 0; i < tokens; ++i) {
                const Index token = orders[static_cast<std::size_t>(sample * tokens + i)];
                require(token >= 0 && token < tokens && !seen[static_cast<std::size_t>(token)],
                        "TokenMask: the order of sample ", sample, " is not a permutation of 0 to ", tokens - 1);
                seen[static_cast<std::size_t>(token)] = true;
                flags_[static_cast<std::size_t>(sample * tokens + token)] = i < hidden ? 1 : 0;
            }
        }
    }

    /// Hides `hidden` tokens of every sample, by an order of its own.
    [[nodiscard]] static TokenMask random(Index batch, Index tokens, Index hidden, Random& random) {
        PoolVector<Index> orders;
        for (Index i = 0; i < batch; ++i) {
            const std::vector<Index> order = random.permutation(tokens);
            orders.insert(orders.end(), order.begin(), order.end());
        }
        return {orders, tokens, hidden};
    }

    [[nodiscard]] Index batch() const { return batch_; }
    [[nodiscard]] Index tokens() const { return tokens_; }
    [[nodiscard]] Index hidden() const { return hidden_; }
    [[nodiscard]] Index visible() const { return tokens_ - hidden_; }
    /// 1 where hidden, [batch, tokens].
    [[nodiscard]] const PoolVector<Index>& flags() const { return flags_; }

    /// Rows of a flattened [batch·tokens, …] that stay, in raster order.
    [[nodiscard]] PoolVector<Index> kept_rows() const {
        PoolVector<Index> rows;
        for (Index row = 0; row < batch_ * tokens_; ++row) {
            if (flags_[static_cast<std::size_t>(row)] == 0) {
                rows.push_back(row);
            }
        }
        return rows;
    }
    /// For every token its row among the kept ones, or their number, [batch·tokens].
    [[nodiscard]] PoolVector<Index> restoring_rows() const {
        PoolVector<Index> rows;
        const Index none = batch_ * visible();
        Index next = 0;
        for (const Index flag : flags_) {
            rows.push_back(flag != 0 ? none : next++);
        }
        return rows;
    }
    /// Tokens [batch, tokens, C] with zeros where they are hidden.
    template <AnyTensor X>
    [[nodiscard]] X visible_only(const X& x) const {
        using T = typename X::Element;
        std::vector<T> visible;
        for (const Index flag : flags_) {
            visible.push_back(flag != 0 ? T(0) : T(1));
        }
        return x * WithShape<X, Shape<dyn, dyn, 1>>::from_host(visible, {batch_, tokens_, 1});
    }
    /// This mask for the batch twice over (conditional and null rows of guidance).
    [[nodiscard]] TokenMask doubled() const {
        TokenMask out = *this;
        out.batch_ *= 2;
        out.flags_.insert(out.flags_.end(), flags_.begin(), flags_.end());
        return out;
    }

   private:
    Index batch_ = 0;
    Index tokens_;
    Index hidden_;
    PoolVector<Index> flags_;
};

/// A mask policy says how many tokens training hides at a level. Here the fraction falls linearly from 0.7 at the
/// lowest level to 0 at the highest (arXiv 2503.05305, section 3).
struct LinearMask {
    double highest = 0.7;

    [[nodiscard]] Index hidden(Index tokens, Index level, Index levels, Random& /*random*/) const {
        const double share = levels > 1 ? 1.0 - static_cast<double>(level) / static_cast<double>(levels - 1) : 1.0;
        return static_cast<Index>(std::ceil(static_cast<double>(tokens) * highest * share));
    }
};

/// A mask policy whose fraction is normal(1, 0.25) truncated to [0.7·level/levels, 1], rounded up: what the published
/// masked models were trained with. The text model and MAR ignore the level: [0.7, 1].
struct TruncatedNormalMask {
    double deviation = 0.25;
    double lowest = 0.7;
    bool ignores_level = false;

    [[nodiscard]] Index hidden(Index tokens, Index level, Index levels, Random& random) const {
        const double low = ignores_level ? lowest : lowest * static_cast<double>(level) / static_cast<double>(levels);
        double rate = -1.0;
        while (rate < low) {
            rate = 1.0 - deviation * std::fabs(random.normal());
        }
        return std::min(tokens, static_cast<Index>(std::ceil(static_cast<double>(tokens) * rate)));
    }
};

}  // namespace flowfar
