#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/optim/clip.hpp"

namespace flowfar {

/// Keeps weights at the Frobenius norms they have now: call `restore` after every optimizer step (FlowMo's "fixed
/// initial norms").
///
///     FixedNorms<Autodiff<Cpu>> norms(parameters(network));
///     adam.step();
///     norms.restore();
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
        if (slots_.empty()) {
            return;
        }
        PoolVector<H> values;
        PoolVector<double> numbers;
        for (const Slot& slot : slots_) {
            values.push_back(slot.parameter.value());
            numbers.push_back(slot.norm);
        }
        const Extents count{static_cast<Index>(slots_.size())};
        H factors = B::square_sums(std::span<const H>(values));
        if constexpr (RunsAhead<B>) {
            // Weights that are all zeros stay zeros, whatever finite number they are multiplied by.
            constexpr double infinity = std::numeric_limits<double>::infinity();
            const H inverse = B::unary({UnaryOp::rsqrt}, B::unary({UnaryOp::clamp, 1e-60, infinity}, factors));
            factors = B::binary(BinaryOp::mul, B::from_host(numbers.data(), count, DType::f64), inverse);
        } else {
            PoolVector<double> squares(slots_.size());
            B::to_host(factors, squares.data());
            for (std::size_t i = 0; i < squares.size(); ++i) {
                numbers[i] = squares[i] > 0.0 ? numbers[i] / std::sqrt(squares[i]) : 1.0;
            }
            factors = B::from_host(numbers.data(), count, DType::f64);
        }
        B::multiply_each(std::span<const H>(values), factors);
    }
    [[nodiscard]] std::vector<Slot>& slots() { return slots_; }

   private:
    std::vector<Slot> slots_;
};

}  // namespace flowfar
