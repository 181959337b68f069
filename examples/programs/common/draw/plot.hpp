#pragma once

// Line charts as images: loss and quality curves with one or two value axes, legend and title.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "common/cli/text.hpp"
#include "common/draw/canvas.hpp"
#include "common/draw/ticks.hpp"

namespace flowfar::program {

/// Eight hues that stay apart for the color-blind and in gray print.
inline constexpr std::array<Color, 8> plot_colors = {{{31, 98, 172},
                                                      {212, 84, 28},
                                                      {24, 138, 100},
                                                      {160, 66, 146},
                                                      {196, 148, 16},
                                                      {82, 170, 214},
                                                      {110, 110, 110},
                                                      {140, 40, 50}}};

struct Axis {
    std::string label = {};
    bool log = false;
    std::optional<double> low = {}, high = {};  // otherwise fitted to the data
};

struct Series {
    std::string label = {};              // in the legend; empty: not listed
    std::vector<double> x = {}, y = {};  // equally many; NaN interrupts the line
    bool right = false;                  // read on the right axis
    double smoothing = 0;                // > 1: pale raw line under its average over about this many points
    bool markers = false;                // a dot at every point
    std::optional<Color> color = {};
};

struct Plot {
    std::string title = {};
    Axis x = {}, left = {}, right = {};
    std::vector<Series> series = {};
    int width = 960, height = 560;
    double scale = 1;  // of text and lines; pixels stay `width` × `height`
};

/// Exponential average that forgets over about `window` points, without the bias of a start at zero. NaNs stay NaN and
/// do not disturb the rest.
[[nodiscard]] inline std::vector<double> smoothed(const std::vector<double>& values, double window) {
    const double keep = std::max(0.0, 1 - 1 / std::max(window, 1.0));
    double sum = 0, weight = 0;
    std::vector<double> out;
    out.reserve(values.size());
    for (const double value : values) {
        if (std::isfinite(value)) {
            sum = keep * sum + value;
            weight = keep * weight + 1;
        }
        out.push_back(std::isfinite(value) ? sum / weight : std::numeric_limits<double>::quiet_NaN());
    }
    return out;
}

namespace detail {

class PlotPainter {
   public:
    explicit PlotPainter(const Plot& plot)
        : plot_(plot),
          unit_(plot.scale),
          canvas_(plot.height, plot.width),
          x_(scale_of(plot.x, 'x')),
          left_(scale_of(plot.left, 'l')),
          right_(scale_of(plot.right, 'r')) {
        for (const Series& series : plot.series) {
            has_right_ = has_right_ || series.right;
        }
        lay_out();
    }

    Image paint() {
        axes();
        for (std::size_t i = 0; i < plot_.series.size(); ++i) {
            curve(plot_.series[i], color_of(i));
        }
        legend();
        return canvas_.take();
    }

   private:
    static constexpr Color ink{38, 38, 42}, soft_ink{96, 96, 104}, grid{228, 229, 233}, faint_grid{243, 243, 246};

    [[nodiscard]] int pixels(double length) const { return static_cast<int>(std::lround(length * unit_)); }
    [[nodiscard]] TextStyle style(double size, Color color, Align align) const {
        return {.size = size * unit_, .color = color, .align = align};
    }
    [[nodiscard]] Color color_of(std::size_t i) const {
        return plot_.series[i].color.value_or(plot_colors[i % plot_colors.size()]);
    }

    [[nodiscard]] Scale scale_of(const Axis& axis, char which) const {
        std::vector<double> values;
        for (const Series& series : plot_.series) {
            require(series.x.size() == series.y.size(), "plot: series \"", series.label, "\" has ", series.x.size(),
                    " x and ", series.y.size(), " y");
            if (which == 'x') {
                values.insert(values.end(), series.x.begin(), series.x.end());
            } else if (series.right == (which == 'r')) {
                values.insert(values.end(), series.y.begin(), series.y.end());
            }
        }
        Scale scale = fitting_scale(values, axis.log);
        scale.low = axis.low.value_or(scale.low);
        scale.high = axis.high.value_or(scale.high);
        require(scale.low < scale.high && scale.takes(scale.low), "plot: axis \"", axis.label, "\" cannot show ",
                scale.low, " to ", scale.high);
        return scale;
    }

