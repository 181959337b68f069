#pragma once

// Defines make_far<C, B, T>(); included only by the units that examples/CMakeLists.txt generates per configuration,
// backend and element type.

#include <type_traits>

#include "flowfar/checkpoints/far.hpp"
#include "flowfar/far/model.hpp"
#include "flowfar/samplers_cuda/far.hpp"

#include "common/models/far_with.hpp"

namespace flowfar::program {

template <class C, class B, class T>
class FarOn final : public FarWith<AnyFar, C, Far<C, B, T>> {
   public:
    using Base = FarWith<AnyFar, C, Far<C, B, T>>;

    FarOn() : Base(C::classes) {}

    std::vector<float> generate(const std::vector<Index>& labels, const FarSampleOptions& options,
                                const AnyFar::Callback& callback) const override {
        const auto inner = Base::step_callback(callback);
        if constexpr (std::is_same_v<B, Cuda>) {
            return to_floats(FarGraphSampler<C, T>(this->model_, options)(labels, inner));
        } else {
            return to_floats(this->model_.generate(labels, options, inner));
        }
    }
    FarTrainReport loss(const std::vector<float>& latents, const std::vector<Index>& labels,
                        const FarTrainOptions& options) const override {
        return this->validation_loss(latents, static_cast<Index>(labels.size()), options,
                                     [&](const auto& x, const auto& draws, const auto& noise, const auto& o) {
                                         return far_loss(this->model_, x, labels, draws, noise, o);
                                     });
    }
};

template <class C, class B, class T>
std::unique_ptr<AnyFar> make_far() {
    return std::make_unique<FarOn<C, B, T>>();
}

}  // namespace flowfar::program
