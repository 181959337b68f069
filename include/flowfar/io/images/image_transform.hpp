#pragma once

/// Resizing, cropping and flipping of 8-bit images.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image.hpp"
#include "flowfar/core/images/resample.hpp"

namespace flowfar::io {

/// Antialiasing filters; bicubic has a = -0.5.
enum class Filter : std::uint8_t { box, bilinear, bicubic };

namespace detail {

/// Resampling windows with weights as integers times 2^-22, so that a sum of 255s still fits 32 bits and results are
/// the same on every machine.
struct FixedWindows {
    static constexpr int shift = 22;
    struct Window {
        int first = 0;
        std::vector<std::int32_t> weights;
    };
    std::vector<Window> windows;

    FixedWindows(int in, int out, Filter filter) {
        for (const ResampleWindow& exact : select(in, out, filter)) {
            Window& window = windows.emplace_back();
            window.first = static_cast<int>(exact.first);
            for (const double weight : exact.weights) {
                window.weights.push_back(static_cast<std::int32_t>(std::lround(weight * (1 << shift))));
            }
        }
    }

    static std::uint8_t to_pixel(std::int32_t sum) {
        return static_cast<std::uint8_t>(std::clamp((sum + (1 << (shift - 1))) >> shift, 0, 255));
    }

   private:
    static std::vector<ResampleWindow> select(int in, int out, Filter filter) {
        switch (filter) {
            case Filter::box:
                return antialiased_windows(in, out, BoxKernel{});
            case Filter::bilinear:
                return antialiased_windows(in, out, TriangleKernel{});
            case Filter::bicubic:
                return antialiased_windows(in, out, CubicKernel{-0.5});
        }
        fail("resize: unknown filter ", static_cast<int>(filter));
    }
};

inline Image resize_rows(const Image& image, int width, Filter filter) {
    const FixedWindows fixed(image.width, width, filter);
    Image out = make_image(image.height, width);
    std::uint8_t* target = out.pixels.data();
    const auto stride = static_cast<std::size_t>(image.width) * 3;
    for (int y = 0; y < image.height; ++y) {
        const std::uint8_t* row = image.pixels.data() + static_cast<std::size_t>(y) * stride;
        for (const FixedWindows::Window& window : fixed.windows) {
            const std::uint8_t* pixel = row + static_cast<std::size_t>(window.first) * 3;
            std::int32_t red = 0;
            std::int32_t green = 0;
            std::int32_t blue = 0;
            for (const std::int32_t weight : window.weights) {
                red += weight * pixel[0];
                green += weight * pixel[1];
                blue += weight * pixel[2];
                pixel += 3;
            }
            *target++ = FixedWindows::to_pixel(red);
            *target++ = FixedWindows::to_pixel(green);
            *target++ = FixedWindows::to_pixel(blue);
        }
    }
    return out;
}

inline Image resize_columns(const Image& image, int height, Filter filter) {
    const FixedWindows fixed(image.height, height, filter);
    Image out = make_image(height, image.width);
    std::uint8_t* target = out.pixels.data();
    const auto stride = static_cast<std::size_t>(image.width) * 3;
    std::vector<std::int32_t> sums(stride);
    for (const FixedWindows::Window& window : fixed.windows) {
        std::ranges::fill(sums, 0);
        const std::uint8_t* row = image.pixels.data() + static_cast<std::size_t>(window.first) * stride;
        for (const std::int32_t weight : window.weights) {
            for (std::size_t i = 0; i < stride; ++i) {
                sums[i] += weight * row[i];
            }
            row += stride;
        }
        target = std::ranges::transform(sums, target, FixedWindows::to_pixel).out;
    }
    return out;
}

}  // namespace detail

/// Resizes with antialiasing: rows first, then columns, rounded to 8 bits after each. Results equal Pillow 11's bit
/// for bit (Pillow 13 chooses the order of the passes by size).
[[nodiscard]] inline Image resize(const Image& image, int height, int width, Filter filter = Filter::bilinear) {
    check_image(image, "resize");
    require(height > 0 && width > 0, "resize: expected positive extents, found ", height, " x ", width);
    Image out = image.width == width ? image : detail::resize_rows(image, width, filter);
    return out.height == height ? out : detail::resize_columns(out, height, filter);
}

/// Resizes so that the image just covers height × width pixels: one side fits, the other keeps the proportion, rounded
/// down.
[[nodiscard]] inline Image resize_to_cover(const Image& image, int height, int width,
                                           Filter filter = Filter::bilinear) {
    check_image(image, "resize");
    require(height > 0 && width > 0, "resize: expected a positive size, found ", height, " x ", width);
    const auto longer = [&](int extent, int shorter, int fitted) {
        const std::int64_t pixels = std::int64_t{fitted} * extent / shorter;
        require(pixels <= max_image_extent, "resize: ", image.height, " x ", image.width,
                " pixels are too long and thin to cover ", height, " x ", width);
        return static_cast<int>(pixels);
    };
    return std::int64_t{image.height} * width <= std::int64_t{image.width} * height
               ? resize(image, height, longer(image.width, image.height, height), filter)
               : resize(image, longer(image.height, image.width, width), width, filter);
}

/// Resizes so that the shorter side has `size` pixels; the longer one keeps the proportion, rounded down.
[[nodiscard]] inline Image resize_short_side(const Image& image, int size, Filter filter = Filter::bilinear) {
    return resize_to_cover(image, size, size, filter);
}

/// The rectangle of height × width pixels whose first pixel is (top, left); it must lie inside the image.
[[nodiscard]] inline Image crop(const Image& image, int top, int left, int height, int width) {
    check_image(image, "crop");
    require(
        top >= 0 && left >= 0 && height > 0 && width > 0 && height <= image.height - top && width <= image.width - left,
        "crop: ", height, " x ", width, " at (", top, ", ", left, ") is not inside ", image.height, " x ", image.width,
        " pixels");
    Image out = make_image(height, width);
    std::uint8_t* target = out.pixels.data();
    for (int y = top; y < top + height; ++y) {
        const std::int64_t offset = (std::int64_t{y} * image.width + left) * 3;
        target = std::copy_n(image.pixels.begin() + offset, std::int64_t{width} * 3, target);
    }
    return out;
}

/// The middle height × width pixels; an odd margin is smaller at the top and left.
[[nodiscard]] inline Image center_crop(const Image& image, int height, int width) {
    return crop(image, (image.height - height) / 2, (image.width - width) / 2, height, width);
}

/// Images of one size in a row, left to right.
[[nodiscard]] inline Image beside(const std::vector<Image>& images) {
    require(!images.empty(), "beside: no images");
    const Image& first = images.front();
    const auto count = static_cast<int>(images.size());
    require(first.width <= max_image_extent / count, "beside: ", count, " images of ", first.width,
            " pixels are wider than ", max_image_extent);
    Image out = make_image(first.height, first.width * count);
    const auto row = static_cast<std::size_t>(first.width) * 3;
    for (std::size_t i = 0; i < images.size(); ++i) {
        const Image& image = images[i];
        check_image(image, "beside");
        require(image.height == first.height && image.width == first.width, "beside: expected ", first.height, " x ",
                first.width, " pixels like the first, found ", image.height, " x ", image.width);
        for (std::size_t y = 0; y < static_cast<std::size_t>(first.height); ++y) {
            std::copy_n(image.pixels.data() + y * row, row, out.pixels.data() + (y * images.size() + i) * row);
        }
    }
    return out;
}

/// The image mirrored: left becomes right.
[[nodiscard]] inline Image flip_horizontal(Image image) {
    check_image(image, "flip_horizontal");
    const auto stride = static_cast<std::size_t>(image.width) * 3;
    for (std::size_t begin = 0; begin < image.pixels.size(); begin += stride) {
        for (std::size_t left = begin, right = begin + stride - 3; left < right; left += 3, right -= 3) {
            std::swap_ranges(&image.pixels[left], &image.pixels[left] + 3, &image.pixels[right]);
        }
    }
    return image;
}

}  // namespace flowfar::io
