// Trains a FlowMo on a folder or tar of images; see --help.

#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include "flowfar/io/image.hpp"
#include "flowfar/io/loader.hpp"
#include "flowfar/io/train_state.hpp"

#include "support/cli.hpp"
#include "support/flowmo_reports.hpp"
#include "support/flowmo_training.hpp"
#include "support/interrupt.hpp"
#include "support/progress.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
namespace fs = std::filesystem;

struct Arguments {
    std::string config = "FlowMoTiny", data, out, initial_model;
    Index steps = 10000, batch = 16, warmup = 0, accumulate = 1, freeze_after = 200000, ema_every = 10;
    double learning_rate = 1e-4, clip = 0, ema_decay = 0.9999, code_dropout = 0.1;
    std::string decay = "constant", perceptual = "none", times = "thick_tailed", export_dtype = "bf16";
    double perceptual_weight = 0.1, guidance = 1.5;
    bool fixed_norms = true, checkpoint_blocks = false, flip = true, resume = false;
    std::uint64_t seed = 0;
    int resize = 0, threads = 0;
    Index validation = 64, evaluate_count = 64, evaluate_every = 1000, save_every = 500, log_every = 10;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_train",
              "Trains a FlowMo image tokenizer (stage 1A: flow, quantizer and optional perceptual loss) on the CPU.");
    spec.section("Run");
    spec.option("config", a.config, "configuration; fixes the image size").choices(FlowMoConfigs::names());
    spec.option("data", a.data, "images: a folder of class folders, a flat folder, or a tar of either")
        .placeholder("PATH")
        .required();
    spec.option("out", a.out, "folder for state.safetensors, model.safetensors, log.jsonl, loss.png, samples.png")
        .placeholder("DIR")
        .required();
    spec.option("steps", a.steps, "optimiser steps in all, those before --resume included").at_least(1);
    spec.flag("resume", a.resume, "continue from DIR/state.safetensors; start anew if there is none");
    spec.option("init", a.initial_model, "start from this model file instead of random parameters").placeholder("FILE");
    spec.option("seed", a.seed, "of parameters, data order, noise and the choice of held-back images");
    spec.option("threads", a.threads, "of the computation; 0: one per processor").range(0, 1024);
    spec.section("Data");
    spec.option("resize", a.resize, "short side of the photos before the random crop; 0: the crop's size").at_least(0);
    spec.flag("flip", a.flip, "mirror every second image, by chance");
    spec.option("validation", a.validation, "images held back by a deterministic split; 0: none").at_least(0);
    spec.section("Optimisation");
    spec.option("batch", a.batch, "images per step").at_least(1);
    spec.option("accumulate", a.accumulate, "chunks that a batch is cut into, to save memory").range(1, 1 << 20);
    spec.option("lr", a.learning_rate, "learning rate of Adam (beta 0.9, 0.95)").above(0);
    spec.option("warmup", a.warmup, "steps over which the rate rises, from 1/warmup of --lr at step 0").at_least(0);
    spec.option("decay", a.decay, "what the rate does then; cosine reaches 0 at --steps")
        .choices({"constant", "cosine"});
    spec.option("clip", a.clip, "largest norm of the gradient; 0: no clipping").at_least(0);
    spec.option("ema-decay", a.ema_decay, "per step, of the averaged weights, which are the result").range(0, 1);
    spec.option("ema-every", a.ema_every, "steps between updates of the average; 0: no average").at_least(0);
    spec.option("freeze-after", a.freeze_after, "steps after which the encoder is frozen; -1: never").at_least(-1);
    spec.flag("fixed-norms", a.fixed_norms, "rescale block weights to their initial norms after every step");
    spec.flag("checkpoint-blocks", a.checkpoint_blocks, "recompute blocks in the backward pass: less memory, slower");
    spec.section("Loss");
    spec.option("perceptual", a.perceptual,
                "gradient: multi-scale differences of neighbours, a weight-free stand-in for LPIPS")
        .choices({"none", "gradient"});
    spec.option("perceptual-weight", a.perceptual_weight, "its factor").above(0);
    spec.option("time-distribution", a.times, "of the training times")
        .choices({"thick_tailed", "logit_normal", "uniform"});
    spec.option("code-dropout", a.code_dropout, "share of codes that are hidden, for guidance").range(0, 1);
    spec.section("Reports");
    spec.option("evaluate-every", a.evaluate_every,
                "steps between validations (PSNR, SSIM at 25 steps), loss.png and samples.png; 0: only at the end")
        .at_least(0);
    spec.option("evaluate-count", a.evaluate_count, "held-back images used for them").at_least(1);
    spec.option("guidance", a.guidance, "of these reconstructions").range(-100, 100);
    spec.option("save-every", a.save_every, "steps between saves of state and model; 0: only at the end").at_least(0);
    spec.option("log-every", a.log_every, "steps between lines of log.jsonl").at_least(1);
    spec.option("export-dtype", a.export_dtype, "of model.safetensors").choices({"bf16", "f32"});
    spec.example("--data photos.tar --out run --steps 20000 --batch 64 --lr 5e-4 --decay cosine --warmup 200",
                 "trains FlowMoTiny; Ctrl-C saves, and the same command with --resume continues");
    return spec;
}

