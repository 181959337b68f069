#pragma once

/// PNG decoding and encoding with libpng.
///
/// libpng reports errors by longjmp, which must not pass over C++ objects with destructors. So every call into it
/// happens in a step: a function without such objects, run below a setjmp by `PngSession::run`.

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <png.h>
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

/// State that libpng's callbacks reach, and the owner of its structures.
class PngSession {
   public:
    enum class Direction : std::uint8_t { read, write };

    explicit PngSession(Direction direction) : reading_(direction == Direction::read) {
        png_ = reading_ ? png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning)
                        : png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
        info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    }
    PngSession(const PngSession&) = delete;
    PngSession& operator=(const PngSession&) = delete;
    ~PngSession() {
        if (reading_) {
            png_destroy_read_struct(&png_, &info_, nullptr);
        } else {
            png_destroy_write_struct(&png_, &info_);
        }
    }

    [[nodiscard]] png_structp png() const { return png_; }
    [[nodiscard]] png_infop info() const { return info_; }

    /// Runs `step(*this)`; a libpng error inside it becomes an `Error` that begins with `what`.
    template <class Step>
    void run(std::string_view what, Step step) {
        require(info_ != nullptr, what, ": libpng could not be initialized");
        if (!guarded(step)) {
            fail(what, ": PNG: ", message_.data());
        }
    }

   private:
    template <class Step>
    bool guarded(Step& step) {
        if (setjmp(png_jmpbuf(png_)) != 0) {
            return false;
        }
        step(*this);
        return true;
    }

    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        auto* self = static_cast<PngSession*>(png_get_error_ptr(png));
        std::strncpy(self->message_.data(), message, self->message_.size() - 1);
        png_longjmp(png, 1);
    }
    static void on_warning(png_structp, png_const_charp) {}

    bool reading_;
    png_structp png_ = nullptr;
    png_infop info_ = nullptr;
    std::array<char, 200> message_{};
};

/// Mixes 8-bit RGBA over white, into RGB; `rgb` may be where `rgba` begins.
inline void composite_over_white(std::span<const std::uint8_t> rgba, std::uint8_t* rgb) {
    for (std::size_t i = 0; i + 4 <= rgba.size(); i += 4) {
        const unsigned alpha = rgba[i + 3];
        for (std::size_t c = 0; c < 3; ++c) {
            *rgb++ = static_cast<std::uint8_t>((rgba[i + c] * alpha + 255U * (255U - alpha) + 127U) / 255U);
        }
    }
}

struct PngSource {
    std::span<const std::byte> rest;

    static void read(png_structp png, png_bytep out, std::size_t count) {
        auto* self = static_cast<PngSource*>(png_get_io_ptr(png));
        if (count > self->rest.size()) {
            png_error(png, "the data end too early");
        }
        std::memcpy(out, self->rest.data(), count);
        self->rest = self->rest.subspan(count);
    }
};

/// The content of the chunk eXIf, or nothing; libpng is not asked because it would allocate what the chunk announces.
[[nodiscard]] inline std::span<const std::byte> png_exif(std::span<const std::byte> bytes) {
    const auto number = [&](std::size_t at) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            value = value << 8U | std::to_integer<std::uint64_t>(bytes[at + i]);
        }
        return value;
    };
    std::size_t at = 8;
    while (bytes.size() >= at + 12 && number(at) <= bytes.size() - at - 12) {
        const std::uint64_t length = number(at);
        if (std::memcmp(bytes.data() + at + 4, "eXIf", 4) == 0) {
            return bytes.subspan(at + 8, length);
        }
        at += 12 + length;
    }
    return {};
}

}  // namespace detail

