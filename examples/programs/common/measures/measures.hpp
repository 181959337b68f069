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
    Index batch = 8, splits = 10, neighbors = 3;

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

/// Declares --orientation.
inline void add_orientation_option(Spec& spec, std::string& orientation) {
    spec.option("orientation", orientation,
                "upright: photos are turned as EXIF says; stored: as their pixels lie, which is how Pillow and with it "
                "the papers' evaluators read them")
        .choices({"upright", "stored"});
}
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
    spec.option("neighbors", a.neighbors, "nearest neighbors of precision and recall").at_least(1);
    spec.option("batch", a.batch, "images per pass of the Inception network").at_least(1);
}

/// The first `limit` images of a folder or tar; 0: all of them.
[[nodiscard]] inline io::ImageDataset open_images(const std::string& path, Index limit,
                                                  const std::string& orientation) {
    io::ImageDataset all(path);
    all.set_orientation(orientation == "stored" ? io::Orientation::stored : io::Orientation::upright);
    std::vector<Index> chosen;
    for (Index i = 0; i < (limit > 0 ? std::min(limit, all.size()) : all.size()); ++i) {
        chosen.push_back(i);
    }
    return all.subset(chosen);
}

/// One pair or the means of many as JSON; null for the SSIM of images smaller than its window.
[[nodiscard]] inline Json json_of(const PairNumbers& numbers, const std::string& lpips) {
    const auto optional = [](const std::optional<double>& value) { return value ? json_number(*value) : Json(); };
    Json out = {{"psnr", json_number(numbers.psnr)},
                {"ssim_uniform7", optional(numbers.ssim_uniform)},
                {"ssim_gaussian11", optional(numbers.ssim_gaussian)}};
    if (numbers.lpips) {
        out["lpips_" + lpips] = *numbers.lpips;
    }
    return out;
}

/// "0.912345", or why there is none.
[[nodiscard]] inline std::string shown_ssim(const std::optional<double>& value, int window) {
    if (!value) {
        return text("not defined below ", window, " x ", window, " pixels");
    }
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6f", *value);
    return buffer;
}

/// What a pair lacks: "x.png: 8 x 8 pixels have no SSIM, ..."; empty if nothing.
[[nodiscard]] inline std::string ssim_note(const std::string& name, const PairNumbers& numbers) {
    return numbers.ssim_gaussian ? ""
                                 : text(name, ": too small for the SSIM of ", numbers.ssim_uniform ? "" : "7 x 7 and ",
                                        "11 x 11 pixels; its PSNR counts");
}

/// Prints means over pairs; returns them as JSON.
inline Json report_pairs(const PairReport& found, const MeasureArguments& a) {
    std::printf("  PSNR           %.4f dB (mean of images), %.4f dB (of the mean squared error)\n", found.psnr,
                found.psnr_of_batch);
    if (found.equal > 0) {
        std::printf("                 %lld pairs are equal, their PSNR and its mean infinite",
                    static_cast<long long>(found.equal));
        std::printf(found.psnr_of_different ? "; %.4f dB: mean of the others\n" : "\n",
                    found.psnr_of_different.value_or(0.0));
    }
    std::printf("  SSIM           %s (7 x 7 uniform window: scikit-image), %s (11 x 11 Gaussian: Wang et al.)\n",
                shown_ssim(found.ssim_uniform, 7).c_str(), shown_ssim(found.ssim_gaussian, 11).c_str());
    if (std::min(found.with_uniform, found.with_gaussian) < found.pairs && found.ssim_uniform) {
        std::printf("                 of the %lld and %lld pairs that are as large as the window\n",
                    static_cast<long long>(found.with_uniform), static_cast<long long>(found.with_gaussian));
    }
    if (found.lpips) {
        std::printf("  LPIPS          %.6f (v0.1, %s)\n", *found.lpips, a.lpips.c_str());
    }
    Json out = {{"count", found.pairs}};
    out.update(json_of(found, a.lpips));
    out["psnr_of_batch"] = json_number(found.psnr_of_batch);
    if (found.equal > 0) {
        out["equal"] = found.equal;
        out["psnr_of_different"] = found.psnr_of_different ? Json(*found.psnr_of_different) : Json();
    }
    if (found.with_gaussian < found.pairs) {
        out["ssim_uniform7_count"] = found.with_uniform;
        out["ssim_gaussian11_count"] = found.with_gaussian;
    }
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
    Json out = {{"count", images.count}, {"convention", a.convention}};
    set_name(out, "reference", reference_name);
    detail::report_distance("FID", "fid", distances.features, out);
    detail::report_distance("sFID", "sfid", distances.spatial, out);
    if (images.count >= a.splits) {
        const metrics::InceptionScore score = metrics::inception_score(images.logits, images.classes(), a.splits);
        std::printf("  Inception Score %.6f, deviation %.6f over %lld splits\n", score.mean, score.standard_deviation,
                    static_cast<long long>(a.splits));
        out["inception_score"] = score.mean;
        out["inception_score_deviation"] = score.standard_deviation;
    }
    if (!reference.rows.empty() && std::min(reference.count, images.count) > a.neighbors) {
        const metrics::PrecisionRecall shares =
            metrics::precision_recall(reference.rows, images.rows, images.width(), {.neighbors = a.neighbors});
        std::printf("  precision      %.6f, recall %.6f (%lld neighbors)\n", shares.precision, shares.recall,
                    static_cast<long long>(a.neighbors));
        out["precision"] = shares.precision;
        out["recall"] = shares.recall;
    }
    return out;
}

}  // namespace flowfar::program
