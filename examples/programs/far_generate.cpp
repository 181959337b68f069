// Generates images of classes with a trained FAR; see --help.

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/png.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/far_options.hpp"
#include "common/cli/interrupt.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/far_images.hpp"
#include "common/models/far_file.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : FarSamplingArguments {
    FarFileArguments file{FLOWFAR_FAR_MODEL, "", "", false};
    std::vector<Index> classes;
    Index count = 8;
    std::string out = "far.png", progressive, folder;
};

Spec make_spec(Arguments& a) {
    Spec spec("far_generate",
              "Generates images of classes with a FAR, from low to high frequency. Without --model it uses the small "
              "CIFAR-10 model that comes with the library.");
    spec.section("What");
    spec.option("classes", a.classes, "numbers of the classes, one row each; default: the first ten").at_least(-1);
    spec.option("count", a.count, "images per class").range(1, 1 << 20);
    spec.option("out", a.out, "sheet with a row per class").placeholder("PNG");
    spec.option("progressive", a.progressive, "also a sheet with a row per level, for the first image of each class")
        .placeholder("PNG");
    spec.option("folder", a.folder, "also every image as a file of its own, in one folder per class")
        .placeholder("DIR");
    spec.section("Model");
    spec.option("model", a.file.model, "model file").placeholder("FILE");
    spec.option("tokenizer", a.file.tokenizer, "model file of the autoencoder, for models that do not generate pixels")
        .placeholder("FILE");
    spec.option("config", a.file.config, "configuration of a model file that does not name its own")
        .choices(FarConfigs::names());
    spec.flag("masked", a.file.masked,
              "the model was trained with hidden tokens (files of far_train say so themselves)");
    add_far_sampling_options(spec, a);
    spec.example("--out far.png --progressive levels.png", "ten classes, eight images each, with the library's model");
    spec.example("--model far_b.pth --config FarB --tokenizer kl16.ckpt --classes 207,360 --count 1 --steps 100",
                 "a published model");
    return spec;
}

int generate(const Arguments& a) {
    const Computing computing = a.compute.apply();
    const FarFile file = load_far(a.file, computing.kind());
    const FarFacts& facts = file.model->facts();
    std::vector<Index> classes = a.classes;
    for (Index i = 0; a.classes.empty() && i < std::min<Index>(10, facts.classes); ++i) {
        classes.push_back(i);
    }
    std::vector<Index> labels;
    std::vector<std::string> names;
    for (const Index label : classes) {
        require(label >= no_class && label < facts.classes, "--classes: ", label, ", expected 0 to ", facts.classes - 1,
                " or ", no_class, " for no class");
        labels.insert(labels.end(), static_cast<std::size_t>(a.count), label);
        const auto at = static_cast<std::size_t>(label);
        names.push_back(label == no_class ? "any" : at < file.classes.size() ? file.classes[at] : text(label));
    }
    FarSampleOptions options = a.options(facts.side);
    if (options.levels.empty()) {
        options.levels = facts.levels;
    }
    const auto levels = static_cast<Index>(options.levels.size());

    const InterruptGuard interrupt;
    options.stop = [&interrupt] { return interrupt.requested(); };
    const auto begin = std::chrono::steady_clock::now();
    const auto count = static_cast<Index>(labels.size());
    Progress progress("generate", count * levels);
    const auto callback = [&](Index first, const FarEstimate& estimate) {
        const Index batch = std::min(batch_limit(facts), count - first);
        progress.update(first * levels + estimate.step * batch, std::nan(""), batch, text("level ", estimate.level));
        return !interrupt.requested();
    };
    const Generated generated =
        generate_images(*file.model, *file.tokenizer, labels, options, !a.progressive.empty(), callback);
    progress.finish();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

    const int scale = shown_scale(file.tokenizer->facts().image_size);
    const std::string title = text(facts.name, ", ", levels, levels == 1 ? " level" : " levels");
    io::write_png(a.out, render(class_sheet(title, names, generated.images, static_cast<std::size_t>(a.count), scale)));
    std::printf("%s: %zu images in %.1f s\n", a.out.c_str(), generated.images.size(), seconds.count());
    if (interrupt.requested()) {
        std::printf("interrupted: the last images are unfinished\n");
        return interrupt.exit_code();
    }
    if (!a.folder.empty()) {
        for (std::size_t i = 0; i < generated.images.size(); ++i) {
            const std::filesystem::path folder =
                std::filesystem::path(a.folder) / text("class_", labels[i] < 0 ? "any" : text(labels[i]));
            std::filesystem::create_directories(folder);
            io::write_png(folder / text(i, ".png"), generated.images[i]);
        }
        std::printf("%s: %zu files\n", a.folder.c_str(), generated.images.size());
    }
    if (!a.progressive.empty()) {
        Generated first;  // of each class
        first.inputs.resize(generated.inputs.size());
        for (std::size_t i = 0; i < generated.images.size(); i += static_cast<std::size_t>(a.count)) {
            first.images.push_back(generated.images[i]);
            for (std::size_t level = 0; level < first.inputs.size(); ++level) {
                first.inputs[level].push_back(generated.inputs[level][i]);
            }
        }
        io::write_png(a.progressive, render(level_sheet(text(facts.name, ", from low to high frequency"), names,
                                                        options.levels, first, scale)));
        std::printf("%s: one row per level\n", a.progressive.c_str());
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return generate(arguments); });
}