/// Decodes any PNG: 1 to 16 bits, gray, palette or color, interlaced or not. 16-bit samples are rounded to 8; gamma
/// and color profiles are ignored, the EXIF orientation is not; transparency (an alpha channel or a tRNS chunk) is
/// composited over white. Throws `Error` beginning with `what` for damaged or cut data, for images beyond the size
/// limits of pixels.hpp, and for stored pixels of more than 1,032 times the data. Chunks other than IHDR, PLTE, tRNS,
/// eXIf, IDAT and IEND are not read.
[[nodiscard]] inline Image decode_png(std::span<const std::byte> bytes, const std::string& what,
                                      Orientation orientation = Orientation::upright) {
    detail::PngSession session(detail::PngSession::Direction::read);
    detail::PngSource source{bytes};
    struct Header {
        png_uint_32 height = 0, width = 0;
        std::size_t row_bytes = 0, stored_row_bytes = 0, channels = 0;
        bool interlaced = false;
    } header;
    session.run(what, [&source, &header](detail::PngSession& s) {
        png_set_read_fn(s.png(), &source, detail::PngSource::read);
        png_set_user_limits(s.png(), PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_image_size names our own
        // Pass over texts, profiles and EXIF unread: libpng would allocate what they announce, up to 2 GiB.
        png_set_keep_unknown_chunks(s.png(), PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
        png_read_info(s.png(), s.info());
        header.height = png_get_image_height(s.png(), s.info());
        header.width = png_get_image_width(s.png(), s.info());
    });
    check_image_size(header.height, header.width, what);
    session.run(what, [&header](detail::PngSession& s) {
        header.stored_row_bytes = png_get_rowbytes(s.png(), s.info());
        png_set_expand(s.png());
        png_set_scale_16(s.png());
        png_set_gray_to_rgb(s.png());
        header.interlaced = png_set_interlace_handling(s.png()) > 1;
        png_read_update_info(s.png(), s.info());
        header.row_bytes = png_get_rowbytes(s.png(), s.info());
        header.channels = png_get_channels(s.png(), s.info());
    });
    // Deflate shrinks at most 1032-fold: refuse a huge header over few bytes before allocating for it.
    require(header.stored_row_bytes * header.height / 1032 <= bytes.size(), what, ": PNG: ", bytes.size(),
            " bytes are too few for ", header.height, " x ", header.width, " pixels");
    const bool transparent = header.channels == 4;
    require((transparent || header.channels == 3) && header.row_bytes == header.width * header.channels, what,
            ": PNG: unexpected row layout");
    Image image{static_cast<int>(header.height), static_cast<int>(header.width), {}};
    const std::size_t row_size = std::size_t{header.width} * 3;
    if (header.interlaced) {  // libpng fills in the same rows again and again
        image.pixels.resize(header.row_bytes * header.height);
        std::vector<png_bytep> rows(header.height);
        for (std::size_t y = 0; y < rows.size(); ++y) {
            rows[y] = image.pixels.data() + y * header.row_bytes;
        }
        session.run(what, [&rows](detail::PngSession& s) { png_read_image(s.png(), rows.data()); });
        if (transparent) {
            detail::composite_over_white(image.pixels, image.pixels.data());
            image.pixels.resize(row_size * header.height);
        }
    } else {  // one step per row, so that memory is touched only as data arrive
        image.pixels.reserve(row_size * header.height);
        std::vector<std::uint8_t> row(header.row_bytes);
        for (std::size_t y = 0; y < header.height; ++y) {
            session.run(what, [&row](detail::PngSession& s) { png_read_row(s.png(), row.data(), nullptr); });
            image.pixels.resize((y + 1) * row_size);
            std::uint8_t* const out = image.pixels.data() + y * row_size;
            if (transparent) {
                detail::composite_over_white(row, out);
            } else {
                std::copy(row.begin(), row.end(), out);
            }
        }
    }
    session.run(what, [](detail::PngSession& s) { png_read_end(s.png(), nullptr); });
    return orientation == Orientation::stored
               ? image
               : apply_orientation(std::move(image), exif_orientation(detail::png_exif(bytes)));
}

/// Encodes as 8-bit RGB. One image always gives the same bytes (with one version of libpng and zlib).
[[nodiscard]] inline std::vector<std::byte> encode_png(const Image& image) {
    check_image(image, "encode_png");
    struct Sink {
        std::vector<std::byte> bytes;
        static void write(png_structp png, png_bytep data, std::size_t count) {
            auto* self = static_cast<Sink*>(png_get_io_ptr(png));
            bool stored = true;
            try {
                const auto* begin = reinterpret_cast<const std::byte*>(data);
                self->bytes.insert(self->bytes.end(), begin, begin + count);
            } catch (...) {  // an exception must not pass through C code, nor a longjmp leave this block
                stored = false;
            }
            if (!stored) {
                png_error(png, "out of memory");
            }
        }
        static void flush(png_structp) {}
    } sink;
    detail::PngSession session(detail::PngSession::Direction::write);
    session.run("encode_png", [&sink, &image](detail::PngSession& s) {
        png_set_write_fn(s.png(), &sink, Sink::write, Sink::flush);
        png_set_IHDR(s.png(), s.info(), static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height),
                     8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_write_info(s.png(), s.info());
        const auto stride = static_cast<std::size_t>(image.width) * 3;
        for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
            png_write_row(s.png(), image.pixels.data() + y * stride);
        }
        png_write_end(s.png(), nullptr);
    });
    return std::move(sink.bytes);
}

}  // namespace flowfar::io
