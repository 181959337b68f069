#pragma once

/// What programs that publish Fréchet Inception distances do to an image before the network and to the covariances
/// after it. Their numbers differ by whole points on the same images, so a number means something only with a name from
/// here.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/metrics/frechet.hpp"

namespace flowfar::metrics {

/// How images are brought to 299 x 299 pixels.
enum class FidResize : std::uint8_t {
    bilinear,            ///< half-pixel centers, no antialiasing: torch's interpolate
    corner_bilinear,     ///< TensorFlow 1's ResizeBilinear: sample i lies at i in / out, no antialiasing
    bicubic_antialiased  ///< Pillow's bicubic on floats, clipped to 0..255 afterwards and not rounded
};

/// One program's way from images to a distance.
struct FidConvention {
    std::string_view name;
    bool quantized;  ///< images are rounded to 8 bits first
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

    FidInput(const FidConvention& convention, Index height, Index width);

    /// Images [n, 3, height, width] in [-1, 1] → [n, 3, 299, 299] for the network. Throws `Error` for parts of images
    /// and for values that are not finite or outside [-1, 1].
    [[nodiscard]] std::vector<float> operator()(std::span<const float> images) const;

   private:
    [[nodiscard]] double level(float value) const;
    void append(std::span<const float> pixels, std::vector<float>& out) const;

    FidConvention convention_;
    Index height_;
    Index width_;
    PoolVector<double> rows_;     ///< [299, height]
    PoolVector<double> columns_;  ///< [299, width]
};

}  // namespace flowfar::metrics

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/metrics/fid_convention.ipp"
#endif
