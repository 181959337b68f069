// Trains a MaskGiT on the tokens of labeled images; see --help.

#include <algorithm>
#include <memory>
#include <optional>

#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/io/images/image.hpp"

#include "common/cli/cli.hpp"
#include "common/draw/class_sheet.hpp"
#include "common/draw/training_curves.hpp"
#include "common/files/file_key.hpp"
#include "common/models/generated_tokens.hpp"
#include "common/models/token_shards.hpp"
#include "common/training/maskgit_training.hpp"
#include "common/training/training_run.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : TrainingArguments {
    std::string tokenizer;
    double label_drop = 0.1, smoothing = 0.1, dropout = 0.1, weight_decay = 0.045;
    std::optional<double> guidance;
    bool checkpoint_blocks = false;

    Arguments() {
        config = "MaskGitTiny";
        clip = 1.0;
        evaluate_count = 256;
        validation = 256;
    }
};

Spec make_spec(Arguments& a) {
    Spec spec("token_train",
              "Trains a MaskGiT, which generates the tokens of images of classes, on what flowmo_tokenize --shard-size "
              "makes of photos.");
    add_run_options(spec, a, MaskGitConfigs::names(), "folder of shards of tokens",
                    "the number of tokens and their codewords");
    spec.option("tokenizer", a.tokenizer, "model file of the FlowMo that made the tokens, for samples.png")
        .placeholder("FILE");
    spec.section("Data");
    add_split_options(spec, a);
    add_optimizer_options(spec, a, "AdamW (beta 0.9, 0.96); published: 1e-4 at batches of 256 to 1024");
    spec.option("weight-decay", a.weight_decay, "weight decay of the linear layers' weights").at_least(0);
    spec.option("dropout", a.dropout, "share of the transformer's activations dropped").range(0, 0.99);
    spec.flag("checkpoint-blocks", a.checkpoint_blocks, "recompute blocks in the backward pass: less memory, slower");
    spec.section("Loss");
    spec.option("label-drop", a.label_drop, "share of labels that are hidden, for guidance").range(0, 1);
    spec.option("smoothing", a.smoothing, "share of the target that goes to all codewords alike").range(0, 1);
    add_report_options(spec, a, "validations (loss), loss.png and, with --tokenizer, samples.png");
    spec.option("guidance", a.guidance, "guidance of the samples in samples.png; default: the configuration's")
        .range(-100, 100);
    spec.example("tokens -o run --tokenizer flowmo/model.safetensors --train-steps 20000 --batch 64 --warmup 200",
                 "trains MaskGitTiny; Ctrl-C saves, and the same command with --resume continues");
    return spec;
}

MaskGitTrainingSettings settings_of(const Arguments& a, bool resumed) {
    MaskGitTrainingSettings settings;
    MaskGitTrainOptions& o = settings.options;
    a.apply_to(o);
    o.adam.weight_decay = a.weight_decay;
    o.loss.label_drop = a.label_drop;
    o.loss.smoothing = a.smoothing;
    o.loss.run = {{a.dropout, a.dropout, 0}, a.checkpoint_blocks};
    settings.initial_model = resumed ? std::string() : a.initial_model;  // the state replaces it
    return settings;
}

class Run final : public TrainingRun {
   public:
    Run(const Arguments& a, Device device, const io::TokenSet& set) : Run(a, device, set, split_of(a, set)) {}

   private:
    [[nodiscard]] static io::TokenSet::Split split_of(const Arguments& a, const io::TokenSet& set) {
        require(a.validation < set.size(), a.data, ": --validation ", a.validation, " leaves none of the ", set.size(),
                " images for training");
        return set.split(a.validation, a.choice());
    }

    Run(const Arguments& a, Device device, const io::TokenSet& set, io::TokenSet::Split split)
        : TrainingRun(a, device,
                      {text(set.size(), " images' tokens by ", set.facts().configuration, ", ",
                            set.facts().classes.size(), " classes"),
                       static_cast<Index>(split.train.size()), static_cast<Index>(split.validation.size()),
                       text(set.facts().data, ", by ", set.facts().configuration, ", ", set.facts().model)}),
          a_(a),
          set_(set),
          classes_(class_names(set.facts())),
          split_(std::move(split)),
          model_(make_maskgit(a.config, {device})) {
        const MaskGitFacts& facts = model_->facts();
        TokenKind::of(set.facts()).require_fit(facts, a.data);
        require(static_cast<Index>(set.facts().classes.size()) <= facts.classes, a.data, ": ",
                set.facts().classes.size(), " classes, but ", facts.name, " knows ", facts.classes);
        if (!a.tokenizer.empty()) {
            tokenizer_ = load_flowmo(a.tokenizer, "", {device});
            require(tokenizer_->facts().hash == set.facts().hash, a.tokenizer, ": the tokens of ", a.data,
                    " were made by ", set.facts().configuration, ", this is ", tokenizer_->facts().name);
            const std::string key = file_key(a.tokenizer);
            require(key == set.facts().model, a.tokenizer, ": the tokens of ", a.data,
                    " were made with other weights: ", set.facts().model, ", found ", key);
        }
        options_["weight-decay"] = exact(a.weight_decay);
        options_["dropout"] = exact(a.dropout);
        options_["label-drop"] = exact(a.label_drop);
        options_["smoothing"] = exact(a.smoothing);
    }

