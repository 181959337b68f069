#pragma once

// From labels to images with a FAR, in bounded batches, and the sheets that the FAR programs write.

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/text/utf8.hpp"

#include "common/draw/class_sheet.hpp"
#include "common/models/far_model.hpp"
#include "common/models/latent_tokenizer.hpp"

namespace flowfar::program {

/// Images per call that keep a batch at about 4,000 tokens, whatever the configuration.
[[nodiscard]] inline Index batch_limit(const FarFacts& facts) {
    return std::clamp<Index>(4096 / facts.tokens, 1, 64);
}

[[nodiscard]] inline std::vector<Image> decoded(const AnyTokenizer& tokenizer, const std::vector<float>& latents) {
    return from_planes(tokenizer.decode(latents), tokenizer.facts().image_height, tokenizer.facts().image_width);
}

/// What generating gives: the images and, if asked for, what the transformer saw at every level, [level][image].
struct Generated {
    std::vector<Image> images;
    std::vector<std::vector<Image>> inputs;
};

/// Called after each autoregressive step with the number of images before those at hand; returns false to stop.
using FarImageCallback = std::function<bool(Index first, const FarEstimate&)>;

/// Labels -> images, in bounded batches. Image i depends on (options.seed, i) alone.
[[nodiscard]] inline Generated generate_images(const AnyFar& model, const AnyTokenizer& tokenizer,
                                               const std::vector<Index>& labels, FarSampleOptions options,
                                               bool with_inputs = false, const FarImageCallback& callback = {}) {
    Generated out;
    const auto count = static_cast<Index>(labels.size());
    const Index limit = batch_limit(model.facts());
    const std::uint64_t first_sample = options.first_sample;
    for (Index first = 0; first < count; first += limit) {
        const Index last = std::min(first + limit, count);
        options.first_sample = first_sample + static_cast<std::uint64_t>(first);
        bool stopped = false;
        const auto inner = [&](const FarEstimate& estimate) {
            if (with_inputs) {
                const auto level = static_cast<std::size_t>(estimate.step - 1);
                out.inputs.resize(std::max(out.inputs.size(), level + 1));
                for (Image& image : decoded(tokenizer, estimate.input())) {
                    out.inputs[level].push_back(std::move(image));
                }
            }
            stopped = callback && !callback(first, estimate);
            return !stopped;
        };
        const std::vector<Index> part(labels.begin() + first, labels.begin() + last);
        for (Image& image : decoded(tokenizer, model.generate(part, options, inner))) {
            out.images.push_back(std::move(image));
        }
        if (stopped) {
            break;
        }
    }
    return out;
}

/// A sheet with one row per level and one column per image; the last row is the result.
[[nodiscard]] inline ContactSheet level_sheet(const std::string& title, const std::vector<std::string>& names,
                                              const std::vector<Index>& levels, const Generated& generated, int scale) {
    ContactSheet sheet;
    sheet.title = title;
    sheet.scale = scale;
    sheet.gap = 4;
    sheet.columns = names;
    const auto add = [&](const std::string& caption, const std::vector<Image>& images) {
        SheetRow& row = sheet.rows.emplace_back();
        row.caption = caption;
        for (const Image& image : images) {
            row.cells.push_back({image, ""});
        }
    };
    for (std::size_t k = 0; k < generated.inputs.size(); ++k) {
        add(text("level ", levels[k]), generated.inputs[k]);
    }
    add("result", generated.images);
    return sheet;
}

/// Pixels per pixel at which small images are worth looking at.
[[nodiscard]] inline int shown_scale(const AnyTokenizer::Facts& facts) {
    return shown_scale(facts.image_height, facts.image_width);
}

}  // namespace flowfar::program
