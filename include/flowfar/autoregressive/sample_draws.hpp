#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/philox.hpp"

namespace flowfar {

/// The random numbers of a sampling run, counter-based: sample i's depend on (seed, i) alone, so neither the batch
/// size nor the number of threads changes them.
template <class Model>
class TokenSampleDraws {
   public:
    using Rows = typename Model::Head::Rows;

    TokenSampleDraws(std::uint64_t seed, std::uint64_t first_sample, Index batch) {
        for (Index i = 0; i < batch; ++i) {
            seeds_.push_back(fold(fold(seed, Model::stream), first_sample + static_cast<std::uint64_t>(i)));
        }
    }
    /// N(0, 1) [batch·count, token_dim] of a draw (0: start, i: i-th diffusion step) at autoregressive step k, which
    /// draws `count` tokens in every sample.
    [[nodiscard]] Rows noise(int k, int draw, Index count = Model::tokens) const {
        using B = typename Model::Backend;
        const Index values = count * Model::token_dim;
        PoolVector<typename B::Handle> parts;
        for (const std::uint64_t seed : seeds_) {
            const auto offset = static_cast<std::uint64_t>(draw) * static_cast<std::uint64_t>(values);
            parts.push_back(B::normal({count, Model::token_dim}, dtype_of<typename Model::Element>,
                                      fold(seed, static_cast<std::uint64_t>(k)), offset));
        }
        return Rows(B::concat(std::span<const typename B::Handle>(parts), 0));
    }
    /// The order in which each sample's tokens stay hidden, [batch, tokens]: earlier entries longer.
    [[nodiscard]] std::vector<Index> orders() const {
        std::vector<Index> out;
        for (const std::uint64_t seed : seeds_) {
            const std::vector<Index> order = Random(fold(seed, "order")).permutation(Model::tokens);
            out.insert(out.end(), order.begin(), order.end());
        }
        return out;
    }

   protected:
    std::vector<std::uint64_t> seeds_;
};

}  // namespace flowfar
