#pragma once

/// JPEG decoding and encoding with libjpeg (or libjpeg-turbo).
///
/// As with libpng, errors leave the library by longjmp, which must not pass over C++ objects with destructors: calls
/// into it happen in steps without such objects, run below a setjmp by `JpegErrors::run`.

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE and size_t declared before it
#include <cstdlib>
#include <jerror.h>
#include <jpeglib.h>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image.hpp"
#include "flowfar/io/images/exif.hpp"

namespace flowfar::io {

namespace detail {

/// The library's error manager, extended by the place to return to and the message.
struct JpegErrors {
    jpeg_error_mgr manager;  // first: the library's pointer to it is also one to this struct
    std::jmp_buf target;
    std::array<char, JMSG_LENGTH_MAX> message{};

    JpegErrors() {
        jpeg_std_error(&manager);
        manager.error_exit = on_error;
        manager.emit_message = on_message;
        manager.output_message = [](j_common_ptr) {};
    }

    /// Runs `step()`; an error inside it becomes an `Error` that begins with `what`.
    template <class Step>
    void run(std::string_view what, Step step) {
        if (!guarded(step)) {
            fail(what, ": JPEG: ", message.data());
        }
    }

    /// Leaves the running step with a message of our own.
    [[noreturn]] void stop(std::string_view reason) {
        reason.copy(message.data(), message.size() - 1);
        std::longjmp(target, 1);
    }

   private:
    template <class Step>
    bool guarded(Step& step) {
        if (setjmp(target) != 0) {
            return false;
        }
        step();
        return true;
    }

    [[noreturn]] static void on_error(j_common_ptr common) {
        auto* self = reinterpret_cast<JpegErrors*>(common->err);
        common->err->format_message(common, self->message.data());
        std::longjmp(self->target, 1);
    }

    /// Warnings mean damaged data, mostly a premature end, after which the library invents pixels: errors here, except
    /// for the harmless ones.
    static void on_message(j_common_ptr common, int level) {
        if (level >= 0) {
            return;  // tracing, not a warning
        }
        switch (common->err->msg_code) {
            case JWRN_EXTRANEOUS_DATA:  // stray bytes between segments, skipped
            case JWRN_ADOBE_XFORM:
            case JWRN_JFIF_MAJOR:
            case JWRN_BOGUS_PROGRESSION:
                return;
            default:
                on_error(common);
        }
    }
};

struct JpegDecoder {
    JpegErrors errors;
    jpeg_decompress_struct info{};
    jpeg_progress_mgr progress{};

    JpegDecoder() { info.err = &errors.manager; }
    JpegDecoder(const JpegDecoder&) = delete;
    JpegDecoder& operator=(const JpegDecoder&) = delete;
    ~JpegDecoder() { jpeg_destroy_decompress(&info); }

    /// Real progressive files have about ten scans; thousands of empty ones would only burn time.
    static void limit_scans(j_common_ptr common) {
        constexpr int limit = 500;
        if (reinterpret_cast<j_decompress_ptr>(common)->input_scan_number > limit) {
            reinterpret_cast<JpegErrors*>(common->err)->stop("too many scans");
        }
    }

    /// The payload of the first APP1 marker that holds EXIF data, or nothing.
    [[nodiscard]] std::span<const std::byte> exif() const {
        for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
            const std::span<const std::byte> data(reinterpret_cast<const std::byte*>(marker->data),
                                                  marker->data_length);
            if (marker->marker == JPEG_APP0 + 1 && is_exif(data)) {
                return data;
            }
        }
        return {};
    }
};

/// CMYK to RGB without a profile: (1 - C)(1 - K) and so on. 255 stands for no ink, as in Adobe's files: Pillow and
/// browsers take all four-component JPEGs for such, whether or not they carry Adobe's marker.
inline void cmyk_to_rgb(std::span<const std::uint8_t> cmyk, std::uint8_t* rgb) {
    for (std::size_t i = 0; i + 4 <= cmyk.size(); i += 4) {
        for (std::size_t c = 0; c < 3; ++c) {
            *rgb++ = static_cast<std::uint8_t>((unsigned{cmyk[i + c]} * cmyk[i + 3] + 127U) / 255U);
        }
    }
}

}  // namespace detail

