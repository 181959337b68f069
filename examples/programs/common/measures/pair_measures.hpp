#pragma once

// Comparison of two sets of images pair by pair: PSNR, SSIM and, with its networks at hand, LPIPS.

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/data/dataset.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"

namespace flowfar::program {

/// A distance between two images of one size.
using PairDistance = std::function<double(const Image&, const Image&)>;

/// LPIPS v0.1 on backend B with the backbone "vgg", "alex" or "squeeze"; `network` and `weights` are files as
/// io::load_published takes them. Throws `Error` for another name and for files that do not fit. Defined once per
/// backend, see lpips_network_impl.hpp.
template <class B>
[[nodiscard]] PairDistance make_lpips(const std::string& backbone, const io::Path& network, const io::Path& weights);

/// What is measured of one pair of 8-bit images.
struct PairNumbers {
    double psnr = 0;                      ///< in dB; infinite for equal images
    std::optional<double> ssim_uniform;   ///< 7 x 7 window: scikit-image's default; none for smaller images
    std::optional<double> ssim_gaussian;  ///< 11 x 11 window: Wang et al. 2004; none for smaller images
    std::optional<double> lpips;
};

/// Mean of what is there.
class OptionalMean {
   public:
    void add(const std::optional<double>& value) {
        sum_ += value.value_or(0.0);
        count_ += value ? 1 : 0;
    }
    [[nodiscard]] Index count() const { return count_; }
    [[nodiscard]] std::optional<double> value() const {
        return count_ > 0 ? std::optional(sum_ / static_cast<double>(count_)) : std::nullopt;
    }

   private:
    double sum_ = 0;
    Index count_ = 0;
};

/// Means over pairs of 8-bit images.
struct PairReport : PairNumbers {
    Index pairs = 0;
    double psnr_of_batch = 0;                 ///< of the mean squared error over all pixels
    Index equal = 0;                          ///< pairs of equal images, which make the mean PSNR infinite
    std::optional<double> psnr_of_different;  ///< mean PSNR of the other pairs
    Index with_uniform = 0;                   ///< pairs that are large enough for the SSIM of 7 x 7
    Index with_gaussian = 0;                  ///< and of 11 x 11
};

/// Collects pairs one by one and keeps none of them.
class PairMeasures {
   public:
    /// Without `lpips` it is left out.
    explicit PairMeasures(PairDistance lpips = {}) : lpips_(std::move(lpips)) {}

    /// Throws `Error` for images of different sizes.
    PairNumbers add(const Image& first, const Image& second) {
        using metrics::SsimWindow;
        const std::vector<float> a = to_planes({&first, 1});
        const std::vector<float> b = to_planes({&second, 1});
        PairNumbers one;
        const auto ssim = [&](SsimWindow window) -> std::optional<double> {
            if (std::min(first.height, first.width) < metrics::ssim_window_side(window)) {
                return std::nullopt;
            }
            return metrics::ssim(a, b, 3, first.height, first.width, metrics::signed_unit_range, window);
        };
        one.ssim_uniform = ssim(SsimWindow::uniform7);
        one.ssim_gaussian = ssim(SsimWindow::gaussian11);
        one.psnr = metrics::psnr(a, b, 2.0);
        psnr_.add(a, b);
        if (std::isfinite(one.psnr)) {
            different_.add(one.psnr);
        }
        uniform_.add(one.ssim_uniform);
        gaussian_.add(one.ssim_gaussian);
        if (lpips_) {
            one.lpips = lpips_(first, second);
            lpips_mean_.add(one.lpips);
        }
        return one;
    }
    [[nodiscard]] Index count() const { return psnr_.count(); }
    /// Throws `Error` if there were no pairs.
    [[nodiscard]] PairReport report() const {
        PairReport out;
        out.pairs = psnr_.count();
        out.psnr = psnr_.per_image();
        out.psnr_of_batch = psnr_.per_batch();
        out.equal = psnr_.count() - different_.count();
        out.psnr_of_different = different_.value();
        out.ssim_uniform = uniform_.value();
        out.ssim_gaussian = gaussian_.value();
        out.with_uniform = uniform_.count();
        out.with_gaussian = gaussian_.count();
        out.lpips = lpips_mean_.value();
        return out;
    }

   private:
    PairDistance lpips_;
    metrics::PsnrAverage psnr_{2.0};
    OptionalMean different_, uniform_, gaussian_, lpips_mean_;
};

/// The images of a set in the order of their names without endings, so that x.png, x.1.png and x.jpg, x.1.jpg pair;
/// `with_folders`: their folders' names before.
[[nodiscard]] inline std::vector<Index> order_of_stems(const io::ImageDataset& images, bool with_folders) {
    std::vector<std::pair<std::string, Index>> names;
    for (Index i = 0; i < images.size(); ++i) {
        io::Path name = images.name(i);
        name = with_folders ? name.replace_extension() : name.stem();
        names.emplace_back(name.string(), i);
    }
    std::ranges::sort(names);
    std::vector<Index> order;
    for (const auto& [name, index] : names) {
        order.push_back(index);
    }
    return order;
}

/// Pairs the images of `first` and `second`: names are equal but for their endings, in equal folders where both sets
/// have folders. Throws `Error` for a name without a partner.
[[nodiscard]] inline std::vector<std::pair<Index, Index>> pairs_by_stem(const io::ImageDataset& first,
                                                                        const io::ImageDataset& second) {
    std::vector<std::pair<Index, Index>> pairs;
    for (const bool with_folders : {true, false}) {
        const std::vector<Index> a = order_of_stems(first, with_folders);
        const std::vector<Index> b = order_of_stems(second, with_folders);
        pairs.clear();
        for (std::size_t i = 0; i < a.size(); ++i) {
            if (io::Path(first.name(a[i])).stem() != io::Path(second.name(b[i])).stem()) {
                break;
            }
            pairs.emplace_back(a[i], b[i]);
        }
        if (pairs.size() == a.size()) {
            return pairs;
        }
        require(with_folders, "pairs: image ", pairs.size(), " by name is ", first.name(a[pairs.size()]),
                " in the first set and ", second.name(b[pairs.size()]),
                " in the second; equal names are expected unless pairs go by order");
    }
    return pairs;
}

/// The pairs of two sets, by name or by order, in the first set's order of names. Throws `Error` for sets or images of
/// different sizes and for names that do not pair. `on_pair(name, numbers)` follows each pair.
template <class OnPair>
[[nodiscard]] PairReport measure_pairs(const io::ImageDataset& first, const io::ImageDataset& second, bool by_order,
                                       const PairDistance& lpips, OnPair&& on_pair) {
    require(first.size() == second.size(), "pairs: ", first.size(), " images in the first set, ", second.size(),
            " in the second");
    PairMeasures measures(lpips);
    std::vector<std::pair<Index, Index>> pairs;
    if (by_order) {
        for (Index i = 0; i < first.size(); ++i) {
            pairs.emplace_back(i, i);
        }
    } else {
        pairs = pairs_by_stem(first, second);
    }
    for (const auto& [i, j] : pairs) {
        const Image a = first.load(i);
        const Image b = second.load(j);
        require(a.height == b.height && a.width == b.width, "pairs: ", first.name(i), " has ", a.height, " x ", a.width,
                " pixels, ", second.name(j), " has ", b.height, " x ", b.width);
        try {
            on_pair(first.name(i), measures.add(a, b));
        } catch (const Error& error) {
            fail("pairs: ", first.name(i), ": ", error.what());
        }
    }
    return measures.report();
}

}  // namespace flowfar::program
