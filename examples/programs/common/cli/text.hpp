#pragma once

// Text on a canvas: antialiased, at any size, aligned, upright or turned by 90 degrees.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

#include "common/draw/canvas.hpp"
#include "common/draw/font.hpp"

namespace flowfar::program {

enum class Align { left, center, right };

struct TextStyle {
    double size = 10;  // height of a capital letter, pixels
    Color color = black;
    Align align = Align::left;
    bool bold = false;
    bool upwards = false;  // turned by 90 degrees, read from bottom to top
};

namespace detail {

inline double text_thickness(const TextStyle& style) {
    return std::max(1.1, style.size * (style.bold ? 0.165 : 0.11));
}

/// The width of a glyph in whole pixels. Whole widths and gaps put all stems on the pixel grid, so small text stays
/// sharp and evenly spaced.
inline double glyph_width(const Glyph& glyph, double size) {
    return std::round(glyph.width * size / 10);
}
inline double glyph_gap(const TextStyle& style) {
    return std::max(2.0, std::round(style.size * (style.bold ? 0.32 : 0.29)));
}

constexpr int grid_value(char c) {
    return c <= '9' ? c - '0' : c >= 'x' ? c - 'z' - 1 : c - 'a' + 10;
}

/// Height above the baseline in pixels: the lines that letters share fall on whole pixels, the rest is interpolated.
inline double hinted_height(double grid, double size) {
    constexpr double lines[] = {-3, 0, 7, 10, 13};
    std::size_t i = 0;
    while (i < 3 && grid > lines[i + 1]) {
        ++i;
    }
    const double low = std::round(lines[i] * size / 10), high = std::round(lines[i + 1] * size / 10);
    return low + (high - low) * (grid - lines[i]) / (lines[i + 1] - lines[i]);
}

struct Outline {
    std::vector<Point> points;
    std::vector<std::size_t> ends;
};

/// Appends the glyph with its origin at `pen`, y upwards from the baseline in pixels.
inline void append_glyph(Outline& out, const Glyph& glyph, double pen, double size) {
    struct Knot {
        Point at;
        bool control;
    };
    const double scale = glyph.width > 0 ? glyph_width(glyph, size) / glyph.width : size / 10;
    const auto middle = [](Point a, Point b) { return Point{(a.x + b.x) / 2, (a.y + b.y) / 2}; };
    const auto curve = [&out](Point control, Point to) {
        const Point from = out.points.back();
        for (int i = 1; i <= 10; ++i) {
            const double t = i / 10.0, s = 1 - t;
            out.points.push_back({s * s * from.x + 2 * s * t * control.x + t * t * to.x,
                                  s * s * from.y + 2 * s * t * control.y + t * t * to.y});
        }
    };
    std::vector<Knot> path;
    const auto finish = [&](bool closed) {
        if (path.empty()) {
            return;
        }
        const std::size_t count = path.size();
        out.points.push_back(closed ? middle(path.back().at, path.front().at) : path.front().at);
        for (std::size_t i = closed ? 0 : 1; i < count; ++i) {
            const Knot& next = path[(i + 1) % count];
            if (path[i].control) {
                curve(path[i].at, next.control ? middle(path[i].at, next.at) : next.at);
            } else {
                out.points.push_back(path[i].at);
            }
        }
        out.ends.push_back(out.points.size());
        path.clear();
    };
    const std::string_view code = glyph.strokes;
    for (std::size_t i = 0; i < code.size();) {
        if (code[i] == ' ' || code[i] == '*') {
            finish(code[i] == '*');
            ++i;
            continue;
        }
        const bool control = i + 2 < code.size() && code[i + 2] == '\'';
        path.push_back({{pen + scale * grid_value(code[i]), hinted_height(grid_value(code[i + 1]), size)}, control});
        i += control ? 3 : 2;
    }
    finish(false);
}

}  // namespace detail

/// Width in whole pixels from the first stem's center to the last one's; 0 for an empty text.
[[nodiscard]] inline int text_width(std::string_view line, const TextStyle& style) {
    double width = 0;
    for (const char c : line) {
        width += detail::glyph_width(glyph_of(c), style.size) + detail::glyph_gap(style);
    }
    return line.empty() ? 0 : static_cast<int>(width - detail::glyph_gap(style));
}

/// Distance between two baselines, pixels.
[[nodiscard]] inline int line_height(const TextStyle& style) {
    return static_cast<int>(std::lround(1.9 * style.size));
}

/// Writes one line of ASCII text. `x`, `baseline` name the pixel of the alignment point; a turned text has its baseline
/// running upwards at column `x` and is aligned along it from row `baseline`.
inline void draw_text(Canvas& canvas, int x, int baseline, std::string_view line, const TextStyle& style = {}) {
    require(style.size >= 4 && style.size <= 4096, "text: expected a size of 4 to 4096 pixels, found ", style.size);
    const int width = text_width(line, style);
    detail::Outline outline;
    double pen = style.align == Align::left ? 0 : style.align == Align::right ? -width : -width / 2;
    for (const char c : line) {
        const Glyph& glyph = glyph_of(c);
        detail::append_glyph(outline, glyph, pen, style.size);
        pen += detail::glyph_width(glyph, style.size) + detail::glyph_gap(style);
    }
    const double thickness = detail::text_thickness(style);
    // A stroke an odd number of pixels wide is sharp when it runs along pixel centers, else along pixel edges.
    const double center = std::lround(thickness) % 2 == 1 ? 0.5 : 0.0;
    for (Point& p : outline.points) {
        p = style.upwards ? Point{x + center - p.y, baseline + center - p.x}
                          : Point{x + center + p.x, baseline + center - p.y};
    }
    canvas.stroke(outline.points, outline.ends, thickness, style.color);
}

}  // namespace flowfar::program
