// What tests/first_hour.sh needs beside the programs: photos, and a look at pixels.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "flowfar/core/philox.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/png.hpp"

using namespace flowfar;

namespace {

/// Something like a photo out of focus: a color, brighter and darker over half the picture, and a little noise.
Image photo(int height, int width, std::uint64_t number) {
    Image image = make_image(height, width);
    const auto value = [&](std::uint64_t what) { return static_cast<double>(fold(number, what) >> 11) * 0x1p-53; };
    const double along = 4 * value(0) - 2;
    const double down = 4 * value(1) - 2;
    std::size_t at = 0;
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const double light = 40 * std::cos(3.14 * (along * x / width + down * y / height + value(2)));
            for (std::uint64_t c = 0; c < 3; ++c, ++at) {
                const double noise = static_cast<double>(fold(number, 100 + at) >> 56) / 32;
                image.pixels[at] = static_cast<std::uint8_t>(90 + 60 * value(3 + c) + light + noise);
            }
        }
    }
    return image;
}

/// Whether `sheet` shows the left image beside the right one.
bool beside(const Image& sheet, const Image& left, const Image& right) {
    if (left.height != right.height || sheet.height != left.height || sheet.width != left.width + right.width) {
        return false;
    }
    for (int y = 0; y < sheet.height; ++y) {
        for (int x = 0; x < sheet.width; ++x) {
            const Image& part = x < left.width ? left : right;
            const int column = x < left.width ? x : x - left.width;
            for (int c = 0; c < 3; ++c) {
                if (sheet.pixels[static_cast<std::size_t>((y * sheet.width + x) * 3 + c)] !=
                    part.pixels[static_cast<std::size_t>((y * part.width + column) * 3 + c)]) {
                    return false;
                }
            }
        }
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what == "photos" && argc == 4) {
        for (int i = 0; i < std::atoi(argv[3]); ++i) {
            const auto folder = std::filesystem::path(argv[2]) / (i % 2 == 0 ? "even" : "odd");
            std::filesystem::create_directories(folder);
            io::write_png(folder / text(i, ".png"), photo(40, 48, static_cast<std::uint64_t>(i)));
        }
        return 0;
    }
    if (what == "beside" && argc == 5) {
        return beside(io::read_image(argv[2]), io::read_image(argv[3]), io::read_image(argv[4])) ? 0 : 1;
    }
    std::fprintf(stderr, "usage: %s photos FOLDER COUNT | beside SHEET LEFT RIGHT\n", argv[0]);
    return 2;
}
