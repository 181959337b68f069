#pragma once

/// What programs that publish Fréchet Inception distances do to an image before the network and to the covariances
/// after it. Their numbers differ by whole points on the same images, so a number means something only with a name from
/// here.

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/core/resample.hpp"
#include "flowfar/metrics/frechet.hpp"

namespace flowfar::metrics {

/// How images are brought to 299 x 299 pixels.
enum class FidResize : std::uint8_t {
    bilinear,            ///< half-pixel centres, no antialiasing: torch's interpolate
    corner_bilinear,     ///< TensorFlow 1's ResizeBilinear: sample i lies at i in / out, no antialiasing
    bicubic_antialiased  ///< Pillow's bicubic on floats, clipped to 0..255 afterwards and not rounded
};

/// One program's way from images to a distance.
struct FidConvention {
    std::string_view name;
    bool quantised;  ///< images are rounded to 8 bits first
    FidResize resize;
    bool symmetric;  ///< the network sees x / 127.5 - 1, else (x - 128) / 128
    TraceForm trace;
};

namespace fid {

/// FlowMo's reference: pytorch-fid's network and settings on reconstructions that were never rounded.
inline constexpr FidConvention flowmo{"flowmo", false, FidResize::bilinear, true, TraceForm::sqrtm};
/// github.com/mseitzer/pytorch-fid, which reads image files.
inline constexpr FidConvention pytorch_fid{"pytorch-fid", true, FidResize::bilinear, true, TraceForm::sqrtm};
/// github.com/toshas/torch-fidelity.
inline constexpr FidConvention torch_fidelity{"torch-fidelity", true, FidResize::corner_bilinear, false,
                                              TraceForm::eigenvalues};
/// The evaluator of github.com/openai/guided-diffusion ("ADM"), whose reference statistics most generators use.
inline constexpr FidConvention adm{"adm", true, FidResize::corner_bilinear, false, TraceForm::sqrtm};
/// Parmar, Zhang & Zhu 2022, mode "clean".
inline constexpr FidConvention clean_fid{"clean-fid", true, FidResize::bicubic_antialiased, false, TraceForm::sqrtm};

inline constexpr std::array all{flowmo, pytorch_fid, torch_fidelity, adm, clean_fid};

}  // namespace fid

/// The convention of this name; throws `Error` that lists the names.
[[nodiscard]] inline const FidConvention& fid_convention(std::string_view name) {
    const auto found = std::ranges::find(fid::all, name, &FidConvention::name);
    if (found == fid::all.end()) {
        std::string names;
        for (const FidConvention& convention : fid::all) {
            names += text(names.empty() ? "" : ", ", convention.name);
        }
        fail("fid_convention: expected one of ", names, ", found \"", name, '"');
    }
    return *found;
}

/// Prepares images of one size for the Inception network by one convention.
class FidInput {
   public:
    static constexpr Index side = 299;

    FidInput(const FidConvention& convention, Index height, Index width)
        : convention_(convention),
          rows_(matrix(convention.resize, height)),
          columns_(matrix(convention.resize, width).transpose()) {}

    /// Images [n, 3, height, width] in [-1, 1] → [n, 3, 299, 299] for the network. Throws `Error` for parts of images
    /// and for values that are not finite or outside [-1, 1].
    [[nodiscard]] std::vector<float> operator()(std::span<const float> images) const {
        const auto plane = static_cast<std::size_t>(rows_.cols() * columns_.rows());
        require(images.size() % (3 * plane) == 0, "FidInput: ", images.size(), " values are no images of 3 x ",
                rows_.cols(), " x ", columns_.rows());
        std::vector<float> out;
        out.reserve(images.size() / plane * static_cast<std::size_t>(side * side));
        for (; !images.empty(); images = images.subspan(plane)) {
            append(images.first(plane), out);
        }
        return out;
    }

   private:
    using Plane = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

    static Plane matrix(FidResize resize, Index in) {
        require(in >= 1, "FidInput: expected images of at least one pixel, found an extent of ", in);
        const std::vector<double> weights = resize == FidResize::bilinear ? bilinear_weights(in, side, false)
                                            : resize == FidResize::corner_bilinear
                                                ? corner_bilinear_weights(in, side)
                                                : bicubic_weights(in, side, true, -0.5);
        return Eigen::Map<const Plane>(weights.data(), side, in);
    }

    /// The value of one pixel on the scale 0..255.
    [[nodiscard]] double level(float value) const {
        require(std::fabs(value) <= 1.0F + 1e-5F, "FidInput: expected pixels in [-1, 1], found ", value);
        const double out = std::clamp((static_cast<double>(value) + 1) * 127.5, 0.0, 255.0);
        return convention_.quantised ? std::round(out) : out;
    }

    void append(std::span<const float> pixels, std::vector<float>& out) const {
        Plane plane(rows_.cols(), columns_.rows());
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            plane.data()[i] = level(pixels[i]);
        }
        const Plane resized = rows_ * plane * columns_;
        for (const double value : resized.reshaped<Eigen::RowMajor>()) {
            const double kept =
                convention_.resize == FidResize::bicubic_antialiased ? std::clamp(value, 0.0, 255.0) : value;
            out.push_back(static_cast<float>(convention_.symmetric ? kept / 127.5 - 1 : (kept - 128) / 128));
        }
    }

    FidConvention convention_;
    Plane rows_;     ///< [299, height]
    Plane columns_;  ///< [width, 299]
};

}  // namespace flowfar::metrics
