#pragma once

// Defines make_flowmo<C, B, T>(); included only by the units that examples/CMakeLists.txt generates per configuration,
// backend and element type.

#include <map>
#include <type_traits>
#include <utility>

#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/tiled.hpp"
#include "flowfar/samplers_cuda/flowmo.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/floats.hpp"
#include "common/models/any_flowmo.hpp"

namespace flowfar::program {

/// Not for several threads at once.
template <class C, class B, class T>
class FlowMoOn final : public AnyFlowMo {
   public:
    using Model = FlowMo<C, B, T>;
    using Images = typename Model::Images;
    static_assert(DiscreteQuantizer<typename Model::Quantizer>,
                  "the programs work with tokens, which this configuration's quantizer does not have");

    FlowMoOn() {
        facts_ = {std::string(C::name),
                  static_cast<int>(C::image_height),
                  static_cast<int>(C::image_width),
                  Model::Config::image_tokens,
                  C::code_length,
                  Model::Config::codewords_per_token,
                  Model::Config::codebook_bits,
                  io::configuration_hash<C>(),
                  0,
                  Model::Quantizer::Codebook::size,
                  Model::Quantizer::Codebook::levels_text()};
        for (const auto& p : flowfar::parameters(model_)) {
            facts_.parameter_count += p.extents().count();
        }
    }
    void initialize(std::uint64_t seed) override { model_.initialize(seed); }
    void load(const io::Path& path) override {
        samplers_.clear();  // they read the parameters where they were
        io::map_or_load_parameters(model_, path, ByteProgress("MB loaded"));
    }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata.merge(CheckpointTraits<Model>::facts());
        io::save_parameters(model_, path, dtype, metadata);
    }
    AnyParameters parameters() override {
        samplers_.clear();
        return flowfar::parameters(model_);
    }

    Tokens encode(const std::vector<float>& images) const override {
        constexpr Index size = 3 * C::image_height * C::image_width;
        const auto batch = static_cast<Index>(images.size()) / size;
        return model_.encode(from_floats<Images>(images, {batch, 3, C::image_height, C::image_width}));
    }
    std::vector<float> decode(const Tokens& tokens, const FlowMoDecodeOptions& options,
                              const Callback& callback) const override {
        if constexpr (std::is_same_v<B, Cuda>) {
            if (!callback && (options.steps >= worth_recording || samplers_.contains(tokens.batch))) {
                return to_floats(sampler(tokens.batch).decode(tokens, options));
            }
        }
        typename Model::Callback inner;
        if (callback) {
            inner = [&](const typename Model::Step& step) {
                callback({step.step, step.steps, step.time, [&step] { return to_floats(step.estimate); }});
                return true;
            };
        }
        return to_floats(model_.decode(tokens, options, inner));
    }
    Image decode_picture(const Tokens& tokens, const TileGrid& tiles, Index at_once, const FlowMoDecodeOptions& options,
                         const PictureCallback& callback) const override {
        const TiledFlowMo<Model> tiled(model_, {.overlap = tiles.overlap, .at_once = at_once});
        typename TiledFlowMo<Model>::Callback inner;
        if (callback) {
            inner = [&](const TiledStep& step) {
                callback(step);
                return true;
            };
        }
        return tiled.decode(tokens, tiles, options, inner);
    }

   private:
    static constexpr int worth_recording = 8;  // steps; recording takes the host two for each kind of step

    /// Recorded steps for batches of this size; at most two sizes are kept, for full batches and the last one.
    [[nodiscard]] auto& sampler(Index batch) const {
        if (samplers_.size() > 1 && !samplers_.contains(batch)) {
            samplers_.clear();
        }
        return samplers_.try_emplace(batch, model_, batch).first->second;
    }

    struct None {};
    using Sampler = typename std::conditional_t<std::is_same_v<B, Cuda>, std::type_identity<FlowMoGraphSampler<C, T>>,
                                                std::type_identity<None>>::type;

    Model model_;
    mutable std::map<Index, Sampler> samplers_;  // on Cuda, by batch
};

template <class C, class B, class T>
std::unique_ptr<AnyFlowMo> make_flowmo() {
    return std::make_unique<FlowMoOn<C, B, T>>();
}

}  // namespace flowfar::program
