#pragma once

// Sheets of generated images.

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "flowfar/text/utf8.hpp"

#include "common/draw/contact_sheet.hpp"

namespace flowfar::program {

/// What a sheet has room for of a class's name or a prompt.
[[nodiscard]] inline std::string shortened(const std::string& name) {
    constexpr std::size_t most = 28;
    return name.size() <= most ? name : repaired_utf8(name.substr(0, most - 3)) + "...";
}

/// A sheet with one row per class: `images[row · columns + column]`.
[[nodiscard]] inline ContactSheet class_sheet(const std::string& title, const std::vector<std::string>& names,
                                              std::span<const Image> images, std::size_t columns, int scale) {
    ContactSheet sheet;
    sheet.title = title;
    sheet.scale = scale;
    sheet.gap = 4;
    for (std::size_t i = 0; i < images.size(); ++i) {
        if (i % columns == 0) {
            sheet.rows.push_back({i / columns < names.size() ? names[i / columns] : std::string(), {}});
        }
        sheet.rows.back().cells.push_back({images[i], ""});
    }
    return sheet;
}

/// Pixels per pixel at which small images are worth looking at.
[[nodiscard]] inline int shown_scale(int height, int width) {
    return std::max(1, 64 / std::max(height, width));
}

}  // namespace flowfar::program
