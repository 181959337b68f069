#pragma once

// An RGB canvas: rectangles, antialiased strokes and discs, blits and integer upscaling. Text is in text.hpp.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image.hpp"

namespace flowfar::program {

struct Color {
    std::uint8_t red = 0, green = 0, blue = 0;

    friend bool operator==(const Color&, const Color&) = default;
};

inline constexpr Color white{255, 255, 255};
inline constexpr Color black{0, 0, 0};

/// Continuous pixel coordinates: x to the right, y down; pixel (row i, column j) covers [j, j+1) × [i, i+1).
struct Point {
    double x = 0, y = 0;
};

class Canvas {
   public:
    Canvas(int height, int width, Color background = white) : image_(make_image(height, width)) { fill(background); }
    /// Throws Error unless the image is whole.
    explicit Canvas(Image image) : image_(std::move(image)) { check_image(image_, "canvas"); }

    [[nodiscard]] int height() const { return image_.height; }
    [[nodiscard]] int width() const { return image_.width; }
    [[nodiscard]] const Image& image() const { return image_; }
    /// Moves the picture out and leaves the canvas empty.
    [[nodiscard]] Image take() { return std::exchange(image_, Image{}); }

    [[nodiscard]] bool contains(int row, int column) const {
        return row >= 0 && column >= 0 && row < height() && column < width();
    }
    /// Black outside.
    [[nodiscard]] Color at(int row, int column) const {
        if (!contains(row, column)) {
            return {};
        }
        const std::uint8_t* p = image_.pixels.data() + offset(row, column);
        return {p[0], p[1], p[2]};
    }
    /// Mixes `color` in; `alpha` is clamped to 0…1, and pixels outside are ignored.
    void blend(int row, int column, Color color, double alpha = 1.0) {
        if (!contains(row, column) || !(alpha > 0)) {
            return;
        }
        std::uint8_t* p = image_.pixels.data() + offset(row, column);
        const double weight = std::min(alpha, 1.0);
        const auto mix = [weight](std::uint8_t below, std::uint8_t above) {
            return static_cast<std::uint8_t>(std::lround(below + weight * (above - below)));
        };
        p[0] = mix(p[0], color.red);
        p[1] = mix(p[1], color.green);
        p[2] = mix(p[2], color.blue);
    }

    void fill(Color color) { fill_rectangle(0, 0, height(), width(), color); }

    void fill_rectangle(int top, int left, int rows, int columns, Color color, double alpha = 1.0) {
        const int bottom = std::min(top + rows, height());
        const int right = std::min(left + columns, width());
        for (int row = std::max(top, 0); row < bottom; ++row) {
            for (int column = std::max(left, 0); column < right; ++column) {
                blend(row, column, color, alpha);
            }
        }
    }

    /// A frame `thickness` pixels wide, inside the given rectangle.
    void rectangle(int top, int left, int rows, int columns, Color color, int thickness = 1) {
        const int t = std::min({thickness, rows, columns});
        fill_rectangle(top, left, t, columns, color);
        fill_rectangle(top + rows - t, left, t, columns, color);
        fill_rectangle(top + t, left, rows - 2 * t, t, color);
        fill_rectangle(top + t, left + columns - t, rows - 2 * t, t, color);
    }

    /// Copies `source` with its upper left pixel at (top, left); what lies outside is clipped.
    void blit(const Image& source, int top, int left) {
        for (int row = std::max(0, -top); row < std::min(source.height, height() - top); ++row) {
            const int first = std::max(0, -left);
            const int last = std::min(source.width, width() - left);
            if (first < last) {
                const auto from = (static_cast<std::size_t>(row) * static_cast<std::size_t>(source.width) +
                                   static_cast<std::size_t>(first)) *
                                  3;
                std::copy_n(source.pixels.begin() + static_cast<std::ptrdiff_t>(from), 3 * (last - first),
                            image_.pixels.begin() + static_cast<std::ptrdiff_t>(offset(top + row, left + first)));
            }
        }
    }

