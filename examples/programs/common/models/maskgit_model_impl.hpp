#pragma once

// Defines make_maskgit<C, B, T>(); included only by the units that examples/CMakeLists.txt generates per configuration,
// backend and element type.

#include <type_traits>
#include <utility>

#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/checkpoints/maskgit.hpp"
#include "flowfar/maskgit/model.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/models/any_maskgit.hpp"

namespace flowfar::program {

template <class C, class B, class T>
class MaskGitOn final : public AnyMaskGit {
   public:
    using Model = MaskGit<C, B, T>;

    MaskGitOn() {
        facts_ = {std::string(C::name),
                  C::classes,
                  C::tokens,
                  C::groups,
                  C::Codebook::bits,
                  C::Codebook::size,
                  C::Codebook::levels_text(),
                  C::sampling,
                  parameter_count(model_)};
    }
    void load(const io::Path& path) override { io::map_or_load_parameters(model_, path, ByteProgress("MB loaded")); }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata.merge(CheckpointTraits<Model>::facts());
        io::save_parameters(model_, path, dtype, metadata);
    }
    AnyParameters parameters() override { return flowfar::parameters(model_); }
    void check(const MaskGitSampleOptions& options) const override {
        static_cast<void>(MaskGitSampler<Model>(model_, options));
    }
    Tokens generate(const std::vector<Index>& labels, const MaskGitSampleOptions& options,
                    const Callback& callback) const override {
        typename Model::Callback inner;
        if (callback) {
            inner = [&](const MaskGitStep& step) { return callback(step.step, step.steps); };
        }
        return model_.generate(labels, options, inner);
    }
    double loss([[maybe_unused]] const Tokens& tokens, [[maybe_unused]] const std::vector<Index>& labels,
                [[maybe_unused]] const MaskGitTrainOptions& options,
                [[maybe_unused]] std::uint64_t first_sample) const override {
        if constexpr (std::is_same_v<T, float>) {
            MaskGitLossOptions o = options.loss;
            o.run = {};
            MaskGitLossDraws draws;
            for (Index i = 0; i < tokens.batch; ++i) {
                const std::uint64_t seed = fold(options.seed, "validation");
                auto one = MaskGitLossDraws::make<C>(1, o, fold(seed, first_sample + static_cast<std::uint64_t>(i)));
                draws.keep.push_back(one.keep.front());
                draws.hidden.push_back(std::move(one.hidden.front()));
            }
            return maskgit_loss(model_, tokens, labels, draws, o).total.item();
        } else {
            fail(C::name, ": the training loss needs a model of f32 weights");
        }
    }

   private:
    Model model_;
};

template <class C, class B, class T>
std::unique_ptr<AnyMaskGit> make_maskgit() {
    return std::make_unique<MaskGitOn<C, B, T>>();
}

}  // namespace flowfar::program
