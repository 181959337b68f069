// Shows a photo level by level, from low to high frequency; see --help.

#include <cmath>
#include <cstdio>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/frequency/pyramid.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/png.hpp"

#include "common/cli/cli.hpp"
#include "common/draw/contact_sheet.hpp"
#include "common/draw/test_card.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string photo, out = "pyramid.png", filter = "both";
    std::vector<Index> levels = {0, 1, 2, 4, 8, 16, 32, 64, 128};
    int size = 128;
};

Spec make_spec(Arguments& a) {
    Spec spec(
        "frequency_pyramid",
        "Shows a photo at every level of FAR's frequency pyramid. Level s keeps what s x s pixels, or the s lowest "
        "frequencies per axis, can tell. Without a photo it shows a test card.");
    spec.positional("PHOTO", a.photo, "PNG or JPEG").optional().alias("--data");
    spec.option("out", a.out, "sheet to write").alias("-o").placeholder("PNG");
    spec.option("levels", a.levels, "increasing; the last shown is the photo itself").at_least(0);
    spec.option("filter", a.filter, "spatial: shrink by areas, grow bicubically; fourier: cut the spectrum")
        .choices({"spatial", "fourier", "both"});
    spec.option("size", a.size, "height and width to which the photo is cropped").range(8, 4096);
    spec.example("photo.jpg --levels 0,2,4,8,16,32,64 -o pyramid.png", "seven levels of a photo");
    return spec;
}

template <class Filter>
SheetRow row_of(const char* caption, const Image& photo, const std::vector<Index>& levels) {
    using Images = Tensor<Cpu, Shape<dyn, 3, dyn, dyn>>;
    SheetRow row{caption, {}};
    const Images original = to_tensor<Images>(photo);
    for (const Images& image : RuntimePyramid<Filter>(levels).decompose(original)) {
        // How much of the photo's variation about mid-gray the level holds back.
        const double missing = static_cast<double>(mean(square(original - image)).item());
        row.cells.push_back({to_images(image)[0], missing > 0.0 ? text("rms error ", std::sqrt(missing)) : "exact"});
    }
    return row;
}

int show(const Arguments& a) {
    const Image source = a.photo.empty() ? draw_test_card(a.size, a.size) : io::read_image(a.photo);
    const Image photo = io::center_crop(io::resize_short_side(source, a.size), a.size, a.size);
    std::vector<Index> levels;
    for (const Index level : a.levels) {
        if (level <= a.size) {
            levels.push_back(level);
        }
    }
    check_levels(levels);
    ContactSheet sheet;
    sheet.title = "Frequency levels";
    for (const Index level : levels) {
        sheet.columns.push_back(text("level ", level));
    }
    if (a.filter != "fourier") {
        sheet.rows.push_back(row_of<SpatialFilter>("spatial", photo, levels));
    }
    if (a.filter != "spatial") {
        sheet.rows.push_back(row_of<FourierFilter>("Fourier", photo, levels));
    }
    io::write_png(a.out, render(sheet));
    std::printf("%s: %zu levels of %d x %d pixels\n", a.out.c_str(), levels.size(), a.size, a.size);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return show(arguments); });
}
