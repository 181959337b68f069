#pragma once

// What the measuring programs share: the options that choose measures, and how results are printed and written.

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/metrics/inception_score.hpp"
#include "flowfar/metrics/precision_recall.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/device.hpp"
#include "common/cli/jsonl.hpp"
#include "common/measures/inception_measures.hpp"
#include "common/measures/pair_measures.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

struct MeasureArguments {
    std::string lpips = "vgg", lpips_network, lpips_weights;
    std::string inception, convention = "pytorch-fid";
    Index batch = 8, splits = 10, neighbours = 3;

    /// Throws UsageError for options that do not fit together.
    void check() const {
        if (lpips_network.empty() != lpips_weights.empty()) {
            throw UsageError("LPIPS needs both --lpips-network and --lpips-weights");
        }
    }
    /// LPIPS, or nothing where its files were not given.
    [[nodiscard]] PairDistance make_lpips(Device device) const {
        PairDistance out;
        if (!lpips_network.empty()) {
            Backends::visit(device,
                            [&]<class B>() { out = program::make_lpips<B>(lpips, lpips_network, lpips_weights); });
        }
        return out;
    }
    [[nodiscard]] InceptionJudge make_judge(Device device) const {
        InceptionNetwork network;
        Backends::visit(device, [&]<class B>() { network = load_inception<B>(inception); });
        return {network, metrics::fid_convention(convention)};
    }
};

inline void add_lpips_options(Spec& spec, MeasureArguments& a) {
    spec.option("lpips", a.lpips, "backbone of LPIPS v0.1; used with the two files")
        .choices({"vgg", "alex", "squeeze"});
    spec.option("lpips-network", a.lpips_network, "the backbone's weights as torchvision publishes them")
        .placeholder("FILE");
    spec.option("lpips-weights", a.lpips_weights, "LPIPS's own weights, such as vgg.pth").placeholder("FILE");
}
inline void add_set_options(Spec& spec, MeasureArguments& a) {
    std::vector<std::string> conventions;
    for (const metrics::FidConvention& convention : metrics::fid::all) {
        conventions.emplace_back(convention.name);
    }
    spec.option("inception", a.inception, "weights of the Inception network of FID").placeholder("FILE");
    spec.option("convention", a.convention, "whose numbers to reproduce; compare only numbers of one convention")
        .choices(std::move(conventions));
    spec.option("splits", a.splits, "parts that the Inception Score is the mean of, in the order of the images' names")
        .at_least(1);
    spec.option("neighbours", a.neighbours, "nearest neighbours of precision and recall").at_least(1);
    spec.option("batch", a.batch, "images per pass of the Inception network").at_least(1);
}

/// The first `limit` images of a folder or tar; 0: all of them.
[[nodiscard]] inline io::ImageDataset open_images(const std::string& path, Index limit) {
    const io::ImageDataset all(path);
    std::vector<Index> chosen;
    for (Index i = 0; i < (limit > 0 ? std::min(limit, all.size()) : all.size()); ++i) {
        chosen.push_back(i);
    }
    return all.subset(chosen);
}

/// One pair or the means of many as JSON.
[[nodiscard]] inline Json json_of(const PairNumbers& numbers, const std::string& lpips) {
    Json out = {
        {"psnr", numbers.psnr}, {"ssim_uniform7", numbers.ssim_uniform}, {"ssim_gaussian11", numbers.ssim_gaussian}};
    if (numbers.lpips) {
        out["lpips_" + lpips] = *numbers.lpips;
    }
    return out;
}

/// Prints means over pairs; returns them as JSON.
inline Json report_pairs(const PairReport& found, const MeasureArguments& a) {
    std::printf("  PSNR           %.4f dB (mean of images), %.4f dB (of the mean squared error)\n", found.psnr,
                found.psnr_of_batch);
    std::printf("  SSIM           %.6f (7 x 7 uniform window: scikit-image), %.6f (11 x 11 Gaussian: Wang et al.)\n",
                found.ssim_uniform, found.ssim_gaussian);
    if (found.lpips) {
        std::printf("  LPIPS          %.6f (v0.1, %s)\n", *found.lpips, a.lpips.c_str());
    }
    Json out = {{"count", found.pairs}};
    out.update(json_of(found, a.lpips));
    out["psnr_of_batch"] = found.psnr_of_batch;
    return out;
}

namespace detail {

inline void report_distance(const char* name, const char* key, const std::optional<metrics::FrechetDistance>& distance,
                            Json& out) {
    if (distance) {
        std::printf("  %-14s %.6f\n", name, distance->value);
        out[key] = distance->value;
        if (!distance->warning.empty()) {
            std::fprintf(stderr, "warning: %s\n", distance->warning.c_str());
            out[std::string(key) + "_warning"] = distance->warning;
        }
    }
}

}  // namespace detail

/// Prints what the Inception network says about images and a reference, which may be no more than statistics
/// (`reference.rows` empty: no precision and recall). Returns it as JSON, with convention and reference by name.
inline Json report_sets(const InceptionFeatures& reference, const std::string& reference_name,
                        const InceptionFeatures& images, const MeasureArguments& a) {
    const metrics::FidConvention& convention = metrics::fid_convention(a.convention);
    const InceptionDistances distances = distances_of(reference.summary, images.summary, convention);
    Json out = {{"count", images.count}, {"reference", reference_name}, {"convention", a.convention}};
    detail::report_distance("FID", "fid", distances.features, out);
    detail::report_distance("sFID", "sfid", distances.spatial, out);
    if (images.count >= a.splits) {
        const metrics::InceptionScore score = metrics::inception_score(images.logits, images.classes(), a.splits);
        std::printf("  Inception Score %.6f, deviation %.6f over %lld splits\n", score.mean, score.standard_deviation,
                    static_cast<long long>(a.splits));
        out["inception_score"] = score.mean;
        out["inception_score_deviation"] = score.standard_deviation;
    }
    if (!reference.rows.empty() && std::min(reference.count, images.count) > a.neighbours) {
        const metrics::PrecisionRecall shares =
            metrics::precision_recall(reference.rows, images.rows, images.width(), {.neighbours = a.neighbours});
        std::printf("  precision      %.6f, recall %.6f (%lld neighbours)\n", shares.precision, shares.recall,
                    static_cast<long long>(a.neighbours));
        out["precision"] = shares.precision;
        out["recall"] = shares.recall;
    }
    return out;
}

/// Writes JSON to people's liking; the file is replaced as a whole.
inline void write_json(const io::Path& path, const Json& json) {
    const std::string written = json.dump(2) + "\n";
    io::write_atomically(path, std::as_bytes(std::span(written)));
}

}  // namespace flowfar::program
