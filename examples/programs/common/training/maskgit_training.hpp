#pragma once

// MaskGiT training chosen at run time; the twin of far_training.hpp.

#include <memory>
#include <string_view>

#include "common/models/maskgit_model.hpp"
#include "common/training/any_maskgit_training.hpp"

namespace flowfar::program {

/// Training of the configuration of this name.
[[nodiscard]] inline std::unique_ptr<AnyMaskGitTraining> make_maskgit_training(
    std::string_view name, Device device, const MaskGitTrainingSettings& settings) {
    std::unique_ptr<AnyMaskGitTraining> training;
    MaskGitConfigs::visit(name, [&]<class C>() {
        Backends::visit(device, [&]<class B>() { training = make_maskgit_training<C, B>(settings); });
    });
    return training;
}

}  // namespace flowfar::program
