#pragma once

/// The tokens of a dataset on disk: what a generator of tokens is trained on.

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/io/data/shuffle.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"

namespace flowfar::io {

/// What all shards of a set have in common. A set is a folder of files `shard-KKKKK-of-NNNNN.safetensors`: shard k
/// holds the images k · shard_size … of the dataset, in its order; the next readable image stands for one that cannot
/// be read.
struct TokenSetFacts {
    std::string configuration;         ///< name of the tokenizer's configuration
    std::uint64_t hash = 0;            ///< of it (`configuration_hash`)
    Index length = 0;                  ///< code tokens per image
    Index per_token = 0;               ///< codewords per token
    Index bits = 0;                    ///< per codeword
    Index codewords = 0;               ///< indices are below this
    std::string levels;                ///< of a codeword's values (`Codebook::levels_text`)
    std::string model;                 ///< what tells the tokenizer's weights apart
    std::string precision;             ///< of the encoder's arithmetic, which the tokens depend on
    std::string data;                  ///< what tells the images apart
    Index images = 0;                  ///< of all shards
    Index shard_size = 0;              ///< images per shard; the last may have fewer
    std::vector<std::string> classes;  ///< names of the labels, UTF-8

    static constexpr Index most_shards = 99'999;  ///< that sort by name; systems map about 65,000 files at once

    bool operator==(const TokenSetFacts&) const = default;