    /// Antialiased strokes with round caps and joins. `ends[i]` is one past the last point of the i-th path, a path of
    /// one point is a dot. All paths form one shape: where they cross, `alpha` counts once.
    void stroke(std::span<const Point> points, std::span<const std::size_t> ends, double thickness, Color color,
                double alpha = 1.0) {
        if (points.empty()) {
            return;
        }
        const double reach = std::max(thickness, 1.0) / 2 + 0.5;  // coverage is zero beyond this distance
        double low_x = points[0].x, high_x = low_x, low_y = points[0].y, high_y = low_y;
        for (const Point& p : points) {
            require(std::isfinite(p.x) && std::isfinite(p.y), "stroke: expected finite points");
            low_x = std::min(low_x, p.x), high_x = std::max(high_x, p.x);
            low_y = std::min(low_y, p.y), high_y = std::max(high_y, p.y);
        }
        const Range rows = clip(low_y - reach, high_y + reach, 0, height());
        const Range columns = clip(low_x - reach, high_x + reach, 0, width());
        if (rows.empty() || columns.empty()) {
            return;
        }
        const auto stride = static_cast<std::size_t>(columns.end - columns.begin);
        std::vector<float> coverage(static_cast<std::size_t>(rows.end - rows.begin) * stride);
        std::size_t begin = 0;
        for (const std::size_t end : ends) {
            for (std::size_t i = begin; i < end; ++i) {
                if (i + 1 < end || end == begin + 1) {
                    const Point a = points[i], b = points[std::min(i + 1, end - 1)];
                    const Range r = clip(std::min(a.y, b.y) - reach, std::max(a.y, b.y) + reach, rows.begin, rows.end);
                    const Range c =
                        clip(std::min(a.x, b.x) - reach, std::max(a.x, b.x) + reach, columns.begin, columns.end);
                    for (int row = r.begin; row < r.end; ++row) {
                        float* line = coverage.data() + static_cast<std::size_t>(row - rows.begin) * stride;
                        for (int column = c.begin; column < c.end; ++column) {
                            const double far = distance({column + 0.5, row + 0.5}, a, b);
                            float& cell = line[column - columns.begin];
                            cell = std::max(cell, static_cast<float>(std::clamp(reach - far, 0.0, 1.0)));
                        }
                    }
                }
            }
            begin = end;
        }
        const double strength = alpha * std::min(thickness, 1.0);  // thinner than a pixel means paler
        for (int row = rows.begin; row < rows.end; ++row) {
            for (int column = columns.begin; column < columns.end; ++column) {
                const std::size_t cell = static_cast<std::size_t>(row - rows.begin) * stride +
                                         static_cast<std::size_t>(column - columns.begin);
                blend(row, column, color, strength * static_cast<double>(coverage[cell]));
            }
        }
    }

    void polyline(std::span<const Point> points, double thickness, Color color, double alpha = 1.0) {
        const std::size_t end = points.size();
        stroke(points, std::span(&end, 1), thickness, color, alpha);
    }
    void line(Point from, Point to, double thickness, Color color, double alpha = 1.0) {
        const Point ends[] = {from, to};
        polyline(ends, thickness, color, alpha);
    }
    void disc(Point center, double radius, Color color, double alpha = 1.0) {
        polyline(std::span(&center, 1), 2 * radius, color, alpha);
    }
    void circle(Point center, double radius, double thickness, Color color, double alpha = 1.0) {
        std::vector<Point> around;
        const int parts = std::max(16, static_cast<int>(std::ceil(2 * radius)));
        for (int i = 0; i <= parts; ++i) {
            const double angle = 2 * 3.14159265358979323846 * i / parts;
            around.push_back({center.x + radius * std::cos(angle), center.y + radius * std::sin(angle)});
        }
        polyline(around, thickness, color, alpha);
    }

   private:
    struct Range {
        int begin, end;
        [[nodiscard]] bool empty() const { return begin >= end; }
    };
    /// Whole pixels that touch [low, high), within [begin, end).
    static Range clip(double low, double high, int begin, int end) {
        return {static_cast<int>(std::clamp<double>(std::floor(low), begin, end)),
                static_cast<int>(std::clamp<double>(std::ceil(high), begin, end))};
    }
    static double distance(Point p, Point a, Point b) {
        const double dx = b.x - a.x, dy = b.y - a.y;
        const double square = dx * dx + dy * dy;
        const double t = square > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / square, 0.0, 1.0) : 0.0;
        const double x = p.x - a.x - t * dx, y = p.y - a.y - t * dy;
        return std::sqrt(x * x + y * y);
    }
    [[nodiscard]] std::size_t offset(int row, int column) const {
        return 3 * (static_cast<std::size_t>(row) * static_cast<std::size_t>(image_.width) +
                    static_cast<std::size_t>(column));
    }

    Image image_;
};

/// Each pixel becomes a square of `factor` × `factor`.
[[nodiscard]] inline Image upscale(const Image& source, int factor) {
    require(factor >= 1, "upscale: expected a factor of at least 1, found ", factor);
    if (factor == 1) {
        return source;
    }
    require(source.height <= max_image_extent / factor && source.width <= max_image_extent / factor,
            "upscale: ", source.height, " x ", source.width, " pixels times ", factor, " are too large");
    Canvas canvas(source.height * factor, source.width * factor);
    const Canvas from(source);
    for (int row = 0; row < source.height; ++row) {
        for (int column = 0; column < source.width; ++column) {
            canvas.fill_rectangle(row * factor, column * factor, factor, factor, from.at(row, column));
        }
    }
    return canvas.take();
}

}  // namespace flowfar::program
