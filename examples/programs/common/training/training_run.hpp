#pragma once

// The course of a training program: start or resume, steps with progress and log, evaluations and saves at intervals,
// an orderly end after Ctrl-C. The programs fill in what differs.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/cli/interrupt.hpp"
#include "common/cli/jsonl.hpp"
#include "common/cli/printable.hpp"
#include "common/cli/progress.hpp"
#include "common/files/folder_lock.hpp"
#include "common/training/training.hpp"
#include "common/training/training_options.hpp"

namespace flowfar::program {

/// What a step reports: its loss for the progress line, and all of its numbers for the log.
struct StepNumbers {
    double loss = 0;
    Json numbers;
};
/// Waits for the numbers of a step that has been queued.
using PendingNumbers = std::function<StepNumbers()>;

class TrainingRun {
   public:
    /// What --data holds: in words, how many images to train on and how many held back, and what tells it apart.
    struct Data {
        std::string found;
        Index train = 0, held_back = 0;
        std::string key;
    };
    TrainingRun(const TrainingArguments& arguments, Device device, Data data)
        : common_(arguments),
          device_(device),
          out_(arguments.out),
          data_(std::move(data)),
          options_(options_of(arguments, data_.key)) {}
    TrainingRun(const TrainingRun&) = delete;
    TrainingRun& operator=(const TrainingRun&) = delete;
    virtual ~TrainingRun() = default;

    /// Runs to the end or to an interruption; returns main()'s result.
    int operator()() {
        start();
        AnyTraining& run = training();
        const Index first = run.step_count();
        JsonlWriter log =
            first > 0 ? JsonlWriter::resume(out_ / "log.jsonl", first) : JsonlWriter::create(out_ / "log.jsonl");
        write_start(log, first);
        const InterruptGuard interrupt("\nstopping after this step, again to abandon\n");
        interrupt_ = &interrupt;
        Progress progress("train", common_.steps, first);
        begin(progress);
        if (first > 0 && evaluation_due(first) && data_.held_back > 0 && !validated(first)) {
            evaluate(log, progress);  // a signal ended the one that this step asks for
        }
        try {
            make_steps(first, log, progress);
        } catch (const Error&) {  // state and model stay as they were saved last; the curves show how it came about
            progress.finish();
            draw_curves();
            throw;
        }
        progress.finish();
        save();  // also where nothing was left to do: a run killed between state and model has an old model
        std::printf("%s at step %lld: %s, %s\n", interrupt.requested() ? "interrupted and saved" : "finished",
                    static_cast<long long>(run.step_count()), (out_ / "state.safetensors").c_str(),
                    (out_ / "model.safetensors").c_str());
        std::fflush(stdout);
        const bool changed = run.step_count() > first || !std::filesystem::exists(out_ / "samples.png");
        if (run.step_count() > 0 && changed && shown_step_ != run.step_count()) {
            leaving_ = true;  // from here on only a second signal stops, and everything that counts is saved
            if (interrupt.requested()) {
                std::fputs("drawing samples.png, again to abandon\n", stderr);
            }
            draw_curves();
            draw_samples(interrupt.requested() ? Amount::few : Amount::all, progress);
        }
        interrupt_ = nullptr;
        std::printf("unreadable files skipped: %lld\n", static_cast<long long>(skipped()));
        return interrupt.exit_code();
    }

   protected:
    /// Makes the training; with `resumed`, parameters need no values.
    virtual void make_training(bool resumed) = 0;
    [[nodiscard]] virtual AnyTraining& training() = 0;
    /// One line about the model, such as "FarTiny: 0.99 M parameters, images 32 x 32".
    [[nodiscard]] virtual std::string description() const = 0;
    [[nodiscard]] virtual Index parameter_count() const = 0;
    /// Opens the data; called once, before the first step.
    virtual void begin(Progress& progress) = 0;
    /// Takes a batch and makes one step of it.
    [[nodiscard]] virtual PendingNumbers queue_step() = 0;
    /// How many samples are drawn: few where somebody waits for the end.
    enum class Amount { few, all };

    /// Writes one line of numbers about the held-back images, if there are any, to the log. Throws `Interrupted`.
    virtual void validate(JsonlWriter& log, Progress& progress) = 0;
    /// Writes samples.png. Throws `Interrupted`.
    virtual void draw_samples(Amount amount, Progress& progress) = 0;
    /// Writes loss.png; called only when the log has lines.
    virtual void draw_loss() = 0;
    virtual void save_model(const io::Path& path, const std::map<std::string, std::string>& metadata) = 0;
    [[nodiscard]] virtual Index skipped() const = 0;

