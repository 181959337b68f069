// Trains a FAR on a folder or tar of images with labels or captions; see --help.

#include <memory>
#include <optional>

#include "flowfar/io/data/captions.hpp"
#include "flowfar/io/images/image.hpp"

#include "common/cli/cli.hpp"
#include "common/draw/far_images.hpp"
#include "common/draw/training_curves.hpp"
#include "common/files/file_key.hpp"
#include "common/models/latent_source.hpp"
#include "common/text/caption_source.hpp"
#include "common/text/far_text_training.hpp"
#include "common/training/far_training.hpp"
#include "common/training/image_training_run.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : TrainingArguments {
    std::string tokenizer, cache, mask_policy = "truncated_normal", language, text_cache;
    Index multiplier = 4;
    double label_drop = 0.1, dropout = 0.1, weight_decay = 0.02;
    std::optional<double> guidance;
    bool masked = false, level_per_sample = false, frequency_weights = false, simplified = true,
         checkpoint_blocks = false, captions = false, drop_decoder = true;

    Arguments() {
        config = "FarTiny";
        clip = 3.0;
        evaluate_count = 256;
        validation = 256;
    }
    /// Throws UsageError for options that do not fit together.
    void check(const Spec& spec) const {
        TrainingArguments::check();
        const std::vector<std::string> with_text = TextConfigs::names();
        if (captions != (std::ranges::find(with_text, config) != with_text.end())) {
            throw UsageError(captions ? text("--captions: expected --config of a model from text: ",
                                             program::detail::joined(with_text))
                                      : text("--config ", config, ": expected --captions for a model from text"));
        }
        for (const char* const option : {"language", "cache-text", "drop-decoder"}) {
            if (!captions && spec.given(option)) {
                throw UsageError(text("--", option, ": expected --captions beside it"));
            }
        }
        for (const char* const option : {"masked", "level-per-sample", "dropout", "checkpoint-blocks"}) {
            if (captions && spec.given(option)) {
                throw UsageError(text("--", option, ": no option of models from text, which always hide tokens and ",
                                      "draw a level per image, and have neither dropout nor recomputed blocks"));
            }
        }
    }
};

Spec make_spec(Arguments& a) {
    Spec spec("far_train",
              "Trains a FAR, which generates images of classes from low to high frequency. The classes are "
              "the data's class folders. With --captions it trains a FAR from text.");
    std::vector<std::string> configurations = FarConfigs::names();
    for (std::string& name : TextConfigs::names()) {
        configurations.push_back(std::move(name));
    }
    add_run_options(spec, a, configurations);
    spec.flag("masked", a.masked, "train with hidden tokens");
    add_data_options(spec, a);
    spec.option("tokenizer", a.tokenizer,
                "model file of the autoencoder, for configurations that do not generate pixels")
        .placeholder("FILE");
    spec.option("cache-latents", a.cache,
                "keep the autoencoder's results in this file, made if it is missing; photos are cropped in the middle")
        .placeholder("FILE");
    spec.flag("captions", a.captions,
              "the images have captions: a tar with KEY.txt for KEY.jpg (WebDataset), or a folder with captions.txt, "
              "whose lines are an image's name, a tab and its caption");
    spec.option("language", a.language, "with --captions: folder of the language model, as far_generate takes it")
        .placeholder("DIR");
    spec.option("cache-text", a.text_cache,
                "keep what the language model makes of the captions in this folder, 1.8 MB each; it is made before the "
                "first step, and continued if that was interrupted")
        .placeholder("DIR");
    add_optimizer_options(spec, a, "AdamW (beta 0.9, 0.95); published: 1e-4 per 256 images of the batch");
    spec.option("weight-decay", a.weight_decay, "weight decay of matrices outside the diffusion MLP").at_least(0);
    spec.option("dropout", a.dropout, "share of the transformer's activations dropped").range(0, 0.99);
    spec.flag("checkpoint-blocks", a.checkpoint_blocks, "recompute blocks in the backward pass: less memory, slower");
    spec.section("Loss");
    spec.option("multiplier", a.multiplier, "copies of every token, each with its own diffusion step and noise")
        .range(1, 1024);
    spec.option("label-drop", a.label_drop, "share of labels that are hidden, for guidance").range(0, 1);
    spec.flag("level-per-sample", a.level_per_sample, "draw a frequency level per image, not per batch");
    spec.flag("frequency-weights", a.frequency_weights, "weigh high levels more, up to twice");
    spec.flag("simplified", a.simplified,
              "predict the whole image at every level; --no-simplified: the next level, and then sample with "
              "--no-filter at every level");
    spec.option("mask-policy", a.mask_policy, "how many tokens --masked hides: as the released code or as the paper")
        .choices({"truncated_normal", "linear"});
    spec.flag("drop-decoder", a.drop_decoder,
              "hide prompts from the decoder, too; --no-drop-decoder: from the encoder alone, as the released code");
    add_report_options(spec, a, "validations (loss), loss.png and samples.png");
    spec.option("guidance", a.guidance, "guidance of the samples in samples.png; default: 3, FarTiny 1.5")
        .range(-100, 100);
    spec.example(
        "photos.tar -o run --train-steps 20000 --batch 64 --lr 1e-3 --decay cosine --warmup 200",
        "trains FarTiny on the classes of an archive; Ctrl-C saves, and the same command with --resume continues");
    spec.example(
        "pairs.tar -o run --captions --config FarText256 --tokenizer kl16.ckpt --language Qwen2-1.5B "
        "--cache-text features --cache-latents latents.safetensors",
        "trains the published text-to-image model on images with captions");
    return spec;
}

