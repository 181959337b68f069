#pragma once

/// Text for files whose readers expect UTF-8.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "flowfar/core/error.hpp"

namespace flowfar::io::detail {

/// The text as a JSON string with quotes. Throws `Error` if it is not UTF-8: other programs would refuse the file.
[[nodiscard]] inline std::string json_quoted(std::string_view characters, std::string_view where) {
    try {
        return nlohmann::json(characters).dump();
    } catch (const nlohmann::json::exception&) {
        fail(where, ": \"", characters, "\" is not valid UTF-8");
    }
}

}  // namespace flowfar::io::detail
