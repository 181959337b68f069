// JPEG images, with their EXIF orientation.

#include "flowfar/io/images/jpeg.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    only_errors([&] {
        const Image image = io::decode_jpeg(bytes, input_name);
        check_image(image, input_name);
        touch(std::as_bytes(std::span(image.pixels)));
    });
}

}  // namespace flowfar::fuzz
