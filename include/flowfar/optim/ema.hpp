#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar {

/// Exponential moving average of a model's parameters: average ← d · average + (1 − d) · value. With `every` = n it is
/// updated when the step counter is a multiple of n (0 included), with d = decay^n.
///
///     Ema<Autodiff<Cpu>> average(parameters(network), 0.999);
///     average.update(step);            // after each optimizer step
///     average.lend_to(inference);      // a model with the averaged weights
template <class A>
class Ema {
   public:
    using B = Plain<A>;
    using H = typename B::Handle;

    struct Slot {
        ParameterRef<A> parameter;
        H average;
    };

    /// Starts as a copy of the parameters.
    Ema(std::vector<ParameterRef<A>> parameters, double decay, std::int64_t every = 1)
        : decay_(std::pow(decay, static_cast<double>(every))), every_(every) {
        require(decay >= 0.0 && decay <= 1.0 && every >= 1, "Ema: decay ", decay, ", every ", every, " steps");
        for (ParameterRef<A>& p : parameters) {
            const H copy = B::empty(p.extents(), p.dtype());
            B::assign(copy, p.value());
            slots_.push_back({std::move(p), copy});
        }
    }

    void update(std::int64_t step) {
        if (step % every_ == 0) {
            PoolVector<H> averages;
            PoolVector<H> values;
            for (const Slot& slot : slots_) {
                averages.push_back(slot.average);
                values.push_back(slot.parameter.value());
            }
            B::lerp_each(std::span<const H>(averages), std::span<const H>(values), 1.0 - decay_);
        }
    }
    [[nodiscard]] std::vector<Slot>& slots() { return slots_; }

    /// Gives the averages (shared, not copied) to a model of the same structure.
    template <class Model>
    void lend_to(Model& model) const {
        auto target = parameters(model);
        require(target.size() == slots_.size(), "Ema: model of another structure");
        for (std::size_t i = 0; i < target.size(); ++i) {
            target[i].replace(slots_[i].average);
        }
    }

   private:
    double decay_;
    std::int64_t every_;
    std::vector<Slot> slots_;
};

}  // namespace flowfar
