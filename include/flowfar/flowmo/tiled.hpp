#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/sample.hpp"
#include "flowfar/flowmo/tile_grid.hpp"

namespace flowfar {

/// Settings of pictures in tiles.
struct TileOptions {
    Index overlap = 0;  ///< pixels that neighboring tiles share at least
    Index at_once = 4;  ///< tiles per call of the model: memory grows with it, the result does not depend on it
};

/// Pictures of any size with a FlowMo of one size, without seams: all tiles are integrated together, and where they
/// overlap their velocities are blended at every step (arXiv 2503.11056, appendix C.2). Memory grows with the tiles
/// taken at once; of the picture there are its codes and two or three planes of floats a channel. The model must
/// outlive the object.
///
///     const flowfar::TiledFlowMo tiled(model, {.overlap = 64});
///     const flowfar::Image photo = flowfar::io::read_image("large.jpg");
///     const flowfar::TileGrid grid = tiled.grid(photo.height, photo.width);
///     const flowfar::Image again = tiled.decode(tiled.encode(photo), grid, {.steps = 25});
template <class Model>
class TiledFlowMo {
   public:
    using Config = typename Model::Config;
    using B = typename Model::Backend;
    using T = typename Model::Element;
    using Images = typename Model::Images;
    /// Called after each step; returning false stops with the current estimate.
    using Callback = std::function<bool(const TiledStep&)>;
    static_assert(Config::image_height != dyn && Config::image_width != dyn,
                  "TiledFlowMo: the configuration leaves the tiles' size open");

    /// Throws `Error` for an impossible overlap.
    explicit TiledFlowMo(const Model& model, TileOptions options = {}) : model_(&model), options_(options) {
        require(options_.at_once >= 1, "tiles: expected at least one tile at once, found ", options_.at_once);
        static_cast<void>(grid(1, 1));
    }

    /// The tiles of a picture.
    [[nodiscard]] TileGrid grid(Index height, Index width) const {
        return {height, width, Config::image_height, Config::image_width, options_.overlap};
    }

    /// A picture → the tokens of its tiles, in raster order.
    [[nodiscard]] Tokens encode(const Image& picture) const {
        const TileGrid tiles = grid(picture.height, picture.width);
        Tokens all;
        for (Index first = 0; first < tiles.count(); first += options_.at_once) {
            std::vector<Image> some;
            for (Index i = first; i < std::min(first + options_.at_once, tiles.count()); ++i) {
                some.push_back(cut_tile(picture, tiles, i));
            }
            Tokens part = model_->encode(std::span<const Image>(some));
            if (first == 0) {
                all = std::move(part);
            } else {
                all.batch += part.batch;
                all.indices.insert(all.indices.end(), part.indices.begin(), part.indices.end());
            }
        }
        return all;
    }

    /// The tokens of a picture's tiles → the picture. The noise is one canvas of the picture's size, so that it depends
    /// on the seed alone. Throws `Error` for tokens of another grid, and for results that are not finite.
    [[nodiscard]] Image decode(const Tokens& tokens, const TileGrid& tiles, const FlowMoDecodeOptions& options = {},
                               const Callback& callback = {}) const {
        require(tokens.batch == tiles.count(), Config::name, ": expected the tokens of ", tiles.count(),
                " tiles, found those of ", tokens.batch);
        return decode_region(tokens, tiles, tiles.picture(), options, callback);
    }
    /// A region of the picture, from the tiles that it touches: `tokens` holds theirs alone (`TileGrid::tiles_of`), in
    /// that order. The whole picture has the same noise and tiles, but what lies beyond the region's tiles no longer
    /// has a say in it.
    [[nodiscard]] Image decode_region(const Tokens& tokens, const TileGrid& tiles, const PixelRect& region,
                                      const FlowMoDecodeOptions& options = {}, const Callback& callback = {}) const {
        tokens.check();
        const std::vector<Index> chosen = tiles.tiles_of(region);
        require(tiles.down.tile == Config::image_height && tiles.across.tile == Config::image_width, Config::name,
                ": expected tiles of ", Config::image_height, " x ", Config::image_width, " pixels, found ",
                tiles.down.tile, " x ", tiles.across.tile);
        require(tokens.batch == static_cast<Index>(chosen.size()), Config::name, ": expected the tokens of ",
                chosen.size(), " tiles, found those of ", tokens.batch);
        const FlowMoSampler<Model> sampler(*model_, options);
        const auto angles = model_->geometry(Config::image_height, Config::image_width);
        typename FlowMoSampler<Model>::StepTimes times(*model_, sampler.schedule());
        const std::vector<Part> parts = parts_of(tokens, chosen);
        Canvas canvas(tiles, chosen, options.seed);
        for (int i = 0; i < sampler.schedule().steps(); ++i) {
            canvas.clear_velocity();
            for (const Part& part : parts) {
                const Images z = canvas.cut(part.tiles);
                canvas.blend(part.tiles, sampler.velocity(i, z, part.conditions, times, angles));
            }
            const std::size_t at = static_cast<std::size_t>(i);
            const bool last = i + 1 == sampler.schedule().steps();
            if (callback) {
                const Image estimate = canvas.image(region, sampler.schedule().times()[at]);
                if (!callback({i + 1, sampler.schedule().steps(), sampler.schedule().times()[at + 1], estimate}) &&
                    !last) {
                    return estimate;
                }
            }
            canvas.step(sampler.schedule().step(i));
        }
        return canvas.image(region, 0.0);
    }