/// Decodes a baseline or progressive JPEG: gray, YCbCr, RGB, CMYK or YCCK, and applies the EXIF orientation; color
/// profiles are ignored. Throws `Error` beginning with `what` for damaged or cut data, for images beyond the size
/// limits of pixels.hpp or of more than 1,024 pixels per byte, and for more than 500 progressive scans.
[[nodiscard]] inline Image decode_jpeg(std::span<const std::byte> bytes, const std::string& what,
                                       Orientation wanted = Orientation::upright) {
    detail::JpegDecoder decoder;
    jpeg_decompress_struct& info = decoder.info;
    decoder.errors.run(what, [&] {
        jpeg_create_decompress(&info);
        decoder.progress.progress_monitor = detail::JpegDecoder::limit_scans;
        info.progress = &decoder.progress;
        jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
        jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
        jpeg_read_header(&info, TRUE);
    });
    check_image_size(info.image_height, info.image_width, what);
    // Each of a component's blocks takes at least one bit, and sampling factors up to 4 x 4 leave no fewer than eight
    // blocks to 32 x 32 pixels: refuse a huge header over few bytes before allocating for it.
    require(std::uint64_t{info.image_height} * info.image_width / 1024 <= bytes.size(), what, ": JPEG: ", bytes.size(),
            " bytes are too few for ", info.image_height, " x ", info.image_width, " pixels");
    // read now: the markers are gone after jpeg_finish_decompress
    const int orientation = wanted == Orientation::stored ? 1 : exif_orientation(decoder.exif());
    const bool four_inks = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
    const auto width = static_cast<std::size_t>(info.image_width);
    Image image{static_cast<int>(info.image_height), static_cast<int>(info.image_width), {}};
    image.pixels.reserve(width * info.image_height * 3);
    std::vector<std::uint8_t> row(width * (four_inks ? 4 : 3));
    decoder.errors.run(what, [&] {
        info.out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
        jpeg_start_decompress(&info);
    });
    require(static_cast<std::size_t>(info.output_components) * info.output_width == row.size(), what,
            ": JPEG: unexpected row layout");
    while (info.output_scanline < info.output_height) {
        // One step per row, so that pixels (and memory) grow only as data arrive.
        decoder.errors.run(what, [&] {
            JSAMPROW target = row.data();
            jpeg_read_scanlines(&info, &target, 1);
        });
        const std::size_t end = image.pixels.size();
        image.pixels.resize(end + width * 3);
        if (four_inks) {
            detail::cmyk_to_rgb(row, image.pixels.data() + end);
        } else {
            std::copy(row.begin(), row.end(), image.pixels.begin() + static_cast<std::ptrdiff_t>(end));
        }
    }
    decoder.errors.run(what, [&] { jpeg_finish_decompress(&info); });
    return apply_orientation(std::move(image), orientation);
}

/// Encodes as baseline YCbCr with 4:2:0 chroma; `quality` is 1..100 on the usual scale.
[[nodiscard]] inline std::vector<std::byte> encode_jpeg(const Image& image, int quality) {
    check_image(image, "encode_jpeg");
    require(quality >= 1 && quality <= 100, "encode_jpeg: expected a quality of 1..100, found ", quality);
    require(image.height <= JPEG_MAX_DIMENSION && image.width <= JPEG_MAX_DIMENSION, "encode_jpeg: ", image.height,
            " x ", image.width, " pixels, the format allows ", static_cast<long>(JPEG_MAX_DIMENSION), " a side");
    struct Encoder {
        detail::JpegErrors errors;
        jpeg_compress_struct info{};
        unsigned char* data = nullptr;
        unsigned long size = 0;

        Encoder() { info.err = &errors.manager; }
        Encoder(const Encoder&) = delete;
        Encoder& operator=(const Encoder&) = delete;
        ~Encoder() {
            jpeg_destroy_compress(&info);
            std::free(data);
        }
    } encoder;
    encoder.errors.run("encode_jpeg", [&] {
        jpeg_compress_struct& info = encoder.info;
        jpeg_create_compress(&info);
        jpeg_mem_dest(&info, &encoder.data, &encoder.size);
        info.image_width = static_cast<JDIMENSION>(image.width);
        info.image_height = static_cast<JDIMENSION>(image.height);
        info.input_components = 3;
        info.in_color_space = JCS_RGB;
        jpeg_set_defaults(&info);
        jpeg_set_quality(&info, quality, TRUE);
        jpeg_start_compress(&info, TRUE);
        const auto stride = static_cast<std::size_t>(image.width) * 3;
        while (info.next_scanline < info.image_height) {
            // The library takes rows as non-const pointers but only reads them.
            JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data() + info.next_scanline * stride);
            jpeg_write_scanlines(&info, &row, 1);
        }
        jpeg_finish_compress(&info);
    });
    const auto* begin = reinterpret_cast<const std::byte*>(encoder.data);
    return {begin, begin + encoder.size};
}

}  // namespace flowfar::io
