#pragma once

#include <array>

#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/linear.hpp"

namespace flowfar {

/// Adaptive modulation (Peebles & Xie 2023): Linear(Width → Chunks·Width) of SiLU(vec), cut into Chunks vectors
/// [batch, Width].
///
///     Modulation<B, 64, 3> modulation;
///     const auto [shift, scale, gate] = modulation(vec);   // [n, 64] each
template <class B, Index Width, Index Chunks, class T = float>
struct Modulation {
    using Backend = B;
    using Vector = Tensor<B, Shape<dyn, Width>, T>;
    Linear<B, Width, Chunks * Width, T> lin;

    [[nodiscard]] std::array<Vector, static_cast<std::size_t>(Chunks)> operator()(const Vector& vec) const {
        return chunks(lin(silu(vec)));
    }
    /// The vectors side by side, [batch, Chunks·Width], cut.
    template <AnyTensor X>
    [[nodiscard]] static std::array<Vector, static_cast<std::size_t>(Chunks)> chunks(const X& all) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<Vector, sizeof...(I)>{
                slice<1, static_cast<Index>(I) * Width, static_cast<Index>(I + 1) * Width>(all)...};
        }(std::make_index_sequence<static_cast<std::size_t>(Chunks)>{});
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("lin", self.lin);
    }
};

}  // namespace flowfar
