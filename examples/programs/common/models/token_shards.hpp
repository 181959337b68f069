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
#include <string>
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

/// The tokens and labels of images [first, first + count) of the data, in bounded batches; nothing after a signal. Adds
/// the names of files that cannot be read.
[[nodiscard]] inline std::optional<io::TokenSet::Batch> tokens_of_part(const AnyFlowMo& model,
                                                                       const io::ImageDataset& data, Index first,
                                                                       Index count, std::set<std::string>& unreadable,
                                                                       Progress& progress,
                                                                       const InterruptGuard& interrupt) {
    const FlowMoFacts& facts = model.facts();
    std::vector<Index> images(static_cast<std::size_t>(data.size()));  // all: the next readable one may lie beyond
    std::iota(images.begin(), images.end(), Index{0});
    std::ranges::rotate(images, images.begin() + first);
    io::LoaderOptions options;
    options.batch = std::min(batch_limit(facts), count);
    options.size = facts.height;
    options.width = facts.width;
    options.shuffle = options.drop_last = false;
    options.on_skip = [&](const io::SkippedImage& image) {
        if (unreadable.insert(image.name).second) {  // the end of one shard's last batch is the next one's beginning
            progress.note(
                printable(text("skipped ", image.name, ": ", image.reason, "; the next image stands for it")));
        }
    };
    io::ImageLoader loader(data.subset(images), options);
    io::TokenSet::Batch out{{0, facts.code_length, facts.per_token, facts.bits, {}}, {}};
    for (Index done = 0; done < count; done += options.batch) {
        if (interrupt.requested()) {
            return std::nullopt;
        }
        const io::Batch batch = loader.next();
        const Index used = std::min(options.batch, count - done);
        const Tokens tokens = tokens_between(model.encode(batch.images), 0, used);
        out.tokens.batch += used;
        out.tokens.indices.insert(out.tokens.indices.end(), tokens.indices.begin(), tokens.indices.end());
        out.labels.insert(out.labels.end(), batch.labels.begin(), batch.labels.begin() + used);
        progress.update(first + done + used, std::nan(""), static_cast<double>(used));
    }
    return out;
}

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
    std::set<std::string> unreadable;
    for (Index shard = 0; shard < facts.shards() && !interrupt.requested(); ++shard) {
        const FileLock lock(facts.path(folder, shard).string() + ".lock");
        if (!lock.held()) {
            ++elsewhere;
        } else if (io::has_token_shard(folder, facts, shard)) {
            ++before;
        } else {
            check_names(folder, facts);  // another process may have begun another set since
            const auto part = tokens_of_part(model, data, facts.first_of(shard), facts.size_of(shard), unreadable,
                                             progress, interrupt);
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
        std::printf("unreadable files skipped: %lld\n", static_cast<long long>(unreadable.size()));
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
