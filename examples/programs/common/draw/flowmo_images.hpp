#pragma once

// From image files to a model's planes and back, reconstruction in bounded batches, and the quality numbers that the
// FlowMo programs print.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/data/dataset.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"

#include "common/cli/printable.hpp"
#include "common/models/flowmo_model.hpp"

namespace flowfar::program {

/// The short side resized to `short_side` (0: so that the crop just fits), then the middle height x width pixels.
[[nodiscard]] inline Image fitted(const Image& image, int height, int width, int short_side = 0) {
    return io::center_crop(io::resize_short_side(image, std::max({height, width, short_side})), height, width);
}

/// PSNR in dB, and SSIM with scikit-image's uniform 7 x 7 window; both of 8-bit images.
struct Quality {
    double psnr = 0;
    double ssim = 0;  ///< NaN for images smaller than the window

    /// "27.3 dB, 0.912"
    [[nodiscard]] std::string shown() const {
        char buffer[64];
        std::snprintf(buffer, sizeof buffer, std::isnan(ssim) ? "%.2f dB, not defined below 7 x 7" : "%.2f dB, %.3f",
                      psnr, ssim);
        return buffer;
    }
};

[[nodiscard]] inline Quality quality_of(const Image& original, const Image& other) {
    const std::vector<float> a = to_planes({&original, 1});
    const std::vector<float> b = to_planes({&other, 1});
    const bool too_small = std::min(original.height, original.width) < 7;
    const double ssim =
        too_small ? std::nan("") : metrics::ssim(a, b, 3, original.height, original.width, metrics::signed_unit_range);
    return {metrics::psnr(a, b, 2.0), ssim};
}

/// Mean over pairs of images.
[[nodiscard]] inline Quality mean_quality(std::span<const Image> originals, std::span<const Image> others) {
    Quality mean;
    for (std::size_t i = 0; i < originals.size(); ++i) {
        const Quality one = quality_of(originals[i], others[i]);
        mean.psnr += one.psnr / static_cast<double>(originals.size());
        mean.ssim += one.ssim / static_cast<double>(originals.size());
    }
    return mean;
}

/// Images per call that keep a batch at about 8,000 patches, whatever the configuration.
[[nodiscard]] inline Index batch_limit(const FlowMoFacts& facts) {
    return std::clamp<Index>(8192 / facts.image_tokens, 1, 64);
}

[[nodiscard]] inline Tokens tokens_between(const Tokens& all, Index first, Index last) {
    const Index each = all.length * all.per_token;
    return {last - first,
            all.length,
            all.per_token,
            all.bits,
            {all.indices.begin() + first * each, all.indices.begin() + last * each}};
}

/// Images of the model's size -> tokens, in bounded batches.
[[nodiscard]] inline Tokens encode_images(const AnyFlowMo& model, std::span<const Image> images) {
    const FlowMoFacts& facts = model.facts();
    Tokens all{0, facts.code_length, facts.per_token, facts.bits, {}};
    const auto limit = static_cast<std::size_t>(batch_limit(facts));
    for (std::size_t first = 0; first < images.size(); first += limit) {
        const Tokens part = model.encode(to_planes(images.subspan(first, std::min(limit, images.size() - first))));
        all.batch += part.batch;
        all.indices.insert(all.indices.end(), part.indices.begin(), part.indices.end());
    }
    return all;
}

/// Called with the number of images before those at hand, and the estimates that follow a sampling step.
using EstimateCallback = std::function<void(Index first, const FlowMoEstimate&)>;

/// Tokens -> planes [images, 3, height, width] in [-1, 1], in bounded batches; each batch has noise of its own, and a
/// single one the seed's own. Throws `Error` if the model's weights make values that are not finite.
[[nodiscard]] inline std::vector<float> decode_planes(const AnyFlowMo& model, const Tokens& tokens,
                                                      const FlowMoDecodeOptions& options,
                                                      const EstimateCallback& callback = {}) {
    const FlowMoFacts& facts = model.facts();
    std::vector<float> planes;
    for (Index first = 0; first < tokens.batch; first += batch_limit(facts)) {
        const Index last = std::min(first + batch_limit(facts), tokens.batch);
        FlowMoDecodeOptions part = options;
        part.seed = first == 0 ? options.seed : fold(options.seed, static_cast<std::uint64_t>(first));
        AnyFlowMo::Callback inner;
        if (callback) {
            inner = [&](const FlowMoEstimate& estimate) { callback(first, estimate); };
        }
        const std::vector<float> found = model.decode(tokens_between(tokens, first, last), part, inner);
        require(std::ranges::all_of(found, [](float value) { return std::isfinite(value); }), facts.name,
                ": the reconstruction contains NaN or infinity; are the model's weights whole?");
        planes.insert(planes.end(), found.begin(), found.end());
    }
    return planes;
}

/// Tokens -> images, as `decode_planes`.
[[nodiscard]] inline std::vector<Image> decode_images(const AnyFlowMo& model, const Tokens& tokens,
                                                      const FlowMoDecodeOptions& options,
                                                      const EstimateCallback& callback = {}) {
    return from_planes(decode_planes(model, tokens, options, callback), model.facts().height, model.facts().width);
}

/// `count` images spread evenly over a view, fitted to the model; unreadable ones are left out and counted in
/// `skipped`.
[[nodiscard]] inline std::vector<Image> load_fitted(const io::ImageDataset& data, const FlowMoFacts& facts, Index count,
                                                    int short_side, Index& skipped) {
    std::vector<Image> images;
    const Index wanted = std::min(count, data.size());
    for (Index i = 0; i < wanted; ++i) {
        try {
            images.push_back(fitted(data.load(i * data.size() / wanted), facts.height, facts.width, short_side));
        } catch (const Error& error) {
            std::fprintf(stderr, "skipped: %s\n", printable(error.what()).c_str());
            ++skipped;
        }
    }
    return images;
}

}  // namespace flowfar::program
