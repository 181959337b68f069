// Trains a FlowMo on a folder or tar of images; see --help.

#include <memory>
#include <optional>

#include "flowfar/io/images/image.hpp"

#include "common/cli/cli.hpp"
#include "common/draw/training_curves.hpp"
#include "common/files/file_key.hpp"
#include "common/measures/flowmo_reports.hpp"
#include "common/training/flowmo_training.hpp"
#include "common/training/image_training_run.hpp"
#include "common/training/perceptual.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : TrainingArguments {
    Index accumulate = 1, freeze_after = 200000, sample_steps = 8, patience = 0;
    double code_dropout = 0.1, perceptual_factor = 0.1, guidance = 1.5;
    std::string stage = "1a", perceptual = "none", times = "thick_tailed";
    std::vector<std::string> perceptual_files;
    bool fixed_norms = true, checkpoint_blocks = false;

    Arguments() {
        config = "FlowMoTiny";
        ema_every = 10;
    }
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_train",
              "Trains a FlowMo image tokenizer. Stage 1a: flow, quantizer and optional perceptual loss. Stage "
              "1b, on a model of stage 1a: the decoder alone, with the perceptual loss of whole samples.");
    add_run_options(spec, a, FlowMoConfigs::names());
    spec.option("stage", a.stage, "stage of training; 1b needs --init and --perceptual (published: lr 5e-5)")
        .choices({"1a", "1b"});
    spec.option("sample-steps", a.sample_steps, "steps of stage 1b's samples, all of them with gradients")
        .range(1, 1000);
    spec.option(
            "patience", a.patience,
            "stop after so many validations without a better PSNR, against losses that can be cheated; 0: never. The "
            "best model is kept in DIR/best.safetensors")
        .at_least(0);
    add_data_options(spec, a);
    add_optimizer_options(spec, a, "Adam (beta 0.9, 0.95)");
    spec.option("accumulate", a.accumulate, "chunks that a batch is cut into, to save memory").range(1, 1 << 20);
    spec.option("freeze-after", a.freeze_after, "steps after which the encoder is frozen; -1: never").at_least(-1);
    spec.flag("fixed-norms", a.fixed_norms, "rescale block weights to their initial norms after every step");
    spec.flag("checkpoint-blocks", a.checkpoint_blocks, "recompute blocks in the backward pass: less memory, slower");
    spec.section("Loss");
    spec.option("perceptual", a.perceptual,
                "gradient: multi-scale differences of neighbors, a weight-free stand-in; features: of a small "
                "classifier of train_classifier (benchmarks/quality); lpips: with VGG-16, as published for stage 1a; "
                "resnet: logits of ResNet-50, as published for stage 1b")
        .choices(perceptual_names());
    spec.option("perceptual-factor", a.perceptual_factor,
                "factor of the perceptual loss; published: 0.1 for lpips, 0.01 for resnet")
        .above(0)
        .formerly("--perceptual-weight");
    spec.option("perceptual-files", a.perceptual_files,
                "files of the perceptual loss's networks: VGG-16's and LPIPS's, or ResNet-50's (.pth or safetensors), "
                "or the classifier")
        .placeholder("FILE,...")
        .formerly("--perceptual-weights");
    spec.option("time-distribution", a.times, "distribution of the noise levels trained on")
        .choices({"thick_tailed", "logit_normal", "uniform"});
    spec.option("code-dropout", a.code_dropout, "share of codes that are hidden, for guidance").range(0, 1);
    add_report_options(spec, a, "validations (PSNR, SSIM at 25 steps), loss.png and samples.png");
    spec.option("guidance", a.guidance, "guidance of the reconstructions in validations and samples.png")
        .range(-100, 100);
    spec.example("photos.tar -o run --train-steps 20000 --batch 64 --lr 5e-4 --decay cosine --warmup 200",
                 "trains FlowMoTiny; Ctrl-C saves, and the same command with --resume continues");
    return spec;
}

