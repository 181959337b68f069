#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar {

/// How the decay of an average begins. `warm`: at step s it is min(decay, (1 + s) / (10 + s)), so that the average
/// spans the last ninth of a young run and forgets the random start. `published`: the full decay from the first step
/// on, as in the released trainers of FlowMo and FAR; 0.9999 then takes 10,000 steps to leave the start.
enum class EmaStart { warm, published };

/// Exponential moving average of a model's parameters: average ← d · average + (1 − d) · value. With `every` = n it is
/// updated when the step counter is a multiple of n (0 included), with d = decay^n. The decay depends on the step
/// alone, so a run that continues at the same step has the same averages.
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
    Ema(std::vector<ParameterRef<A>> parameters, double decay, std::int64_t every = 1, EmaStart start = EmaStart::warm)
        : decay_(decay), every_(every), start_(start) {
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
            B::lerp_each(std::span<const H>(averages), std::span<const H>(values),
                         1.0 - std::pow(decay_at(step), static_cast<double>(every_)));
        }
    }
    /// Per step.
    [[nodiscard]] double decay_at(std::int64_t step) const {
        const auto s = static_cast<double>(step);
        return start_ == EmaStart::warm ? std::min(decay_, (1.0 + s) / (10.0 + s)) : decay_;
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
    EmaStart start_;
    std::vector<Slot> slots_;
};

}  // namespace flowfar
