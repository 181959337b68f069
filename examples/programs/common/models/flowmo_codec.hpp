#pragma once

// Whole photos through a FlowMo: photo -> tiles -> token file -> tiles -> photo, with the time of every stage.

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/token_file.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/tiles.hpp"

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

/// Tokens of an image whose sides are multiples of the model's.
[[nodiscard]] inline io::TokenFile tokenize(const AnyFlowMo& model, const Image& image) {
    const FlowMoFacts& facts = model.facts();
    const std::vector<Image> tiles = io::cut_tiles(image, facts.height, facts.width);
    return {encode_images(model, tiles), image.height, image.width, facts.hash};
}

/// Throws Error unless the tokens were made by the model's configuration and cover their image.
inline void check_tokens(const AnyFlowMo& model, const io::TokenFile& file, const std::string& name) {
    const FlowMoFacts& facts = model.facts();
    require(file.configuration == facts.hash, name,
            ": the tokens were made by another configuration than the model's, ", facts.name, ": expected key ",
            facts.hash, ", found ", file.configuration);
    const bool whole = file.height % facts.height == 0 && file.width % facts.width == 0;
    const Index tiles = (file.height / facts.height) * (file.width / facts.width);
    require(whole && tiles == file.tokens.batch && file.height <= max_image_extent && file.width <= max_image_extent,
            name, ": ", file.tokens.batch, " tiles of ", facts.height, " x ", facts.width, " pixels do not make ",
            file.height, " x ", file.width);
    const Tokens& t = file.tokens;
    require(t.length == facts.code_length && t.per_token == facts.per_token && t.bits == facts.bits, name,
            ": expected ", facts.code_length, " tokens of ", facts.per_token, " x ", facts.bits, " bits, found ",
            t.length, " of ", t.per_token, " x ", t.bits);
}

[[nodiscard]] inline Image reconstruct(const AnyFlowMo& model, const io::TokenFile& file,
                                       const FlowMoDecodeOptions& options, const EstimateCallback& callback = {}) {
    return io::join_tiles(decode_images(model, file.tokens, options, callback), static_cast<int>(file.height),
                          static_cast<int>(file.width));
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
