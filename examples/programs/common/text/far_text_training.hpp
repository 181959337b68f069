#pragma once

// Training of FAR from text chosen at run time; the twin of far_training.hpp.

#include <memory>
#include <string_view>

#include "common/text/any_far_text_training.hpp"
#include "text_config_tables.hpp"

namespace flowfar::program {

/// Training of the configuration of this name.
[[nodiscard]] inline std::unique_ptr<AnyFarTextTraining> make_far_text_training(std::string_view name, Device device,
                                                                                const FarTrainingSettings& settings) {
    std::unique_ptr<AnyFarTextTraining> training;
    TextConfigs::visit(name, [&]<class C>() {
        Backends::visit(device, [&]<class B>() { training = make_far_text_training<C, B>(settings); });
    });
    return training;
}

}  // namespace flowfar::program