    void make_training(bool resumed) override {
        training_ = make_maskgit_training(a_.config, device_, settings_of(a_, resumed));
        training_->lend_to(*model_);
        if (a_.ema_every > 0) {
            raw_ = make_maskgit(a_.config, {device_});
            training_->lend_to(*raw_, Weights::raw);
        }
    }
    AnyTraining& training() override { return *training_; }
    std::string description() const override {
        const MaskGitFacts& facts = model_->facts();
        char line[160];
        std::snprintf(line, sizeof line, "%s: %.2f M parameters, %lld tokens of %lld codewords each",
                      facts.name.c_str(), static_cast<double>(facts.parameter_count) / 1e6,
                      static_cast<long long>(facts.tokens), static_cast<long long>(facts.groups));
        return line;
    }
    Index parameter_count() const override { return model_->facts().parameter_count; }
    void begin(Progress& progress) override {
        progress.note(printable(text(a_.data, ": ", usage_text(usage_of(set_)))));
        next_ = static_cast<std::uint64_t>(training_->step_count());
        measured_ = io::spread_evenly(split_.validation, a_.evaluate_count);  // over all classes
    }
    Index skipped() const override { return 0; }

    PendingNumbers queue_step() override {
        const io::TokenSet::Batch batch = set_.batch(split_.train, next_++, a_.batch, a_.seed);
        return [pending = training_->queue_step(batch.tokens, batch.labels)]() -> StepNumbers {
            const MaskGitTrainReport r = pending();
            return {r.loss, {{"loss", r.loss}, {"gradient_norm", r.gradient_norm}, {"learning_rate", r.learning_rate}}};
        };
    }

    void validate(JsonlWriter& log, Progress& progress) override {
        if (measured_.empty()) {
            return;
        }
        const Index step = training_->step_count();
        const auto loss = [&](const AnyMaskGit& model) {
            double total = 0;
            const auto most = static_cast<std::size_t>(a_.batch);  // what training has memory for
            for (std::size_t first = 0; first < measured_.size(); first += most) {
                leave_if_interrupted();
                const auto part = std::span(measured_).subspan(first, std::min(most, measured_.size() - first));
                const io::TokenSet::Batch batch = set_.read(part);
                total += static_cast<double>(part.size()) *
                         model.loss(batch.tokens, batch.labels, settings_of(a_, true).options, first);
            }
            return total / static_cast<double>(measured_.size());
        };
        const double averaged = loss(*model_);
        Json line = {
            {"event", "validation"}, {"step", step}, {"images", measured_.size()}, {"validation_loss", averaged}};
        std::string note = text("step ", step, ": validation loss ", averaged);
        if (raw_) {
            const double raw = loss(*raw_);
            line["raw_validation_loss"] = raw;
            note += text(" (raw weights ", raw, ")");
        }
        log.write(line);
        progress.note(note);
    }

    void draw_samples(Amount amount, Progress& progress) override {
        if (!tokenizer_) {
            return;
        }
        const std::vector<std::string>& names = classes_;
        const std::size_t columns = amount == Amount::few ? 2 : 8;
        const std::size_t rows = std::min<std::size_t>(names.size(), 10);
        MaskGitSampleOptions options;
        options.guidance = a_.guidance;
        std::vector<Image> images;
        try {
            for (std::size_t row = 0; row < rows; ++row) {
                options.first_sample = row * columns;
                const std::vector<Index> labels(columns, static_cast<Index>(row));
                const Tokens tokens = model_->generate(labels, options, [this](int, int) { return !interrupted(); });
                leave_if_interrupted();  // the tokens are unfinished
                for (Image& image : decode_each(*tokenizer_, tokens, {}, static_cast<Index>(row * columns))) {
                    images.push_back(std::move(image));
                }
            }
            io::write_png(
                out_ / "samples.png",
                render(class_sheet(text(a_.config, ", step ", training_->step_count()), names, images, columns,
                                   shown_scale(tokenizer_->facts().height, tokenizer_->facts().width))));
        } catch (const Error& error) {  // a model at the beginning of its training may diverge
            progress.note(printable(text("step ", training_->step_count(), ": no samples: ", error.what())));
        }
    }
    void draw_loss() override {
        const std::vector<LoggedCurve> curves = {{"training", "loss"}, {"validation", "validation_loss", true}};
        io::write_png(
            out_ / "loss.png",
            training_curves(out_ / "log.jsonl", text(a_.config, ", step ", training_->step_count()), curves, "loss"));
    }

    void save_model(const io::Path& path, const std::map<std::string, std::string>& metadata) override {
        auto all = metadata;
        all["classes"] = escaped_lines(classes_);
        all["tokenizer"] = set_.facts().configuration;
        all["tokenizer_hash"] = text(set_.facts().hash);
        all["tokenizer_key"] = set_.facts().model;
        model_->save(path, a_.model_dtype(), all);
    }

    const Arguments& a_;
    const io::TokenSet& set_;
    std::vector<std::string> classes_;
    io::TokenSet::Split split_;
    std::unique_ptr<AnyMaskGit> model_, raw_;  // the averaged and the raw weights, shared with the training
    std::unique_ptr<AnyFlowMo> tokenizer_;     // absent: no samples.png
    std::unique_ptr<AnyMaskGitTraining> training_;
    std::vector<Index> measured_;  // the images of validations
    std::uint64_t next_ = 0;       // batch
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        arguments.check();
        const Computing computing = arguments.compute.apply();
        const io::TokenSet set(arguments.data);
        return Run(arguments, computing.device, set)();
    });
}
