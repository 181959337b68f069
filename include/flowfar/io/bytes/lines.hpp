#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace flowfar::io {

/// The lines of a text without their ends, "\n" or "\r\n", and without the byte order mark that some editors put at the
/// beginning. A last line may have no end. They point into the text.
[[nodiscard]] inline std::vector<std::string_view> lines_of(std::string_view content) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (content.starts_with(byte_order_mark)) {
        content.remove_prefix(byte_order_mark.size());
    }
    std::vector<std::string_view> out;
    while (!content.empty()) {
        const std::size_t end = std::min(content.find('\n'), content.size());
        out.push_back(content.substr(0, end));
        if (out.back().ends_with('\r')) {
            out.back().remove_suffix(1);
        }
        content.remove_prefix(std::min(end + 1, content.size()));
    }
    return out;
}

}  // namespace flowfar::io
