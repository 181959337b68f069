#include "flowfar/io/images/png.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "flowfar/io/images/image.hpp"

#include "folders.hpp"
#include "io_support.hpp"
#include "support/temp_dir.hpp"

using flowfar::Error;
using flowfar::Image;
using flowfar::make_image;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

/// A PNG to be made with libpng directly: raw samples in the layout that the format wants.
struct RawPng {
    int height = 0;
    int width = 0;
    int depth = 8;
    int color = PNG_COLOR_TYPE_RGB;
    bool interlaced = false;
    std::vector<png_color> palette;
    std::vector<png_byte> palette_alpha;
    const png_color_16* key = nullptr;  ///< the transparent color
    std::vector<std::vector<png_byte>> rows;
};

Bytes make_png(RawPng& raw) {
    Bytes out;
    io::detail::PngSession session(io::detail::PngSession::Direction::write);
    session.run("make_png", [&](io::detail::PngSession& s) {
        png_set_write_fn(
            s.png(), &out,
            [](png_structp png, png_bytep data, std::size_t count) {
                auto* sink = static_cast<Bytes*>(png_get_io_ptr(png));
                const auto* begin = reinterpret_cast<const std::byte*>(data);
                sink->insert(sink->end(), begin, begin + count);
            },
            nullptr);
        png_set_IHDR(s.png(), s.info(), static_cast<png_uint_32>(raw.width), static_cast<png_uint_32>(raw.height),
                     raw.depth, raw.color, raw.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, 0, 0);
        if (!raw.palette.empty()) {
            png_set_PLTE(s.png(), s.info(), raw.palette.data(), static_cast<int>(raw.palette.size()));
        }
        if (!raw.palette_alpha.empty()) {
            png_set_tRNS(s.png(), s.info(), raw.palette_alpha.data(), static_cast<int>(raw.palette_alpha.size()),
                         nullptr);
        }
        if (raw.key != nullptr) {
            png_set_tRNS(s.png(), s.info(), nullptr, 0, raw.key);
        }
        png_write_info(s.png(), s.info());
        const int passes = png_set_interlace_handling(s.png());
        for (int pass = 0; pass < passes; ++pass) {
            for (auto& row : raw.rows) {
                png_write_row(s.png(), row.data());
            }
        }
        png_write_end(s.png(), nullptr);
    });
    return out;
}

int channels_of(int color) {
    switch (color) {
        case PNG_COLOR_TYPE_RGB:
            return 3;
        case PNG_COLOR_TYPE_RGB_ALPHA:
            return 4;
        case PNG_COLOR_TYPE_GRAY_ALPHA:
            return 2;
        default:
            return 1;
    }
}

/// Sample values 0 .. 2^depth - 1 for channel c of pixel (y, x).
unsigned sample(const RawPng& raw, int y, int x, int c) {
    const auto mixed = static_cast<unsigned>((y * 71 + x * 29 + c * 101 + x * y * 13) * 257);
    return mixed & ((1U << raw.depth) - 1U);
}

void fill_rows(RawPng& raw) {
    const int channels = channels_of(raw.color);
    for (int y = 0; y < raw.height; ++y) {
        std::vector<png_byte> row(static_cast<std::size_t>((raw.width * channels * raw.depth + 7) / 8), 0);
        for (int i = 0; i < raw.width * channels; ++i) {
            unsigned value = sample(raw, y, i / channels, i % channels);
            if (raw.color == PNG_COLOR_TYPE_PALETTE) {
                value %= static_cast<unsigned>(raw.palette.size());
            }
            const auto bit = static_cast<std::size_t>(i * raw.depth);
            if (raw.depth == 16) {
                row[bit / 8] = static_cast<png_byte>(value >> 8);
                row[bit / 8 + 1] = static_cast<png_byte>(value & 0xFFU);
            } else {
                row[bit / 8] = static_cast<png_byte>(
                    row[bit / 8] | (value << (8 - static_cast<unsigned>(raw.depth) - static_cast<unsigned>(bit % 8))));
            }
        }
        raw.rows.push_back(row);
    }
}

