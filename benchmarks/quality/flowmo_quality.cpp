// Judges reconstructions of a trained FlowMo by the features of this project's own classifiers; see --help.

#include <cstdio>
#include <string>
#include <vector>

#include "flowfar/core/philox.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/flowmo_options.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/flowmo_images.hpp"
#include "common/training/feature_loss.hpp"
#include "quality.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string model, data, name;
    std::vector<std::string> classifiers;
    Index validation = 256, repeats = 2;
    std::uint64_t split_seed = 1;
    SamplingArguments sampling;
};

Spec make_spec(Arguments& a) {
    Spec spec("flowmo_quality",
              "Reconstructs the photos that flowmo_train held back and compares them with the originals: PSNR, SSIM, "
              "and for each classifier the perceptual distance (FeatureLoss) and the Fréchet distance of its features. "
              "Prints a row of a Markdown table: name, PSNR, SSIM, then both distances of each classifier.");
    spec.section("What");
    spec.option("model", a.model, "model file of flowmo_train, for 32 x 32 pixels").placeholder("FILE").required();
    spec.option("data", a.data, "photos of flowmo_train").placeholder("PATH").required();
    spec.option("classifiers", a.classifiers, "model files of train_classifier").placeholder("FILE").required();
    spec.option("validation", a.validation, "photos that flowmo_train held back").at_least(2);
    spec.option("split-seed", a.split_seed, "the seed of flowmo_train, which chose them");
    spec.option("repeats", a.repeats, "reconstructions of each photo, from noise of their own").at_least(1);
    spec.option("name", a.name, "first cell of the row");
    add_sampling_options(spec, a.sampling);
    return spec;
}

/// All reconstructions of the photos, one set after the other.
std::vector<Image> reconstructions(const Arguments& a, const AnyFlowMo& model, std::span<const Image> photos) {
    const Tokens tokens = encode_images(model, photos);
    FlowMoDecodeOptions options = a.sampling.options();
    std::vector<Image> all;
    Progress progress("reconstruct", a.repeats);
    for (Index repeat = 0; repeat < a.repeats; ++repeat) {
        options.seed = fold(a.sampling.seed, static_cast<std::uint64_t>(repeat));
        for (Image& image : decode_images(model, tokens, options)) {
            all.push_back(std::move(image));
        }
        progress.update(repeat + 1, std::nan(""), tokens.batch);
    }
    return all;
}

/// "| perceptual | Fréchet " for one classifier. `originals` are as many as `images`, photo by photo.
template <template <class> class Network>
std::string cells(const io::Path& file, std::span<const Image> originals, std::span<const Image> images) {
    FeatureLoss<Network<Cpu>> loss;
    io::load_parameters(loss.network, file);
    constexpr std::size_t batch = 64;
    double distance = 0;
    for (std::size_t first = 0; first < images.size(); first += batch) {
        const std::size_t count = std::min(batch, images.size() - first);
        using Images = typename FeatureLoss<Network<Cpu>>::Images;
        const auto found =
            loss(to_tensor<Images>(originals.subspan(first, count)), to_tensor<Images>(images.subspan(first, count)));
        distance += static_cast<double>(found.item()) * static_cast<double>(count) / static_cast<double>(images.size());
    }
    const BasicQualityJudge<Network> judge(loss.network);
    const auto frechet = metrics::frechet_distance(statistics_of(judge.features(to_planes(originals))),
                                                   statistics_of(judge.features(to_planes(images))));
    if (!frechet.warning.empty()) {
        std::fprintf(stderr, "%s\n", frechet.warning.c_str());
    }
    char row[64];
    std::snprintf(row, sizeof row, "| %.4f | %.3f ", distance, frechet.value);
    return row;
}

void judge(const Arguments& a) {
    const Computing computing = a.sampling.compute.apply();
    const auto model = load_flowmo(a.model, a.sampling.config, computing.kind());
    const FlowMoFacts& facts = model->facts();
    require(facts.height == QualityJudge::side && facts.width == QualityJudge::side, a.model,
            ": the classifiers see 32 x 32 pixels, ", facts.name, " makes ", facts.height, " x ", facts.width);
    Index skipped = 0;
    const io::ImageDataset held_back = io::ImageDataset(a.data).split(a.validation, a.split_seed).validation;
    const std::vector<Image> photos = load_fitted(held_back, facts, held_back.size(), 0, skipped);
    require(skipped == 0, a.data, ": ", skipped, " photos cannot be read");
    const std::vector<Image> images = reconstructions(a, *model, photos);
    std::vector<Image> originals;
    for (Index repeat = 0; repeat < a.repeats; ++repeat) {
        originals.insert(originals.end(), photos.begin(), photos.end());
    }
    const Quality mean = mean_quality(originals, images);
    char row[64];
    std::snprintf(row, sizeof row, " | %.2f | %.4f ", mean.psnr, mean.ssim);
    std::string line = "| " + (a.name.empty() ? facts.name : a.name) + row;
    for (const std::string& file : a.classifiers) {
        line += classifier_name(file) == PlainClassifier<Cpu>::name ? cells<PlainClassifier>(file, originals, images)
                                                                    : cells<FeatureClassifier>(file, originals, images);
    }
    std::printf("%s|\n", line.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { judge(arguments); });
}
