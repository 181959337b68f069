#pragma once

// FlowMo models chosen at run time.

#include <memory>
#include <string>
#include <string_view>

#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "common/models/any_flowmo.hpp"
#include "common/models/model_file.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

/// A model of the configuration of this name, without values.
[[nodiscard]] inline std::unique_ptr<AnyFlowMo> make_flowmo(std::string_view name, ModelKind kind) {
    std::unique_ptr<AnyFlowMo> model;
    FlowMoConfigs::visit(
        name, [&]<class C>() { Backends::visit(kind, [&]<class B, class T>() { model = make_flowmo<C, B, T>(); }); });
    return model;
}

/// The configuration of a model file: what flowmo_train wrote into it, else what the tensors show.
[[nodiscard]] inline std::string flowmo_configuration(const io::WeightsFile& file) {
    io::require_kind(io::Weights(file, ""), "FlowMo");
    if (const std::string named = named_configuration(file); !named.empty()) {
        return named;
    }
    const io::Weights weights = io::Weights::find(file, {"encoder.img_in.weight"});
    const io::FlowMoSize size = io::flowmo_size_of(weights);
    require(size.encoder_depth > 0 && size.decoder_depth > 0, weights.where(),
            ": no FlowMo model: the tensors lack encoder.double_blocks and decoder.double_blocks");
    return chosen_configuration(weights.where(), to_string(size),
                                FlowMoConfigs::matching([&]<class C>() { return io::flowmo_size_of<C>() == size; }),
                                io::flowmo_preset_of(size), "FLOWFAR_PROGRAM_CONFIGS");
}

/// Reads a model file of any format: published weights, flowmo_train's models and states; averaged weights where there
/// are both. `config` overrides what the file says of its configuration.
[[nodiscard]] inline std::unique_ptr<AnyFlowMo> load_flowmo(const io::Path& path, const std::string& config,
                                                            ModelKind kind) {
    auto model = make_flowmo(config.empty() ? flowmo_configuration(io::WeightsFile(path)) : config, kind);
    model->load(path);
    return model;
}

}  // namespace flowfar::program
