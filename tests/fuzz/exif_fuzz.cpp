// The EXIF payload alone, which the JPEG target reaches only behind a whole image.

#include "flowfar/io/images/exif.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    const int orientation = io::exif_orientation(bytes);
    expect(orientation >= 1 && orientation <= 8, "an orientation of 1..8");
    const Image image = io::apply_orientation(make_image(2, 3), orientation);
    expect(image.height == (orientation >= 5 ? 3 : 2), "a turned image");
}

}  // namespace flowfar::fuzz
