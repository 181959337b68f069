// Compares two sets of images with the field's metrics; see --help.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/io/dataset.hpp"
#include "flowfar/metrics/inception_score.hpp"
#include "flowfar/metrics/precision_recall.hpp"

#include "support/cli.hpp"
#include "support/inception_measures.hpp"
#include "support/jsonl.hpp"
#include "support/pair_measures.hpp"
#include "support/progress.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string reference, images, json, save_statistics;
    bool pairs = true, by_order = false;
    Index limit = 0;
    std::string lpips = "vgg", lpips_network, lpips_weights;
    std::string inception, convention = "pytorch-fid";
    Index batch = 8, splits = 10, neighbours = 3;
    int threads = 0;
};

Spec make_spec(Arguments& a) {
    std::vector<std::string> conventions;
    for (const metrics::FidConvention& convention : metrics::fid::all) {
        conventions.emplace_back(convention.name);
    }
    Spec spec("image_metrics",
              "Compares images with reference images: pair by pair (PSNR, SSIM, LPIPS), and as sets in the features of "
              "the Inception network (FID, sFID, Inception Score, precision, recall). Networks are read from files.");
    spec.positional("REFERENCE", a.reference, "folder or tar of images, or their statistics (.npz: mu, sigma)");
    spec.positional("IMAGES", a.images, "folder or tar of the images to judge");
    spec.section("Pairs");
    spec.flag("pairs", a.pairs, "compare image by image, in the order of their names");
    spec.flag("by-order", a.by_order, "pair images whatever their names");
    spec.option("lpips", a.lpips, "backbone of LPIPS v0.1; used with the two files")
        .choices({"vgg", "alex", "squeeze"});
    spec.option("lpips-network", a.lpips_network, "the backbone's weights as torchvision publishes them")
        .placeholder("FILE");
    spec.option("lpips-weights", a.lpips_weights, "LPIPS's own weights, such as vgg.pth").placeholder("FILE");
    spec.section("Sets");
    spec.option("inception", a.inception, "weights of the Inception network of FID").placeholder("FILE");
    spec.option("convention", a.convention, "whose numbers to reproduce; compare only numbers of one convention")
        .choices(std::move(conventions));
    spec.option("splits", a.splits, "of the Inception Score, in the order of the images' names").at_least(1);
    spec.option("neighbours", a.neighbours, "of precision and recall").at_least(1);
    spec.option("save-statistics", a.save_statistics, "write mu and sigma of IMAGES as a later REFERENCE")
        .placeholder("FILE.npz");
    spec.section("Run");
    spec.option("limit", a.limit, "use only the first images of each set; 0: all").at_least(0);
    spec.option("batch", a.batch, "images per pass of the Inception network").at_least(1);
    spec.option("threads", a.threads, "of the computation; 0: one per processor").range(0, 1024);
    spec.option("json", a.json, "also write the numbers to a file").placeholder("FILE");
    spec.example("photos reconstructions", "PSNR and SSIM of reconstructions");
    spec.example(
        "imagenet.npz samples.tar --inception pt_inception-2015-12-05-6726825d.pth --convention adm --no-pairs",
        "FID, sFID and Inception Score of samples against published statistics");
    return spec;
}

io::ImageDataset open_images(const std::string& path, Index limit) {
    const io::ImageDataset all(path);
    std::vector<Index> chosen;
    for (Index i = 0; i < (limit > 0 ? std::min(limit, all.size()) : all.size()); ++i) {
        chosen.push_back(i);
    }
    return all.subset(chosen);
}

void report_pairs(const Arguments& a, const io::ImageDataset& reference, const io::ImageDataset& images, Json& json) {
    const PairDistance lpips =
        a.lpips_network.empty() ? PairDistance() : make_lpips(a.lpips, a.lpips_network, a.lpips_weights);
    Progress progress("pairs", images.size());
    const PairReport found =
        measure_pairs(reference, images, a.by_order, lpips, [&](Index i) { progress.update(i + 1, std::nan(""), 1); });
    progress.finish();
    std::printf("%lld pairs of 8-bit RGB images, %s against %s\n", static_cast<long long>(found.pairs),
                a.images.c_str(), a.reference.c_str());
    std::printf("  PSNR           %.4f dB (mean of images), %.4f dB (of the mean squared error)\n", found.psnr,
                found.psnr_of_batch);
    std::printf("  SSIM           %.6f (7 x 7 uniform window: scikit-image), %.6f (11 x 11 Gaussian: Wang et al.)\n",
                found.ssim_uniform, found.ssim_gaussian);
    json["pairs"] = {{"count", found.pairs},
                     {"psnr", found.psnr},
                     {"psnr_of_batch", found.psnr_of_batch},
                     {"ssim_uniform7", found.ssim_uniform},
                     {"ssim_gaussian11", found.ssim_gaussian}};
    if (found.lpips) {
        std::printf("  LPIPS          %.6f (v0.1, %s)\n", *found.lpips, a.lpips.c_str());
        json["pairs"]["lpips_" + a.lpips] = *found.lpips;
    }
}

