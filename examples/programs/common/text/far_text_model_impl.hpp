#pragma once

// Defines make_far_text<C, B, T>(); included only by the units that examples/CMakeLists.txt generates.

#include <memory>
#include <type_traits>
#include <vector>

#include "flowfar/checkpoints/far_text.hpp"
#include "flowfar/far/text/loss.hpp"
#include "flowfar/far/text/model.hpp"

#include "common/models/far_with.hpp"
#include "common/text/any_far_text.hpp"
#include "common/text/far_text_configs.hpp"

namespace flowfar::program {

template <class C, class B, class T>
class FarTextOn final : public FarWith<AnyFarText, C, FarText<C, B, T>> {
   public:
    using Base = FarWith<AnyFarText, C, FarText<C, B, T>>;
    using typename Base::Model;

    FarTextOn() : Base(0) {}

    std::vector<float> generate(const std::vector<Index>& labels, const FarSampleOptions& options,
                                const AnyFar::Callback& callback) const override {
        return to_floats(this->model_.generate(context_of(labels), options, Base::step_callback(callback)));
    }
    FarTrainReport loss(const std::vector<float>& latents, const std::vector<Index>& labels,
                        const FarTrainOptions& options) const override {
        return this->validation_loss(latents, static_cast<Index>(labels.size()), options,
                                     [&](const auto& x, const auto& draws, const auto& noise, const auto& o) {
                                         return far_text_loss(this->model_, x, context_of(labels), draws, noise, o);
                                     });
    }

   private:
    [[nodiscard]] typename Model::Context context_of(const std::vector<Index>& labels) const {
        require(this->prompts_ != nullptr, C::name, ": no prompts");
        return from_floats<typename Model::Context>(
            this->prompts_->contexts(labels), {static_cast<Index>(labels.size()), C::context_tokens, C::context_width});
    }
};

template <class C, class B, class T>
std::unique_ptr<AnyFarText> make_far_text() {
    return std::make_unique<FarTextOn<C, B, T>>();
}

}  // namespace flowfar::program
