#pragma once

// The contexts of a data set's captions for training: read as they come, or kept in a folder.

#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/data/feature_cache.hpp"

#include "common/cli/progress.hpp"
#include "common/files/file_key.hpp"
#include "common/text/far_text_file.hpp"

namespace flowfar::program {

/// Contexts from a folder of features.
class CachedPrompts final : public PromptSource {
   public:
    explicit CachedPrompts(io::FeatureCache cache) : cache_(std::move(cache)) {}
    Index size() const override { return cache_.size(); }
    std::vector<float> contexts(std::span<const Index> labels) override {
        const auto each = static_cast<std::size_t>(cache_.shape().values());
        std::vector<float> out(labels.size() * each);
        for (std::size_t i = 0; i < labels.size(); ++i) {
            cache_.read(labels[i], out.data() + i * each);
        }
        return out;
    }

   private:
    io::FeatureCache cache_;
};

/// Tells sets of captions apart.
[[nodiscard]] inline std::string caption_key(const std::vector<std::string>& captions) {
    std::uint64_t key = captions.size();
    for (const std::string& caption : captions) {
        key = fold(key, caption);
    }
    return text(captions.size(), " captions, key ", key);
}

/// A reader that has the captions, and what tells this pair from others.
struct CaptionReader {
    std::shared_ptr<AnyPromptReader> reader;
    io::FeatureCache::Metadata key;

    CaptionReader(const std::string& config, const std::string& language, const std::vector<std::string>& captions,
                  ModelKind kind)
        : reader(make_prompt_reader(config, language, kind)),
          key({{"captions", caption_key(captions)}, {"language", language_key(language)}}) {
        take_prompts(*reader, captions);
    }

    /// The contexts as they come, or of the folder `cache`, which is filled first if it is not complete. Nothing if
    /// `interrupted` came true before.
    [[nodiscard]] std::shared_ptr<PromptSource> source(const std::string& cache,
                                                       const std::function<bool()>& interrupted) const {
        if (cache.empty()) {
            return reader;
        }
        const io::FeatureCache::Shape shape{reader->tokens(), reader->width()};
        Progress progress("read captions", reader->size());
        const bool complete = io::FeatureCache::write(
            cache, reader->size(), shape, [&](Index i) { return reader->contexts(std::span(&i, 1)); }, key,
            [&](Index done) {
                progress.update(done, std::numeric_limits<double>::quiet_NaN(), 1);
                return !interrupted();
            });
        progress.finish();
        if (!complete) {
            return nullptr;
        }
        return std::make_shared<CachedPrompts>(io::FeatureCache(cache, reader->size(), shape, key));
    }
};

}  // namespace flowfar::program