    /// Whether Ctrl-C asked for an end; work before the first step may ask, too.
    [[nodiscard]] bool interrupted() const { return interrupt_ != nullptr && interrupt_->requested() && !leaving_; }
    /// Throws `Interrupted` after Ctrl-C.
    void leave_if_interrupted() const {
        if (interrupted()) {
            throw Interrupted();
        }
    }
    /// Ends the run after the step at hand, as if it had been the last.
    void stop() { stopped_ = true; }

    const TrainingArguments& common_;
    const Device device_;
    const std::filesystem::path out_;
    const Data data_;
    TrainingOptions options_;

   private:
    std::optional<FolderLock> lock_;
    bool stopped_ = false, leaving_ = false;
    Index shown_step_ = -1;  // of samples.png and loss.png
    const InterruptGuard* interrupt_ = nullptr;

    void start() {
        std::filesystem::create_directories(out_);
        lock_.emplace(out_);
        const io::Path state = out_ / "state.safetensors";
        const bool saved = std::filesystem::exists(state);
        require(common_.resume || !saved, state.string(),
                ": there is a run already; add --resume or choose another --out");
        if (saved) {
            check_options(state, options_);
        }
        make_training(saved);
        if (saved) {
            training().load(state);
            std::printf("resumed at step %lld\n", static_cast<long long>(training().step_count()));
        }
    }

    /// Steps with reports, evaluations and saves, until all are made or the run is to stop.
    void make_steps(Index first, JsonlWriter& log, Progress& progress) {
        const auto clock = std::chrono::steady_clock::now();
        const auto report = [&](PendingNumbers& pending, Index at) {
            const StepNumbers found = std::exchange(pending, nullptr)();
            progress.update(at, found.loss, common_.batch);
            if (at % common_.log_every == 0 || at == common_.steps) {
                const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - clock;
                Json line = {{"event", "step"}, {"step", at}};
                line.update(found.numbers);
                line["images_per_second"] = static_cast<double>((at - first) * common_.batch) / seconds.count();
                log.write(line);
            }
        };
        PendingNumbers before;  // the report of the last step, asked for when the device has the next one to do
        while (training().step_count() < common_.steps && !interrupted() && !stopped_) {
            PendingNumbers pending = queue_step();
            const Index at = training().step_count();
            if (before) {
                report(before, at - 1);
            }
            before = std::move(pending);
            const bool to_evaluate = evaluation_due(at);
            const bool to_save = at == common_.steps || (common_.save_every > 0 && at % common_.save_every == 0);
            if (to_evaluate || to_save) {
                report(before, at);
            }
            // The evaluation comes first: a run killed between the two repeats it.
            if (to_evaluate) {
                evaluate(log, progress);
            }
            if (to_save) {
                save();
            }
        }
        if (before) {
            report(before, training().step_count());
        }
    }

    [[nodiscard]] bool evaluation_due(Index step) const {
        return step == common_.steps || common_.evaluation_due(step);
    }
    /// Whether the log has the numbers of this step's evaluation.
    [[nodiscard]] bool validated(Index step) const {
        return std::ranges::any_of(read_jsonl(out_ / "log.jsonl"), [&](const Json& line) {
            return line.value("event", "") == "validation" && line.value("step", Index{-1}) == step;
        });
    }

    /// Numbers, then pictures. A signal ends it at once.
    void evaluate(JsonlWriter& log, Progress& progress) {
        try {
            validate(log, progress);
            draw_samples(Amount::all, progress);
        } catch (const Interrupted&) {
            return;
        }
        draw_curves();
        shown_step_ = training().step_count();
    }
    void draw_curves() {
        const std::vector<Json> lines = read_jsonl(out_ / "log.jsonl");
        if (std::ranges::any_of(lines, [](const Json& line) { return line.value("event", "") == "step"; })) {
            draw_loss();
        }
    }

    void write_start(JsonlWriter& log, Index step) {
        Json line = {{"event", "start"}, {"step", step}, {"parameters", parameter_count()}};
        line["device"] = name_of(device_);
        line["threads"] = Cpu::threads();
        for (const auto& [name, value] : options_) {
            line["options"][name] = value;
        }
        log.write(line);
        std::printf("%s; %lld images to train on, %lld held back\n", description().c_str(),
                    static_cast<long long>(data_.train), static_cast<long long>(data_.held_back));
        std::printf("%s: %s\n", common_.data.c_str(), data_.found.c_str());
        std::fflush(stdout);
    }

    void save() {
        std::map<std::string, std::string> facts = {{"images", text(training().step_count() * common_.batch)}};
        for (const auto& [name, value] : options_) {
            facts["option." + name] = value;
        }
        training().save(out_ / "state.safetensors", facts);
        save_model(out_ / "model.safetensors", {{"step", text(training().step_count())},
                                                {"seed", text(common_.seed)},
                                                {"validation", text(common_.validation)},
                                                {"split-seed", text(common_.choice())},
                                                {"resize", text(common_.resize)},
                                                {"data", options_.at("data")}});
    }
};

}  // namespace flowfar::program