    [[nodiscard]] static std::vector<Tick> ticks_of(const Scale& scale, int most) {
        return scale.log ? log_ticks(scale.low, scale.high, most) : linear_ticks(scale.low, scale.high, most);
    }
    [[nodiscard]] int label_width(const Tick& tick) const {
        const int exponent =
            tick.exponent.empty() ? 0 : pixels(3) + text_width(tick.exponent, style(7, ink, Align::left));
        return text_width(tick.label, style(10, ink, Align::left)) + exponent;
    }
    [[nodiscard]] int widest(const std::vector<Tick>& ticks) const {
        int width = 0;
        for (const Tick& tick : ticks) {
            width = std::max(width, label_width(tick));
        }
        return width;
    }

    void lay_out() {
        top_ = pixels(plot_.title.empty() ? 20 : 52);
        bottom_ = canvas_.height() - pixels(plot_.x.label.empty() ? 36 : 60);
        const int most_rows = std::max(2, (bottom_ - top_) / std::max(pixels(48), 1));
        left_ticks_ = ticks_of(left_, most_rows);
        right_ticks_ = ticks_of(right_, most_rows);
        const auto room = [&](const std::vector<Tick>& ticks, const Axis& axis) {
            return pixels(20) + widest(ticks) + pixels(axis.label.empty() ? 0 : 28);
        };
        begin_ = room(left_ticks_, plot_.left);
        end_ = canvas_.width() - (has_right_ ? room(right_ticks_, plot_.right) : pixels(24));
        require(end_ - begin_ >= pixels(40) && bottom_ - top_ >= pixels(40), "plot: ", plot_.width, " x ", plot_.height,
                " pixels leave no room for the curves");
        x_ticks_ = ticks_of(x_, std::max(2, (end_ - begin_) / std::max(pixels(90), 1)));
    }

    [[nodiscard]] double column_of(double x) const { return begin_ + x_.place(x) * (end_ - begin_); }
    [[nodiscard]] double row_of(double y, const Scale& scale) const {
        return bottom_ - scale.place(y) * (bottom_ - top_);
    }

    void tick_text(int x, int baseline, const Tick& tick, Align align) {
        const int width = label_width(tick);
        const int from = align == Align::left ? x : align == Align::right ? x - width : x - width / 2;
        draw_text(canvas_, from, baseline, tick.label, style(10, ink, Align::left));
        draw_text(canvas_, from + width, baseline - pixels(6), tick.exponent, style(7, ink, Align::right));
    }

    void axes() {
        const int hair = std::max(1, pixels(1));
        for (const Tick& tick : left_ticks_) {
            const int row = static_cast<int>(std::lround(row_of(tick.value, left_)));
            canvas_.fill_rectangle(row, begin_, hair, end_ - begin_, tick.label.empty() ? faint_grid : grid);
            tick_text(begin_ - pixels(10), row + pixels(5), tick, Align::right);
        }
        for (const Tick& tick : x_ticks_) {
            const int column = static_cast<int>(std::lround(column_of(tick.value)));
            canvas_.fill_rectangle(top_, column, bottom_ - top_, hair, tick.label.empty() ? faint_grid : grid);
            canvas_.fill_rectangle(bottom_, column, pixels(tick.label.empty() ? 3 : 6), hair, ink);
            tick_text(column, bottom_ + pixels(21), tick, Align::center);
        }
        if (has_right_) {
            for (const Tick& tick : right_ticks_) {
                const int row = static_cast<int>(std::lround(row_of(tick.value, right_)));
                canvas_.fill_rectangle(row, end_, hair, pixels(tick.label.empty() ? 3 : 6), ink);
                tick_text(end_ + pixels(11), row + pixels(5), tick, Align::left);
            }
            canvas_.fill_rectangle(top_, end_, bottom_ - top_ + hair, hair, ink);
        }
        for (const Tick& tick : left_ticks_) {
            const int row = static_cast<int>(std::lround(row_of(tick.value, left_)));
            const int length = pixels(tick.label.empty() ? 3 : 6);
            canvas_.fill_rectangle(row, begin_ - length, hair, length, ink);
        }
        canvas_.fill_rectangle(bottom_, begin_, hair, end_ - begin_ + hair, ink);
        canvas_.fill_rectangle(top_, begin_, bottom_ - top_, hair, ink);

        TextStyle title = style(12.5, ink, Align::center);
        title.bold = true;
        draw_text(canvas_, (begin_ + end_) / 2, pixels(32), plot_.title, title);
        draw_text(canvas_, (begin_ + end_) / 2, canvas_.height() - pixels(12), plot_.x.label,
                  style(10.5, ink, Align::center));
        TextStyle side = style(10.5, side_color(false), Align::center);
        side.upwards = true;
        draw_text(canvas_, pixels(24), (top_ + bottom_) / 2, plot_.left.label, side);
        if (has_right_) {
            side.color = side_color(true);
            draw_text(canvas_, canvas_.width() - pixels(14), (top_ + bottom_) / 2, plot_.right.label, side);
        }
    }

