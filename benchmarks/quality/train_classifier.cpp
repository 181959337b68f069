// Trains the classifier in whose feature space samples are judged; see --help.

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/io/data/loader.hpp"

#include "classifier_training.hpp"
#include "common/cli/cli.hpp"
#include "common/cli/cpu_options.hpp"
#include "common/cli/jsonl.hpp"
#include "common/cli/progress.hpp"
#include "quality.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string data, out, log, network = "residual";
    Index steps = 5600, batch = 64, warmup = 100, validation = 2000, evaluate_every = 1000;
    double learning_rate = 2e-3, weight_decay = 0.05;
    Index shift = 4;
    std::uint64_t seed = 0;
    std::optional<std::uint64_t> split_seed;
    CpuArguments compute{.threads = 1};
};

Spec make_spec(Arguments& a) {
    Spec spec("train_classifier",
              "Trains a small classifier of 32 x 32 images in ten classes, whose features sample quality is measured "
              "with.");
    spec.section("Run");
    spec.option("data", a.data, "images: a folder of ten class folders, or a tar of it").placeholder("PATH").required();
    spec.option("out", a.out, "the classifier, as safetensors").placeholder("FILE").required();
    spec.option("log", a.log, "JSON lines of losses and accuracies").placeholder("FILE");
    spec.option("network", a.network, "its shape; one is to judge what was trained with the other")
        .choices({"residual", "plain"});
    spec.option("train-steps", a.steps, "optimizer steps").at_least(1).formerly("--steps");
    spec.option("validation", a.validation, "images held back by a deterministic split").at_least(2);
    spec.option("seed", a.seed, "seed of parameters, data order and shifts");
    spec.option("split-seed", a.split_seed, "seed of the choice of held-back images, where it is not --seed");
    add_cpu_options(spec, a.compute, Use::training);
    spec.option("evaluate-every", a.evaluate_every, "steps between validations; 0: only at the end").at_least(0);
    spec.section("Optimization");
    spec.option("batch", a.batch, "images per step").at_least(1);
    spec.option("lr", a.learning_rate, "learning rate of AdamW (beta 0.9, 0.99); falls to 0 along a cosine").above(0);
    spec.option("weight-decay", a.weight_decay, "weight decay of kernels and matrices").at_least(0);
    spec.option("warmup", a.warmup, "steps over which the rate rises").at_least(0);
    spec.option("shift", a.shift, "largest random shift in pixels; images are also mirrored by chance").range(0, 31);
    spec.example("--data cifar10-train.tar --out classifier.safetensors --log classifier.jsonl",
                 "the classifier behind the tables of RESULTS.md, in about ten minutes on one core");
    return spec;
}

template <class Judge>
double held_back_accuracy(const Judge& judge, const io::ImageDataset& held_back) {
    const ImageFeatures found = judge.features(held_back);
    return agreement(found.predicted, found.labels);
}

template <template <class> class Network>
void run(const Arguments& a) {
    using Judge = BasicQualityJudge<Network>;
    const io::ImageDataset data(a.data);
    require(static_cast<Index>(data.class_names().size()) == Judge::Classifier::classes, a.data,
            ": expected 10 classes, found ", data.class_names().size());
    require(a.validation + a.batch <= data.size(), a.data, ": ", data.size(), " images are too few for --validation ",
            a.validation, " and --batch ", a.batch);
    const io::ImageDataset::Split split = data.split(a.validation, a.split_seed.value_or(a.seed));
    ClassifierTrainOptions options;
    options.adam.learning_rate = a.learning_rate;
    options.adam.weight_decay = a.weight_decay;
    options.rate = {a.warmup, a.steps > a.warmup ? RateDecay::cosine : RateDecay::constant, a.steps, 0.0};
    options.shift = a.shift;
    options.seed = a.seed;
    ClassifierTrainer<Cpu, Network> trainer(options);
    std::printf("%lld parameters, %lld images for training, %lld held back\n",
                static_cast<long long>(parameter_count(trainer.model())), static_cast<long long>(split.train.size()),
                static_cast<long long>(split.validation.size()));

    std::optional<JsonlWriter> log;
    if (!a.log.empty()) {
        log = JsonlWriter::create(a.log);
    }
    Progress progress("train", a.steps);
    io::LoaderOptions load{.batch = a.batch, .size = static_cast<int>(Judge::side), .flip = true};
    load.seed = a.seed;
    load.threads = 1;
    load.cache_bytes = std::uint64_t{1} << 30;
    load.on_skip = [&](const io::SkippedImage& image) {
        progress.note(text("skipped ", image.name, ": ", image.reason));
    };
    io::ImageLoader loader(split.train, load);
    double accuracy = 0;
    for (Index step = 1; step <= a.steps; ++step) {
        const io::Batch batch = loader.next();
        const ClassifierTrainReport report = trainer.step(batch.images, batch.labels);
        progress.update(step, report.loss, a.batch);
        if (log && step % 10 == 0) {
            log->write({{"step", step}, {"loss", report.loss}, {"accuracy", report.accuracy}});
        }
        if (step == a.steps || (a.evaluate_every > 0 && step % a.evaluate_every == 0)) {
            accuracy = held_back_accuracy(Judge(trainer.averaged_model()), split.validation);
            progress.note(text("step ", step, ": accuracy on held-back images ", accuracy));
            if (log) {
                log->write({{"step", step}, {"validation_accuracy", accuracy}});
            }
        }
    }
    progress.finish();
    const auto classifier = trainer.averaged_model();
    io::save_parameters(classifier, a.out, DType::f32,
                        {{"what", "feature classifier for sample quality"},
                         {"network", std::string(Judge::Classifier::name)},
                         {"accuracy", text(accuracy)},
                         {"validation", text(a.validation)},
                         {"seed", text(a.seed)},
                         {"steps", text(a.steps)}});
    const Judge judge(classifier);
    const SampleQuality floor = sample_quality(judge.features(split.train), judge.features(split.validation));
    std::printf("accuracy on %lld held-back images: %.4f\n", static_cast<long long>(split.validation.size()), accuracy);
    std::printf("held-back images as samples: %s\n", shown(floor).c_str());
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] {
        const program::ProductPrecision products = arguments.compute.apply();
        arguments.network == PlainClassifier<Cpu>::name ? run<PlainClassifier>(arguments)
                                                        : run<FeatureClassifier>(arguments);
    });
}