FarTrainingSettings settings_of(const Arguments& a, bool resumed) {
    FarTrainingSettings settings;
    FarTrainOptions& o = settings.options;
    a.apply_to(o);
    o.adam.weight_decay = a.weight_decay;
    o.loss.multiplier = a.multiplier;
    o.loss.label_drop = a.label_drop;
    o.loss.level_per_sample = a.level_per_sample;
    o.loss.frequency_weights = a.frequency_weights;
    o.loss.simplified = a.simplified;
    o.loss.mask = a.mask_policy == "linear" ? FarMaskPolicy::linear : FarMaskPolicy::truncated_normal;
    o.loss.prompt_drop = a.drop_decoder ? PromptDrop::everywhere : PromptDrop::encoder_only;
    o.loss.run = {};
    if (!a.captions) {
        o.loss.run = {{a.dropout, a.dropout, 0}, a.checkpoint_blocks};
    }
    settings.initial_model = resumed ? std::string() : a.initial_model;  // the state replaces it
    return settings;
}

class Run final : public ImageTrainingRun {
   public:
    /// `data` has a label for each image: its class, or the number of its caption.
    Run(const Arguments& a, Device device, const io::ImageDataset& data, std::vector<std::string> captions = {})
        : ImageTrainingRun(a, device, data), a_(a), names_(a.captions ? std::move(captions) : data.class_names()) {
        model_ = make_model();
        const FarFacts& facts = model_->facts();
        tokenizer_ = make_tokenizer(facts.channels, facts.height, facts.width, a.tokenizer, device);
        data.require_labels();
        require(a.captions || static_cast<Index>(names_.size()) <= facts.classes, a.data, ": ", names_.size(),
                " classes, but ", facts.name, " knows ", facts.classes);
        require(!a.captions || tokenizer_->facts().fixed_scale, a.config, ": latents of unknown scale");
        if (a.captions) {
            const auto where = [&](std::size_t i) { return text(a.data, ": ", data.name(static_cast<Index>(i))); };
            captions_.emplace(a.config, a.language, names_, where, ModelKind{device});
            options_["drop-decoder"] = text(a.drop_decoder);
            options_["mask-policy"] = a.mask_policy;
            options_.insert(captions_->key.begin(), captions_->key.end());
        }
        options_["masked"] = text(a.masked);
        options_["weight-decay"] = exact(a.weight_decay);
        options_["dropout"] = exact(a.dropout);
        options_["multiplier"] = text(a.multiplier);
        options_["label-drop"] = exact(a.label_drop);
        options_["level-per-sample"] = text(a.level_per_sample);
        options_["frequency-weights"] = text(a.frequency_weights);
        options_["simplified"] = text(a.simplified);
        options_["cached"] = text(!a.cache.empty());
        options_["tokenizer"] = a.tokenizer.empty() ? "none" : file_key(a.tokenizer);
        if (a.masked) {
            options_["mask-policy"] = a.mask_policy;
        }
    }