    /// Throws `Error` for numbers that no set has; `where` begins the message.
    void check(const std::string& where) const {
        require(images >= 1 && shard_size >= 1, where, ": shards of ", shard_size, " images for ", images,
                ", expected 1 or more of both");
        require(shards() <= most_shards, where, ": ", shards(), " shards of ", shard_size, " images, expected at most ",
                most_shards, "; choose a larger shard size");
        require(!classes.empty(), where, ": no classes, but every image has a label");
    }
    [[nodiscard]] Index shards() const { return (images + shard_size - 1) / shard_size; }
    [[nodiscard]] Index first_of(Index shard) const { return shard * shard_size; }
    [[nodiscard]] Index size_of(Index shard) const { return std::min(shard_size, images - first_of(shard)); }
    [[nodiscard]] Path path(const Path& folder, Index shard) const {
        const auto number = [](Index value) {
            const std::string digits = text(value);
            return std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits;
        };
        return folder / text("shard-", number(shard), "-of-", number(shards()), ".safetensors");
    }
};

namespace detail {

[[nodiscard]] inline std::map<std::string, std::string> shard_metadata(const TokenSetFacts& facts) {
    std::map<std::string, std::string> out = {{"configuration", facts.configuration},
                                              {"hash", text(facts.hash)},
                                              {"length", text(facts.length)},
                                              {"per_token", text(facts.per_token)},
                                              {"bits", text(facts.bits)},
                                              {"codewords", text(facts.codewords)},
                                              {"levels", facts.levels},
                                              {"model", facts.model},
                                              {"precision", facts.precision},
                                              {"data", facts.data},
                                              {"images", text(facts.images)},
                                              {"shard_size", text(facts.shard_size)},
                                              {"classes", text(facts.classes.size())}};
    for (std::size_t i = 0; i < facts.classes.size(); ++i) {
        out[text("class.", i)] = facts.classes[i];
    }
    return out;
}

/// A whole number among a shard's metadata that lies in [least, most].
template <class Number>
[[nodiscard]] Number shard_number(const SafetensorsFile& file, const std::string& name, Number least, Number most) {
    const auto found = file.metadata().find(name);
    const std::string word = found == file.metadata().end() ? std::string() : found->second;
    Number value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    require(error == std::errc() && end == word.data() + word.size() && value >= least && value <= most,
            file.path().string(), ": no shard of tokens: ", name, " is \"", word, "\", expected a number from ", least,
            " to ", most);
    return value;
}

[[nodiscard]] inline TokenSetFacts shard_facts(const SafetensorsFile& file) {
    constexpr Index most = Index{1} << 31;
    const auto words = [&](const std::string& name) {
        const auto found = file.metadata().find(name);
        require(found != file.metadata().end(), file.path().string(), ": no shard of tokens: the metadata lack \"",
                name, "\"");
        return found->second;
    };
    TokenSetFacts out;
    out.configuration = words("configuration");
    out.hash = shard_number<std::uint64_t>(file, "hash", 0, ~std::uint64_t{0});
    out.length = shard_number<Index>(file, "length", 1, Index{1} << 20);
    out.per_token = shard_number<Index>(file, "per_token", 1, 1024);
    out.bits = shard_number<Index>(file, "bits", 1, 32);
    out.codewords = shard_number<Index>(file, "codewords", 1, Index{1} << out.bits);
    out.levels = words("levels");
    out.model = words("model");
    out.precision = words("precision");
    out.data = words("data");
    out.images = shard_number<Index>(file, "images", 1, most);
    out.shard_size = shard_number<Index>(file, "shard_size", 1, most);
    const Index classes = shard_number<Index>(file, "classes", 1, static_cast<Index>(file.metadata().size()));
    for (Index i = 0; i < classes; ++i) {
        out.classes.push_back(words(text("class.", i)));
    }
    out.check(file.path().string());
    return out;
}

/// Throws Error that names what two sets differ in.
inline void check_same_set(const TokenSetFacts& found, const TokenSetFacts& expected, const std::string& where) {
    const auto a = shard_metadata(found);
    const auto b = shard_metadata(expected);
    for (const auto& [name, value] : b) {
        const auto other = a.find(name);
        require(other != a.end() && other->second == value, where, ": the shard is of another set: ", name,
                ": expected ", value, ", found ", other == a.end() ? "nothing" : other->second);
    }
    require(found == expected, where, ": the shard is of another set");
}

/// One shard's file, its sizes and labels checked.
class TokenShard {
   public:
    enum class Checksum : std::uint8_t { verify, ignore };
    explicit TokenShard(SafetensorsFile file, Checksum checksum = Checksum::verify)
        : file_(std::move(file)), facts_(shard_facts(file_)) {
        const std::string where = file_.path().string();
        number_ = shard_number<Index>(file_, "shard", 0, facts_.shards() - 1);
        each_ = static_cast<std::size_t>(payload_per_image(static_cast<std::uint64_t>(facts_.length),
                                                           static_cast<std::uint64_t>(facts_.per_token),
                                                           static_cast<std::uint64_t>(facts_.bits)));
        const Index count = facts_.size_of(number_);
        const auto checked = [&](const char* name, DType dtype, const std::vector<Index>& shape) {
            const TensorView view = file_.at(name);
            require(view.dtype == dtype && view.shape == shape, where, ": ", name, ": expected ", shape_text(shape),
                    " of ", name_of(dtype), ", found ", shape_text(view.shape), " of ", name_of(view.dtype));
            return view;
        };
        bytes_ = checked("tokens", DType::u8, {count, static_cast<Index>(each_)}).bytes;
        const TensorView labels = checked("labels", DType::i64, {count});
        labels_ = values<Index>(labels);
        const auto expected = shard_number<std::uint32_t>(file_, "crc32", 0, ~std::uint32_t{0});
        require(checksum == Checksum::ignore || crc32(labels.bytes, crc32(bytes_)) == expected, where,
                ": checksum mismatch: the shard is damaged; remove it and tokenize again");
        for (std::size_t i = 0; i < labels_.size(); ++i) {
            require(labels_[i] >= 0 && labels_[i] < static_cast<Index>(facts_.classes.size()), where, ": label ", i,
                    " is ", labels_[i], ", expected 0 to ", facts_.classes.size() - 1);
        }
    }
    [[nodiscard]] const TokenSetFacts& facts() const { return facts_; }
    [[nodiscard]] Index number() const { return number_; }
    [[nodiscard]] Index label(Index image) const { return labels_[static_cast<std::size_t>(image)]; }
    /// Appends the indices of image `image` of the shard. Throws Error for one outside the codebook.
    void read(Index image, std::vector<std::uint32_t>& out) const {
        const std::size_t first = out.size();
        unpack_indices(bytes_.subspan(static_cast<std::size_t>(image) * each_, each_),
                       static_cast<std::size_t>(facts_.length * facts_.per_token), facts_.bits, out);
        for (std::size_t i = first; i < out.size(); ++i) {
            require(static_cast<Index>(out[i]) < facts_.codewords, file_.path().string(), ": image ", image, ": index ",
                    i - first, " is ", out[i], ", expected 0 to ", facts_.codewords - 1);
        }
    }

