// Finds how much noise neighboring tokens should share; see --help.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/frequency/filter.hpp"
#include "flowfar/io/data/dataset.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/far_options.hpp"
#include "common/draw/far_images.hpp"
#include "common/models/far_file.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments : FarSamplingArguments {
    FarFileArguments file;
    std::string data;
    Index per_class = 8, photos = 100;
    int rounds = 6;
};

Spec make_spec(Arguments& a) {
    Spec spec("far_calibrate",
              "Finds the share of noise that tokens should have in common at every level (--coherence), so that the "
              "samples of a class differ by as much as its photos do. Starts from 0.3 and corrects every share by how "
              "far the spread of the low-passed samples is from that of the photos. For models of pixels whose "
              "frequency levels are those of SpatialFilter.");
    spec.section("What");
    spec.option("model", a.file.model, "model file of far_train").placeholder("FILE").required();
    spec.option("data", a.data, "photos in the model's classes: a tar or folder").placeholder("PATH").required();
    spec.option("per-class", a.per_class, "samples of each class").range(2, 1000);
    spec.option("photos", a.photos, "photos of each class").range(2, 100000);
    spec.option("rounds", a.rounds, "corrections").range(1, 100);
    add_far_sampling_options(spec, a);
    return spec;
}

/// Standard deviation over the `per_class` consecutive latents of a class, [classes · per_class, values each]: root of
/// the mean variance over classes and values.
double spread(std::span<const float> latents, Index per_class, Index classes) {
    const auto each = latents.size() / static_cast<std::size_t>(per_class * classes);
    double variance = 0.0;
    for (Index c = 0; c < classes; ++c) {
        for (std::size_t v = 0; v < each; ++v) {
            double sum = 0.0;
            double squares = 0.0;
            for (Index i = 0; i < per_class; ++i) {
                const double x = static_cast<double>(latents[static_cast<std::size_t>(c * per_class + i) * each + v]);
                sum += x;
                squares += x * x;
            }
            const auto n = static_cast<double>(per_class);
            variance += (squares - sum * sum / n) / (n - 1.0);
        }
    }
    return std::sqrt(variance / static_cast<double>(each * static_cast<std::size_t>(classes)));
}

/// `per_class` photos of every class as latents, class after class.
std::vector<float> photo_latents(const Arguments& a, const FarFacts& facts) {
    const io::ImageDataset data(a.data);
    std::vector<std::vector<Image>> chosen(static_cast<std::size_t>(facts.classes));
    for (Index i = 0; i < data.size(); ++i) {
        const auto label = static_cast<std::size_t>(data.label(i));
        require(label < chosen.size(), a.data, ": expected ", facts.classes, " classes, found more");
        if (static_cast<Index>(chosen[label].size()) < a.photos) {
            chosen[label].push_back(data.load(i));
        }
    }
    std::vector<Image> images;
    for (const std::vector<Image>& some : chosen) {
        require(static_cast<Index>(some.size()) == a.photos, a.data, ": expected ", a.photos,
                " photos in every class, found one with ", some.size());
        images.insert(images.end(), some.begin(), some.end());
    }
    std::vector<float> latents = to_planes(images);
    for (float& value : latents) {
        value *= 2.0F;  // PixelTokenizer
    }
    return latents;
}

void calibrate(const Arguments& a) {
    const Computing computing = a.compute.apply();
    const FarFile file = load_far(a.file, computing.kind());
    const FarFacts& facts = file.model->facts();
    require(facts.channels == 3, a.file.model, ": expected a model of pixels, found latents of ", facts.channels,
            " channels");
    FarSampleOptions options = a.options(facts.level_count());
    if (options.levels.empty()) {
        options.levels = facts.levels;
    }
    const std::vector<Index>& levels = options.levels;
    using Planes = Tensor<Cpu, Shape<dyn, dyn, dyn, dyn>, float>;
    const Planes photos =
        Planes::from_host(photo_latents(a, facts), {facts.classes * a.photos, 3, facts.height, facts.width});
    std::vector<double> wanted;
    for (std::size_t k = 1; k < levels.size(); ++k) {
        wanted.push_back(spread(SpatialFilter::apply(photos, levels[k]).to_host(), a.photos, facts.classes));
    }
    std::vector<Index> labels;
    for (Index i = 0; i < facts.classes * a.per_class; ++i) {
        labels.push_back(i / a.per_class);
    }
    std::vector<double> shares(wanted.size(), 0.3);
    for (int round = 0; round < a.rounds; ++round) {
        std::vector<std::vector<float>> inputs(levels.size());
        options.coherence = shares;
        options.seed = a.seed + static_cast<std::uint64_t>(round);
        const auto collect = [&](Index, const FarEstimate& estimate) {
            const std::vector<float> input = estimate.input();
            auto& all = inputs[static_cast<std::size_t>(estimate.step - 1)];
            all.insert(all.end(), input.begin(), input.end());
            return true;
        };
        const Generated made = generate_images(*file.model, *file.tokenizer, labels, options, false, collect);
        require(made.images.size() == labels.size(), "far_calibrate: sampling stopped early");
        std::printf("round %d\n| level | spread | photos | share |\n|---|---|---|---|\n", round + 1);
        for (std::size_t k = 0; k < shares.size(); ++k) {
            const double found = spread(inputs[k + 1], a.per_class, facts.classes);
            std::printf("| %lld | %.3f | %.3f | %.3f |\n", static_cast<long long>(levels[k + 1]), found, wanted[k],
                        shares[k]);
            shares[k] = std::clamp(shares[k] * std::pow(wanted[k] / found, 1.5), 0.0, 0.95);
        }
        std::fflush(stdout);
    }
    std::string listed;
    for (const double share : shares) {
        char number[16];
        std::snprintf(number, sizeof number, "%s%.2f", listed.empty() ? "" : ",", share);
        listed += number;
    }
    std::printf("--coherence %s\n", listed.c_str());
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        calibrate(arguments);
        return 0;
    });
}
