#pragma once

// Whole photos through a FlowMo: photo -> tiles -> token file -> tiles -> photo, with the time of every stage.

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/tiles.hpp"

#include "common/cli/cli.hpp"
#include "common/draw/flowmo_images.hpp"

namespace flowfar::program {

/// Seconds between calls, by name.
class Stages {
   public:
    /// The stage that began with the last call, or with the object, ends now.
    void done(std::string name) {
        const auto now = std::chrono::steady_clock::now();
        times_.emplace_back(std::move(name), std::chrono::duration<double>(now - last_).count());
        last_ = now;
    }
    /// "encode 0.12 s, decode 1.30 s"
    [[nodiscard]] std::string shown() const {
        std::string out;
        for (const auto& [name, seconds] : times_) {
            char buffer[32];
            std::snprintf(buffer, sizeof buffer, " %.2f s", seconds);
            out += (out.empty() ? "" : ", ") + name + buffer;
        }
        return out;
    }

   private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
    std::vector<std::pair<std::string, double>> times_;
};

/// `fit` is "crop" (short side resized to the model's size, middle) or "tile" (middle that whole tiles cover).
[[nodiscard]] inline Image fit_photo(const Image& photo, const FlowMoFacts& facts, const std::string& fit) {
    return fit == "tile" ? io::crop_to_tiles(photo, facts.height, facts.width)
                         : fitted(photo, facts.height, facts.width);
}
/// `fit` is "crop", as above, or "tile": the whole photo, which tiles cover.
[[nodiscard]] inline Image picture_of(const Image& photo, const FlowMoFacts& facts, const std::string& fit) {
    return fit == "tile" ? photo : fitted(photo, facts.height, facts.width);
}

/// `--overlap`, of programs that take pictures in tiles.
inline void add_overlap_option(Spec& spec, std::optional<Index>& overlap) {
    spec.option(
            "overlap", overlap,
            "pixels that neighboring tiles share at least, where they are blended; 0: tiles that touch, with seams; "
            "default: a quarter of a tile")
        .range(0, 4096);
}
/// The option's value, or a quarter of a tile. Throws Error for one that is no smaller than a tile.
[[nodiscard]] inline Index chosen_overlap(const std::optional<Index>& overlap, const FlowMoFacts& facts) {
    const Index tile = std::min(facts.height, facts.width);
    require(overlap.value_or(0) < tile, "--overlap: expected less than the ", tile, " pixels of a tile of ", facts.name,
            ", found ", overlap.value_or(0));
    return overlap.value_or(tile / 4);
}

/// The tiles of a picture of the file's size.
[[nodiscard]] inline TileGrid tiles_of(const FlowMoFacts& facts, const io::TokenFile& file) {
    return {file.height, file.width, facts.height, facts.width, file.overlap};
}

/// Tokens of a picture of any size, of whose tiles neighbors share at least `overlap` pixels.
[[nodiscard]] inline io::TokenFile tokenize(const AnyFlowMo& model, const Image& picture, Index overlap = 0) {
    const FlowMoFacts& facts = model.facts();
    io::TokenFile file{{}, picture.height, picture.width, facts.hash, overlap};
    const TileGrid grid = tiles_of(facts, file);
    file.overlap = grid.count() == 1 ? 0 : overlap;
    std::vector<Image> tiles;
    for (Index i = 0; i < grid.count(); ++i) {
        tiles.push_back(cut_tile(picture, grid, i));
    }
    file.tokens = encode_images(model, tiles);
    return file;
}

/// Throws Error unless the tokens were made by the model's configuration and cover their picture.
inline void check_tokens(const AnyFlowMo& model, const io::TokenFile& file, const std::string& name) {
    const FlowMoFacts& facts = model.facts();
    require(file.configuration == facts.hash, name,
            ": the tokens were made by another configuration than the model's, ", facts.name, ": expected key ",
            facts.hash, ", found ", file.configuration);
    require(file.overlap < std::min(facts.height, facts.width), name, ": tiles of ", facts.height, " x ", facts.width,
            " pixels cannot share ", file.overlap);
    check_image_size(static_cast<std::uint64_t>(file.height), static_cast<std::uint64_t>(file.width), name);
    const Index tiles = tiles_of(facts, file).count();
    require(tiles == file.tokens.batch, name, ": ", file.tokens.batch, " tiles of ", facts.height, " x ", facts.width,
            " pixels do not make ", file.height, " x ", file.width, ", which takes ", tiles);
    const Tokens& t = file.tokens;
    require(t.length == facts.code_length && t.per_token == facts.per_token && t.bits == facts.bits, name,
            ": expected ", facts.code_length, " tokens of ", facts.per_token, " x ", facts.bits, " bits, found ",
            t.length, " of ", t.per_token, " x ", t.bits);
}

/// The picture of a token file that `check_tokens` has seen.
[[nodiscard]] inline Image reconstruct(const AnyFlowMo& model, const io::TokenFile& file,
                                       const FlowMoDecodeOptions& options,
                                       const AnyFlowMo::PictureCallback& callback = {}) {
    const FlowMoFacts& facts = model.facts();
    const bool one_tile = file.height == facts.height && file.width == facts.width;
    if (one_tile && !callback) {  // recorded steps, where the device has them
        return decode_images(model, file.tokens, options).front();
    }
    return model.decode_picture(file.tokens, tiles_of(facts, file), batch_limit(facts), options, callback);
}

/// Bytes of the packed indices, without header and checksum.
[[nodiscard]] inline Index payload_bytes(const io::TokenFile& file) {
    return file.tokens.batch * ((file.tokens.bits_per_image() + 7) / 8);
}
[[nodiscard]] inline double bits_per_pixel(const io::TokenFile& file) {
    return static_cast<double>(file.tokens.batch * file.tokens.bits_per_image()) /
           static_cast<double>(file.height * file.width);
}

/// "32 x 32 pixels, 1 tile: 144 payload bytes, 1.1250 bits per pixel"
[[nodiscard]] inline std::string token_summary(const io::TokenFile& file) {
    char buffer[160];
    std::snprintf(buffer, sizeof buffer, "%lld x %lld pixels, %lld tile%s: %lld payload bytes, %.4f bits per pixel",
                  static_cast<long long>(file.height), static_cast<long long>(file.width),
                  static_cast<long long>(file.tokens.batch), file.tokens.batch == 1 ? "" : "s",
                  static_cast<long long>(payload_bytes(file)), bits_per_pixel(file));
    return buffer;
}

}  // namespace flowfar::program
