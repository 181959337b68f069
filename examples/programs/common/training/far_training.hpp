#pragma once

// FAR training chosen at run time; the twin of flowmo_training.hpp.

#include <memory>
#include <string_view>

#include "common/models/far_model.hpp"
#include "common/training/any_far_training.hpp"

namespace flowfar::program {

/// Training of the configuration of this name.
[[nodiscard]] inline std::unique_ptr<AnyFarTraining> make_far_training(std::string_view name, bool masked,
                                                                       Device device,
                                                                       const FarTrainingSettings& settings) {
    std::unique_ptr<AnyFarTraining> training;
    FarConfigs::visit(name, [&]<class C>() {
        Backends::visit(device, [&]<class B>() {
            training = masked ? make_far_training<Masked<C>, B>(settings) : make_far_training<C, B>(settings);
        });
    });
    return training;
}

}  // namespace flowfar::program