   private:
    SafetensorsFile file_;
    TokenSetFacts facts_;
    Index number_ = 0;
    std::size_t each_ = 0;
    std::span<const std::byte> bytes_;
    std::vector<Index> labels_;
};

}  // namespace detail

/// Whether shard `shard` of the set is in the folder, whole. Throws `Error` if its file is damaged, of another set or
/// another shard.
[[nodiscard]] inline bool has_token_shard(const Path& folder, const TokenSetFacts& facts, Index shard) {
    facts.check(folder.string());
    const Path path = facts.path(folder, shard);
    if (!std::filesystem::exists(path)) {
        return false;
    }
    const detail::TokenShard found{SafetensorsFile(path)};
    detail::check_same_set(found.facts(), facts, path.string());
    require(found.number() == shard, path.string(), ": holds shard ", found.number(), ", expected ", shard);
    return true;
}

/// Writes shard `shard` of a set atomically: the tokens of its images, [images, length, per_token], and their labels.
/// Throws `Error`, and writes nothing, unless there are as many as the shard has images, every index lies inside the
/// codebook and every label is a class.
inline void write_token_shard(const Path& folder, const TokenSetFacts& facts, Index shard, const Tokens& tokens,
                              std::span<const Index> labels) {
    facts.check(folder.string());
    const Path path = facts.path(folder, shard);
    const std::string where = path.string();
    tokens.check();
    require(shard >= 0 && shard < facts.shards(), where, ": shard ", shard, " of ", facts.shards());
    require(tokens.batch == facts.size_of(shard) && static_cast<Index>(labels.size()) == tokens.batch, where,
            ": expected ", facts.size_of(shard), " images, found tokens of ", tokens.batch, " and ", labels.size(),
            " labels");
    require(tokens.length == facts.length && tokens.per_token == facts.per_token && tokens.bits == facts.bits, where,
            ": expected ", facts.length, " tokens of ", facts.per_token, " x ", facts.bits, " bits, found ",
            tokens.length, " of ", tokens.per_token, " x ", tokens.bits);
    for (std::size_t i = 0; i < tokens.indices.size(); ++i) {
        require(static_cast<Index>(tokens.indices[i]) < facts.codewords, where, ": index ", i, " is ",
                tokens.indices[i], ", expected 0 to ", facts.codewords - 1);
    }
    for (std::size_t i = 0; i < labels.size(); ++i) {
        require(labels[i] >= 0 && labels[i] < static_cast<Index>(facts.classes.size()), where, ": label ", i, " is ",
                labels[i], ", but there are ", facts.classes.size(), " classes");
    }
    const std::vector<std::byte> packed = detail::pack_indices(tokens);
    auto metadata = detail::shard_metadata(facts);
    metadata["shard"] = text(shard);
    metadata["crc32"] = text(crc32(std::as_bytes(labels), crc32(packed)));
    SafetensorsWriter writer(path, std::move(metadata));
    writer.declare("tokens", DType::u8, {tokens.batch, static_cast<Index>(packed.size()) / tokens.batch});
    writer.declare("labels", DType::i64, {tokens.batch});
    writer.write("tokens", packed);
    writer.write_values<Index>("labels", labels);
    writer.finish();
}

/// `count` of the images, evenly spread over their order; all of them if there are no more.
[[nodiscard]] inline std::vector<Index> spread_evenly(std::span<const Index> images, Index count) {
    const auto size = static_cast<Index>(images.size());
    const Index chosen = std::clamp<Index>(count, 0, size);
    std::vector<Index> out;
    for (Index i = 0; i < chosen; ++i) {
        out.push_back(images[static_cast<std::size_t>(i * size / chosen)]);
    }
    return out;
}

/// The tokens of a dataset, read at random from the shards of a folder.
///
///     const io::TokenSet set("tokens");
///     const auto [tokens, labels] = set.batch(0, 64, seed);
class TokenSet {
   public:
    struct Batch {
        Tokens tokens;
        std::vector<Index> labels;
    };

