#pragma once

// FlowMo training chosen at run time; the twin of flowmo_model.hpp.

#include <memory>
#include <string_view>

#include "common/models/flowmo_model.hpp"
#include "common/training/any_flowmo_training.hpp"

namespace flowfar::program {

/// Training of the configuration of this name.
[[nodiscard]] inline std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(std::string_view name, Device device,
                                                                             const FlowMoTrainingSettings& settings) {
    std::unique_ptr<AnyFlowMoTraining> training;
    FlowMoConfigs::visit(name, [&]<class C>() {
        Backends::visit(device, [&]<class B>() {
            training = settings.perceptual.name != "none" ? make_flowmo_training<C, B, true>(settings)
                                                          : make_flowmo_training<C, B, false>(settings);
        });
    });
    return training;
}

}  // namespace flowfar::program
