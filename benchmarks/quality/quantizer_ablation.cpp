// Trains small FlowMos that differ in the quantizer alone, and compares their reconstructions; see --help.

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/flowmo.hpp"
#include "flowfar/io/data/loader.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/cpu_options.hpp"
#include "common/cli/interrupt.hpp"
#include "common/cli/progress.hpp"
#include "common/draw/flowmo_images.hpp"
#include "common/measures/codebook_usage.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

/// FlowMoTiny with a quantizer. Discrete codes all have 4 codewords of 9 bits per token, so that FSQ has 3 values per
/// codeword and the others 9; continuous codes have as many values as LFQ's.
template <class Q, Index Values>
struct With : FlowMoTiny {
    static constexpr std::string_view name = "FlowMoTiny of another quantizer";
    static constexpr Index context_dim = Values;
    using Quantizer = Q;
};

struct Arguments {
    std::string data;
    std::vector<std::string> quantizers = {"lfq", "bsq", "fsq", "kl", "none"};
    Index steps = 2000, batch = 32, validation = 256;
    double learning_rate = 2e-3, kl = QuantizerWeights{}.kl;
    int decode_steps = 25;
    std::uint64_t seed = 1;
    CpuArguments cpu;
};

Spec make_spec(Arguments& a) {
    Spec spec(
        "quantizer_ablation",
        "Trains FlowMoTiny once for each quantizer, on the same photos in the same order with the same times and "
        "noise, and reconstructs held-back photos. Prints a row of a Markdown table for each: quantizer, bits per "
        "image, flow loss of the last tenth of the steps, PSNR, SSIM, share of the codewords used and their "
        "entropy in bits, minutes.");
    spec.section("What");
    spec.positional("DATA", a.data, "photos: a folder or tar").alias("--data");
    spec.option("quantizers", a.quantizers, "which").choices({"lfq", "bsq", "fsq", "kl", "none"});
    spec.option("train-steps", a.steps, "optimizer steps").at_least(1);
    spec.option("batch", a.batch, "images per step").range(1, 4096);
    spec.option("lr", a.learning_rate,
                "learning rate of Adam, after a warm-up of a twentieth, falling to 0 as a cosine")
        .above(0);
    spec.option("kl-weight", a.kl, "weight of the divergence of kl; FlowMo's released code has 1").at_least(0);
    spec.option("validation", a.validation, "photos held back and reconstructed").at_least(2);
    spec.option("decode-steps", a.decode_steps, "sampling steps").range(1, 10000);
    spec.option("seed", a.seed, "seed of all of it");
    add_cpu_options(spec, a.cpu, Use::training);
    return spec;
}

/// Reconstructions of the photos, and how the codewords are used if there are any.
template <class Model>
Quality judge(const Arguments& a, const Model& model, const std::vector<Image>& photos, CodebookUsage& usage) {
    std::vector<Image> again;
    constexpr std::size_t batch = 32;
    for (std::size_t first = 0; first < photos.size(); first += batch) {
        const auto part = std::span(photos).subspan(first, std::min(batch, photos.size() - first));
        const auto images = to_tensor<typename Model::Images>(part);
        if constexpr (Model::Quantizer::discrete) {
            usage.add(model.encode(images));
        }
        const auto made =
            model.decode_code(model.encode_code(images), {.steps = a.decode_steps, .seed = fold(a.seed, first)});
        for (Image& image : to_images(made)) {
            again.push_back(std::move(image));
        }
    }
    return mean_quality(photos, again);
}

template <class C>
void measure(const Arguments& a, const io::ImageDataset::Split& split, const InterruptGuard& interrupt) {
    using Trainer = FlowMoTrainer<C, Cpu>;
    using Model = typename Trainer::PlainModel;
    using Quantizer = typename Model::Quantizer;
    FlowMoTrainOptions options;
    options.adam.learning_rate = a.learning_rate;
    options.rate = {a.steps / 20, RateDecay::cosine, a.steps, 0.0};
    options.clip = 1.0;
    options.freeze_encoder_after = -1;
    options.quantizer.kl = a.kl;
    options.seed = a.seed;
    Trainer trainer(options, [&](auto& model) { model.initialize(a.seed); });
    io::ImageLoader loader(split.train, {.batch = a.batch,
                                         .size = static_cast<int>(C::image_height),
                                         .random_crop = true,
                                         .flip = true,
                                         .seed = a.seed});
    const auto begin = std::chrono::steady_clock::now();
    Progress progress(Quantizer::name().c_str(), a.steps);
    double flow = 0;
    Index counted = 0;
    for (Index step = 0; step < a.steps; ++step) {
        if (interrupt.requested()) {
            throw Interrupted();
        }
        const FlowMoTrainReport report = trainer.step(loader.next<typename Model::Images>().images);
        progress.update(step + 1, report.loss, a.batch);
        if (step >= a.steps - std::max<Index>(1, a.steps / 10)) {
            flow += report.flow;
            ++counted;
        }
    }
    progress.finish();
    std::vector<Image> photos;
    for (const auto& example : split.validation) {
        photos.push_back(fitted(example.image, C::image_height, C::image_width));
    }
    CodebookUsage usage([] {
        if constexpr (Quantizer::discrete) {
            return Quantizer::Codebook::size;
        } else {
            return Index{0};
        }
    }());
    const Quality quality = judge(a, trainer.averaged_model(), photos, usage);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("| %s ", Quantizer::name().c_str());
    if constexpr (Quantizer::discrete) {
        std::printf("| %lld ", static_cast<long long>(C::code_length * Model::Config::codewords_per_token *
                                                      Model::Config::codebook_bits));
    } else {
        std::printf("| %lld floats ", static_cast<long long>(C::code_length * C::context_dim));
    }
    std::printf("| %.4f | %.2f | %.4f ", flow / static_cast<double>(counted), quality.psnr, quality.ssim);
    if constexpr (Quantizer::discrete) {
        std::printf("| %.3f | %.2f ", static_cast<double>(usage.used()) / static_cast<double>(usage.available()),
                    usage.entropy());
    } else {
        std::printf("| | ");
    }
    std::printf("| %.1f |\n", seconds.count() / 60.0);
    std::fflush(stdout);
}

int compare(const Arguments& a) {
    const auto products = a.cpu.apply();  // as long as it lives
    const auto split = io::ImageDataset(a.data).split(a.validation, a.seed);
    std::printf("| quantizer | bits per image | flow loss | PSNR, dB | SSIM | used | entropy | minutes |\n");
    std::printf("|---|---|---|---|---|---|---|---|\n");
    const InterruptGuard interrupt;
    try {
        for (const std::string& name : a.quantizers) {
            if (name == "lfq") {
                measure<With<Lfq<9>, 36>>(a, split, interrupt);
            } else if (name == "bsq") {
                measure<With<Bsq<9>, 36>>(a, split, interrupt);
            } else if (name == "fsq") {
                measure<With<Fsq<8, 8, 8>, 12>>(a, split, interrupt);
            } else if (name == "kl") {
                measure<With<Kl, 36>>(a, split, interrupt);
            } else {
                measure<With<Unquantized, 36>>(a, split, interrupt);
            }
        }
    } catch (const Interrupted&) {
        std::printf("interrupted\n");
    }
    return interrupt.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return compare(arguments); });
}