    /// Opens all shards. Throws `Error` if any is missing, damaged, or of another configuration or dataset than the
    /// first.
    explicit TokenSet(const Path& folder) : folder_(folder) {
        require(std::filesystem::is_directory(folder), folder.string(), ": expected a folder of shards of tokens");
        std::vector<Path> paths;
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with("shard-") && name.ends_with(".safetensors")) {
                paths.push_back(entry.path());
            }
        }
        require(!paths.empty(), folder.string(),
                ": no shards of tokens (shard-00000-of-…); flowmo_tokenize makes them");
        std::ranges::sort(paths);
        for (const Path& path : paths) {
            shards_.emplace_back(SafetensorsFile(path));
            detail::check_same_set(shards_.back().facts(), shards_.front().facts(), path.string());
        }
        const TokenSetFacts& facts = shards_.front().facts();
        for (Index i = 0; i < facts.shards(); ++i) {
            const bool there = i < static_cast<Index>(shards_.size()) &&
                               shards_[static_cast<std::size_t>(i)].number() == i &&
                               paths[static_cast<std::size_t>(i)] == facts.path(folder, i);
            require(there, folder.string(), ": ", facts.path("", i).string(), " is missing: found ", shards_.size(),
                    " of ", facts.shards(), " shards; the command that made them makes the others");
        }
    }

    [[nodiscard]] const TokenSetFacts& facts() const { return shards_.front().facts(); }
    [[nodiscard]] Index size() const { return facts().images; }
    [[nodiscard]] Index label(Index image) const {
        check(image);
        return shards_[static_cast<std::size_t>(image / facts().shard_size)].label(image % facts().shard_size);
    }
    /// Tokens and labels of images, in the given order.
    [[nodiscard]] Batch read(std::span<const Index> images) const {
        const TokenSetFacts& f = facts();
        Batch out{{static_cast<Index>(images.size()), f.length, f.per_token, f.bits, {}}, {}};
        out.tokens.indices.reserve(images.size() * static_cast<std::size_t>(f.length * f.per_token));
        for (const Index image : images) {
            check(image);
            const auto& shard = shards_[static_cast<std::size_t>(image / f.shard_size)];
            shard.read(image % f.shard_size, out.tokens.indices);
            out.labels.push_back(shard.label(image % f.shard_size));
        }
        return out;
    }
    /// Batch `index` of an endless stream of some of the images in a new order every epoch: a function of
    /// (images, index, size, seed).
    [[nodiscard]] Batch batch(std::span<const Index> images, std::uint64_t index, Index size,
                              std::uint64_t seed) const {
        require(!images.empty() && size >= 1, folder_.string(), ": a batch of ", size, " of ", images.size(),
                " images");
        const auto count = static_cast<Index>(images.size());
        const SampleStream stream{seed, count, count, true};
        std::vector<Index> chosen;
        for (Index i = 0; i < size; ++i) {
            const std::uint64_t sample = index * static_cast<std::uint64_t>(size) + static_cast<std::uint64_t>(i);
            chosen.push_back(images[static_cast<std::size_t>(stream.index_of(sample))]);
        }
        return read(chosen);
    }
    /// The images, divided into those to train on and `count` to hold back, chosen by `seed`.
    struct Split {
        std::vector<Index> train;
        std::vector<Index> validation;
    };
    [[nodiscard]] Split split(Index count, std::uint64_t seed) const {
        require(count >= 0 && count < size(), folder_.string(), ": holding back ", count, " leaves none of the ",
                size(), " images for training");
        Split out;
        for (Index place = 0; place < size(); ++place) {
            (place < count ? out.validation : out.train)
                .push_back(shuffled_index(fold(seed, "validation"), place, size()));
        }
        std::ranges::sort(out.train);
        std::ranges::sort(out.validation);
        return out;
    }

   private:
    void check(Index image) const {
        require(image >= 0 && image < size(), folder_.string(), ": expected an image below ", size(), ", found ",
                image);
    }

    Path folder_;
    std::vector<detail::TokenShard> shards_;
};

}  // namespace flowfar::io