/// A sample scaled from its depth to 8 bits, rounded to nearest.
unsigned to_8_bits(unsigned value, int depth) {
    const unsigned top = (1U << depth) - 1U;
    return (value * 255U * 2U + top) / (top * 2U);
}

std::uint8_t over_white(unsigned value, unsigned alpha) {
    return static_cast<std::uint8_t>((value * alpha + 255U * (255U - alpha) + 127U) / 255U);
}

Image expected_image(const RawPng& raw) {
    Image image = make_image(raw.height, raw.width);
    for (int y = 0; y < raw.height; ++y) {
        for (int x = 0; x < raw.width; ++x) {
            unsigned rgb[3];
            unsigned alpha = 255;
            const auto value = [&](int c) { return to_8_bits(sample(raw, y, x, c), raw.depth); };
            if (raw.color == PNG_COLOR_TYPE_PALETTE) {
                const std::size_t index = sample(raw, y, x, 0) % raw.palette.size();
                rgb[0] = raw.palette[index].red;
                rgb[1] = raw.palette[index].green;
                rgb[2] = raw.palette[index].blue;
                alpha = index < raw.palette_alpha.size() ? raw.palette_alpha[index] : 255U;
            } else {
                const bool gray = (raw.color & PNG_COLOR_MASK_COLOR) == 0;
                for (int c = 0; c < 3; ++c) {
                    rgb[c] = value(gray ? 0 : c);
                }
                if ((raw.color & PNG_COLOR_MASK_ALPHA) != 0) {
                    alpha = value(gray ? 1 : 3);
                }
                if (raw.key != nullptr) {
                    const bool hit = gray ? sample(raw, y, x, 0) == raw.key->gray
                                          : sample(raw, y, x, 0) == raw.key->red &&
                                                sample(raw, y, x, 1) == raw.key->green &&
                                                sample(raw, y, x, 2) == raw.key->blue;
                    alpha = hit ? 0 : 255;
                }
            }
            for (std::size_t c = 0; c < 3; ++c) {
                image.pixels[static_cast<std::size_t>(y * raw.width + x) * 3 + c] = over_white(rgb[c], alpha);
            }
        }
    }
    return image;
}

/// Puts the checksum of `size` bytes from `begin` behind them.
void put_crc(Bytes& file, std::size_t begin, std::size_t size) {
    const std::uint32_t sum = io::crc32(std::span(file).subspan(begin, size));
    for (std::size_t i = 0; i < 4; ++i) {
        file[begin + size + i] = static_cast<std::byte>(sum >> (8 * (3 - i)));
    }
}

}  // namespace

TEST_CASE("every color type, depth and interlacing decodes to the right pixels") {
    struct Kind {
        int color;
        std::vector<int> depths;
    };
    const std::vector<Kind> kinds{{PNG_COLOR_TYPE_GRAY, {1, 2, 4, 8, 16}},
                                  {PNG_COLOR_TYPE_PALETTE, {1, 2, 4, 8}},
                                  {PNG_COLOR_TYPE_RGB, {8, 16}},
                                  {PNG_COLOR_TYPE_GRAY_ALPHA, {8, 16}},
                                  {PNG_COLOR_TYPE_RGB_ALPHA, {8, 16}}};
    for (const Kind& kind : kinds) {
        for (const int depth : kind.depths) {
            for (const bool interlaced : {false, true}) {
                for (const bool transparent : {false, true}) {
                    for (const int width : {1, 7, 13}) {
                        CAPTURE(kind.color);
                        CAPTURE(depth);
                        CAPTURE(interlaced);
                        CAPTURE(transparent);
                        CAPTURE(width);
                        RawPng raw{.height = 9,
                                   .width = width,
                                   .depth = depth,
                                   .color = kind.color,
                                   .interlaced = interlaced,
                                   .palette = {},
                                   .palette_alpha = {},
                                   .rows = {}};
                        png_color_16 key{};
                        if (kind.color == PNG_COLOR_TYPE_PALETTE) {
                            for (int i = 0; i < std::min(1 << depth, 200); ++i) {
                                raw.palette.push_back({static_cast<png_byte>(i * 37), static_cast<png_byte>(255 - i),
                                                       static_cast<png_byte>(i * 11)});
                            }
                            if (transparent) {
                                raw.palette_alpha = {128, 0};
                            }
                        } else if (transparent && (kind.color & PNG_COLOR_MASK_ALPHA) == 0) {
                            key.gray = key.red = static_cast<png_uint_16>(sample(raw, 4, 0, 0));
                            key.green = static_cast<png_uint_16>(sample(raw, 4, 0, 1));
                            key.blue = static_cast<png_uint_16>(sample(raw, 4, 0, 2));
                            raw.key = &key;
                        }
                        fill_rows(raw);
                        const Bytes file = make_png(raw);
                        CHECK(io::decode_image(file, "test") == expected_image(raw));
                    }
                }
            }
        }
    }
}

