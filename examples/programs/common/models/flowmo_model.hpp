#pragma once

// FlowMo models chosen at run time.

#include <memory>
#include <string_view>

#include "flowfar/io/tensors/safetensors.hpp"

#include "common/models/any_flowmo.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

/// A model of the configuration of this name, without values.
[[nodiscard]] inline std::unique_ptr<AnyFlowMo> make_flowmo(std::string_view name, ModelKind kind) {
    std::unique_ptr<AnyFlowMo> model;
    FlowMoConfigs::visit(
        name, [&]<class C>() { Backends::visit(kind, [&]<class B, class T>() { model = make_flowmo<C, B, T>(); }); });
    return model;
}

/// Reads a model file; its metadata names the configuration.
[[nodiscard]] inline std::unique_ptr<AnyFlowMo> load_flowmo(const io::Path& path, ModelKind kind) {
    const auto metadata = io::SafetensorsFile(path).metadata();
    const auto name = metadata.find("configuration");
    require(name != metadata.end(), path.string(),
            ": the metadata lacks \"configuration\"; not written by flowmo_train?");
    auto model = make_flowmo(name->second, kind);
    model->load(path);
    return model;
}

}  // namespace flowfar::program