    /// With two axes, the label of an axis that serves one series has that series' color.
    [[nodiscard]] Color side_color(bool right) const {
        Color color = ink;
        int users = 0;
        for (std::size_t i = 0; i < plot_.series.size(); ++i) {
            if (plot_.series[i].right == right) {
                color = color_of(i);
                ++users;
            }
        }
        return has_right_ && users == 1 ? color : ink;
    }

    /// Pixel paths of a series, cut where a value has no place.
    [[nodiscard]] detail::Outline path_of(const Series& series, const std::vector<double>& y) const {
        const Scale& scale = series.right ? right_ : left_;
        detail::Outline out;
        const auto cut = [&out] {
            if (!out.points.empty() && (out.ends.empty() || out.ends.back() != out.points.size())) {
                out.ends.push_back(out.points.size());
            }
        };
        for (std::size_t i = 0; i < y.size(); ++i) {
            if (!x_.takes(series.x[i]) || !scale.takes(y[i])) {
                cut();
                continue;
            }
            // Far outside is as good as just outside, and keeps the pixel arithmetic small.
            const double row = std::clamp(row_of(y[i], scale), -1e4, 1e5), column = column_of(series.x[i]);
            out.points.push_back({std::clamp(column, -1e4, 1e5), row});
        }
        cut();
        return out;
    }

    void curve(const Series& series, Color color) {
        Canvas inside = canvas_;  // strokes may leave the frame, which then hides them
        const bool averaged = series.smoothing > 1;
        const auto raw = path_of(series, series.y);
        if (averaged) {
            inside.stroke(raw.points, raw.ends, 1.1 * unit_, color, 0.28);
            const auto mean = path_of(series, smoothed(series.y, series.smoothing));
            inside.stroke(mean.points, mean.ends, 2.2 * unit_, color);
        } else {
            inside.stroke(raw.points, raw.ends, 2.0 * unit_, color);
        }
        if (series.markers) {
            for (const Point& p : raw.points) {
                inside.disc(p, 4.6 * unit_, white);
                inside.disc(p, 3.4 * unit_, color);
            }
        }
        const int margin = pixels(5);  // a line along the edge and its dots stay whole
        for (int row = top_ - margin; row <= bottom_ + margin; ++row) {
            for (int column = begin_ - margin; column <= end_ + margin; ++column) {
                canvas_.blend(row, column, inside.at(row, column));
            }
        }
    }

