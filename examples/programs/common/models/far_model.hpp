#pragma once

// FAR models chosen at run time; the twin of flowmo_model.hpp.

#include <memory>
#include <string_view>

#include "common/models/any_far.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

/// A model of the configuration of this name, without values.
[[nodiscard]] inline std::unique_ptr<AnyFar> make_far(std::string_view name, bool masked, ModelKind kind) {
    std::unique_ptr<AnyFar> model;
    FarConfigs::visit(name, [&]<class C>() {
        Backends::visit(
            kind, [&]<class B, class T>() { model = masked ? make_far<Masked<C>, B, T>() : make_far<C, B, T>(); });
    });
    return model;
}

}  // namespace flowfar::program
