#pragma once

// A data set's tokens as shards for training, made by one process or several.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/io/data/loader.hpp"

#include "common/cli/interrupt.hpp"
#include "common/cli/printable.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/flowmo_images.hpp"
#include "common/files/escaped.hpp"
#include "common/files/folder_lock.hpp"
#include "common/measures/codebook_usage.hpp"
#include "common/training/data_key.hpp"

namespace flowfar::program {

/// "57 of 512 codewords used, entropy 5.1 of 9 bits, 288 seen"
[[nodiscard]] inline std::string usage_text(const CodebookUsage& usage) {
    char entropy[32];
    std::snprintf(entropy, sizeof entropy, "%.2f", usage.entropy());
    return text(usage.used(), " of ", usage.available(), " codewords used, entropy ", entropy, " of ", usage.bits(),
                " bits, ", usage.seen(), " seen");
}

/// How a set uses its codebook.
[[nodiscard]] inline CodebookUsage usage_of(const io::TokenSet& set) {
    CodebookUsage usage(set.facts().codewords);
    constexpr Index at_once = 1024;
    for (Index first = 0; first < set.size(); first += at_once) {
        std::vector<Index> images(static_cast<std::size_t>(std::min(at_once, set.size() - first)));
        std::iota(images.begin(), images.end(), first);
        usage.add(set.read(images).tokens);
    }
    return usage;
}

/// Makes tokens of a data set's images; one loader serves parts that follow one another.
class ImageTokens {
   public:
    /// Encodes at most `most` images at once. All must outlive this.
    ImageTokens(const AnyFlowMo& model, const io::ImageDataset& data, Index most, Progress& progress,
                const InterruptGuard& interrupt)
        : model_(model),
          data_(data),
          batch_(std::min(batch_limit(model.facts()), most)),
          progress_(progress),
          interrupt_(interrupt) {}

    /// The tokens and labels of images [first, first + count) of the data; nothing after a signal.
    [[nodiscard]] std::optional<io::TokenSet::Batch> read(Index first, Index count) {
        if (!loader_ || first != next_) {
            start(first);
        }
        io::TokenSet::Batch out = std::exchange(left_, io::TokenSet::Batch{none_of(), {}});
        while (out.tokens.batch < count) {
            if (interrupt_.requested()) {
                loader_.reset();
                return std::nullopt;
            }
            const io::Batch batch = loader_->next();
            append(out, model_.encode(batch.images), batch.labels);
            progress_.update(std::min(first + out.tokens.batch, data_.size()), std::nan(""), batch_);
        }
        append(left_, tokens_between(out.tokens, count, out.tokens.batch), std::span(out.labels).subspan(at(count)));
        out.tokens = tokens_between(out.tokens, 0, count);
        out.labels.resize(at(count));
        next_ = first + count;
        return out;
    }
    /// How many files could not be read so far.
    [[nodiscard]] std::size_t unreadable() const { return unreadable_.size(); }

   private:
    static std::size_t at(Index i) { return static_cast<std::size_t>(i); }
    [[nodiscard]] Tokens none_of() const {
        const FlowMoFacts& facts = model_.facts();
        return {0, facts.code_length, facts.per_token, facts.bits, {}};
    }
    void start(Index first) {
        std::vector<Index> images(at(data_.size()));  // all: the next readable one may lie beyond
        std::iota(images.begin(), images.end(), Index{0});
        std::ranges::rotate(images, images.begin() + first);
        io::LoaderOptions options;
        options.batch = batch_;
        options.size = model_.facts().height;
        options.width = model_.facts().width;
        options.shuffle = options.drop_last = false;
        options.on_skip = [this](const io::SkippedImage& image) {
            if (unreadable_.insert(image.name).second) {
                progress_.note(
                    printable(text("skipped ", image.name, ": ", image.reason, "; the next image stands for it")));
            }
        };
        loader_.emplace(data_.subset(images), options);
        left_ = {none_of(), {}};
    }
    static void append(io::TokenSet::Batch& to, const Tokens& tokens, std::span<const Index> labels) {
        to.tokens.batch += tokens.batch;
        to.tokens.indices.insert(to.tokens.indices.end(), tokens.indices.begin(), tokens.indices.end());
        to.labels.insert(to.labels.end(), labels.begin(), labels.end());
    }