std::string exact(double value) {
    char buffer[32];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

/// What a resumed run must have in common with the saved one: everything that the next losses depend on.
std::map<std::string, std::string> options_of(const Arguments& a, const io::ImageDataset& data) {
    std::uint64_t names = 0;
    for (Index i = 0; i < data.size(); ++i) {
        names = fold(names, data.name(i));
    }
    std::map<std::string, std::string> out = {{"config", a.config},
                                              {"data", text(data.size(), " images, key ", names)},
                                              {"seed", text(a.seed)},
                                              {"resize", text(a.resize)},
                                              {"flip", text(a.flip)},
                                              {"validation", text(a.validation)},
                                              {"batch", text(a.batch)},
                                              {"accumulate", text(a.accumulate)},
                                              {"lr", exact(a.learning_rate)},
                                              {"warmup", text(a.warmup)},
                                              {"decay", a.decay},
                                              {"clip", exact(a.clip)},
                                              {"ema-decay", exact(a.ema_decay)},
                                              {"ema-every", text(a.ema_every)},
                                              {"freeze-after", text(a.freeze_after)},
                                              {"fixed-norms", text(a.fixed_norms)},
                                              {"perceptual", a.perceptual},
                                              {"time-distribution", a.times},
                                              {"code-dropout", exact(a.code_dropout)}};
    if (a.decay == "cosine") {
        out["steps"] = text(a.steps);
    }
    if (a.perceptual != "none") {
        out["perceptual-weight"] = exact(a.perceptual_weight);
    }
    return out;
}

/// Throws Error with all options that differ from those of the saved run.
void check_options(const io::Path& path, const std::map<std::string, std::string>& options) {
    const io::SafetensorsFile file(path);
    std::string report;
    for (const auto& [name, value] : options) {
        const auto saved = file.metadata().find("option." + name);
        if (saved == file.metadata().end() || saved->second != value) {
            const std::string before = saved == file.metadata().end() ? "nothing" : saved->second;
            report += text("\n  --", name, ": saved ", before, ", now ", value);
        }
    }
    require(report.empty(), path.string(), ": the run cannot be resumed with other options:", report);
}

FlowMoTrainingSettings settings_of(const Arguments& a) {
    FlowMoTrainingSettings settings;
    FlowMoTrainOptions& o = settings.options;
    o.adam.learning_rate = a.learning_rate;
    o.rate = {a.warmup, a.decay == "cosine" ? RateDecay::cosine : RateDecay::constant, a.steps, 0.0};
    o.clip = a.clip;
    o.ema_decay = a.ema_decay;
    o.ema_every = a.ema_every;
    o.fixed_norms = a.fixed_norms;
    o.freeze_encoder_after = a.freeze_after;
    o.times = time_distribution(a.times);
    o.code_dropout = a.code_dropout;
    o.accumulation = static_cast<int>(a.accumulate);
    o.checkpoint_blocks = a.checkpoint_blocks;
    o.seed = a.seed;
    settings.gradient_weight = a.perceptual == "gradient" ? a.perceptual_weight : 0.0;
    settings.initial_model = a.initial_model;
    return settings;
}

/// One run: what its parts have in common, and the actions that happen at intervals.
class Run {
   public:
    explicit Run(const Arguments& a)
        : a_(a),
          out_(a.out),
          model_(make_flowmo(a.config)),
          data_(a.data),
          split_(split(data_, a)),
          options_(options_of(a, data_)),
          training_(start()),
          log_(training_->step_count() > 0 ? JsonlWriter::resume(out_ / "log.jsonl", training_->step_count())
                                           : JsonlWriter::create(out_ / "log.jsonl")) {
        training_->lend_to(*model_);
        held_back_ = load_fitted(split_.validation, model_->facts(), a.evaluate_count, a.resize, skipped_);
    }

    int operator()() {
        const Index first = training_->step_count();
        write_start();
        const InterruptGuard interrupt;
        Progress progress("train", a_.steps, first);
        io::ImageLoader loader(split_.train, loader_options(progress));
        const auto begin = std::chrono::steady_clock::now();
        while (training_->step_count() < a_.steps && !interrupt.requested()) {
            const FlowMoTrainReport report = training_->step(loader.next().images);
            const Index step = training_->step_count();
            progress.update(step, report.loss, a_.batch);
            if (step % a_.log_every == 0 || step == a_.steps) {
                const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
                write_step(step, report, static_cast<double>((step - first) * a_.batch) / seconds.count());
            }
            // The evaluation comes first: a run killed between the two repeats it.
            if (due(a_.evaluate_every, step)) {
                evaluate(progress);
            }
            if (due(a_.save_every, step)) {
                save();
            }
        }
        progress.finish();
        save();  // also where nothing was left to do: a run killed between state and model has an old model
        std::printf("%s at step %lld: %s, %s\n", interrupt.requested() ? "interrupted and saved" : "finished",
                    static_cast<long long>(training_->step_count()), (out_ / "state.safetensors").c_str(),
                    (out_ / "model.safetensors").c_str());
        std::printf("unreadable files skipped: %lld\n",
                    static_cast<long long>(skipped_ + static_cast<Index>(loader.skipped().size())));
        return interrupt.exit_code();
    }

   private:
    static io::ImageDataset::Split split(const io::ImageDataset& data, const Arguments& a) {
        require(a.validation < data.size(), a.data, ": --validation ", a.validation, " leaves none of the ",
                data.size(), " images for training");
        return data.split(a.validation, a.seed);
    }

    std::unique_ptr<AnyFlowMoTraining> start() {
        const io::Path state = out_ / "state.safetensors";
        const bool saved = fs::exists(state);
        require(a_.resume || !saved, state.string(), ": there is a run already; add --resume or choose another --out");
        if (saved) {
            check_options(state, options_);
        }
        FlowMoTrainingSettings settings = settings_of(a_);
        if (saved) {
            settings.initial_model.clear();  // the state replaces it
        }
        auto training = make_flowmo_training(a_.config, settings);
        fs::create_directories(out_);
        if (saved) {
            training->load(state);
            std::printf("resumed at step %lld\n", static_cast<long long>(training->step_count()));
        }
        return training;
    }

    [[nodiscard]] io::LoaderOptions loader_options(Progress& progress) const {
        io::LoaderOptions o;
        o.batch = a_.batch;
        o.size = model_->facts().height;
        o.resize = a_.resize;
        o.random_crop = true;
        o.flip = a_.flip;
        o.drop_last = false;
        o.seed = a_.seed;
        o.start = static_cast<std::uint64_t>(training_->step_count());
        o.cache_bytes = std::uint64_t{1} << 30;
        o.on_skip = [&progress](const io::SkippedImage& image) {
            progress.note(text("skipped ", image.name, ": ", image.reason));
        };
        return o;
    }

    [[nodiscard]] bool due(Index every, Index step) const {
        return step == a_.steps || (every > 0 && step % every == 0);
    }

    void write_start() {
        const FlowMoFacts& facts = model_->facts();
        Json line = {{"event", "start"}, {"step", training_->step_count()}, {"parameters", facts.parameter_count}};
        line["threads"] = Cpu::threads();
        for (const auto& [name, value] : options_) {
            line["options"][name] = value;
        }
        log_.write(line);
        std::printf("%s: %.2f M parameters, images %d x %d, %lld bytes each; %lld images to train on, %lld held back\n",
                    facts.name.c_str(), static_cast<double>(facts.parameter_count) / 1e6, facts.height, facts.width,
                    static_cast<long long>((facts.bits_per_image() + 7) / 8),
                    static_cast<long long>(split_.train.size()), static_cast<long long>(split_.validation.size()));
        std::fflush(stdout);
    }

    void write_step(Index step, const FlowMoTrainReport& r, double images_per_second) {
        Json line = {{"event", "step"}, {"step", step}, {"loss", r.loss}, {"flow", r.flow}, {"quantizer", r.quantizer}};
        if (a_.perceptual != "none") {
            line["perceptual"] = r.perceptual;
        }
        line["sample_entropy"] = r.sample_entropy;
        line["codebook_entropy"] = r.codebook_entropy;
        line["gradient_norm"] = r.gradient_norm;
        line["learning_rate"] = r.learning_rate;
        line["images_per_second"] = images_per_second;
        log_.write(line);
    }

    void evaluate(Progress& progress) {
        const Index step = training_->step_count();
        const std::string name = text(a_.config, ", step ", step);
        if (!held_back_.empty()) {
            FlowMoDecodeOptions options;
            options.guidance = a_.guidance;
            const std::vector<io::Image> again = decode_images(*model_, encode_images(*model_, held_back_), options);
            const Quality mean = mean_quality(held_back_, again);
            log_.write({{"event", "validation"},
                        {"step", step},
                        {"images", held_back_.size()},
                        {"psnr", mean.psnr},
                        {"ssim", mean.ssim}});
            progress.note(text("step ", step, ": validation ", mean.shown()));

            std::vector<io::Image> originals;  // up to eight, spread evenly
            const std::size_t rows = std::min<std::size_t>(8, held_back_.size());
            for (std::size_t i = 0; i < rows; ++i) {
                originals.push_back(held_back_[i * held_back_.size() / rows]);
            }
            const Tokens shown = encode_images(*model_, originals);
            const std::vector<int> steps = {1, 4, 25};
            std::vector<std::vector<io::Image>> columns;
            for (const int count : steps) {
                options.steps = count;
                columns.push_back(decode_images(*model_, shown, options));
            }
            const io::Image sheet = render(reconstruction_sheet(name, originals, {}, steps, columns));
            io::write_png(out_ / "samples.png", sheet);
        }
        if (training_->step_count() > 1) {
            io::write_png(out_ / "loss.png", training_curves(out_ / "log.jsonl", name));
        }
    }

    void save() {
        std::map<std::string, std::string> facts = {{"images", text(training_->step_count() * a_.batch)}};
        for (const auto& [name, value] : options_) {
            facts["option." + name] = value;
        }
        training_->save(out_ / "state.safetensors", facts);
        model_->save(out_ / "model.safetensors", a_.export_dtype == "bf16" ? DType::bf16 : DType::f32,
                     {{"step", text(training_->step_count())},
                      {"seed", text(a_.seed)},
                      {"validation", text(a_.validation)},
                      {"resize", text(a_.resize)},
                      {"data", options_.at("data")}});
    }

    const Arguments& a_;
    const fs::path out_;
    std::unique_ptr<AnyFlowMo> model_;  // the averaged weights, shared with the training
    io::ImageDataset data_;
    io::ImageDataset::Split split_;
    std::map<std::string, std::string> options_;
    std::unique_ptr<AnyFlowMoTraining> training_;
    JsonlWriter log_;
    std::vector<io::Image> held_back_;
    Index skipped_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        if (arguments.decay == "cosine" && arguments.warmup >= arguments.steps) {
            throw UsageError("--warmup must be below --steps with --decay cosine");
        }
        if (arguments.batch % arguments.accumulate != 0) {
            throw UsageError("--accumulate must divide --batch");
        }
        if (arguments.threads > 0) {
            Cpu::set_threads(arguments.threads);
        }
        return Run(arguments)();
    });
}
