#pragma once

// Photos of a set through a FlowMo and back, a bounded number at a time.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/images/tiles.hpp"

#include "common/models/flowmo_codec.hpp"

namespace flowfar::program {

/// A photo with what became of it.
struct Reconstructed {
    std::string name;
    Image original;             ///< fitted to the model: what was tokenized
    std::vector<float> planes;  ///< the reconstruction, [3, height, width] in [-1, 1], not rounded
    Image image;                ///< the same in 8 bits
    Index tiles = 0;
};

/// Takes the photos of a dataset in order, as many at a time as fill a batch of the model (at least one), so that
/// memory does not grow with their number. Noise goes with the position among the tiles, so results are the same every
/// time.
class FlowMoEvaluation {
   public:
    /// `fit` as for fit_photo(). `model` must outlive the object.
    FlowMoEvaluation(const AnyFlowMo& model, io::ImageDataset photos, std::string fit, FlowMoDecodeOptions options)
        : model_(model), photos_(std::move(photos)), fit_(std::move(fit)), options_(options) {}

    [[nodiscard]] bool done() const { return next_ == photos_.size(); }
    /// Photos taken so far, those that were skipped included.
    [[nodiscard]] Index taken() const { return next_; }
    [[nodiscard]] Index size() const { return photos_.size(); }
    /// Photos that had to be resized or cropped.
    [[nodiscard]] Index fitted() const { return fitted_; }
    [[nodiscard]] double encode_seconds() const { return encode_seconds_; }
    [[nodiscard]] double decode_seconds() const { return decode_seconds_; }

    /// The next photos, and the tokens of all their tiles. `on_skip(name, reason)` hears of photos that cannot be
    /// read or hold no tile; a chunk may thus be empty. Throws `Error` where a reconstruction is not finite.
    template <class OnSkip>
    [[nodiscard]] std::pair<std::vector<Reconstructed>, Tokens> next(OnSkip&& on_skip) {
        const FlowMoFacts& facts = model_.facts();
        std::vector<Reconstructed> chunk;
        std::vector<Image> tiles;
        while (!done() && (chunk.empty() || static_cast<Index>(tiles.size()) < batch_limit(facts))) {
            const std::string name = photos_.name(next_);
            try {
                const Image photo = photos_.load(next_++);
                Reconstructed& one = chunk.emplace_back();
                one.name = name;
                one.original = fit_photo(photo, facts, fit_);
                fitted_ += one.original.height == photo.height && one.original.width == photo.width ? 0 : 1;
                for (Image& tile : io::cut_tiles(one.original, facts.height, facts.width)) {
                    tiles.push_back(std::move(tile));
                    ++one.tiles;
                }
            } catch (const Error& error) {
                if (!chunk.empty() && chunk.back().tiles == 0) {
                    chunk.pop_back();
                }
                on_skip(name, error.what());
            }
        }
        const auto begin = std::chrono::steady_clock::now();
        Tokens tokens = encode_images(model_, tiles);
        const auto middle = std::chrono::steady_clock::now();
        FlowMoDecodeOptions options = options_;
        options.seed = tiles_ == 0 ? options_.seed : fold(options_.seed, static_cast<std::uint64_t>(tiles_));
        const std::vector<float> planes = decode_planes(model_, tokens, options);
        const std::chrono::duration<double> encoding = middle - begin;
        const std::chrono::duration<double> decoding = std::chrono::steady_clock::now() - middle;
        encode_seconds_ += encoding.count();
        decode_seconds_ += decoding.count();
        tiles_ += tokens.batch;
        distribute(planes, chunk);
        return {std::move(chunk), std::move(tokens)};
    }

   private:
    void distribute(std::span<const float> planes, std::vector<Reconstructed>& chunk) const {
        const FlowMoFacts& facts = model_.facts();
        for (Reconstructed& one : chunk) {
            const auto [height, width] = std::pair(one.original.height, one.original.width);
            const std::size_t size = one.original.pixels.size();
            one.planes = io::join_tile_planes(planes.first(size), facts.height, facts.width, height, width);
            one.image = std::move(from_planes(one.planes, height, width).front());
            planes = planes.subspan(size);
        }
    }

    const AnyFlowMo& model_;
    io::ImageDataset photos_;
    std::string fit_;
    FlowMoDecodeOptions options_;
    Index next_ = 0, tiles_ = 0, fitted_ = 0;
    double encode_seconds_ = 0, decode_seconds_ = 0;
};

}  // namespace flowfar::program
