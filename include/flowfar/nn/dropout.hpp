#pragma once

#include <cstdint>
#include <string_view>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/philox.hpp"

namespace flowfar {

/// Dropout (Srivastava et al. 2014) with counter-based masks: which elements vanish is a pure function of the seed, so
/// a recomputed block drops the same ones. Every place that drops needs a seed of its own; `at` derives one.
///
///     const auto y = Dropout{0.1, fold(seed, step)}(x);
struct Dropout {
    double rate = 0.0;  ///< probability that an element vanishes, in [0, 1); 0 switches dropout off
    std::uint64_t seed = 0;

    [[nodiscard]] bool active() const { return rate > 0.0; }
    [[nodiscard]] Dropout at(std::string_view place) const { return {rate, fold(seed, place)}; }
    [[nodiscard]] Dropout at(std::uint64_t number) const { return {rate, fold(seed, number)}; }

    /// x with elements set to 0 and the rest scaled by 1 / (1 − rate); x itself if inactive.
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        if (!active()) {
            return x;
        }
        require(rate < 1.0, "dropout: expected a rate in [0, 1), found ", rate);
        using B = typename X::Backend;
        const auto limit = B::full({}, dtype_of<typename X::Element>, rate);
        const X kept(B::binary(BinaryOp::greater, X::uniform(x.extents(), seed).handle(), limit));
        return x * affine(kept, 1.0 / (1.0 - rate), 0.0);
    }
};

}  // namespace flowfar
