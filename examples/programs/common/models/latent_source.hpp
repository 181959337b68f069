#pragma once

// The stream of latents that a FAR is trained on: made of images as they come, or read from a cache.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/codes/latent_cache.hpp"

#include "common/cli/progress.hpp"
#include "common/models/latent_tokenizer.hpp"

namespace flowfar::program {

struct LatentBatch {
    std::vector<float> latents;  // [batch, channels, height, width]
    std::vector<Index> labels;

    [[nodiscard]] Index size() const { return static_cast<Index>(labels.size()); }
    /// Samples first … last − 1.
    [[nodiscard]] LatentBatch part(Index first, Index last) const {
        const Index each = static_cast<Index>(latents.size()) / size();
        return {{latents.begin() + first * each, latents.begin() + last * each},
                {labels.begin() + first, labels.begin() + last}};
    }
};

class LatentSource {
   public:
    /// Encodes images as they come.
    LatentSource(const AnyTokenizer& tokenizer, const io::ImageDataset& data, const io::LoaderOptions& options)
        : tokenizer_(tokenizer), options_(options), next_(options.start), loader_(std::in_place, data, options) {}
    /// Reads a cache.
    LatentSource(const AnyTokenizer& tokenizer, const io::Path& cache, const io::LoaderOptions& options)
        : tokenizer_(tokenizer), options_(options), next_(options.start), cache_(std::in_place, cache) {}

    [[nodiscard]] LatentBatch next() {
        const std::uint64_t index = next_++;
        io::Batch batch = cache_ ? cache_->batch(index, options_.batch, options_.seed, options_.flip) : loader_->next();
        const std::vector<float> statistics = cache_ ? std::move(batch.images) : encoded(batch);
        return {tokenizer_.draw(statistics, fold(fold(options_.seed, "latents"), index)), std::move(batch.labels)};
    }
    [[nodiscard]] Index skipped() const { return loader_ ? static_cast<Index>(loader_->skipped().size()) : 0; }

    static constexpr Index encoded_at_once = 16;  ///< images: autoencoders need more memory for one than FARs

   private:
    [[nodiscard]] std::vector<float> encoded(const io::Batch& batch) const {
        const auto count = static_cast<Index>(batch.labels.size());
        if (count <= encoded_at_once) {
            return tokenizer_.statistics(batch.images);
        }
        const Index each = static_cast<Index>(batch.images.size()) / count;
        std::vector<float> out;
        for (Index first = 0; first < count; first += encoded_at_once) {
            const Index last = std::min(first + encoded_at_once, count);
            const std::vector<float> part =
                tokenizer_.statistics({batch.images.begin() + first * each, batch.images.begin() + last * each});
            out.insert(out.end(), part.begin(), part.end());
        }
        return out;
    }

    const AnyTokenizer& tokenizer_;
    io::LoaderOptions options_;
    std::uint64_t next_;
    std::optional<io::ImageLoader> loader_;
    std::optional<io::LatentCache> cache_;
};

/// Whether `path` is a cache of so many `images` that `key` made; false if there is no file. Throws Error if it is of
/// other images, labels, size or tokenizer.
[[nodiscard]] inline bool has_latent_cache(const io::Path& path, const AnyTokenizer& tokenizer, Index images,
                                           const std::string& key) {
    if (!std::filesystem::exists(path)) {
        return false;
    }
    const AnyTokenizer::Facts& facts = tokenizer.facts();
    const io::LatentCache cache(path);
    const auto found = cache.metadata().find("key");
    const std::string made_of = found == cache.metadata().end() ? "nothing known" : found->second;
    require(made_of == key && cache.size() == images, path.string(), ": made of ", made_of, ", expected ", key,
            "; remove the file to make it anew");
    const io::LatentCache::Shape shape = cache.shape();
    require(shape.channels == facts.statistics_channels && shape.height == facts.height && shape.width == facts.width,
            path.string(), ": statistics of ", shape.channels, " channels, ", shape.height, " x ", shape.width,
            ", expected ", facts.statistics_channels, ", ", facts.height, " x ", facts.width);
    return true;
}

/// Makes a cache of `data` unless `path` already is one, see has_latent_cache. False, and no file, if `interrupted`
/// came true before its end.
[[nodiscard]] inline bool prepare_latent_cache(const io::Path& path, const AnyTokenizer& tokenizer,
                                               const io::ImageDataset& data, io::LoaderOptions options,
                                               const std::string& key, const std::function<bool()>& interrupted) {
    if (has_latent_cache(path, tokenizer, data.size(), key)) {
        return true;
    }
    const AnyTokenizer::Facts& facts = tokenizer.facts();
    options.batch = LatentSource::encoded_at_once;
    Progress progress("encode", 2 * data.size());
    const bool complete = io::LatentCache::write(
        path, data, options, {facts.statistics_channels, facts.height, facts.width},
        [&](const std::vector<float>& images) { return tokenizer.statistics(images); }, {{"key", key}},
        [&](Index done) {
            progress.update(done, std::numeric_limits<double>::quiet_NaN(), LatentSource::encoded_at_once);
            return !interrupted();
        });
    progress.finish();
    return complete;
}

}  // namespace flowfar::program
