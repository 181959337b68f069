#pragma once

// What all training programs are told on the command line, and which of it a resumed run must have in common with the
// saved one.

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "flowfar/io/data/dataset.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/optim/rate_schedule.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/compute_options.hpp"
#include "common/files/file_key.hpp"

namespace flowfar::program {

struct TrainingArguments {
    std::string config, data, out, initial_model;
    Index steps = 10000, batch = 16, warmup = 0, ema_every = 1;
    double learning_rate = 1e-4, clip = 0, ema_decay = 0.9999;
    std::string decay = "constant", export_dtype = "bf16";
    bool flip = true, resume = false;
    std::uint64_t seed = 0;
    std::optional<std::uint64_t> split_seed;
    int resize = 0;
    ComputeArguments compute;
    Index validation = 64, evaluate_count = 64, evaluate_every = 1000, save_every = 500, log_every = 10;

    /// The seed that chooses the held-back images.
    [[nodiscard]] std::uint64_t choice() const { return split_seed.value_or(seed); }
    [[nodiscard]] RateSchedule rate() const {
        return {warmup, decay == "cosine" ? RateDecay::cosine : RateDecay::constant, steps, 0.0};
    }
    [[nodiscard]] DType model_dtype() const { return export_dtype == "bf16" ? DType::bf16 : DType::f32; }
    /// Throws UsageError for options that do not fit together.
    void check() const {
        if (decay == "cosine" && warmup >= steps) {
            throw UsageError("--warmup must be below --steps with --decay cosine");
        }
    }
};

using TrainingOptions = std::map<std::string, std::string>;

inline void add_run_options(Spec& spec, TrainingArguments& a, const std::vector<std::string>& configs) {
    spec.section("Run");
    spec.option("config", a.config, "configuration; fixes the image size").choices(configs);
    spec.option("data", a.data, "images: a folder of class folders, a flat folder, or a tar of either")
        .placeholder("PATH")
        .required();
    spec.option("out", a.out, "folder for state.safetensors, model.safetensors, log.jsonl, loss.png, samples.png")
        .placeholder("DIR")
        .required();
    spec.option("steps", a.steps, "optimizer steps in all, those before --resume included").at_least(1);
    spec.flag("resume", a.resume, "continue from DIR/state.safetensors; start anew if there is none");
    spec.option("init", a.initial_model, "start from this model file instead of random parameters").placeholder("FILE");
    spec.option("seed", a.seed, "seed of parameters, data order, noise and the choice of held-back images");
    add_compute_options(spec, a.compute, Use::training);
}
inline void add_data_options(Spec& spec, TrainingArguments& a) {
    spec.section("Data");
    spec.option("resize", a.resize, "short side of the photos before the random crop; 0: the crop's size").at_least(0);
    spec.flag("flip", a.flip, "mirror every second image, by chance");
    spec.option("validation", a.validation, "images held back by a deterministic split; 0: none").at_least(0);
    spec.option("split-seed", a.split_seed, "seed of the choice of held-back images, where it is not --seed");
}
/// `betas` describes the optimizer, such as "Adam (beta 0.9, 0.95)".
inline void add_optimizer_options(Spec& spec, TrainingArguments& a, const std::string& optimizer) {
    spec.section("Optimization");
    spec.option("batch", a.batch, "images per step").range(1, 1 << 20);
    spec.option("lr", a.learning_rate, "learning rate of " + optimizer).above(0);
    spec.option("warmup", a.warmup, "steps over which the rate rises, from 1/warmup of --lr at step 0").at_least(0);
    spec.option("decay", a.decay, "what the rate does then; cosine reaches 0 at --steps")
        .choices({"constant", "cosine"});
    spec.option("clip", a.clip, "largest norm of the gradient; 0: no clipping").at_least(0);
    spec.option("ema-decay", a.ema_decay, "decay per step of the averaged weights, which are the result").range(0, 1);
    spec.option("ema-every", a.ema_every, "steps between updates of the average; 0: no average").at_least(0);
}
inline void add_report_options(Spec& spec, TrainingArguments& a, const std::string& evaluation) {
    spec.section("Reports");
    spec.option("evaluate-every", a.evaluate_every, text("steps between ", evaluation, "; 0: only at the end"))
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

/// What a resumed run must have in common with the saved one: everything that the next losses depend on. Programs add
/// their own.
[[nodiscard]] inline TrainingOptions options_of(const TrainingArguments& a, const io::ImageDataset& data) {
    std::uint64_t names = 0;
    for (Index i = 0; i < data.size(); ++i) {
        names = fold(names, data.name(i));
    }
    TrainingOptions out = {{"config", a.config},
                           {"data", text(data.size(), " images, key ", names)},
                           {"seed", text(a.seed)},
                           {"resize", text(a.resize)},
                           {"flip", text(a.flip)},
                           {"precision", a.compute.precision},
                           {"validation", text(a.validation)},
                           {"batch", text(a.batch)},
                           {"lr", exact(a.learning_rate)},
                           {"warmup", text(a.warmup)},
                           {"decay", a.decay},
                           {"clip", exact(a.clip)},
                           {"ema-decay", exact(a.ema_decay)},
                           {"ema-every", text(a.ema_every)}};
    if (a.split_seed) {
        out["split-seed"] = text(*a.split_seed);
    }
    if (a.decay == "cosine") {
        out["steps"] = text(a.steps);
    }
    return out;
}

/// Throws Error with all options that differ from the saved run's.
inline void check_options(const io::Path& path, const TrainingOptions& options) {
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

}  // namespace flowfar::program
