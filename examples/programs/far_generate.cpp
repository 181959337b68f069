// Generates images of classes, or from text, with a trained FAR; see --help.

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/images/image.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/far_options.hpp"
#include "common/cli/interrupt.hpp"
#include "common/cli/jsonl.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/bounded_sheet.hpp"
#include "common/draw/far_images.hpp"
#include "common/files/class_plan.hpp"
#include "common/files/default_model.hpp"
#include "common/files/file_key.hpp"
#include "common/files/image_folder.hpp"
#include "common/files/outputs.hpp"
#include "common/files/part.hpp"
#include "common/models/far_file.hpp"
#include "common/text/far_text_file.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : FarSamplingArguments {
    FarFileArguments file{default_model("far_tiny.safetensors"), "", "", false};
    PromptArguments text;
    std::vector<std::string> classes;
    std::optional<Index> count;
    bool release_language = false;
    std::string out = "far.png", progressive, folder, part;

    /// Images of each class or prompt.
    [[nodiscard]] Index each(PromptKind kind) const {
        require(kind != PromptKind::captions || count.value_or(1) == 1, "--count: ", count.value_or(1),
                ", expected 1 for captions, whose images have their ids for names");
        return count.value_or(kind == PromptKind::captions ? 1 : kind == PromptKind::geneval ? 4 : 8);
    }
};

Spec make_spec(Arguments& a) {
    Spec spec("far_generate",
              "Generates images of classes with a FAR, from low to high frequency. Without --model it uses the small "
              "CIFAR-10 model that comes with the library.");
    spec.section("What");
    spec.option("classes", a.classes,
                "numbers of the classes, or names if the model's file has them, one row each; -1 or any: no class; "
                "default: the first ten")
        .placeholder("CLASS,...");
    spec.option(
            "prompt", a.text.prompt,
            "words to generate images from, in place of classes; \"\" is a prompt, too. Needs --language and a --model "
            "that was trained with prompts")
        .placeholder("TEXT")
        .may_be_empty();
    spec.option("prompts", a.text.prompts,
                "the same with a prompt per line of a file; a row for each. FILE.tsv has captions with ids (COCO): one "
                "image each, ID.png in --folder, for FID. FILE.jsonl has GenEval's metadata: --folder is then laid out "
                "as its evaluation reads it, with four images of each")
        .placeholder("FILE");
    spec.option("count", a.count, "images of each class or prompt; default: 8, where --prompts does not say otherwise")
        .range(1, 1 << 20);
    spec.option("out", a.out,
                "sheet with a row per class, of the first images that fit into 8192 pixels; none with --folder alone")
        .alias("-o")
        .placeholder("PNG");
    spec.option("progressive", a.progressive, "also a sheet with a row per level, for the first image of each class")
        .placeholder("PNG");
    spec.option(
            "folder", a.folder,
            "every image as a file of its own, in one folder per class, written as it is made; those that are there "
            "from an interrupted run of the same options are not made again")
        .placeholder("DIR");
    spec.option("part", a.part,
                "make only this part of the classes or prompts, such as 2/4: runs with 1/4, 2/4, 3/4 and 4/4, on one "
                "machine or several, fill the --folder together")
        .placeholder("I/N");
    spec.section("Model");
    spec.option("model", a.file.model,
                "weights of a FAR: as published (.pth, averaged ones preferred), or far_train's; formats are told by "
                "contents, the configuration by the file or its tensors")
        .placeholder("FILE");
    spec.option("tokenizer", a.file.tokenizer, "model file of the autoencoder, for models that do not generate pixels")
        .placeholder("FILE");
    spec.option("language", a.text.language,
                "folder of Qwen2, which reads the prompts: config.json, safetensors and its tokenizer; its memory is "
                "free again after the last prompt")
        .placeholder("DIR");
    spec.flag("release-language", a.release_language,
              "read all prompts before the first image, so that the language model takes no memory beside it; each "
              "prompt takes 1.8 MB then");
    std::vector<std::string> configurations = FarConfigs::names();
    for (std::string& name : TextConfigs::names()) {
        configurations.push_back(std::move(name));
    }
    spec.option("config", a.file.config, "configuration of the model, in place of what its file says")
        .choices(configurations);
    spec.flag(
        "masked", a.file.masked,
        "the model was trained with hidden tokens (far_train's files and published checkpoints say so themselves)");
    add_far_sampling_options(spec, a);
    spec.example("-o far.png --progressive levels.png", "ten classes, eight images each, with the library's model");
    spec.example("--model far_b.pth --tokenizer kl16.ckpt --classes 207,360 --count 1 --steps 100",
                 "a published model");
    spec.example("--model far_t2i.pth --tokenizer kl16.ckpt --language Qwen2-1.5B --prompt \"a red apple\" --count 4",
                 "four images from text");
    spec.example("--model far_t2i.pth --tokenizer kl16.ckpt --language Qwen2-1.5B --prompts captions.tsv --folder coco",
                 "an image per caption, which image_metrics compares with the photos (FID)");
    return spec;
}

