#pragma once

// What all training programs are told on the command line, and which of it a resumed run must have in common with the
// saved one.

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/optim/ema.hpp"
#include "flowfar/optim/rate_schedule.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/compute_options.hpp"

namespace flowfar::program {

struct TrainingArguments {
    std::string config, data, out, initial_model;
    Index steps = 10000, batch = 16, warmup = 0, ema_every = 1;
    double clip = 0, ema_decay = 0.9999;
    std::optional<double> learning_rate;
    std::string decay = "constant", ema_start = "warm", export_dtype = "bf16";
    bool flip = true, resume = false;
    std::uint64_t seed = 0;
    std::optional<std::uint64_t> split_seed;
    int resize = 0;
    ComputeArguments compute;
    Index validation = 64, evaluate_count = 64, save_every = 500, log_every = 10;
    std::optional<Index> evaluate_every;  // empty: early and then rarely, see `evaluation_due`

    /// The seed that chooses the held-back images.
    [[nodiscard]] std::uint64_t choice() const { return split_seed.value_or(seed); }
    /// Of Adam. The published rate is for models a hundred times as large; small ones learn ten times as fast.
    [[nodiscard]] double lr() const {
        const bool small = config.find("Tiny") != config.npos || config.find("Nano") != config.npos;
        return learning_rate.value_or(small ? 1e-3 : 1e-4);
    }
    [[nodiscard]] RateSchedule rate() const {
        return {warmup, decay == "cosine" ? RateDecay::cosine : RateDecay::constant, steps, 0.0};
    }
    /// Whether an evaluation follows `step`: every so many steps, or at 50, 100, 200, 400, 800, 1000, 2000, 3000, …
    [[nodiscard]] bool evaluation_due(Index step) const {
        if (evaluate_every) {
            return *evaluate_every > 0 && step % *evaluate_every == 0;
        }
        return step % 1000 == 0 ||
               (step < 1000 && step % 50 == 0 && std::has_single_bit(static_cast<std::uint64_t>(step / 50)));
    }
    [[nodiscard]] EmaStart average_start() const {
        return ema_start == "published" ? EmaStart::published : EmaStart::warm;
    }
    /// Sets what the options of all trainers have.
    template <class TrainOptions>
    void apply_to(TrainOptions& options) const {
        options.adam.learning_rate = lr();
        options.rate = rate();
        options.clip = clip;
        options.ema_decay = ema_decay;
        options.ema_every = ema_every;
        options.ema_start = average_start();
        options.seed = seed;
    }
    [[nodiscard]] DType model_dtype() const { return export_dtype == "bf16" ? DType::bf16 : DType::f32; }
    /// Throws UsageError for options that do not fit together.
    void check() const {
        if (decay == "cosine" && warmup >= steps) {
            throw UsageError("--warmup must be below --train-steps with --decay cosine");
        }
    }
};

using TrainingOptions = std::map<std::string, std::string>;

/// `data` describes the data, `fixed` what a configuration fixes.
inline void add_run_options(
    Spec& spec, TrainingArguments& a, const std::vector<std::string>& configs,
    const std::string& data = "images: a folder of class folders, a flat folder, or a tar of either",
    const std::string& fixed = "the image size") {
    spec.section("Run");
    spec.option("config", a.config, "configuration; fixes " + fixed).choices(configs);
    spec.positional("DATA", a.data, data).alias("--data");
    spec.option("out", a.out, "folder for state.safetensors, model.safetensors, log.jsonl, loss.png, samples.png")
        .alias("-o")
        .placeholder("DIR")
        .required();
    spec.option("train-steps", a.steps, "optimizer steps in all, those before --resume included")
        .at_least(1)
        .formerly("--steps");
    spec.flag("resume", a.resume, "continue from DIR/state.safetensors; start anew if there is none");
    spec.option("init", a.initial_model, "start from this model file instead of random parameters").placeholder("FILE");
    spec.option("seed", a.seed, "seed of parameters, data order, noise and the choice of held-back images");
    add_compute_options(spec, a.compute, Use::training);
}
inline void add_split_options(Spec& spec, TrainingArguments& a) {
    spec.option("validation", a.validation, "images held back by a deterministic split; 0: none").at_least(0);
    spec.option("split-seed", a.split_seed, "seed of the choice of held-back images, where it is not --seed");
}
inline void add_data_options(Spec& spec, TrainingArguments& a) {
    spec.section("Data");
    spec.option("resize", a.resize, "short side of the photos before the random crop; 0: the crop's size").at_least(0);
    spec.flag("flip", a.flip, "mirror every second image, by chance");
    add_split_options(spec, a);
}
/// `betas` describes the optimizer, such as "Adam (beta 0.9, 0.95)".
inline void add_optimizer_options(Spec& spec, TrainingArguments& a, const std::string& optimizer) {
    spec.section("Optimization");
    spec.option("batch", a.batch, "images per step").range(1, 1 << 20);
    spec.option("lr", a.learning_rate, "learning rate of " + optimizer + "; default: 1e-4, Tiny and Nano 1e-3")
        .above(0);
    spec.option("warmup", a.warmup, "steps over which the rate rises, from 1/warmup of --lr at step 0").at_least(0);
    spec.option("decay", a.decay, "what the rate does then; cosine reaches 0 at --train-steps")
        .choices({"constant", "cosine"});
    spec.option("clip", a.clip, "largest norm of the gradient; 0: no clipping").at_least(0);
    spec.option("ema-decay", a.ema_decay, "decay per step of the averaged weights, which are the result").range(0, 1);
    spec.option("ema-every", a.ema_every, "steps between updates of the average; 0: no average").at_least(0);
    spec.option("ema-start", a.ema_start,
                "warm: at step s the decay is at most (1 + s) / (10 + s), so that short runs forget the random start; "
                "published: --ema-decay from the first step on")
        .choices({"warm", "published"});
}
inline void add_report_options(Spec& spec, TrainingArguments& a, const std::string& evaluation) {
    spec.section("Reports");
    spec.option("evaluate-every", a.evaluate_every,
                text("steps between ", evaluation,
                     "; 0: only at the end; default: after 50, 100, 200, 400 and 800 steps, then every 1000"))
        .at_least(0);
    spec.option("evaluate-count", a.evaluate_count, "held-back images used in one evaluation").at_least(1);
    spec.option("save-every", a.save_every, "steps between saves of state and model; 0: only at the end").at_least(0);
    spec.option("log-every", a.log_every, "steps between lines of log.jsonl").at_least(1);
    spec.option("export-dtype", a.export_dtype, "element type of model.safetensors").choices({"bf16", "f32"});
}

/// The shortest text that reads back as the same number.
[[nodiscard]] inline std::string exact(double value) {
    char buffer[32];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

/// What a resumed run must have in common with the saved one: everything that the next losses depend on. `data` tells
/// the data apart. Programs add their own.
[[nodiscard]] inline TrainingOptions options_of(const TrainingArguments& a, const std::string& data) {
    TrainingOptions out = {{"config", a.config},
                           {"data", data},
                           {"seed", text(a.seed)},
                           {"precision", a.compute.precision},
                           {"validation", text(a.validation)},
                           {"batch", text(a.batch)},
                           {"lr", exact(a.lr())},
                           {"warmup", text(a.warmup)},
                           {"decay", a.decay},
                           {"clip", exact(a.clip)},
                           {"ema-decay", exact(a.ema_decay)},
                           {"ema-every", text(a.ema_every)},
                           {"ema-start", a.ema_start},
                           {"split-seed", text(a.choice())}};
    if (a.decay == "cosine") {
        out["train-steps"] = text(a.steps);
    }
    return out;
}

/// What the last version's states call an option.
[[nodiscard]] inline std::string former_name(const std::string& name) {
    constexpr std::string_view files = "perceptual-files";
    return name == "train-steps"         ? "steps"
           : name == "perceptual-factor" ? "perceptual-weight"
           : name.starts_with(files)     ? text("perceptual-weights", name.substr(files.size()))
                                         : name;
}

/// Throws Error with all options that differ from the saved run's.
inline void check_options(const io::Path& path, const TrainingOptions& options) {
    const io::SafetensorsFile file(path);
    std::string report;
    const auto saved = [&](const std::string& name) -> std::optional<std::string> {
        const auto found = file.metadata().find("option." + name);
        return found != file.metadata().end() ? std::optional(found->second) : std::nullopt;
    };
    for (const auto& [name, value] : options) {
        std::optional<std::string> before_if_any = saved(name);
        if (!before_if_any) {  // the last version's states
            before_if_any = name == "ema-start"    ? "published"
                            : name == "split-seed" ? saved("seed")
                                                   : saved(former_name(name));
        }
        const std::string before = before_if_any.value_or("nothing");
        if (before != value) {
            report += text("\n  --", name, ": saved ", before, ", now ", value);
        }
    }
    require(report.empty(), path.string(), ": the run cannot be resumed with other options:", report);
}

}  // namespace flowfar::program
