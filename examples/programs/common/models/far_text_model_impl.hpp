#pragma once

// Defines make_far_text<C, B, T>(); included only by the units that examples/CMakeLists.txt generates.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/checkpoints/qwen2.hpp"
#include "flowfar/far/text/model.hpp"
#include "flowfar/text/load_tokenizer.hpp"
#include "flowfar/text/prompts.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/floats.hpp"
#include "common/models/any_far_text.hpp"
#include "common/models/far_text_configs.hpp"

namespace flowfar::program {

template <class C, class B, class T>
class FarTextOn final : public AnyFarText {
   public:
    using Model = FarText<C, B, T>;

    FarTextOn() {
        using Config = typename Model::Config;
        facts_ = {std::string(C::name),
                  true,
                  0,
                  C::channels,
                  Config::height,
                  Config::width,
                  Model::tokens,
                  parameter_count(model_),
                  default_levels<C>()};
    }
    void initialize(std::uint64_t seed) override { model_.initialize(seed); }
    void load(const io::Path& path) override { io::map_or_load_parameters(model_, path, ByteProgress("MB loaded")); }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata["configuration"] = std::string(C::name);
        io::save_parameters(model_, path, dtype, metadata);
    }
    AnyParameters parameters() override { return flowfar::parameters(model_); }

    PromptReport read(const std::vector<std::string>& prompts, const io::Path& language) override {
        using Reader = Qwen2<typename C::Reader, B, T>;
        const BpeTokenizer tokenizer = load_tokenizer(language);
        require(tokenizer.size() <= C::Reader::vocabulary, language.string(), ": a tokenizer of ", tokenizer.size(),
                " tokens, but the language model has ", C::Reader::vocabulary);
        const Reader reader = load_qwen2<Reader>(language);
        PromptReport report;
        report.length = C::context_tokens;
        std::vector<typename Model::Context> contexts;
        for (const std::string& prompt : prompts) {  // one by one: memory for one
            const TokenRows rows = far_prompts(tokenizer, std::span(&prompt, 1), C::context_tokens);
            contexts.push_back(Model::context(reader(rows.ids, rows.rows, rows.mask)));
            report.cut.push_back(rows.cut[0]);
        }
        contexts_ = std::move(contexts);
        facts_.classes = static_cast<Index>(prompts.size());
        return report;
    }

    std::vector<float> generate(const std::vector<Index>& labels, const FarSampleOptions& options,
                                const Callback& callback) const override {
        std::vector<typename B::Handle> parts;
        for (const Index label : labels) {
            require(label >= 0 && label < facts_.classes, C::name, ": prompt ", label, " of ", facts_.classes);
            parts.push_back(contexts_[static_cast<std::size_t>(label)].handle());
        }
        typename Model::Callback inner;
        if (callback) {
            inner = [&](const auto& step) {
                return callback({step.step, step.steps, step.level,
                                 [&step] { return to_floats(Model::unpatchify(step.input)); },
                                 [&step] { return to_floats(step.estimate); }});
            };
        }
        const typename Model::Context context(B::concat(std::span<const typename B::Handle>(parts), 0));
        return to_floats(model_.generate(context, options, inner));
    }
    FarTrainReport loss(const std::vector<float>& /*latents*/, const std::vector<Index>& /*labels*/,
                        const FarTrainOptions& /*options*/) const override {
        fail(C::name, ": no loss of labeled latents, since it has prompts in place of classes");
    }

   private:
    Model model_;
    std::vector<typename Model::Context> contexts_;  // [1, tokens, width] each
};

template <class C, class B, class T>
std::unique_ptr<AnyFarText> make_far_text() {
    return std::make_unique<FarTextOn<C, B, T>>();
}

}  // namespace flowfar::program
