#pragma once

// Pictures of a FlowMo: a contact sheet of reconstructions, and the curves of a training log.

#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "common/draw/contact_sheet.hpp"
#include "common/draw/flowmo_images.hpp"

namespace flowfar::program {

[[nodiscard]] inline std::string decibels(double psnr) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f dB", psnr);
    return buffer;
}
[[nodiscard]] inline std::string steps_text(int steps) {
    return text(steps, steps == 1 ? " step" : " steps");
}

/// Rows of "original | reconstruction with each number of steps". `captions` may be empty.
/// `reconstructions[k][i]`: image i with steps[k].
[[nodiscard]] inline ContactSheet reconstruction_sheet(const std::string& title, std::span<const Image> originals,
                                                       std::span<const std::string> captions,
                                                       const std::vector<int>& steps,
                                                       const std::vector<std::vector<Image>>& reconstructions) {
    ContactSheet sheet;
    sheet.title = title;
    sheet.columns = {"original"};
    for (const int count : steps) {
        sheet.columns.push_back(steps_text(count));
    }
    int largest = 1;
    for (std::size_t i = 0; i < originals.size(); ++i) {
        SheetRow& row = sheet.rows.emplace_back();
        row.caption = i < captions.size() ? captions[i] : std::string();
        row.cells.push_back({originals[i], ""});
        for (const std::vector<Image>& images : reconstructions) {
            row.cells.push_back({images[i], decibels(quality_of(originals[i], images[i]).psnr)});
        }
        largest = std::max({largest, originals[i].height, originals[i].width});
    }
    sheet.scale = std::max(1, 128 / largest);
    return sheet;
}

}  // namespace flowfar::program
