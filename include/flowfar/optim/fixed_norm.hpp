#pragma once

#include <string_view>
#include <vector>

#include "flowfar/optim/clip.hpp"

namespace flowfar {

/// Keeps weights at the Frobenius norms they have now: call `restore` after every optimiser step (FlowMo's "fixed
/// initial norms").
template <class A>
class FixedNorms {
   public:
    using B = Plain<A>;

    struct Slot {
        ParameterRef<A> parameter;
        double norm;
    };

    explicit FixedNorms(std::vector<ParameterRef<A>> weights) {
        for (ParameterRef<A>& w : weights) {
            const double norm = l2_norm<B>(w.value());
            slots_.push_back({std::move(w), norm});
        }
    }
    void restore() const {
        for (const Slot& slot : slots_) {
            const auto& value = slot.parameter.value();
            const double norm = l2_norm<B>(value);
            if (norm > 0.0) {
                B::assign(value, B::unary({UnaryOp::affine, slot.norm / norm, 0.0}, value));
            }
        }
    }
    [[nodiscard]] std::vector<Slot>& slots() { return slots_; }

   private:
    std::vector<Slot> slots_;
};

}  // namespace flowfar
