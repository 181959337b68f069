// Generates images of classes with a trained MaskGiT and the tokenizer of its tokens; see --help.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "flowfar/io/images/image.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/compute_options.hpp"
#include "common/cli/interrupt.hpp"
#include "common/cli/printable.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/bounded_sheet.hpp"
#include "common/draw/class_sheet.hpp"
#include "common/files/class_plan.hpp"
#include "common/files/file_key.hpp"
#include "common/files/outputs.hpp"
#include "common/models/generated_tokens.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string model, config, tokenizer, out = "tokens.png", folder, guidance_schedule;
    std::vector<std::string> classes;
    Index count = 8;
    std::optional<int> steps;
    std::optional<double> guidance, guidance_power, temperature, choice_temperature;
    int decode_steps = 25;
    std::uint64_t seed = 0;
    ComputeArguments compute;

    [[nodiscard]] MaskGitSampleOptions options() const {
        MaskGitSampleOptions o;
        o.steps = steps;
        o.guidance = guidance;
        if (!guidance_schedule.empty()) {
            o.guidance_schedule = guidance_schedule == "linear"   ? MaskGitGuidance::linear
                                  : guidance_schedule == "cosine" ? MaskGitGuidance::cosine
                                                                  : MaskGitGuidance::constant;
        }
        o.guidance_power = guidance_power;
        o.temperature = temperature;
        o.choice_temperature = choice_temperature;
        o.seed = seed;
        return o;
    }
};

Spec make_spec(Arguments& a) {
    Spec spec(
        "token_generate",
        "Generates images of classes: a MaskGiT fills in their tokens, and the FlowMo that made the tokens it was "
        "trained on turns them into pictures.");
    spec.section("What");
    spec.option("classes", a.classes,
                "numbers of the classes, or names if the model's file has them, one row each; -1 or any: no class; "
                "default: the first ten")
        .placeholder("CLASS,...");
    spec.option("count", a.count, "images of each class").range(1, 1 << 20);
    spec.option("out", a.out,
                "sheet with a row per class, of the first images that fit into 8192 pixels; none with --folder alone")
        .alias("-o")
        .placeholder("PNG");
    spec.option(
            "folder", a.folder,
            "every image as a file of its own, in one folder per class, written as it is made; those that are there "
            "from an interrupted run of the same options are not made again")
        .placeholder("DIR");
    spec.section("Model");
    spec.option("model", a.model, "weights of a MaskGiT, as token_train writes them").placeholder("FILE").required();
    spec.option("tokenizer", a.tokenizer, "model file of the FlowMo whose tokens they are")
        .placeholder("FILE")
        .required();
    spec.option("config", a.config, "configuration of the model, in place of what its file says")
        .choices(MaskGitConfigs::names());
    spec.section("Sampling");
    spec.option("steps", a.steps,
                "steps in which the tokens are filled in, at most as many as there are codewords; default: the "
                "configuration's")
        .range(1, 1 << 20);
    spec.option("guidance", a.guidance,
                "how far to exaggerate what the label says; 1: not at all; default: the configuration's")
        .range(-100, 100);
    spec.option("guidance-schedule", a.guidance_schedule,
                "how guidance grows from 1 over the steps, or constant; default: cosine")
        .choices({"cosine", "linear", "constant"});
    spec.option("guidance-power", a.guidance_power,
                "power of the cosine schedule; higher: guidance comes later; default: 2.5")
        .above(0, 100);
    spec.option("temperature", a.temperature, "of the codewords' distribution; default: 1").above(0, 100);
    spec.option("choice-temperature", a.choice_temperature,
                "noise in the choice of what to keep: more for more variety; default: the configuration's")
        .range(0, 1000);
    spec.option("decode-steps", a.decode_steps, "the tokenizer's sampling steps").range(1, 10000);
    spec.option("seed", a.seed, "seed of tokens and noise; image i depends on the seed and i alone");
    add_compute_options(spec, a.compute);
    spec.example("--model run/model.safetensors --tokenizer flowmo/model.safetensors --classes cat,dog -o pets.png",
                 "eight images each of two classes");
    return spec;
}

/// What the images depend on, but for their numbers.
Json made_with(const Arguments& a, const MaskGitFile& file, const std::string& tokenizer_key, const ClassPlan& plan) {
    const auto stated = [](const auto& value) { return value ? Json(*value) : Json("default"); };
    Json out;
    out["configuration"] = file.model->facts().name;
    out["model"] = file_key(a.model);
    out["tokenizer"] = tokenizer_key;
    out["seed"] = a.seed;
    out["count"] = a.count;
    out["steps"] = stated(a.steps);
    out["guidance"] = stated(a.guidance);
    out["guidance-schedule"] = a.guidance_schedule.empty() ? "default" : a.guidance_schedule;
    out["guidance-power"] = stated(a.guidance_power);
    out["temperature"] = stated(a.temperature);
    out["choice-temperature"] = stated(a.choice_temperature);
    out["decode-steps"] = a.decode_steps;
    out["precision"] = a.compute.precision;
    for (std::size_t i = 0; i < plan.labels.size(); i += static_cast<std::size_t>(a.count)) {
        out["classes"].push_back(plan.labels[i]);
    }
    return out;
}