void report_distance(const char* name, const char* key, const std::optional<metrics::FrechetDistance>& distance,
                     Json& json) {
    if (distance) {
        std::printf("  %-14s %.6f\n", name, distance->value);
        json[key] = distance->value;
        if (!distance->warning.empty()) {
            std::fprintf(stderr, "warning: %s\n", distance->warning.c_str());
            json[std::string(key) + "_warning"] = distance->warning;
        }
    }
}

void report_sets(const Arguments& a, const std::optional<io::ImageDataset>& reference, const io::ImageDataset& images,
                 Json& json) {
    const metrics::FidConvention& convention = metrics::fid_convention(a.convention);
    InceptionJudge judge(load_inception(a.inception), convention);
    const auto features_of = [&](const io::ImageDataset& set, const char* label) {
        Progress progress(label, set.size());
        Index before = 0;
        return judge.features(set, a.batch, [&](Index done) {
            progress.update(done, std::nan(""), done - before);
            before = done;
        });
    };
    const InceptionFeatures found = features_of(images, "images");
    InceptionFeatures real;
    if (reference) {
        real = features_of(*reference, "reference");
    } else {
        real.summary = io::load_statistics(a.reference);
    }
    const InceptionDistances distances = distances_of(real.summary, found.summary, convention);
    std::printf("%lld images of %s against %s, convention %s\n", static_cast<long long>(images.size()),
                a.images.c_str(), a.reference.c_str(), a.convention.c_str());
    Json& out = json["sets"];
    out = {{"count", images.size()}, {"reference", a.reference}, {"convention", a.convention}};
    report_distance("FID", "fid", distances.features, out);
    report_distance("sFID", "sfid", distances.spatial, out);
    if (images.size() >= a.splits) {
        const metrics::InceptionScore score = metrics::inception_score(found.logits, found.classes(), a.splits);
        std::printf("  Inception Score %.6f, deviation %.6f over %lld splits\n", score.mean, score.standard_deviation,
                    static_cast<long long>(a.splits));
        out["inception_score"] = score.mean;
        out["inception_score_deviation"] = score.standard_deviation;
    }
    if (reference && std::min(reference->size(), images.size()) > a.neighbours) {
        const metrics::PrecisionRecall shares =
            metrics::precision_recall(real.rows, found.rows, found.width(), {.neighbours = a.neighbours});
        std::printf("  precision      %.6f, recall %.6f (%lld neighbours)\n", shares.precision, shares.recall,
                    static_cast<long long>(a.neighbours));
        out["precision"] = shares.precision;
        out["recall"] = shares.recall;
    }
    if (!a.save_statistics.empty()) {
        io::save_statistics(a.save_statistics, found.summary);
    }
}

void run(const Arguments& a) {
    if (a.threads > 0) {
        Cpu::set_threads(a.threads);
    }
    const bool from_statistics = io::Path(a.reference).extension() == ".npz";
    if (a.lpips_network.empty() != a.lpips_weights.empty()) {
        throw UsageError("LPIPS needs both --lpips-network and --lpips-weights");
    }
    if (a.inception.empty() && (from_statistics || !a.save_statistics.empty())) {
        throw UsageError("statistics need the network: give --inception");
    }
    const bool pairs = a.pairs && !from_statistics;
    if (!pairs && a.inception.empty()) {
        throw UsageError("nothing to measure: without pairs, give --inception");
    }
    const io::ImageDataset images = open_images(a.images, a.limit);
    std::optional<io::ImageDataset> reference;
    if (!from_statistics) {
        reference = open_images(a.reference, a.limit);
    }
    Json json;
    if (pairs) {
        report_pairs(a, *reference, images, json);
    }
    if (!a.inception.empty()) {
        report_sets(a, reference, images, json);
    }
    if (!a.json.empty()) {
        const std::string written = json.dump(2) + "\n";
        io::write_atomically(a.json, std::as_bytes(std::span(written)));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { run(arguments); });
}