TEST_CASE("files written by another program") {
    const fs::path data = flowfar::testing::source_folder() / "tests/io/data";
    for (const char* name : {"palette_transparent", "gray_alpha"}) {
        CAPTURE(name);
        const Image found = io::read_image(data / (std::string(name) + ".png"));
        const Image expected = io::read_image(data / (std::string(name) + "_flat.png"));
        REQUIRE(found.pixels.size() == expected.pixels.size());
        int worst = 0;
        for (std::size_t i = 0; i < found.pixels.size(); ++i) {
            worst = std::max(worst, std::abs(found.pixels[i] - expected.pixels[i]));
        }
        CHECK(worst <= 1);
    }
}

TEST_CASE("an encoded image decodes to itself, in memory and as a file") {
    const TempDir folder;
    for (const auto& [height, width] : {std::pair{1, 1}, std::pair{1, 40}, std::pair{33, 1}, std::pair{31, 32}}) {
        const Image image = gradient_image(height, width);
        CHECK(io::decode_png(io::encode_png(image), "test") == image);
        io::write_png(folder / "image.png", image);
        CHECK(io::read_image(folder / "image.png") == image);
    }
    CHECK(io::encode_png(gradient_image(8, 8)) == io::encode_png(gradient_image(8, 8)));
}

TEST_CASE("a file cut at any length is refused") {
    RawPng raw{.height = 6,
               .width = 7,
               .color = PNG_COLOR_TYPE_RGB_ALPHA,
               .interlaced = true,
               .palette = {},
               .palette_alpha = {},
               .rows = {}};
    fill_rows(raw);
    for (const Bytes& whole : {io::encode_png(gradient_image(5, 9)), make_png(raw)}) {
        CHECK(error_text([&] { (void)io::decode_image(whole, "whole"); }) == "no error");
        for (std::size_t size = 0; size < whole.size(); ++size) {
            CAPTURE(size);
            // On the heap at its exact size, so that the address sanitizer sees any read beyond it.
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK(error_text([&] { (void)io::decode_image(cut, "cut.png"); }).starts_with("cut.png: "));
        }
    }
}

TEST_CASE("random damage never does worse than an Error") {
    RawPng raw{.height = 6,
               .width = 7,
               .depth = 4,
               .color = PNG_COLOR_TYPE_PALETTE,
               .interlaced = true,
               .palette = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}},
               .palette_alpha = {9},
               .rows = {}};
    fill_rows(raw);
    constexpr unsigned seed = 11;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (const Bytes& whole : {io::encode_png(gradient_image(5, 9)), make_png(raw)}) {
        for (int trial = 0; trial < 3000; ++trial) {
            Bytes damaged = whole;
            for (unsigned i = 0; i <= random() % 3; ++i) {
                damaged[random() % damaged.size()] = static_cast<std::byte>(random());
            }
            (void)error_text([&] { (void)io::decode_image(damaged, "damaged"); });
        }
    }
}

