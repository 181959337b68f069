#pragma once

/// Text for files whose readers expect UTF-8.

#include <string>
#include <string_view>

namespace flowfar::io::detail {

/// The text as a JSON string with quotes. Throws `Error` if it is not UTF-8: other programs would refuse the file.
[[nodiscard]] std::string json_quoted(std::string_view characters, std::string_view where);

}  // namespace flowfar::io::detail

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/bytes/json_text.ipp"
#endif