    /// At the top or bottom edge, where it hides the least.
    void legend() {
        std::vector<std::size_t> listed;
        int width = 0;
        for (std::size_t i = 0; i < plot_.series.size(); ++i) {
            if (!plot_.series[i].label.empty()) {
                listed.push_back(i);
                width = std::max(width, text_width(legend_text(i), style(10, ink, Align::left)));
            }
        }
        if (listed.empty()) {
            return;
        }
        const int line = pixels(22);
        const int box_width = width + pixels(56), box_height = line * static_cast<int>(listed.size()) + pixels(10);
        const int near = pixels(12), slack = end_ - begin_ - 2 * near - box_width;
        int best_row = 0, best_column = 0;
        std::size_t fewest = std::numeric_limits<std::size_t>::max();
        const std::vector<std::size_t> drawn = drawn_cells();
        for (const int eighth : {8, 0, 7, 1, 6, 2, 5, 3, 4}) {  // corners first: later places must hide less
            for (const int row : {top_ + near, bottom_ - near - box_height}) {
                const int column = begin_ + near + slack * eighth / 8;
                const std::size_t hidden = drawn_within(drawn, row, column, box_height, box_width);
                if (hidden < fewest) {
                    fewest = hidden, best_row = row, best_column = column;
                }
            }
        }
        canvas_.fill_rectangle(best_row, best_column, box_height, box_width, white, 0.88);
        canvas_.rectangle(best_row, best_column, box_height, box_width, grid, std::max(1, pixels(1)));
        for (std::size_t k = 0; k < listed.size(); ++k) {
            const int middle = best_row + pixels(5) + line * static_cast<int>(k) + line / 2;
            const Point from{best_column + 12 * unit_, middle + 0.5}, to{best_column + 36 * unit_, middle + 0.5};
            canvas_.line(from, to, 2.2 * unit_, color_of(listed[k]));
            if (plot_.series[listed[k]].markers) {
                canvas_.disc({(from.x + to.x) / 2, from.y}, 3.4 * unit_, color_of(listed[k]));
            }
            draw_text(canvas_, best_column + pixels(46), middle + pixels(5), legend_text(listed[k]),
                      style(10, ink, Align::left));
        }
    }
    [[nodiscard]] std::string legend_text(std::size_t i) const {
        return plot_.series[i].label + (has_right_ && plot_.series[i].right ? " (right)" : "");
    }
    /// How many series pass through each square of `cell` pixels, row by row over the canvas.
    [[nodiscard]] std::vector<std::size_t> drawn_cells() const {
        std::vector<std::size_t> cells(cells_across() * (static_cast<std::size_t>(canvas_.height()) / cell + 1));
        for (const Series& series : plot_.series) {
            std::vector<bool> passed(cells.size());
            const auto path = path_of(series, series.y);
            for (std::size_t i = 0; i < path.points.size(); ++i) {
                const Point a = path.points[i], b = path.points[std::min(i + 1, path.points.size() - 1)];
                const int parts = 1 + static_cast<int>(std::hypot(b.x - a.x, b.y - a.y) / cell);
                for (int part = 0; part < parts; ++part) {
                    const double t = static_cast<double>(part) / parts;
                    const int column = static_cast<int>(a.x + t * (b.x - a.x));
                    const int row = static_cast<int>(a.y + t * (b.y - a.y));
                    if (canvas_.contains(row, column)) {
                        passed[cell_of(row, column)] = true;
                    }
                }
            }
            for (std::size_t k = 0; k < cells.size(); ++k) {
                cells[k] += passed[k] ? 1 : 0;
            }
        }
        return cells;
    }
    [[nodiscard]] std::size_t drawn_within(const std::vector<std::size_t>& cells, int row, int column, int rows,
                                           int columns) const {
        std::size_t count = 0;
        for (int y = std::max(row, 0); y < std::min(row + rows + cell, canvas_.height()); y += cell) {
            for (int x = std::max(column, 0); x < std::min(column + columns + cell, canvas_.width()); x += cell) {
                count += cells[cell_of(y, x)];
            }
        }
        return count;
    }
    static constexpr int cell = 6;
    [[nodiscard]] std::size_t cells_across() const { return static_cast<std::size_t>(canvas_.width()) / cell + 1; }
    [[nodiscard]] std::size_t cell_of(int row, int column) const {
        return static_cast<std::size_t>(row / cell) * cells_across() + static_cast<std::size_t>(column / cell);
    }

    const Plot& plot_;
    double unit_;
    Canvas canvas_;
    Scale x_, left_, right_;
    bool has_right_ = false;
    int top_ = 0, bottom_ = 0, begin_ = 0, end_ = 0;  // the frame: rows and columns
    std::vector<Tick> x_ticks_, left_ticks_, right_ticks_;
};

}  // namespace detail

/// Draws the chart. Throws Error for series of unequal columns, axes without a range, or too few pixels.
[[nodiscard]] inline Image render(const Plot& plot) {
    return detail::PlotPainter(plot).paint();
}

}  // namespace flowfar::program
