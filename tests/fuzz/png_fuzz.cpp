// PNG images. The chunks' checksums would stop nearly every input, so they are also put right.

#include <cstdint>
#include <vector>

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/images/png.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

namespace {

void read(Bytes bytes) {
    only_errors([&] {
        const Image image = io::decode_png(bytes, input_name);
        check_image(image, input_name);
        touch(std::as_bytes(std::span(image.pixels)));
    });
}

/// The CRC-32 of every complete chunk put right.
std::vector<std::byte> with_checksums(Bytes bytes) {
    std::vector<std::byte> out(bytes.begin(), bytes.end());
    const auto number = [&](std::size_t at) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            value = value << 8 | std::to_integer<std::uint64_t>(out[at + i]);
        }
        return value;
    };
    for (std::size_t at = 8; at + 12 <= out.size();) {
        const std::uint64_t length = number(at);
        if (length > out.size() - at - 12) {
            break;
        }
        const std::uint32_t sum = io::crc32(std::span(out).subspan(at + 4, length + 4));
        for (std::size_t i = 0; i < 4; ++i) {
            out[at + 8 + length + i] = static_cast<std::byte>(sum >> (24 - 8 * i));
        }
        at += length + 12;
    }
    return out;
}

}  // namespace

void run(Bytes bytes) {
    read(bytes);
    read(with_checksums(bytes));
}

}  // namespace flowfar::fuzz
