#pragma once

// Comparison of two sets of images pair by pair: PSNR, SSIM and, with its networks at hand, LPIPS.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/data/dataset.hpp"
#include "flowfar/io/images/image_tensor.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"

namespace flowfar::program {

/// A distance between two images of one size.
using PairDistance = std::function<double(const io::Image&, const io::Image&)>;

/// LPIPS v0.1 on backend B with the backbone "vgg", "alex" or "squeeze"; `network` and `weights` are files as
/// io::load_published takes them. Throws `Error` for another name and for files that do not fit. Defined once per
/// backend, see lpips_network_impl.hpp.
template <class B>
[[nodiscard]] PairDistance make_lpips(const std::string& backbone, const io::Path& network, const io::Path& weights);

/// What is measured of one pair of 8-bit images.
struct PairNumbers {
    double psnr = 0;           ///< in dB; infinite for equal images
    double ssim_uniform = 0;   ///< 7 x 7 window: scikit-image's default
    double ssim_gaussian = 0;  ///< 11 x 11 window: Wang et al. 2004
    std::optional<double> lpips;
};

/// Means over pairs of 8-bit images.
struct PairReport : PairNumbers {
    Index pairs = 0;
    double psnr_of_batch = 0;  ///< of the mean squared error over all pixels
};

/// Collects pairs one by one and keeps none of them.
class PairMeasures {
   public:
    /// Without `lpips` it is left out.
    explicit PairMeasures(PairDistance lpips = {}) : lpips_(std::move(lpips)) {}

    /// Throws `Error` for images of different sizes or smaller than a window.
    PairNumbers add(const io::Image& first, const io::Image& second) {
        using metrics::SsimWindow;
        const std::vector<float> a = io::to_planes({&first, 1});
        const std::vector<float> b = io::to_planes({&second, 1});
        PairNumbers one;
        one.ssim_uniform = metrics::ssim(a, b, 3, first.height, first.width, 2.0, SsimWindow::uniform7);
        one.ssim_gaussian = metrics::ssim(a, b, 3, first.height, first.width, 2.0, SsimWindow::gaussian11);
        one.psnr = metrics::psnr(a, b, 2.0);
        psnr_.add(a, b);
        sums_.ssim_uniform += one.ssim_uniform;
        sums_.ssim_gaussian += one.ssim_gaussian;
        if (lpips_) {
            one.lpips = lpips_(first, second);
            sums_.lpips = sums_.lpips.value_or(0.0) + *one.lpips;
        }
        return one;
    }
    [[nodiscard]] Index count() const { return psnr_.count(); }
    /// Throws `Error` if there were no pairs.
    [[nodiscard]] PairReport report() const {
        const auto count = static_cast<double>(psnr_.count());
        PairReport out;
        out.pairs = psnr_.count();
        out.psnr = psnr_.per_image();
        out.psnr_of_batch = psnr_.per_batch();
        out.ssim_uniform = sums_.ssim_uniform / count;
        out.ssim_gaussian = sums_.ssim_gaussian / count;
        if (sums_.lpips) {
            out.lpips = *sums_.lpips / count;
        }
        return out;
    }

   private:
    PairDistance lpips_;
    metrics::PsnrAverage psnr_{2.0};
    PairNumbers sums_;  ///< but for the PSNR
};

/// Image i of `first` with image i of `second`. Throws `Error` for sets or images of different sizes and, unless
/// `by_order`, for pairs whose file names differ. `on_pair(i)` follows each pair.
template <class OnPair>
[[nodiscard]] PairReport measure_pairs(const io::ImageDataset& first, const io::ImageDataset& second, bool by_order,
                                       const PairDistance& lpips, OnPair&& on_pair) {
    require(first.size() == second.size(), "pairs: ", first.size(), " images in the first set, ", second.size(),
            " in the second");
    PairMeasures measures(lpips);
    for (Index i = 0; i < first.size(); ++i) {
        require(by_order || io::Path(first.name(i)).stem() == io::Path(second.name(i)).stem(), "pairs: image ", i,
                " is ", first.name(i), " in the first set and ", second.name(i),
                " in the second; equal names are expected unless pairs go by order");
        const io::Image a = first.load(i);
        const io::Image b = second.load(i);
        require(a.height == b.height && a.width == b.width, "pairs: ", first.name(i), " has ", a.height, " x ", a.width,
                " pixels, ", second.name(i), " has ", b.height, " x ", b.width);
        static_cast<void>(measures.add(a, b));
        on_pair(i);
    }
    return measures.report();
}

}  // namespace flowfar::program
