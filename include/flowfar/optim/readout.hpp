#pragma once

#include <span>

#include "flowfar/backend/concept.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// Numbers that a device may still be computing: scalars are added while work is queued, brought to the host in one
/// transfer, and waited for when they are read.
template <class B>
class Readout {
   public:
    using H = typename B::Handle;
    /// Adds a tensor of one element, of any type of numbers.
    void add(const H& scalar) { scalars_.push_back(B::reshape(B::cast(scalar, DType::f64), {1})); }

    /// Queues the transfer of all numbers that were added.
    void fetch() {
        if (scalars_.empty()) {
            return;
        }
        const H all = B::concat(std::span<const H>(scalars_), 0);
        values_.resize(scalars_.size());
        scalars_.clear();
        if constexpr (RunsAhead<B>) {
            fetched_ = B::fetch(all);
        } else {
            B::to_host(all, values_.data());
        }
    }
    /// The numbers in the order in which they were added; waits for the transfer.
    [[nodiscard]] std::span<const double> values() {
        if constexpr (RunsAhead<B>) {
            if (fetched_ != nullptr) {
                const auto* const numbers = static_cast<const double*>(fetched_->wait());
                values_.assign(numbers, numbers + values_.size());
                fetched_ = nullptr;
            }
        }
        return values_;
    }

   private:
    [[nodiscard]] static auto no_transfer() {
        if constexpr (RunsAhead<B>) {
            return decltype(B::fetch(H{})){};
        } else {
            return nullptr;
        }
    }

    PoolVector<H> scalars_;
    PoolVector<double> values_;
    decltype(no_transfer()) fetched_ = no_transfer();
};

}  // namespace flowfar