/// All prompts, or the classes asked for.
ClassPlan plan_of(const Arguments& a, const FarFile& file, Index count, bool from_text) {
    const Index classes = file.model->facts().classes;
    return class_plan(a.classes, file.classes, classes, from_text ? classes : 10, count);
}

/// What the images depend on, but for their numbers.
Json made_with(const Arguments& a, const FarFile& file, const FarSampleOptions& options, const ClassPlan& plan,
               Index count, bool from_text) {
    const auto stated = [](const auto& value) {  // what the configuration says goes with its name
        if constexpr (requires { value.has_value(); }) {
            return value ? Json(*value) : Json("default");
        } else {
            return Json(value);
        }
    };
    Json out;
    out["configuration"] = file.model->facts().name;
    out["masked"] = file.model->facts().masked;
    out["model"] = file_key(a.file.model);
    out["tokenizer"] = a.file.tokenizer.empty() ? "none" : file_key(a.file.tokenizer);
    out["seed"] = options.seed;
    out["count"] = count;
    out["levels"] = options.levels;
    out["steps"] = a.steps;
    out["solver"] = a.solver;
    out["guidance"] = stated(a.guidance);
    out["guidance-schedule"] = stated(a.guidance_schedule);
    out["temperature"] = stated(a.temperature);
    out["temperature-schedule"] = stated(a.temperature_schedule);
    out["limit"] = stated(a.limit);
    out["filter"] = options.filter_between;
    out["coherence"] = a.coherence;
    out["precision"] = a.compute.precision;
    if (from_text) {
        out["language"] = language_key(a.text.language);
        out["prompts"] = file.classes;
    }
    for (std::size_t i = 0; i < plan.labels.size(); i += static_cast<std::size_t>(count)) {
        out["classes"].push_back(plan.labels[i]);
    }
    return out;
}

/// The first image of each class with what the transformer saw, for --progressive.
struct FirstOfClass {
    Generated generated;
    std::vector<std::string> names;

    void add(const Generated& part, std::size_t i, const std::string& name) {
        names.push_back(name);
        generated.images.push_back(part.images[i]);
        generated.inputs.resize(part.inputs.size());
        for (std::size_t level = 0; level < part.inputs.size(); ++level) {
            generated.inputs[level].push_back(part.inputs[level][i]);
        }
    }
};

