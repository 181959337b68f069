#pragma once

#include <utility>
#include <vector>

#include "flowfar/nn/parameter.hpp"

namespace flowfar {

/// Settings of Sgd; the names and formulas are PyTorch's.
struct SgdOptions {
    double learning_rate = 1e-2;
    double momentum = 0.0;
    double weight_decay = 0.0;  ///< added to the gradient, times the parameter
    bool nesterov = false;
};

/// Gradient descent with momentum: v ← momentum · v + g, p ← p − rate · v (Sutskever et al. 2013 for Nesterov's form:
/// p ← p − rate · (g + momentum · v)). Parameters without a gradient are left alone, as in PyTorch.
///
///     Sgd<Autodiff<Cpu>> sgd(parameters(network), {.learning_rate = 0.1, .momentum = 0.9});
///     backward(loss);
///     sgd.step();
template <class A>
class Sgd {
   public:
    static_assert(is_autodiff<A>, "Sgd: parameters must live on Autodiff<Backend>");
    using B = Plain<A>;
    using H = typename B::Handle;

    /// The references must stay valid as long as the optimizer.
    Sgd(std::vector<ParameterRef<A>> parameters, SgdOptions options) : options_(options) {
        require(!options.nesterov || options.momentum > 0.0, "Sgd: Nesterov's form needs momentum, found ",
                options.momentum);
        for (ParameterRef<A>& p : parameters) {
            slots_.push_back({std::move(p), {}});
        }
    }
    [[nodiscard]] SgdOptions& options() { return options_; }

    /// One step with the learning rate times `rate` (schedule) and the gradients times `gradient_scale` (clipping).
    /// Clears the gradients.
    void step(double rate = 1.0, double gradient_scale = 1.0) {
        for (Slot& slot : slots_) {
            H gradient = slot.parameter.gradient();
            if (!gradient.defined()) {
                continue;
            }
            if (gradient_scale != 1.0) {
                gradient = scaled(gradient, gradient_scale);
            }
            const H& value = slot.parameter.value();
            if (options_.weight_decay != 0.0) {
                gradient = sum(gradient, scaled(value, options_.weight_decay));
            }
            if (options_.momentum != 0.0) {
                slot.velocity = slot.velocity.defined() ? sum(scaled(slot.velocity, options_.momentum), gradient)
                                                        : scaled(gradient, 1.0);
                gradient = options_.nesterov ? sum(gradient, scaled(slot.velocity, options_.momentum)) : slot.velocity;
            }
            B::add_into(value, scaled(gradient, -rate * options_.learning_rate));
            slot.parameter.clear_gradient();
        }
    }

   private:
    struct Slot {
        ParameterRef<A> parameter;
        H velocity;  ///< undefined until a gradient arrives
    };

    [[nodiscard]] static H scaled(const H& x, double factor) { return B::unary({UnaryOp::affine, factor, 0.0}, x); }
    [[nodiscard]] static H sum(const H& a, const H& b) { return B::binary(BinaryOp::add, a, b); }

    SgdOptions options_;
    std::vector<Slot> slots_;
};

}  // namespace flowfar