   private:
    [[nodiscard]] std::unique_ptr<AnyFar> make_model() {
        if (!a_.captions) {
            return make_far(a_.config, a_.masked, {device_});
        }
        std::unique_ptr<AnyFarText> model = make_far_text(a_.config, {device_});
        attach_.push_back([model = model.get()](const auto& prompts) { model->attach(prompts); });
        return model;
    }
    void make_training(bool resumed) override {
        const FarTrainingSettings settings = settings_of(a_, resumed);
        if (a_.captions) {
            std::unique_ptr<AnyFarTextTraining> training = make_far_text_training(a_.config, device_, settings);
            attach_.push_back([training = training.get()](const auto& prompts) { training->attach(prompts); });
            training_ = std::move(training);
        } else {
            training_ = make_far_training(a_.config, a_.masked, device_, settings);
        }
        training_->lend_to(*model_);
        if (a_.ema_every > 0) {
            raw_ = make_model();
            training_->lend_to(*raw_, Weights::raw);
        }
    }
    AnyTraining& training() override { return *training_; }
    std::string description() const override {
        const FarFacts& facts = model_->facts();
        char line[160];
        std::snprintf(line, sizeof line, "%s%s: %.2f M parameters, images %d x %d through %s, %lld tokens each",
                      facts.name.c_str(), facts.masked ? ", masked" : "",
                      static_cast<double>(facts.parameter_count) / 1e6, tokenizer_->facts().image_height,
                      tokenizer_->facts().image_width, tokenizer_->facts().name.c_str(),
                      static_cast<long long>(facts.tokens));
        return line;
    }
    Index parameter_count() const override { return model_->facts().parameter_count; }
    /// What a cache of latents is made of.
    [[nodiscard]] std::string cache_key() const {
        return text(options_.at("data"), ", all but ", a_.validation, " by seed ", a_.choice(), ", resized to ",
                    a_.resize, ", through ", tokenizer_->facts().name, " ", options_.at("tokenizer"),
                    a_.captions ? ", labels of captions" : "");
    }
    void begin(Progress& progress) override {
        if (!a_.cache.empty()) {  // before hours of work
            static_cast<void>(has_latent_cache(a_.cache, *tokenizer_, split_.train.size(), cache_key()));
        }
        if (a_.captions && !attach_prompts()) {
            return;
        }
        const io::LoaderOptions options =
            loader_options(tokenizer_->facts().image_height, tokenizer_->facts().image_width, progress);
        if (!tokenizer_->facts().fixed_scale) {
            io::LoaderOptions first = options;
            first.batch = std::min<Index>(64, split_.train.size());
            first.shuffle = first.random_crop = first.flip = false;
            first.start = 0;
            scale_ = tokenizer_->measured_scale(io::ImageLoader(split_.train, first).next().images);
            tokenizer_->set_scale(scale_);
        }
        if (a_.cache.empty()) {
            source_.emplace(*tokenizer_, split_.train, options);
        } else {
            if (!prepare_latent_cache(a_.cache, *tokenizer_, split_.train, options, cache_key(),
                                      [this] { return interrupted(); })) {
                return;
            }
            source_.emplace(*tokenizer_, a_.cache, options);
        }
        if (split_.validation.size() > 0) {
            io::LoaderOptions held = options;
            held.batch = std::min(a_.evaluate_count, split_.validation.size());
            held.random_crop = held.flip = false;
            held.start = 0;
            held_back_ = LatentSource(*tokenizer_, split_.validation, held).next();
        }
    }
    /// Gives the captions' contexts to all models. False if a signal came before they were ready.
    bool attach_prompts() {
        const auto prompts = captions_->source(a_.text_cache, [this] { return interrupted(); });
        captions_.reset();  // and the language model, if the contexts are in the cache
        for (const auto& attach : attach_) {
            if (prompts) {
                attach(prompts);
            }
        }
        return prompts != nullptr;
    }
    Index skipped() const override { return source_ ? source_->skipped() : 0; }

    PendingNumbers queue_step() override {
        const LatentBatch batch = source_->next();
        return [pending = training_->queue_step(batch.latents, batch.labels)] { return numbers_of(pending()); };
    }
    [[nodiscard]] static StepNumbers numbers_of(const FarTrainReport& r) {
        return {r.loss,
                {{"loss", r.loss},
                 {"mse", r.mse},
                 {"vb", r.vb},
                 {"gradient_norm", r.gradient_norm},
                 {"learning_rate", r.learning_rate}}};
    }

