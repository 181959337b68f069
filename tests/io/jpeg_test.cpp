#include "flowfar/io/images/jpeg.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <utility>
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

/// A JPEG to be made with libjpeg directly, in any stored color space.
struct RawJpeg {
    int height = 0;
    int width = 0;
    int channels = 3;
    J_COLOR_SPACE given = JCS_RGB;
    J_COLOR_SPACE stored = JCS_YCbCr;
    bool progressive = false;
    bool adobe_marker = false;
    int restart_interval = 0;
    Bytes app1;
    std::vector<std::uint8_t> samples;
};

Bytes make_jpeg(RawJpeg& raw) {
    io::detail::JpegErrors errors;
    jpeg_compress_struct info{};
    info.err = &errors.manager;
    unsigned char* data = nullptr;
    unsigned long size = 0;
    errors.run("make_jpeg", [&] {
        jpeg_create_compress(&info);
        jpeg_mem_dest(&info, &data, &size);
        info.image_width = static_cast<JDIMENSION>(raw.width);
        info.image_height = static_cast<JDIMENSION>(raw.height);
        info.input_components = raw.channels;
        info.in_color_space = raw.given;
        jpeg_set_defaults(&info);
        jpeg_set_colorspace(&info, raw.stored);
        jpeg_set_quality(&info, 95, TRUE);
        info.comp_info[0].h_samp_factor = info.comp_info[0].v_samp_factor = 1;
        info.restart_interval = static_cast<unsigned>(raw.restart_interval);
        info.write_Adobe_marker = raw.adobe_marker ? TRUE : FALSE;
        if (raw.progressive) {
            jpeg_simple_progression(&info);
        }
        jpeg_start_compress(&info, TRUE);
        if (!raw.app1.empty()) {
            jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(raw.app1.data()),
                              static_cast<unsigned>(raw.app1.size()));
        }
        while (info.next_scanline < info.image_height) {
            JSAMPROW row = raw.samples.data() + static_cast<std::size_t>(info.next_scanline) * info.image_width *
                                                    static_cast<unsigned>(raw.channels);
            jpeg_write_scanlines(&info, &row, 1);
        }
        jpeg_finish_compress(&info);
    });
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    Bytes out(begin, begin + size);
    jpeg_destroy_compress(&info);
    std::free(data);
    return out;
}

int worst_difference(const Image& a, const Image& b) {
    REQUIRE(a.height == b.height);
    REQUIRE(a.width == b.width);
    int worst = 0;
    for (std::size_t i = 0; i < a.pixels.size(); ++i) {
        worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
    }
    return worst;
}

/// EXIF payload whose first directory holds a width entry and then the orientation.
Bytes exif_payload(bool big_endian, unsigned orientation, unsigned type = 3) {
    Bytes out = to_bytes(std::string("Exif\0\0", 6));
    const auto put = [&](unsigned value, unsigned size) {
        for (unsigned i = 0; i < size; ++i) {
            out.push_back(static_cast<std::byte>(value >> (8 * (big_endian ? size - 1 - i : i))));
        }
    };
    put(big_endian ? 0x4D4D : 0x4949, 2);
    put(42, 2);
    put(8, 4);
    put(2, 2);
    put(0x0100, 2), put(3, 2), put(1, 4), put(77, 2), put(0, 2);
    put(0x0112, 2), put(type, 2), put(1, 4), put(orientation, 2), put(0, 2);
    put(0, 4);
    return out;
}

RawJpeg raw_gradient(int height, int width) {
    return {.height = height, .width = width, .app1 = {}, .samples = gradient_image(height, width).pixels};
}

}  // namespace

TEST_CASE("files written by another program decode as they did there") {
    const fs::path data = flowfar::testing::source_folder() / "tests/io/data";
    for (const char* name : {"color_420", "color_progressive", "gray", "cmyk", "cmyk_without_marker", "ycck",
                             "orientation_5", "orientation_6"}) {
        CAPTURE(name);
        // Different versions of libjpeg may round the cosine transform differently.
        CHECK(worst_difference(io::read_image(data / (std::string(name) + ".jpg")),
                               io::read_image(data / (std::string(name) + ".png"))) <= 2);
    }
}

TEST_CASE("an encoded image decodes to nearly itself") {
    const TempDir folder;
    for (const auto& [height, width] : {std::pair{1, 1}, std::pair{8, 40}, std::pair{33, 17}}) {
        const Image image = gradient_image(height, width);
        CHECK(worst_difference(io::decode_jpeg(io::encode_jpeg(image, 95), "test"), image) < 40);
        io::write_jpeg(folder / "image.jpg", image, 95);
        CHECK(io::read_image(folder / "image.jpg") == io::decode_jpeg(io::encode_jpeg(image, 95), "test"));
    }
    const Image image = gradient_image(64, 64);
    CHECK(io::encode_jpeg(image, 10).size() < io::encode_jpeg(image, 90).size());
    CHECK(contains(error_text([&] { (void)io::encode_jpeg(image, 0); }), "1..100, found 0"));
    CHECK(contains(error_text([&] { (void)io::encode_jpeg(image, 101); }), "1..100, found 101"));
    CHECK_THROWS_AS((void)io::encode_jpeg(Image{}, 90), Error);
}

