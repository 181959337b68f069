// Judges a trained FAR by the features of this project's own classifier; see --help.

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "common/cli/cli.hpp"
#include "common/cli/far_options.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/far_images.hpp"
#include "common/models/far_file.hpp"
#include "quality.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : FarSamplingArguments {
    FarFileArguments file;
    std::string classifier, data, name;
    Index count = 1000, validation = 256;
    std::uint64_t split_seed = 1;
};

Spec make_spec(Arguments& a) {
    Spec spec(
        "far_quality",
        "Generates images with a FAR, equally many of each class, and compares them with real ones in the feature "
        "space of a classifier of train_classifier: Fréchet distance, precision and recall with three neighbors, "
        "and how often the classifier sees the class that was asked for. Prints a row of a Markdown table.");
    spec.section("What");
    spec.option("model", a.file.model, "model file of far_train").placeholder("FILE").required();
    spec.option("classifier", a.classifier, "classifier of train_classifier").placeholder("FILE").required();
    spec.option("data", a.data, "real images: a tar or folder in ten classes").placeholder("PATH").required();
    spec.option("count", a.count, "images to generate").at_least(200);
    spec.option("validation", a.validation, "images that far_train held back; the others are the reference")
        .at_least(0);
    spec.option("split-seed", a.split_seed, "the seed of far_train, which chose them");
    spec.option("name", a.name, "first cell of the row");
    add_far_sampling_options(spec, a);
    return spec;
}

void judge(const Arguments& a) {
    const Computing computing = a.compute.apply();
    const FarFile file = load_far(a.file, computing.kind());
    const FarFacts& facts = file.model->facts();
    FarSampleOptions options = a.options(facts.level_count());
    if (options.levels.empty()) {
        options.levels = facts.levels;
    }
    const io::ImageDataset data(a.data);
    const QualityJudge classifier(a.classifier);
    const ImageFeatures real = classifier.features(data.split(a.validation, a.split_seed).train);

    std::vector<Index> labels;
    for (Index i = 0; i < a.count; ++i) {
        labels.push_back(i % QualityJudge::Classifier::classes);
    }
    const auto levels = static_cast<Index>(options.levels.size());
    Progress progress("generate", a.count * levels);
    const auto begin = std::chrono::steady_clock::now();
    const Generated generated = generate_images(
        *file.model, *file.tokenizer, labels, options, false, [&](Index first, const FarEstimate& estimate) {
            const Index batch = std::min(batch_limit(facts), a.count - first);
            progress.update(first * levels + estimate.step * batch, std::nan(""),
                            static_cast<double>(batch) / static_cast<double>(levels));
            return true;
        });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    progress.finish();
    const SampleQuality quality = sample_quality(real, classifier.features(to_planes(generated.images), labels, false));
    if (!quality.warning.empty()) {
        std::fprintf(stderr, "%s\n", quality.warning.c_str());
    }
    std::string listed;
    for (const Index level : options.levels) {
        listed += (listed.empty() ? "" : " ") + text(level);
    }
    std::printf("| %s | %s | %.3f | %.3f | %.3f | %.3f | %.3f |\n",
                a.name.empty() ? facts.name.c_str() : a.name.c_str(), listed.c_str(), quality.frechet_distance,
                quality.precision, quality.recall, quality.accuracy, seconds.count() / static_cast<double>(a.count));
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        judge(arguments);
        return 0;
    });
}
