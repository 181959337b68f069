#pragma once

// Comparison of two sets of images pair by pair: PSNR, SSIM and, with its networks at hand, LPIPS.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "flowfar/io/dataset.hpp"
#include "flowfar/io/image_tensor.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"

namespace flowfar::program {

/// A distance between two images of one size.
using PairDistance = std::function<double(const io::Image&, const io::Image&)>;

/// LPIPS v0.1 on the CPU with the backbone "vgg", "alex" or "squeeze"; `network` and `weights` are files as
/// io::load_published takes them. Throws `Error` for another name and for files that do not fit.
[[nodiscard]] PairDistance make_lpips(const std::string& backbone, const io::Path& network, const io::Path& weights);

/// Means over pairs of 8-bit images.
struct PairReport {
    Index pairs = 0;
    double psnr = 0;           ///< mean of the pairs' values in dB
    double psnr_of_batch = 0;  ///< of the mean squared error over all pixels
    double ssim_uniform = 0;   ///< 7 x 7 window: scikit-image's default
    double ssim_gaussian = 0;  ///< 11 x 11 window: Wang et al. 2004
    std::optional<double> lpips;
};

/// Image i of `first` with image i of `second`. Throws `Error` for sets or images of different sizes and, unless
/// `by_order`, for pairs whose file names differ. `on_pair(i)` follows each pair.
template <class OnPair>
[[nodiscard]] PairReport measure_pairs(const io::ImageDataset& first, const io::ImageDataset& second, bool by_order,
                                       const PairDistance& lpips, OnPair&& on_pair) {
    require(first.size() == second.size(), "pairs: ", first.size(), " images in the first set, ", second.size(),
            " in the second");
    PairReport out;
    metrics::PsnrAverage psnr(2.0);
    double lpips_sum = 0;
    for (Index i = 0; i < first.size(); ++i) {
        require(by_order || io::Path(first.name(i)).stem() == io::Path(second.name(i)).stem(), "pairs: image ", i,
                " is ", first.name(i), " in the first set and ", second.name(i),
                " in the second; equal names are expected unless pairs go by order");
        const io::Image a = first.load(i);
        const io::Image b = second.load(i);
        require(a.height == b.height && a.width == b.width, "pairs: ", first.name(i), " has ", a.height, " x ", a.width,
                " pixels, ", second.name(i), " has ", b.height, " x ", b.width);
        const std::vector<float> pixels_a = io::to_planes({&a, 1});
        const std::vector<float> pixels_b = io::to_planes({&b, 1});
        psnr.add(pixels_a, pixels_b);
        using metrics::SsimWindow;
        out.ssim_uniform += metrics::ssim(pixels_a, pixels_b, 3, a.height, a.width, 2.0, SsimWindow::uniform7);
        out.ssim_gaussian += metrics::ssim(pixels_a, pixels_b, 3, a.height, a.width, 2.0, SsimWindow::gaussian11);
        lpips_sum += lpips ? lpips(a, b) : 0.0;
        on_pair(i);
    }
    out.pairs = psnr.count();
    const auto count = static_cast<double>(out.pairs);
    out.psnr = psnr.per_image();
    out.psnr_of_batch = psnr.per_batch();
    out.ssim_uniform /= count;
    out.ssim_gaussian /= count;
    if (lpips) {
        out.lpips = lpips_sum / count;
    }
    return out;
}

}  // namespace flowfar::program