int generate(const Arguments& a, const Spec& spec) {
    if (a.guidance_power && !a.guidance_schedule.empty() && a.guidance_schedule != "cosine") {
        throw UsageError(text("--guidance-power is for --guidance-schedule cosine, found ", a.guidance_schedule));
    }
    const bool with_sheet = a.folder.empty() || spec.given("out");
    check_output_image("--out", with_sheet ? a.out : "");
    check_output_folder(a.folder);
    const Computing computing = a.compute.apply();
    const MaskGitFile file = load_maskgit(a.model, a.config, computing.kind());
    const MaskGitFacts& facts = file.model->facts();
    MaskGitSampleOptions options = a.options();
    file.model->check(options);
    const ClassPlan plan =
        class_plan(a.classes, file.classes, facts.classes,
                   file.classes.empty() ? 10 : std::min<Index>(10, static_cast<Index>(file.classes.size())), a.count);
    const auto tokenizer = load_flowmo(a.tokenizer, "", computing.kind());
    const FlowMoFacts& picture = tokenizer->facts();
    TokenKind::of(picture).require_fit(facts, a.tokenizer);
    require(!file.tokenizer || *file.tokenizer == picture.hash, a.tokenizer, ": ", a.model, " makes the tokens of ",
            file.tokenizer_name, ", this is ", picture.name);
    const std::string tokenizer_key = file_key(a.tokenizer);
    if (!file.tokenizer_key.empty() && tokenizer_key != file.tokenizer_key) {  // the same weights, converted, are right
        std::fprintf(stderr, "warning: %s: other weights (%s) than those that made the tokens of %s (%s)\n",
                     printable(a.tokenizer).c_str(), tokenizer_key.c_str(), printable(a.model).c_str(),
                     printable(file.tokenizer_key).c_str());
    }
    std::optional<ImageFolder> folder;
    if (!a.folder.empty()) {
        folder.emplace(a.folder, made_with(a, file, tokenizer_key, plan), PromptList{}, a.count, "",
                       "token_generate.json");
    }
    const auto count = static_cast<Index>(plan.labels.size());
    const int scale = shown_scale(picture.height, picture.width);
    BoundedSheet sheet(plan.names.size(), static_cast<std::size_t>(a.count),
                       {scale * picture.height, scale * picture.width});
    const ImageWork work{plan, folder, 0, count};

    const InterruptGuard interrupt;
    const auto begin = std::chrono::steady_clock::now();
    const FlowMoDecodeOptions decoding{.steps = a.decode_steps, .seed = fold(a.seed, "pictures")};
    const auto steps = static_cast<Index>(options.steps.value_or(facts.sampling.steps));
    const Index work_of_each = steps + a.decode_steps;
    const auto share = [&](Index work) { return static_cast<double>(work) / static_cast<double>(work_of_each); };
    Progress progress("generate", count * work_of_each);
    Index made = 0, next = 0;
    const Index before = with_sheet ? work.show_those_there(sheet) : 0;
    while (!interrupt.requested()) {
        const auto [first, last] = work.next(next, batch_limit(facts));
        if (first == last) {
            break;
        }
        next = last;
        options.first_sample = static_cast<std::uint64_t>(first);
        const std::vector<Index> labels(plan.labels.begin() + first, plan.labels.begin() + last);
        const Index batch = last - first;
        const Tokens tokens = file.model->generate(labels, options, [&](int step, int) {
            progress.update(first * work_of_each + step * batch, std::nan(""), share(batch));
            return !interrupt.requested();
        });
        for (Index i = 0; i < batch && !interrupt.requested(); ++i) {
            const auto number = static_cast<std::size_t>(first + i);
            Image image = decode_each(*tokenizer, tokens_between(tokens, i, i + 1), decoding, first + i).front();
            if (folder) {
                folder->write(first + i, labels[static_cast<std::size_t>(i)], image);
            }
            if (with_sheet) {
                sheet.add(number, std::move(image));
            }
            ++made;
            progress.update(first * work_of_each + steps * batch + a.decode_steps * (i + 1), std::nan(""),
                            share(a.decode_steps));
        }
    }
    progress.finish();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    if (folder) {
        std::printf("%s: %lld images made in %.1f s\n", a.folder.c_str(), static_cast<long long>(made),
                    seconds.count());
    }
    if (with_sheet && made + before > 0) {
        const std::string title = text(facts.name, " and ", picture.name, ", ", steps, steps == 1 ? " step" : " steps");
        io::write_image(a.out, render(class_sheet(title, plan.names, sheet.images(), sheet.columns(), scale)));
        std::printf("%s: %lld images in %.1f s", a.out.c_str(), static_cast<long long>(made), seconds.count());
        std::printf(before > 0 ? ", and %lld that were there\n" : "\n", static_cast<long long>(before));
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