TEST_CASE("gray, RGB, restart markers and progressive scans") {
    const Image image = gradient_image(24, 40);
    for (const bool progressive : {false, true}) {
        for (const int restart : {0, 3}) {
            for (const J_COLOR_SPACE stored : {JCS_YCbCr, JCS_RGB}) {
                RawJpeg raw = raw_gradient(24, 40);
                raw.stored = stored;
                raw.progressive = progressive;
                raw.restart_interval = restart;
                raw.adobe_marker = true;
                CHECK(worst_difference(io::decode_jpeg(make_jpeg(raw), "test"), image) < 12);
            }
        }
    }
    RawJpeg gray{.height = 16,
                 .width = 16,
                 .channels = 1,
                 .given = JCS_GRAYSCALE,
                 .stored = JCS_GRAYSCALE,
                 .app1 = {},
                 .samples = std::vector<std::uint8_t>(256, 77)};
    const Image decoded = io::decode_jpeg(make_jpeg(gray), "test");
    CHECK(std::ranges::all_of(decoded.pixels, [](int value) { return std::abs(value - 77) <= 1; }));
}

TEST_CASE("CMYK and YCCK are inverted, with Adobe's marker and without") {
    // Ink amounts on uniform patches; white, pure cyan, dark red.
    const std::array<std::array<int, 4>, 4> patches{
        {{0, 0, 0, 0}, {255, 0, 0, 0}, {0, 200, 180, 90}, {30, 60, 90, 255}}};
    for (const auto& ink : patches) {
        for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
            for (const bool adobe : {false, true}) {
                if (stored == JCS_YCCK && !adobe) {
                    continue;  // without the marker no reader can know that it is YCCK
                }
                CAPTURE(stored);
                CAPTURE(adobe);
                RawJpeg raw{.height = 16,
                            .width = 16,
                            .channels = 4,
                            .given = JCS_CMYK,
                            .stored = stored,
                            .adobe_marker = adobe,
                            .app1 = {},
                            .samples = {}};
                for (int i = 0; i < 256 * 4; ++i) {
                    const int amount = ink[static_cast<std::size_t>(i % 4)];
                    raw.samples.push_back(static_cast<std::uint8_t>(255 - amount));
                }
                const Image image = io::decode_jpeg(make_jpeg(raw), "test");
                for (std::size_t c = 0; c < 3; ++c) {
                    const int expected = (255 - ink[c]) * (255 - ink[3]) / 255;
                    CHECK(std::abs(image.pixels[c] - expected) <= 4);
                }
            }
        }
    }
}

TEST_CASE("all eight orientations are turned upright") {
    // The upright picture: A B / C D / E F. For each orientation, its pixels as stored.
    const std::array<const char*, 9> stored{"",        "AB/CD/EF", "BA/DC/FE", "FE/DC/BA", "EF/CD/AB",
                                            "ACE/BDF", "BDF/ACE",  "FDB/ECA",  "ECA/FDB"};
    for (int orientation = 1; orientation <= 8; ++orientation) {
        CAPTURE(orientation);
        const std::string rows = stored[static_cast<std::size_t>(orientation)];
        Image image = orientation < 5 ? make_image(3, 2) : make_image(2, 3);
        std::size_t at = 0;
        for (const char letter : rows) {
            if (letter != '/') {
                image.pixels[at] = static_cast<std::uint8_t>(letter);
                image.pixels[at + 2] = static_cast<std::uint8_t>(letter + 100);
                at += 3;
            }
        }
        const Image upright = io::apply_orientation(image, orientation);
        CHECK(upright.height == 3);
        CHECK(upright.width == 2);
        for (std::size_t i = 0; i < 6; ++i) {
            CHECK(upright.pixels[i * 3] == 'A' + i);
            CHECK(upright.pixels[i * 3 + 2] == 'A' + i + 100);
        }
    }
    CHECK_THROWS_AS((void)io::apply_orientation(gradient_image(1, 1), 9), Error);
}

TEST_CASE("the orientation comes from the file, in either byte order") {
    RawJpeg raw = raw_gradient(8, 24);
    const Image plain = io::decode_jpeg(make_jpeg(raw), "test");
    for (const bool big_endian : {false, true}) {
        for (unsigned orientation = 1; orientation <= 8; ++orientation) {
            raw.app1 = exif_payload(big_endian, orientation);
            CHECK(io::decode_jpeg(make_jpeg(raw), "test") ==
                  io::apply_orientation(plain, static_cast<int>(orientation)));
        }
    }
}