int generate(const Arguments& a, const Spec& spec) {
    const bool with_sheet = a.folder.empty() || spec.given("out");
    check_output_image("--out", with_sheet ? a.out : "");
    check_output_image("--progressive", a.progressive);
    check_different({{"--out", with_sheet ? a.out : ""}, {"--progressive", a.progressive}});
    check_output_folder(a.folder);
    const Part part_of_run = Part::of("--part", a.part);
    if (!a.part.empty() && (a.folder.empty() || with_sheet || !a.progressive.empty())) {
        throw UsageError("--part: expected --folder, and neither --out nor --progressive, beside it");
    }
    const Computing computing = a.compute.apply();
    const PromptList prompts = a.text.list(spec.given("prompt"));
    const bool from_text = !prompts.texts.empty();
    if (!from_text && (!a.text.language.empty() || a.release_language)) {
        throw UsageError("--language: expected --prompt or --prompts beside it");
    }
    require(!from_text || a.classes.empty(), "--classes: expected no prompts beside them");
    require(!from_text || spec.given("model"), "--prompt: expected a --model that was trained with prompts");
    const Index each = a.each(prompts.kind);
    FarTextFile of_text;
    if (from_text) {
        of_text = load_far_text(a.file, prompts, a.text.language, computing.kind());
    }
    const FarFile file = from_text ? std::move(of_text.far) : load_far(a.file, computing.kind());
    const FarFacts& facts = file.model->facts();
    const ClassPlan plan = plan_of(a, file, each, from_text);
    FarSampleOptions options = a.options(facts.level_count());
    if (options.levels.empty()) {
        options.levels = facts.levels;
    }
    file.model->check(options);
    const auto levels = static_cast<Index>(options.levels.size());
    const auto per_class = static_cast<std::size_t>(each);
    const auto [first_row, end_row] = part_of_run.range(static_cast<Index>(plan.names.size()));
    const Index count = (end_row - first_row) * each;
    const AnyTokenizer::Facts& image = file.tokenizer->facts();
    const int scale = shown_scale(image);
    const std::pair cell{scale * image.image_height, scale * image.image_width};
    std::optional<ImageFolder> folder;
    if (!a.folder.empty()) {
        folder.emplace(a.folder, made_with(a, file, options, plan, each, from_text), prompts, each, part_of_run.name());
    }
    const ImageWork work{plan, folder, first_row * each, end_row * each};
    if (of_text.reader) {
        of_text.reader->expect(work.labels());
        if (a.release_language) {
            of_text.reader->read_ahead();
        }
    }
    BoundedSheet sheet(plan.names.size(), per_class, cell);
    BoundedSheet of_classes(1, plan.names.size(), cell);  // the first image of each, for --progressive
    if (with_sheet && !sheet.complete(plan.labels.size())) {
        std::fprintf(stderr, "%s has room for the first %zu of %zu rows, %zu of %zu images each; --folder keeps all\n",
                     a.out.c_str(), sheet.rows(), plan.names.size(), sheet.columns(), per_class);
    }
    FirstOfClass first_of_class;

    const InterruptGuard interrupt;
    options.stop = [&interrupt] { return interrupt.requested(); };
    const auto begin = std::chrono::steady_clock::now();
    Progress progress("generate", count * levels);
    Index made = 0, next = work.begin;
    const Index shown = with_sheet ? work.show_those_there(sheet) : 0;
    bool stopped = false;
    while (!stopped) {
        const auto [first, last] = work.next(next, batch_limit(facts));
        if (first == last) {
            break;
        }
        next = last;
        options.first_sample = static_cast<std::uint64_t>(first);
        const Index batch = last - first;
        const auto callback = [&](Index, const FarEstimate& estimate) {
            progress.update((first - work.begin) * levels + estimate.step * batch, std::nan(""),
                            static_cast<double>(batch) / static_cast<double>(levels), text("level ", estimate.level));
            stopped = interrupt.requested();
            return !stopped;
        };
        const std::vector<Index> labels(plan.labels.begin() + first, plan.labels.begin() + last);
        Generated part =
            generate_images(*file.model, *file.tokenizer, labels, options, !a.progressive.empty(), callback);
        stopped = interrupt.requested();
        if (stopped) {
            break;  // the images of this pass are unfinished
        }
        for (std::size_t i = 0; i < part.images.size(); ++i) {
            const auto number = static_cast<std::size_t>(first) + i;
            if (folder) {
                folder->write(static_cast<Index>(number), labels[i], part.images[i]);
            }
            if (!a.progressive.empty() && number % per_class == 0 && of_classes.shows(number / per_class)) {
                first_of_class.add(part, i, plan.names[number / per_class]);
            }
            if (with_sheet) {
                sheet.add(number, std::move(part.images[i]));
            }
        }
        made += batch;
    }
    progress.finish();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (folder) {
        std::printf("%s: %lld images made in %.1f s", a.folder.c_str(), static_cast<long long>(made), seconds.count());
        const Index before = (stopped ? next - work.begin : count) - made;
        std::printf(!stopped && before > 0 ? ", %lld were there\n" : "\n", static_cast<long long>(before));
    }
    if (with_sheet && made + shown > 0) {
        const std::string title = text(facts.name, ", ", levels, levels == 1 ? " level" : " levels");
        io::write_image(a.out, render(class_sheet(title, plan.names, sheet.images(), sheet.columns(), scale)));
        std::printf("%s: %lld images in %.1f s", a.out.c_str(), static_cast<long long>(made), seconds.count());
        std::printf(shown > 0 ? ", and %lld that were there\n" : "\n", static_cast<long long>(shown));
    }
    if (!a.progressive.empty() && !first_of_class.names.empty()) {
        io::write_image(a.progressive,
                        render(level_sheet(text(facts.name, ", from low to high frequency"), first_of_class.names,
                                           options.levels, first_of_class.generated, scale)));
        std::printf("%s: one row per level\n", a.progressive.c_str());
    }
    if (interrupt.requested()) {
        std::printf("interrupted after %lld of %lld images%s\n", static_cast<long long>(made),
                    static_cast<long long>(count), folder ? "; the same command makes the others" : "");
    }
    return interrupt.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return generate(arguments, spec); });
}
