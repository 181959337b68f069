#pragma once

/// The definitions of json_text.hpp.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/json_text.hpp"

namespace flowfar::io::detail {

FLOWFAR_INLINE std::string json_quoted(std::string_view characters, std::string_view where) {
    try {
        return nlohmann::json(characters).dump();
    } catch (const nlohmann::json::exception&) {
        fail(where, ": \"", characters, "\" is not valid UTF-8");
    }
}

}  // namespace flowfar::io::detail