FlowMoTrainingSettings settings_of(const Arguments& a, bool resumed) {
    FlowMoTrainingSettings settings;
    FlowMoTrainOptions& o = settings.options;
    a.apply_to(o);
    o.fixed_norms = a.fixed_norms;
    o.freeze_encoder_after = a.freeze_after;
    o.times = time_distribution(a.times);
    o.code_dropout = a.code_dropout;
    o.accumulation = static_cast<int>(a.accumulate);
    o.checkpoint_blocks = a.checkpoint_blocks;
    o.sample_steps = a.stage == "1b" ? a.sample_steps : 0;
    if (a.perceptual != "none") {
        settings.perceptual = {a.perceptual, a.perceptual_factor, a.perceptual_files};
    }
    settings.initial_model = resumed ? std::string() : a.initial_model;  // the state replaces it
    return settings;
}

class Run final : public ImageTrainingRun {
   public:
    Run(const Arguments& a, Device device, const io::ImageDataset& data)
        : ImageTrainingRun(a, device, data), a_(a), model_(make_flowmo(a.config, {device})) {
        options_["accumulate"] = text(a.accumulate);
        options_["freeze-after"] = text(a.freeze_after);
        options_["fixed-norms"] = text(a.fixed_norms);
        options_["perceptual"] = a.perceptual;
        options_["stage"] = a.stage;
        options_["time-distribution"] = a.times;
        options_["code-dropout"] = exact(a.code_dropout);
        if (a.perceptual != "none") {
            options_["perceptual-factor"] = exact(a.perceptual_factor);
        }
        for (std::size_t i = 0; i < a.perceptual_files.size(); ++i) {
            options_[text("perceptual-files.", i)] = file_key(a.perceptual_files[i]);
        }
        if (a.stage == "1b") {
            options_["sample-steps"] = text(a.sample_steps);
        }
    }

   private:
    void make_training(bool resumed) override {
        training_ = make_flowmo_training(a_.config, device_, settings_of(a_, resumed));
        training_->lend_to(*model_);
        if (a_.ema_every > 0) {
            raw_ = make_flowmo(a_.config, {device_});
            training_->lend_to(*raw_, Weights::raw);
        }
    }
    AnyTraining& training() override { return *training_; }
    std::string description() const override {
        const FlowMoFacts& facts = model_->facts();
        char line[160];
        std::snprintf(line, sizeof line, "%s: %.2f M parameters, images %d x %d, %lld bytes each", facts.name.c_str(),
                      static_cast<double>(facts.parameter_count) / 1e6, facts.height, facts.width,
                      static_cast<long long>((facts.bits_per_image() + 7) / 8));
        return line;
    }
    Index parameter_count() const override { return model_->facts().parameter_count; }
    void begin(Progress& progress) override {
        held_back_ = load_fitted(split_.validation, model_->facts(), a_.evaluate_count, a_.resize, skipped_);
        shown_ = held_back_.empty() ? load_fitted(split_.train, model_->facts(), 8, a_.resize, skipped_) : held_back_;
        loader_.emplace(split_.train, loader_options(model_->facts().height, model_->facts().width, progress));
        if (training_->step_count() > 0) {
            for (const Json& line : read_jsonl(out_ / "log.jsonl")) {
                if (line.contains("psnr") && line["psnr"].is_number()) {
                    count(line["psnr"].get<double>());
                }
            }
        }
    }
    Index skipped() const override { return skipped_ + static_cast<Index>(loader_->skipped().size()); }

    PendingNumbers queue_step() override {
        return [this, pending = training_->queue_step(loader_->next().images)] { return numbers_of(pending()); };
    }
    [[nodiscard]] StepNumbers numbers_of(const FlowMoTrainReport& r) const {
        Json numbers = {{"loss", r.loss}, {"flow", r.flow}, {"quantizer", r.quantizer}};
        if (a_.perceptual != "none") {
            numbers["perceptual"] = r.perceptual;
        }
        numbers["sample_entropy"] = r.sample_entropy;
        numbers["codebook_entropy"] = r.codebook_entropy;
        numbers["gradient_norm"] = r.gradient_norm;
        numbers["learning_rate"] = r.learning_rate;
        return {r.loss, numbers};
    }