   private:
    /// Tiles that go through the model together, and their codes.
    struct Part {
        std::vector<Index> tiles;
        typename FlowMoSampler<Model>::Conditions conditions;
    };

    [[nodiscard]] std::vector<Part> parts_of(const Tokens& tokens, const std::vector<Index>& chosen) const {
        const Index each = tokens.length * tokens.per_token;
        std::vector<Part> parts;
        for (Index first = 0; first < tokens.batch; first += options_.at_once) {
            const Index last = std::min(first + options_.at_once, tokens.batch);
            const Tokens some{last - first,
                              tokens.length,
                              tokens.per_token,
                              tokens.bits,
                              {tokens.indices.begin() + first * each, tokens.indices.begin() + last * each}};
            parts.push_back({{chosen.begin() + first, chosen.begin() + last},
                             FlowMoSampler<Model>::conditions(Model::code_of(some))});
        }
        return parts;
    }

    /// The state z and the blended velocity of the tiles' bounding box, planes [3, height, width] on the host.
    class Canvas {
       public:
        Canvas(const TileGrid& tiles, const std::vector<Index>& chosen, std::uint64_t seed) : tiles_(&tiles) {
            const PixelRect first = tiles.tile(chosen.front());
            const PixelRect last = tiles.tile(chosen.back());
            box_ = {first.top, first.left, last.top + last.height - first.top, last.left + last.width - first.left};
            draw(seed);
            velocity_.resize(z_.size());
            for (Index i = 0; i < tiles.down.count; ++i) {
                row_weights_.push_back(tiles.down.weights(i));
            }
            for (Index i = 0; i < tiles.across.count; ++i) {
                column_weights_.push_back(tiles.across.weights(i));
            }
            normalize(chosen);
        }

        void clear_velocity() { std::fill(velocity_.begin(), velocity_.end(), 0.0F); }