TEST_CASE("a huge image in a small file is refused before memory is taken") {
    // A valid header of 16000 x 16000 pixels and no pixels.
    Bytes file = io::encode_png(gradient_image(1, 1));
    const auto put = [&](std::size_t at, std::uint32_t value) {
        for (std::size_t i = 0; i < 4; ++i) {
            file[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
        }
    };
    const auto decode_with_size = [&](std::uint32_t height, std::uint32_t width) {
        put(16, width);
        put(20, height);
        put(29, io::crc32(std::span(file).subspan(12, 17)));
        return error_text([&] { (void)io::decode_png(file, "huge"); });
    };
    CHECK(decode_with_size(1, 1) == "no error");
    CHECK(contains(decode_with_size(16000, 16000), "too few for 16000 x 16000 pixels"));
    CHECK(contains(decode_with_size(20000, 20000), "expected at most 65535 a side and 268435456 in all"));
    CHECK(contains(decode_with_size(1, 65536), "expected at most 65535 a side"));
    CHECK(contains(decode_with_size(0, 1), "huge: PNG: "));
}

TEST_CASE("our own limit is named, not the library's") {
    Bytes file = io::encode_png(gradient_image(1, 1));
    for (std::size_t i = 0; i < 4; ++i) {
        const std::uint32_t width = 100000;
        file[16 + i] = static_cast<std::byte>(width >> (8 * (3 - i)));
    }
    put_crc(file, 12, 17);
    CHECK(contains(error_text([&] { (void)io::decode_png(file, "wide"); }),
                   "wide: image of 1 x 100000 pixels, expected at most 65535 a side"));
}

TEST_CASE("the orientation in a chunk eXIf turns the image, before or behind the pixels") {
    const Image image = gradient_image(3, 5);
    const Bytes file = io::encode_png(image);
    const std::string exif("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0", 26);
    Bytes chunk = to_bytes(std::string("\0\0\0\x1A", 4) + "eXIf" + exif + "CRC4");
    put_crc(chunk, 4, 4 + exif.size());
    for (const std::size_t at : {std::size_t{33}, file.size() - 12}) {  // behind IHDR, before IEND
        Bytes turned = file;
        turned.insert(turned.begin() + static_cast<std::ptrdiff_t>(at), chunk.begin(), chunk.end());
        CHECK(io::decode_png(turned, "turned") == io::apply_orientation(image, 6));
        CHECK(io::decode_png(turned, "turned", io::Orientation::stored) == image);
    }
}

TEST_CASE("wrong images are not encoded") {
    Image image = gradient_image(2, 2);
    image.pixels.pop_back();
    CHECK(
        contains(error_text([&] { (void)io::encode_png(image); }), "expected 12 bytes for 2 x 2 RGB pixels, found 11"));
    CHECK_THROWS_AS((void)io::encode_png(Image{}), Error);
    CHECK_THROWS_AS((void)make_image(-1, 5), Error);
}

TEST_CASE("other data are refused by name") {
    CHECK(error_text([] { (void)io::decode_image(to_bytes("GIF89a"), "a.gif"); }) ==
          "a.gif: expected a PNG or JPEG image, found a GIF image: convert it to PNG or JPEG");
    CHECK(error_text([] { (void)io::decode_image({}, "empty"); }) ==
          "empty: expected a PNG or JPEG image, found an empty file");
    CHECK(error_text([] { (void)io::decode_image(to_bytes("\x1F\x8B\x08 a JPEG"), "a.jpg"); }) ==
          "a.jpg: expected a PNG or JPEG image, found gzip-compressed data: unpack it with gunzip first");
    CHECK(contains(error_text([] { (void)io::decode_image(to_bytes("RIFF....WEBPVP8 "), "a.jpg"); }), "a WebP image"));
    CHECK(contains(error_text([] {
                       (void)io::decode_image(to_bytes(std::string("\0\0\0\x1C"
                                                                   "ftypavif",
                                                                   12)),
                                              "a.jpg");
                   }),
                   "an AVIF"));
}
