#pragma once

#include "flowfar/nn/linear.hpp"

namespace flowfar {

/// Linear, activation, linear: […, Width] → […, Inner] → […, Width]. The members carry the names of a sequential
/// container whose second entry is the activation.
///
///     Mlp<B, 64, 256, Activation::gelu_erf> mlp;   // […, 64] → […, 256] → […, 64]
template <class B, Index Width, Index Inner, Activation Act, class T = float>
struct Mlp {
    using Backend = B;
    Linear<B, Width, Inner, T> up;
    Linear<B, Inner, Width, T> down;

    template <AnyLinearInput X>
    [[nodiscard]] auto operator()(const X& x) const {
        return down(up.packed(x, Act));
    }
    /// residual + gate ∘ of it; the gate may be absent (1), [Width] or [batch, Width].
    template <AnyTensor R, AnyTensor G, AnyLinearInput X>
    [[nodiscard]] auto add(const R& residual, const G& gate, const X& x) const {
        return down.add(residual, gate, up.packed(x, Act));
    }
    void initialize(std::uint64_t seed) {
        up.initialize(fold(seed, 0U));
        down.initialize(fold(seed, 2U));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("0", self.up);
        v("2", self.down);
    }
};

}  // namespace flowfar
