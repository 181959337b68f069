#include "../../examples/programs/common/draw/canvas.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"

#include "../../examples/programs/common/cli/text.hpp"
#include "../../examples/programs/common/draw/contact_sheet.hpp"
#include "../../examples/programs/common/draw/test_card.hpp"

namespace {

using namespace flowfar::program;
using flowfar::Image;

constexpr Color red{255, 0, 0};

/// Sum of darkness over the canvas: 1 for each black pixel on white.
double darkness(const Canvas& canvas) {
    double sum = 0;
    for (int row = 0; row < canvas.height(); ++row) {
        for (int column = 0; column < canvas.width(); ++column) {
            sum += (255 - canvas.at(row, column).green) / 255.0;
        }
    }
    return sum;
}

Image plain(int height, int width, Color color) {
    return Canvas(height, width, color).take();
}

TEST_CASE("rectangles and blits clip at every side") {
    Canvas canvas(4, 5);
    canvas.fill_rectangle(-2, -2, 100, 3, red);
    CHECK(canvas.at(0, 0) == red);
    CHECK(canvas.at(3, 0) == red);
    CHECK(canvas.at(0, 1) == white);
    canvas.fill(white);
    canvas.rectangle(0, 0, 4, 5, red);
    CHECK(canvas.at(3, 4) == red);
    CHECK(canvas.at(1, 1) == white);
    canvas.fill(white);
    const Image patch = plain(2, 2, red);
    for (const int top : {-5, -1, 3, 9}) {
        for (const int left : {-5, -1, 4, 9}) {
            canvas.blit(patch, top, left);
        }
    }
    CHECK(canvas.at(0, 0) == red);
    CHECK(canvas.at(3, 4) == red);
    CHECK(darkness(canvas) == doctest::Approx(4));
}

TEST_CASE("blending mixes and clamps") {
    Canvas canvas(1, 1);
    canvas.blend(0, 0, black, 0.5);
    CHECK(canvas.at(0, 0) == Color{128, 128, 128});
    canvas.blend(0, 0, black, 7);
    CHECK(canvas.at(0, 0) == black);
    canvas.blend(0, 0, white, -1);
    CHECK(canvas.at(0, 0) == black);
    CHECK_THROWS_AS(Canvas(0, 3), flowfar::Error);
    CHECK_THROWS_AS(Canvas(Image{2, 2, {1, 2, 3}}), flowfar::Error);
}

TEST_CASE("a stroke covers its length times its thickness, wherever it lies") {
    for (const double slope : {0.0, 0.3, 1.0, 2.7}) {
        CAPTURE(slope);
        Canvas canvas(120, 120);
        const double length = 80, x = length / std::sqrt(1 + slope * slope);
        canvas.line({20.3, 20.7}, {20.3 + x, 20.7 + slope * x}, 3, black);
        CHECK(darkness(canvas) == doctest::Approx(3 * length + 3.14159 * 1.5 * 1.5).epsilon(0.03));
    }
    Canvas dots(60, 60);
    dots.disc({30, 30}, 10, black);
    CHECK(darkness(dots) == doctest::Approx(3.14159 * 100).epsilon(0.02));
    Canvas outside(10, 10);
    outside.line({-50, -50}, {-20, -90}, 3, black);
    CHECK(darkness(outside) == 0);
    CHECK_THROWS_AS(outside.line({0, 0}, {0, std::numeric_limits<double>::infinity()}, 1, black), flowfar::Error);
}

TEST_CASE("upscaling repeats pixels") {
    Canvas source(1, 2);
    source.blend(0, 1, red);
    const Canvas large(upscale(source.image(), 3));
    CHECK(large.height() == 3);
    CHECK(large.width() == 6);
    CHECK(large.at(2, 2) == white);
    CHECK(large.at(0, 3) == red);
    CHECK(large.at(2, 5) == red);
    CHECK_THROWS_AS(static_cast<void>(upscale(source.image(), 0)), flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(upscale(source.image(), 40000)), flowfar::Error);
}

TEST_CASE("every printable character draws something of its own, within its box") {
    const TextStyle style{.size = 20};
    std::vector<Image> seen;
    for (char c = '!'; c <= '~'; ++c) {
        CAPTURE(c);
        Canvas canvas(60, 60);
        draw_text(canvas, 20, 35, std::string(1, c), style);
        CHECK(darkness(canvas) > 3);
        CHECK(text_width(std::string(1, c), style) <= 20);
        for (int i = 0; i < 60; ++i) {  // nothing leaves rows 35 - 26 … 35 + 9
            CHECK(canvas.at(6, i) == white);
            CHECK(canvas.at(46, i) == white);
        }
        CHECK(std::find(seen.begin(), seen.end(), canvas.image()) == seen.end());
        seen.push_back(canvas.take());
    }
    CHECK(text_width("", style) == 0);
    CHECK(text_width("ab", style) > text_width("a", style) + text_width("b", style));
}

TEST_CASE("alignment and turning move the same ink") {
    for (const Align align : {Align::left, Align::center, Align::right}) {
        Canvas flat(100, 200), turned(200, 100);
        draw_text(flat, 100, 50, "flow", {.size = 12, .align = align});
        draw_text(turned, 50, 100, "flow", {.size = 12, .align = align, .upwards = true});
        CHECK(darkness(flat) == doctest::Approx(darkness(turned)).epsilon(1e-3));
    }
    Canvas left(40, 200), right(40, 200);
    const TextStyle style{.size = 12};
    draw_text(left, 100 - text_width("flow", style), 20, "flow", style);
    draw_text(right, 100, 20, "flow", {.size = 12, .align = Align::right});
    CHECK(left.image() == right.image());
}

TEST_CASE("a contact sheet's size follows from its parts") {
    ContactSheet sheet{.margin = 10, .gap = 4};
    CHECK(sheet_size(sheet) == SheetSize{20, 20});
    sheet.rows = {{.cells = {{plain(8, 6, red)}, {plain(8, 6, red)}}}, {.cells = {{plain(5, 6, red)}}}};
    CHECK(sheet_size(sheet) == SheetSize{10 + 8 + 4 + 5 + 10, 10 + 6 + 4 + 6 + 10});
    sheet.scale = 3;
    CHECK(sheet_size(sheet) == SheetSize{10 + 24 + 4 + 15 + 10, 10 + 18 + 4 + 18 + 10});
    const Canvas drawn(render(sheet));
    CHECK(drawn.height() == sheet_size(sheet).height);
    CHECK(drawn.width() == sheet_size(sheet).width);
    CHECK(darkness(drawn) == doctest::Approx(9 * (48 + 48 + 30)));
    CHECK(drawn.at(10, 10) == red);
    CHECK(drawn.at(9, 10) == white);
    CHECK(drawn.at(10, 10 + 18 + 4) == red);
    CHECK(drawn.at(10, 10 + 18 + 3) == white);

    const SheetSize bare = sheet_size(sheet);
    const TextStyle text{.size = 10};
    sheet.rows[0].cells[0].caption = "20.1 dB";
    CHECK(sheet_size(sheet).height == bare.height + line_height(text) + 5);
    CHECK(sheet_size(sheet).width == bare.width + text_width("20.1 dB", text) - 18);
    sheet.columns = {"original", "two\nlines"};
    CHECK(sheet_size(sheet).height == bare.height + 3 * line_height(text) + 10);
    const int before = sheet_size(sheet).width;
    sheet.rows[1].caption = "row";
    CHECK(sheet_size(sheet).width == before + text_width("row", text) + 10);
    sheet.title = "A title that is much longer than the two columns are wide together";
    CHECK(sheet_size(sheet).width > 500);
    CHECK(render(sheet).width == sheet_size(sheet).width);
    sheet.scale = 0;
    CHECK_THROWS_AS(static_cast<void>(sheet_size(sheet)), flowfar::Error);
}

TEST_CASE("the test card has every size asked for, and content everywhere") {
    for (const auto& [height, width] : {std::pair{8, 8}, {32, 32}, {64, 48}, {33, 100}}) {
        CAPTURE(height);
        CAPTURE(width);
        const Image card = draw_test_card(height, width);
        CHECK(card.height == height);
        CHECK(card.width == width);
        CHECK(card.pixels.size() == static_cast<std::size_t>(3 * height * width));
    }
    const Image card = draw_test_card(64, 64);
    CHECK(card == draw_test_card(64, 64));
    double mean = 0, square = 0;
    for (const std::uint8_t value : card.pixels) {
        mean += value;
        square += value * value;
    }
    mean /= static_cast<double>(card.pixels.size());
    square /= static_cast<double>(card.pixels.size());
    CHECK(mean > 80);
    CHECK(mean < 170);
    CHECK(std::sqrt(square - mean * mean) > 45);
    const Canvas canvas(card);
    CHECK(canvas.at(43, 1).red > 230);                           // white bar
    CHECK(canvas.at(20, 16).red > 2 * canvas.at(20, 16).green);  // red ball
    CHECK(canvas.at(24, 44).blue > canvas.at(24, 44).red);       // blue ball
    CHECK_THROWS_AS(static_cast<void>(draw_test_card(7, 64)), flowfar::Error);
    CHECK_THROWS_AS(static_cast<void>(draw_test_card(64, 5000)), flowfar::Error);
}

}  // namespace