    const AnyFlowMo& model_;
    const io::ImageDataset& data_;
    Index batch_;
    Progress& progress_;
    const InterruptGuard& interrupt_;
    std::set<std::string> unreadable_;  // names
    std::optional<io::ImageLoader> loader_;
    io::TokenSet::Batch left_;  // of the last batch's images, the first of which is `next_`
    Index next_ = 0;
};

/// The names of a set's classes, of any bytes; the files, whose metadata are UTF-8, have them escaped.
[[nodiscard]] inline std::vector<std::string> class_names(const io::TokenSetFacts& facts) {
    std::vector<std::string> names;
    std::ranges::transform(facts.classes, std::back_inserter(names), unescaped);
    return names;
}

/// Throws `Error` if the folder has a shard of a set of another number of shards.
inline void check_names(const io::Path& folder, const io::TokenSetFacts& facts) {
    const std::string ending = facts.path("", 0).string().substr(std::string("shard-00000").size());
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        require(!name.starts_with("shard-") || !name.ends_with(".safetensors") || name.ends_with(ending),
                entry.path().string(), ": a shard of another set, expected names that end in ", ending,
                "; choose another folder");
    }
}

/// Writes those shards of a set that are missing and that no other process is writing, then says how the codebook is
/// used. `model_key` and `precision` tell what the tokens depend on. Returns main()'s result. Throws `Error` for a
/// folder that holds another set.
[[nodiscard]] inline int tokenize_set(const AnyFlowMo& model, const io::ImageDataset& data, const io::Path& folder,
                                      Index shard_size, const std::string& model_key, const std::string& precision) {
    const FlowMoFacts& m = model.facts();
    io::TokenSetFacts facts{m.name,    m.hash,    m.code_length,  m.per_token, m.bits,     m.codewords, m.levels,
                            model_key, precision, data_key(data), data.size(), shard_size, {}};
    for (const std::string& name : data.class_names()) {
        facts.classes.push_back(escaped(name));
    }
    facts.check(folder.string());
    std::filesystem::create_directories(folder);
    for (Index shard = 0; shard < facts.shards(); ++shard) {
        static_cast<void>(io::has_token_shard(folder, facts, shard));  // a foreign or damaged one is an error now
    }
    check_names(folder, facts);
    const InterruptGuard interrupt;
    Progress progress("tokenize", data.size());
    Index made = 0, before = 0, elsewhere = 0;
    ImageTokens images(model, data, shard_size, progress, interrupt);
    for (Index shard = 0; shard < facts.shards() && !interrupt.requested(); ++shard) {
        const FileLock lock(facts.path(folder, shard).string() + ".lock");
        if (!lock.held()) {
            ++elsewhere;
        } else if (io::has_token_shard(folder, facts, shard)) {
            ++before;
        } else {
            check_names(folder, facts);  // another process may have begun another set since
            const auto part = images.read(facts.first_of(shard), facts.size_of(shard));
            if (part) {
                io::write_token_shard(folder, facts, shard, part->tokens, part->labels);
                ++made;
            }
        }
    }
    progress.finish();
    std::printf("%s: %lld of %lld shards made, %lld were there\n", printable(folder.string()).c_str(),
                static_cast<long long>(made), static_cast<long long>(facts.shards()), static_cast<long long>(before));
    if (made > 0) {
        std::printf("unreadable files skipped: %lld\n", static_cast<long long>(images.unreadable()));
    }
    if (interrupt.requested()) {
        std::printf("interrupted; the same command makes the others\n");
    } else if (elsewhere > 0) {
        std::printf("%lld shards are being made by other processes\n", static_cast<long long>(elsewhere));
    } else {
        std::printf("%s\n", usage_text(usage_of(io::TokenSet(folder))).c_str());
    }
    return interrupt.exit_code();
}

}  // namespace flowfar::program
