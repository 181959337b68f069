#pragma once

/// Images as tensors of a backend, and tensors as images.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <type_traits>
#include <vector>

#include "flowfar/core/images/image.hpp"
#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// Writes planes [3, height, width] with 0..255 mapped to -1..1.
inline void to_unit_planes(const Image& image, float* planes) {
    check_image(image, "to_unit_planes");
    const std::size_t count = image.pixels.size() / 3;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t c = 0; c < 3; ++c) {
            planes[c * count + i] = static_cast<float>(image.pixels[i * 3 + c]) / 127.5F - 1.0F;
        }
    }
}

/// The image of planes [3, height, width]: -1..1 is mapped to 0..255, rounded to nearest and clipped. Throws `Error`
/// for values that are not finite.
[[nodiscard]] inline Image from_unit_planes(const float* planes, int height, int width) {
    Image image = make_image(height, width);
    const std::size_t count = image.pixels.size() / 3;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t c = 0; c < 3; ++c) {
            const float value = planes[c * count + i];
            require(std::isfinite(value), "image: pixel ", i, " is ", value, "; are the model's weights whole?");
            const float level = std::clamp((value + 1.0F) * 127.5F, 0.0F, 255.0F);
            image.pixels[i * 3 + c] = static_cast<std::uint8_t>(std::lround(level));
        }
    }
    return image;
}

/// Planes [images, 3, height, width] in [−1, 1] of images of one size; throws if sizes differ.
[[nodiscard]] inline std::vector<float> to_planes(std::span<const Image> images) {
    std::vector<float> planes;
    for (const Image& image : images) {
        require(image.height == images[0].height && image.width == images[0].width, "images: expected ",
                images[0].height, " x ", images[0].width, " pixels like the first, found ", image.height, " x ",
                image.width);
        planes.resize(planes.size() + image.pixels.size());
        to_unit_planes(image, planes.data() + (planes.size() - image.pixels.size()));
    }
    return planes;
}

/// Images from planes [images, 3, height, width]: clipped to [−1, 1] and rounded to 8 bits.
[[nodiscard]] inline std::vector<Image> from_planes(std::span<const float> planes, int height, int width) {
    const std::size_t size = 3 * static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
    require(size > 0 && planes.size() % size == 0, "images: ", planes.size(), " values are no multiple of 3 x ", height,
            " x ", width);
    std::vector<Image> images;
    for (std::size_t i = 0; i < planes.size(); i += size) {
        images.push_back(from_unit_planes(planes.data() + i, height, width));
    }
    return images;
}

/// A tensor of any floating element type from f32 values.
template <AnyTensor Batch>
[[nodiscard]] Batch from_planes(std::span<const float> planes, const Extents& extents) {
    using T = typename Batch::Element;
    if constexpr (std::is_same_v<T, float>) {
        return Batch::from_host(planes, extents);
    } else {
        std::vector<T> values;
        std::ranges::transform(planes, std::back_inserter(values), [](float value) { return convert<T>(value); });
        return Batch::from_host(values, extents);
    }
}

/// A batch [images, 3, height, width] in [−1, 1], for example `to_tensor<Tokenizer::Images>(photos)`. Throws if the
/// images differ in size or do not have the size that the tensor type asks for.
template <AnyTensor Batch>
[[nodiscard]] Batch to_tensor(std::span<const Image> images) {
    require(!images.empty(), "to_tensor: no images");
    return from_planes<Batch>(to_planes(images),
                              {static_cast<Index>(images.size()), 3, images[0].height, images[0].width});
}
template <AnyTensor Batch>
[[nodiscard]] Batch to_tensor(const Image& image) {
    return to_tensor<Batch>(std::span<const Image>(&image, 1));
}

/// The images of a batch [images, 3, height, width], clipped to [−1, 1] and rounded to 8 bits.
template <AnyTensor Batch>
[[nodiscard]] std::vector<Image> to_images(const Batch& batch) {
    static_assert(Batch::Shape::rank == 4, "to_images: expected [images, 3, height, width]");
    require(batch.extent(1) == 3, "to_images: expected 3 channels, found ", batch.extent(1));
    std::vector<float> planes;
    std::ranges::transform(batch.to_host(), std::back_inserter(planes),
                           [](const auto value) { return convert<float>(value); });
    return from_planes(planes, static_cast<int>(batch.extent(2)), static_cast<int>(batch.extent(3)));
}

}  // namespace flowfar