    void validate(JsonlWriter& log, Progress& progress) override {
        if (held_back_.empty()) {
            return;
        }
        const Index step = training_->step_count();
        const Quality averaged = quality(*model_);
        Json line = {{"event", "validation"},
                     {"step", step},
                     {"images", held_back_.size()},
                     {"psnr", averaged.psnr},
                     {"ssim", json_number(averaged.ssim)}};
        std::string note = text("step ", step, ": validation ", averaged.shown());
        if (raw_) {
            const Quality raw = quality(*raw_);
            line["raw_psnr"] = raw.psnr;
            line["raw_ssim"] = json_number(raw.ssim);
            note += text(" (raw weights ", raw.shown(), ")");
        }
        log.write(line);
        progress.note(note);
        judge(averaged.psnr, progress);
    }
    /// Of the held-back images at the default number of steps.
    [[nodiscard]] Quality quality(const AnyFlowMo& model) const {
        return mean_quality(held_back_, decoded(model, encode_images(model, held_back_), {}));
    }
    /// Throws `Interrupted` after Ctrl-C; with recorded steps on Cuda, which know no callback, between calls.
    [[nodiscard]] std::vector<Image> decoded(const AnyFlowMo& model, const Tokens& tokens,
                                             FlowMoDecodeOptions options) const {
        options.guidance = a_.guidance;
        leave_if_interrupted();
        EstimateCallback callback;
        if (device_ == Device::cpu) {
            callback = [this](Index, const FlowMoEstimate&) { leave_if_interrupted(); };
        }
        return decode_images(model, tokens, options, callback);
    }

    void draw_samples(Amount amount, Progress&) override {
        std::vector<Image> originals;  // up to eight, spread evenly
        const std::size_t rows = std::min<std::size_t>(amount == Amount::few ? 2 : 8, shown_.size());
        for (std::size_t i = 0; i < rows; ++i) {
            originals.push_back(shown_[i * shown_.size() / rows]);
        }
        const Tokens tokens = encode_images(*model_, originals);
        const std::vector<int> steps = {1, 4, 25};
        std::vector<std::vector<Image>> columns;
        for (const int count : steps) {
            columns.push_back(decoded(*model_, tokens, {.steps = count}));
        }
        const std::string name =
            text(a_.config, ", step ", training_->step_count(), held_back_.empty() ? ", training images" : "");
        io::write_png(out_ / "samples.png", render(reconstruction_sheet(name, originals, {}, steps, columns)));
    }
    void draw_loss() override {
        const std::vector<LoggedCurve> curves = {{"flow loss", "flow"}, {"validation PSNR", "psnr", true, true}};
        io::write_png(out_ / "loss.png",
                      training_curves(out_ / "log.jsonl", text(a_.config, ", step ", training_->step_count()), curves,
                                      "loss", "PSNR at 25 steps, dB"));
    }

    /// Keeps the best model, and ends the run where --patience is used up.
    void judge(double psnr, Progress& progress) {
        if (a_.patience == 0) {
            return;
        }
        if (count(psnr)) {
            model_->save(out_ / "best.safetensors", a_.model_dtype(), {{"step", text(training_->step_count())}});
        } else if (worse_ >= a_.patience) {
            progress.note(text("no better validation in ", worse_, " of them: stopping"));
            stop();
        }
    }

    /// Whether a validation is the best so far.
    bool count(double psnr) {
        const bool better = psnr > best_psnr_;
        best_psnr_ = std::max(psnr, best_psnr_);
        worse_ = better ? 0 : worse_ + 1;
        return better;
    }

    void save_model(const io::Path& path, const std::map<std::string, std::string>& metadata) override {
        model_->save(path, a_.model_dtype(), metadata);
    }

    const Arguments& a_;
    std::unique_ptr<AnyFlowMo> model_, raw_;  // the averaged and the raw weights, shared with the training
    std::unique_ptr<AnyFlowMoTraining> training_;
    std::optional<io::ImageLoader> loader_;
    std::vector<Image> held_back_, shown_;  // shown: of these some are in samples.png
    Index skipped_ = 0;
    double best_psnr_ = -1.0;
    Index worse_ = 0;  // validations since
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        arguments.check();
        if (arguments.batch % arguments.accumulate != 0) {
            throw UsageError("--accumulate must divide --batch");
        }
        if (arguments.stage == "1b" && (arguments.perceptual == "none" || arguments.initial_model.empty())) {
            throw UsageError("--stage 1b needs --perceptual, and a model of stage 1a with --init");
        }
        if (arguments.patience > 0 && arguments.validation == 0) {
            throw UsageError("--patience needs --validation");
        }
        const Computing computing = arguments.compute.apply();
        return Run(arguments, computing.device, io::ImageDataset(arguments.data))();
    });
}
