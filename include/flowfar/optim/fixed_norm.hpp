#pragma once

#include <string_view>
#include <vector>

#include "flowfar/core/pool.hpp"
#include "flowfar/optim/clip.hpp"

namespace flowfar {

/// Keeps weights at the Frobenius norms they have now: call `restore` after every optimiser step (FlowMo's "fixed
/// initial norms").
template <class A>
class FixedNorms {
   public:
    using B = Plain<A>;
    using H = typename B::Handle;

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
        PoolVector<H> values;
        for (const Slot& slot : slots_) {
            values.push_back(slot.parameter.value());
        }
        const PoolVector<double> squares = detail::square_sums<B>(values);
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            if (const double norm = std::sqrt(squares[i]); norm > 0.0) {
                B::assign(values[i], B::unary({UnaryOp::affine, slots_[i].norm / norm, 0.0}, values[i]));
            }
        }
    }
    [[nodiscard]] std::vector<Slot>& slots() { return slots_; }

   private:
    std::vector<Slot> slots_;
};

}  // namespace flowfar
