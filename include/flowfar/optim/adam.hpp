#pragma once

#include <span>
#include <string>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar {

/// Adam and AdamW (Kingma & Ba 2015) over the parameters of models on Autodiff<B>. Moments appear when a parameter
/// first has a gradient; parameters without one are left alone, as PyTorch does.
///
///     Adam<Autodiff<Cpu>> adam(parameters(network), {.learning_rate = 3e-4});
///     backward(loss);
///     adam.step();
template <class A>
class Adam {
   public:
    static_assert(is_autodiff<A>, "Adam: parameters must live on Autodiff<Backend>");
    using B = Plain<A>;
    using H = typename B::Handle;

    struct Slot {
        ParameterRef<A> parameter;
        std::size_t group;
        H first;   ///< running mean of gradients; undefined until one arrives
        H second;  ///< running mean of squared gradients
        std::int64_t steps = 0;
    };

    Adam() = default;
    /// With one group.
    Adam(std::vector<ParameterRef<A>> parameters, AdamOptions settings) { add_group(std::move(parameters), settings); }

    /// Adds a group; its `step` and `gradient_scale` are set by `step`. The references must stay valid as long as the
    /// optimizer.
    void add_group(std::vector<ParameterRef<A>> parameters, AdamOptions settings) {
        groups_.push_back(settings);
        for (ParameterRef<A>& p : parameters) {
            slots_.push_back({std::move(p), groups_.size() - 1, {}, {}, 0});
        }
    }
    [[nodiscard]] std::vector<AdamOptions>& groups() { return groups_; }
    [[nodiscard]] std::vector<Slot>& slots() { return slots_; }

    /// One step; learning rates are multiplied by `rate` (schedule) and gradients by `gradient_scale` (clipping).
    /// Clears the gradients.
    void step(double rate = 1.0, double gradient_scale = 1.0) {
        const PoolVector<AdamTarget<H>> targets = next_targets(rate, gradient_scale);
        B::adam_steps(std::span<const AdamTarget<H>>(targets));
    }
    /// One step with gradients whose norm only the device knows.
    void step(double rate, const GradientLimit<H>& limit) {
        const PoolVector<AdamTarget<H>> targets = next_targets(rate, 1.0);
        B::adam_steps(std::span<const AdamTarget<H>>(targets), limit);
    }

   private:
    [[nodiscard]] PoolVector<AdamTarget<H>> next_targets(double rate, double gradient_scale) {
        PoolVector<AdamTarget<H>> targets;
        for (Slot& slot : slots_) {
            const H gradient = slot.parameter.gradient();
            if (!gradient.defined()) {
                continue;
            }
            const H& value = slot.parameter.value();
            if (!slot.first.defined()) {
                slot.first = B::full(B::extents(value), B::dtype(value), 0.0);
                slot.second = B::full(B::extents(value), B::dtype(value), 0.0);
            }
            AdamOptions options = groups_[slot.group];
            options.learning_rate *= rate;
            options.step = ++slot.steps;
            options.gradient_scale = gradient_scale;
            targets.push_back({value, gradient, slot.first, slot.second, options});
            slot.parameter.clear_gradient();
        }
        return targets;
    }

    std::vector<AdamOptions> groups_;
    std::vector<Slot> slots_;
};

}  // namespace flowfar