    void validate(JsonlWriter& log, Progress& progress) override {
        if (held_back_.labels.empty()) {
            return;
        }
        const Index step = training_->step_count();
        const FarTrainReport averaged = validation_loss(*model_);
        Json line = {{"event", "validation"},
                     {"step", step},
                     {"images", held_back_.labels.size()},
                     {"validation_loss", averaged.loss},
                     {"validation_mse", averaged.mse}};
        std::string note = text("step ", step, ": validation loss ", averaged.loss);
        if (raw_) {
            const FarTrainReport raw = validation_loss(*raw_);
            line["raw_validation_loss"] = raw.loss;
            note += text(" (raw weights ", raw.loss, ")");
        }
        log.write(line);
        progress.note(note);
    }

    /// The mean loss of what is held back, as many images at once as a training step has.
    [[nodiscard]] FarTrainReport validation_loss(const AnyFar& model) const {
        FarTrainOptions options = settings_of(a_, true).options;
        const Index count = held_back_.size();
        FarTrainReport sum{};
        for (Index first = 0; first < count; first += a_.batch) {
            leave_if_interrupted();
            const LatentBatch part = held_back_.part(first, std::min(first + a_.batch, count));
            options.seed = first == 0 ? a_.seed : fold(a_.seed, static_cast<std::uint64_t>(first));
            const FarTrainReport found = model.loss(part.latents, part.labels, options);
            const double share = static_cast<double>(part.size()) / static_cast<double>(count);
            sum.loss += share * found.loss;
            sum.mse += share * found.mse;
        }
        return sum;
    }
    /// The first ten classes; or the captions of ten images, which are held back if there are any.
    [[nodiscard]] std::vector<Index> shown_labels() const {
        const io::ImageDataset& shown = split_.validation.size() > 0 ? split_.validation : split_.train;
        std::vector<Index> out;
        const Index most = a_.captions ? shown.size() : static_cast<Index>(names_.size());
        for (Index i = 0; i < std::min<Index>(most, 10); ++i) {
            out.push_back(a_.captions ? shown.label(i) : i);
        }
        return out;
    }
    void draw_samples(Amount amount, Progress& progress) override {
        const std::string name = text(a_.config, ", step ", training_->step_count());
        FarSampleOptions options;
        options.guidance = a_.guidance;
        options.steps = DiffusionSteps::constant(25);
        options.filter_between = a_.simplified;
        options.stop = [this] { return interrupted(); };
        if (!a_.simplified) {
            options.levels = spread_levels(model_->facts().level_count(), model_->facts().level_count());
        }
        const std::size_t columns = amount == Amount::few ? 2 : 8;
        std::vector<Index> labels;
        std::vector<std::string> rows;
        for (const Index label : shown_labels()) {
            labels.insert(labels.end(), columns, label);
            const std::string& row = names_[static_cast<std::size_t>(label)];
            rows.push_back(a_.captions ? shortened(row) : row);
        }
        try {
            const Generated generated = generate_images(*model_, *tokenizer_, labels, options, false,
                                                        [this](Index, const FarEstimate&) { return !interrupted(); });
            leave_if_interrupted();  // the images are unfinished
            io::write_png(out_ / "samples.png",
                          render(class_sheet(name, rows, generated.images, columns, shown_scale(tokenizer_->facts()))));
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
        if (!a_.captions) {
            all["classes"] = escaped_lines(names_);
            all["latent_scale"] = exact(scale_);
        }
        model_->save(path, a_.model_dtype(), all);
    }

    const Arguments& a_;
    std::unique_ptr<AnyFar> model_, raw_;  // the averaged and the raw weights, shared with the training
    std::unique_ptr<AnyTokenizer> tokenizer_;
    std::vector<std::string> names_;  // of classes; or captions
    std::optional<CaptionReader> captions_;
    std::vector<std::function<void(const std::shared_ptr<PromptSource>&)>> attach_;  // to what needs the contexts
    std::unique_ptr<AnyFarTraining> training_;
    std::optional<LatentSource> source_;
    LatentBatch held_back_;
    double scale_ = 1.0;  // of tokenizers without a fixed one
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        arguments.check(spec);
        const Computing computing = arguments.compute.apply();
        if (arguments.captions) {
            io::CaptionedImages data = io::read_captioned(arguments.data);
            return Run(arguments, computing.device, data.images, std::move(data.captions))();
        }
        return Run(arguments, computing.device, io::ImageDataset(arguments.data))();
    });
}
