#pragma once

// The contexts of a data set's captions for training: read as they come, or kept in a folder.

#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "flowfar/io/data/feature_cache.hpp"

#include "common/cli/progress.hpp"
#include "common/files/file_key.hpp"
#include "common/files/folder_lock.hpp"
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

    /// `where(i)` tells where caption i comes from, for messages.
    CaptionReader(const std::string& config, const std::string& language, const std::vector<std::string>& captions,
                  const PromptPlace& where, ModelKind kind)
        : reader(make_prompt_reader(config, language, kind)),
          key({{"captions", caption_key(captions)}, {"language", language_key(language)}}) {
        take_prompts(*reader, captions, where);
    }

    /// The contexts as they come, or of the folder `cache`, which is filled first if it is not complete. Nothing if
    /// `interrupted` came true before.
    [[nodiscard]] std::shared_ptr<PromptSource> source(const std::string& cache,
                                                       const std::function<bool()>& interrupted) const {
        if (cache.empty()) {
            return reader;
        }
        const io::FeatureCache::Shape shape{reader->tokens(), reader->width()};
        if (!io::FeatureCache::complete(cache, reader->size()) && !fill(cache, shape, interrupted)) {
            return nullptr;
        }
        return std::make_shared<CachedPrompts>(io::FeatureCache(cache, reader->size(), shape, key));
    }

   private:
    /// Waits for a run that fills the folder already, then makes what is missing. False if `interrupted` came true.
    [[nodiscard]] bool fill(const std::string& cache, io::FeatureCache::Shape shape,
                            const std::function<bool()>& interrupted) const {
        std::filesystem::create_directories(cache);
        Progress progress("read captions", reader->size());
        std::optional<FileLock> lock;
        for (bool told = false; !lock.emplace(std::filesystem::path(cache) / "lock").held(); told = true) {
            if (!told) {
                progress.note(printable(
                    text(cache, ": another run reads the captions (", lock->holder(), "); waiting for its end")));
            }
            if (interrupted()) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        const bool complete = io::FeatureCache::write(
            cache, reader->size(), shape, [&](Index i) { return reader->contexts(std::span(&i, 1)); }, key,
            [&](Index done) {
                progress.update(done, std::numeric_limits<double>::quiet_NaN(), 1);
                return !interrupted();
            });
        progress.finish();
        return complete;
    }
};

}  // namespace flowfar::program