        /// The state of some tiles, [tiles, 3, tile height, tile width].
        [[nodiscard]] Images cut(const std::vector<Index>& some) const {
            std::vector<T> values;
            for (const Index tile : some) {
                each_row(tile, [&](std::size_t at, Index, Index) {
                    for (Index x = 0; x < tiles_->across.tile; ++x) {
                        values.push_back(static_cast<T>(z_[at + static_cast<std::size_t>(x)]));
                    }
                });
            }
            return Images::from_host(values,
                                     {static_cast<Index>(some.size()), 3, tiles_->down.tile, tiles_->across.tile});
        }
        /// Adds the velocities of some tiles with their weights.
        void blend(const std::vector<Index>& some, const Images& velocities) {
            const auto values = velocities.to_host();
            auto value = values.begin();
            for (const Index tile : some) {
                const std::vector<float>& across =
                    column_weights_[static_cast<std::size_t>(tile % tiles_->across.count)];
                const std::vector<float>& down = row_weights_[static_cast<std::size_t>(tile / tiles_->across.count)];
                each_row(tile, [&](std::size_t at, Index row, Index) {
                    for (std::size_t x = 0; x < across.size(); ++x, ++value) {
                        velocity_[at + x] +=
                            down[static_cast<std::size_t>(row)] * across[x] * static_cast<float>(*value);
                    }
                });
            }
        }
        /// One Euler step, z − v · step.
        void step(double size) {
            for (std::size_t i = 0; i < z_.size(); ++i) {
                z_[i] -= velocity(i) * static_cast<float>(size);
            }
        }
        /// The region at z − v · time, clipped to [−1, 1] and rounded to 8 bits.
        [[nodiscard]] Image image(const PixelRect& region, double time) const {
            std::vector<float> planes;
            for (Index channel = 0; channel < 3; ++channel) {
                for (Index y = 0; y < region.height; ++y) {
                    for (Index x = 0; x < region.width; ++x) {
                        const std::size_t at = place(channel, region.top + y, region.left + x);
                        const float value = time == 0.0 ? z_[at] : z_[at] - velocity(at) * static_cast<float>(time);
                        require(std::isfinite(value), Config::name,
                                ": the reconstruction contains NaN or infinity; are the model's weights whole?");
                        planes.push_back(value);
                    }
                }
            }
            return from_planes(planes, static_cast<int>(region.height), static_cast<int>(region.width)).front();
        }

       private:
        [[nodiscard]] std::size_t place(Index channel, Index y, Index x) const {
            return static_cast<std::size_t>((channel * box_.height + y - box_.top) * box_.width + x - box_.left);
        }
        /// Calls action(position of the row's first pixel, row of the tile, channel) for the rows of a tile's planes.
        template <class Action>
        void each_row(Index tile, Action&& action) const {
            const PixelRect at = tiles_->tile(tile);
            for (Index channel = 0; channel < 3; ++channel) {
                for (Index row = 0; row < at.height; ++row) {
                    action(place(channel, at.top + row, at.left), row, channel);
                }
            }
        }
        /// The picture's noise inside the box: rows of the stream of `seed`.
        void draw(std::uint64_t seed) {
            const Index height = std::max(tiles_->down.length, tiles_->down.tile);
            const Index width = std::max(tiles_->across.length, tiles_->across.tile);
            z_.reserve(static_cast<std::size_t>(3 * box_.height * box_.width));
            for (Index channel = 0; channel < 3; ++channel) {
                for (Index y = box_.top; y < box_.top + box_.height; ++y) {
                    const auto offset = static_cast<std::uint64_t>((channel * height + y) * width + box_.left);
                    const auto row = Tensor<B, Shape<dyn>, float>::normal({box_.width}, seed, offset).to_host();
                    z_.insert(z_.end(), row.begin(), row.end());
                }
            }
        }
        /// Where a region leaves tiles out, the weights of those that remain sum to less than 1.
        void normalize(const std::vector<Index>& chosen) {
            if (static_cast<Index>(chosen.size()) == tiles_->count()) {
                return;
            }
            scale_.assign(z_.size(), 0.0F);
            for (const Index tile : chosen) {
                const std::vector<float>& across =
                    column_weights_[static_cast<std::size_t>(tile % tiles_->across.count)];
                const std::vector<float>& down = row_weights_[static_cast<std::size_t>(tile / tiles_->across.count)];
                each_row(tile, [&](std::size_t at, Index row, Index) {
                    for (std::size_t x = 0; x < across.size(); ++x) {
                        scale_[at + x] += down[static_cast<std::size_t>(row)] * across[x];
                    }
                });
            }
            for (float& value : scale_) {
                value = 1.0F / value;
            }
        }
        [[nodiscard]] float velocity(std::size_t at) const {
            return scale_.empty() ? velocity_[at] : velocity_[at] * scale_[at];
        }

        const TileGrid* tiles_;
        PixelRect box_;
        std::vector<float> z_, velocity_, scale_;
        std::vector<std::vector<float>> row_weights_, column_weights_;
    };

    const Model* model_;
    TileOptions options_;
};

}  // namespace flowfar