TEST_CASE("orientation as LONG, without the signature as in PNG, and left as stored") {
    RawJpeg raw = raw_gradient(8, 24);
    const Image plain = io::decode_jpeg(make_jpeg(raw), "test");
    for (const bool big_endian : {false, true}) {
        raw.app1 = exif_payload(big_endian, big_endian ? 0 : 6, 4);
        if (big_endian) {  // a LONG fills the whole field
            raw.app1[raw.app1.size() - 5] = std::byte{6};
        }
        CHECK(io::decode_jpeg(make_jpeg(raw), "test") == io::apply_orientation(plain, 6));
        CHECK(io::decode_jpeg(make_jpeg(raw), "test", io::Orientation::stored) == plain);
        CHECK(io::exif_orientation(std::span(raw.app1).subspan(6)) == 6);
    }
}

TEST_CASE("malformed EXIF data leave the image as it is") {
    CHECK(io::exif_orientation(exif_payload(true, 6)) == 6);
    CHECK(io::exif_orientation(exif_payload(false, 0)) == 1);
    CHECK(io::exif_orientation(exif_payload(false, 9)) == 1);
    CHECK(io::exif_orientation(exif_payload(false, 6, 1)) == 6);
    CHECK(io::exif_orientation(exif_payload(false, 6, 5)) == 1);
    CHECK(io::exif_orientation(exif_payload(false, 6, 2)) == 1);
    CHECK(io::exif_orientation({}) == 1);
    CHECK(io::exif_orientation(to_bytes("http://ns.adobe.com/xap/1.0/")) == 1);
    for (const bool big_endian : {false, true}) {
        const Bytes whole = exif_payload(big_endian, 6);
        for (std::size_t size = 0; size < whole.size(); ++size) {
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            const int found = io::exif_orientation(cut);
            CHECK((found == 1 || found == 6));
        }
        constexpr unsigned seed = 3;
        CAPTURE(seed);
        std::mt19937 random(seed);
        for (int trial = 0; trial < 2000; ++trial) {
            Bytes damaged = whole;
            damaged[random() % damaged.size()] = static_cast<std::byte>(random());
            const int found = io::exif_orientation(damaged);
            CHECK((found >= 1 && found <= 8));
        }
    }
}

TEST_CASE("a file cut at any length is refused") {
    RawJpeg progressive = raw_gradient(16, 24);
    progressive.progressive = true;
    for (const Bytes& whole : {io::encode_jpeg(gradient_image(20, 20), 90), make_jpeg(progressive)}) {
        CHECK(error_text([&] { (void)io::decode_image(whole, "whole"); }) == "no error");
        for (std::size_t size = 0; size < whole.size(); ++size) {
            CAPTURE(size);
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK(error_text([&] { (void)io::decode_image(cut, "cut.jpg"); }).starts_with("cut.jpg: "));
        }
    }
}

TEST_CASE("random damage never does worse than an Error") {
    RawJpeg progressive = raw_gradient(16, 24);
    progressive.progressive = true;
    progressive.app1 = exif_payload(true, 7);
    constexpr unsigned seed = 5;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (const Bytes& whole : {io::encode_jpeg(gradient_image(20, 20), 90), make_jpeg(progressive)}) {
        for (int trial = 0; trial < 1500; ++trial) {
            Bytes damaged = whole;
            for (unsigned i = 0; i <= random() % 3; ++i) {
                // The size in the frame header stays small: damage there only costs time.
                const std::size_t at = random() % damaged.size();
                damaged[at] = static_cast<std::byte>(random() % 64 + std::to_integer<unsigned>(damaged[at]) / 2);
            }
            (void)error_text([&] { (void)io::decode_image(damaged, "damaged"); });
        }
    }
}

TEST_CASE("stray bytes between segments are tolerated") {
    Bytes file = io::encode_jpeg(gradient_image(20, 20), 90);
    const Bytes stray = to_bytes("stray");
    file.insert(file.begin() + 20, stray.begin(), stray.end());  // after SOI and the 18 bytes of APP0
    CHECK(io::decode_jpeg(file, "test") == io::decode_jpeg(io::encode_jpeg(gradient_image(20, 20), 90), "test"));
}

TEST_CASE("thousands of scans are refused") {
    RawJpeg raw = raw_gradient(8, 8);
    raw.progressive = true;
    const Bytes whole = make_jpeg(raw);
    // Repeat the first scan, which is valid any number of times: from its SOS marker to the next marker.
    const auto is_marker = [&](std::size_t i) { return whole[i] == std::byte{0xFF} && whole[i + 1] > std::byte{0xD7}; };
    std::size_t begin = 2;
    while (whole[begin] != std::byte{0xFF} || whole[begin + 1] != std::byte{0xDA}) {
        ++begin;
    }
    std::size_t end = begin + 2;
    while (!is_marker(end)) {
        ++end;
    }
    const auto with_copies = [&](int copies) {
        Bytes many(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(end));
        for (int i = 0; i < copies; ++i) {
            many.insert(many.end(), whole.begin() + static_cast<std::ptrdiff_t>(begin),
                        whole.begin() + static_cast<std::ptrdiff_t>(end));
        }
        many.insert(many.end(), whole.begin() + static_cast<std::ptrdiff_t>(end), whole.end());
        return error_text([&] { (void)io::decode_jpeg(many, "many"); });
    };
    CHECK(with_copies(20) == "no error");
    CHECK(with_copies(3000) == "many: JPEG: too many scans");
}
