#pragma once

// Images side by side with captions: rows of examples, columns of methods.

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/cli/text.hpp"
#include "common/draw/canvas.hpp"

namespace flowfar::program {

struct SheetCell {
    Image image = {};          // may be empty
    std::string caption = {};  // under the image; lines separated by '\n'
};

struct SheetRow {
    std::string caption = {};  // left of the row
    std::vector<SheetCell> cells = {};
};

/// Captions may have several lines, separated by '\n'. Rows may be of different lengths, images of different sizes.
struct ContactSheet {
    std::string title = {};
    std::vector<std::string> columns = {};  // above the columns; may be fewer than there are
    std::vector<SheetRow> rows = {};
    int scale = 1;       // every pixel becomes a square of this size
    int margin = 16;     // around the sheet
    int gap = 10;        // between cells
    int text_size = 10;  // height of capitals, pixels
};

namespace detail {

inline std::vector<std::string_view> lines_of(std::string_view caption) {
    std::vector<std::string_view> lines;
    while (!caption.empty()) {
        const std::size_t end = std::min(caption.find('\n'), caption.size());
        lines.push_back(caption.substr(0, end));
        caption.remove_prefix(std::min(end + 1, caption.size()));
    }
    return lines;
}

struct SheetLayout {
    TextStyle text, title;
    std::vector<int> widths, heights;    // of the columns and of the rows' images, pixels
    std::vector<int> captions;           // heights of the rows' cell captions
    int left = 0, top = 0, heading = 0;  // where the first cell starts; height of the column captions
    int width = 0, height = 0;

    [[nodiscard]] int block_width(std::string_view caption) const {
        int width_needed = 0;
        for (const std::string_view line : lines_of(caption)) {
            width_needed = std::max(width_needed, text_width(line, text));
        }
        return width_needed;
    }
    /// Height of a caption with its distance from what it belongs to; 0 if there is none.
    [[nodiscard]] int block_height(std::string_view caption) const {
        const int lines = static_cast<int>(lines_of(caption).size());
        return lines == 0 ? 0 : lines * line_height(text) + static_cast<int>(text.size / 2);
    }

    explicit SheetLayout(const ContactSheet& sheet) {
        require(sheet.scale >= 1 && sheet.margin >= 0 && sheet.gap >= 0,
                "contact sheet: expected a positive scale, "
                "margin and gap, found ",
                sheet.scale, ", ", sheet.margin, ", ", sheet.gap);
        text = {.size = static_cast<double>(sheet.text_size), .color = {40, 40, 44}, .align = Align::center};
        title = {.size = 1.3 * sheet.text_size, .color = {20, 20, 24}, .align = Align::left, .bold = true};
        std::size_t columns = sheet.columns.size();
        int label = 0;
        for (const SheetRow& row : sheet.rows) {
            columns = std::max(columns, row.cells.size());
            label = std::max(label, block_width(row.caption));
        }
        widths.resize(columns);
        for (std::size_t c = 0; c < sheet.columns.size(); ++c) {
            widths[c] = block_width(sheet.columns[c]);
            heading = std::max(heading, block_height(sheet.columns[c]));
        }
        for (const SheetRow& row : sheet.rows) {
            int image_height = 0, caption_height = 0;
            for (std::size_t c = 0; c < row.cells.size(); ++c) {
                const SheetCell& cell = row.cells[c];
                widths[c] = std::max({widths[c], cell.image.width * sheet.scale, block_width(cell.caption)});
                image_height = std::max(image_height, cell.image.height * sheet.scale);
                caption_height = std::max(caption_height, block_height(cell.caption));
            }
            heights.push_back(std::max(image_height, block_height(row.caption)));
            captions.push_back(caption_height);
        }
        left = sheet.margin + (label > 0 ? label + std::max(sheet.gap, sheet.text_size) : 0);
        top = sheet.margin + heading + (sheet.title.empty() ? 0 : line_height(title) + sheet.text_size / 2);
        width = left + sheet.margin;
        for (std::size_t c = 0; c < columns; ++c) {
            width += widths[c] + (c > 0 ? sheet.gap : 0);
        }
        width = std::max(width, text_width(sheet.title, title) + 2 * sheet.margin);
        height = top + sheet.margin;
        for (std::size_t r = 0; r < heights.size(); ++r) {
            height += heights[r] + captions[r] + (r > 0 ? sheet.gap : 0);
        }
    }
};

/// Writes the lines of a caption, the first one's capitals starting at row `top`.
inline void draw_block(Canvas& canvas, int x, int top, std::string_view caption, const TextStyle& style) {
    int baseline = top + static_cast<int>(style.size);
    for (const std::string_view line : lines_of(caption)) {
        draw_text(canvas, x, baseline, line, style);
        baseline += line_height(style);
    }
}

}  // namespace detail

struct SheetSize {
    int height, width;

    friend bool operator==(const SheetSize&, const SheetSize&) = default;
};

/// Size in pixels of the sheet that render() draws.
[[nodiscard]] inline SheetSize sheet_size(const ContactSheet& sheet) {
    const detail::SheetLayout layout(sheet);
    return {layout.height, layout.width};
}

/// Draws the sheet on white.
[[nodiscard]] inline Image render(const ContactSheet& sheet) {
    const detail::SheetLayout layout(sheet);
    Canvas canvas(layout.height, layout.width);
    const int space = static_cast<int>(layout.text.size / 2);
    draw_text(canvas, sheet.margin, sheet.margin + static_cast<int>(layout.title.size), sheet.title, layout.title);
    int x = layout.left;
    for (std::size_t c = 0; c < layout.widths.size(); ++c) {
        if (c < sheet.columns.size()) {
            const int top = layout.top - layout.block_height(sheet.columns[c]);
            detail::draw_block(canvas, x + layout.widths[c] / 2, top, sheet.columns[c], layout.text);
        }
        x += layout.widths[c] + sheet.gap;
    }
    int y = layout.top;
    for (std::size_t r = 0; r < sheet.rows.size(); ++r) {
        const SheetRow& row = sheet.rows[r];
        TextStyle label = layout.text;
        label.align = Align::left;
        const int lines = static_cast<int>(detail::lines_of(row.caption).size());
        const int label_height = lines * line_height(label) - (line_height(label) - static_cast<int>(label.size));
        detail::draw_block(canvas, sheet.margin, y + (layout.heights[r] - label_height) / 2, row.caption, label);
        x = layout.left;
        for (std::size_t c = 0; c < row.cells.size(); ++c) {
            if (!row.cells[c].image.pixels.empty()) {
                const Image large = upscale(row.cells[c].image, sheet.scale);
                canvas.blit(large, y + (layout.heights[r] - large.height) / 2,
                            x + (layout.widths[c] - large.width) / 2);
            }
            detail::draw_block(canvas, x + layout.widths[c] / 2, y + layout.heights[r] + space, row.cells[c].caption,
                               layout.text);
            x += layout.widths[c] + sheet.gap;
        }
        y += layout.heights[r] + layout.captions[r] + sheet.gap;
    }
    return canvas.take();
}

}  // namespace flowfar::program
