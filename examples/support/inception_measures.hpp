#pragma once

// Two sets of images in the feature space of the Inception network of FID, by a named convention.

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/dataset.hpp"
#include "flowfar/io/feature_statistics.hpp"
#include "flowfar/io/image_tensor.hpp"
#include "flowfar/metrics/fid_convention.hpp"

namespace flowfar::program {

/// What the network says about a batch, row by row.
struct InceptionOutputs {
    std::vector<float> features;  ///< [images, 2048]
    std::vector<float> spatial;   ///< [images, 2023]: sFID's
    std::vector<float> logits;    ///< [images, 1008], without the head's bias
};

/// A network whose input is prepared images [images, 3, 299, 299].
using InceptionNetwork = std::function<InceptionOutputs(std::span<const float>)>;

/// The Inception network of FID on the CPU, from a file as io::load_published takes it.
[[nodiscard]] InceptionNetwork load_inception(const io::Path& weights);

/// What the network says about a set of images.
struct InceptionFeatures {
    Index count = 0;
    std::vector<float> rows;          ///< [count, 2048]
    std::vector<float> logits;        ///< [count, 1008]
    io::ReferenceStatistics summary;  ///< of rows, and under "_s" of sFID's features

    [[nodiscard]] Index width() const { return static_cast<Index>(rows.size()) / count; }
    [[nodiscard]] Index classes() const { return static_cast<Index>(logits.size()) / count; }
};

/// The network behind one convention.
class InceptionJudge {
   public:
    InceptionJudge(InceptionNetwork network, const metrics::FidConvention& convention)
        : network_(std::move(network)), convention_(convention) {}

    /// Features of a set of at least two images, `batch` at a time; images may differ in size. `on_images(done)`
    /// follows each batch.
    template <class OnImages>
    [[nodiscard]] InceptionFeatures features(const io::ImageDataset& images, Index batch, OnImages&& on_images) {
        std::optional<metrics::FeatureMoments> moments;
        std::optional<metrics::FeatureMoments> spatial;
        InceptionFeatures out;
        while (out.count < images.size()) {
            const Index count = std::min(batch, images.size() - out.count);
            const InceptionOutputs found = network_(prepared(images, out.count, count));
            add(found.features, count, moments);
            add(found.spatial, count, spatial);
            out.rows.insert(out.rows.end(), found.features.begin(), found.features.end());
            out.logits.insert(out.logits.end(), found.logits.begin(), found.logits.end());
            out.count += count;
            on_images(out.count);
        }
        require(out.count > 0, "no images");
        out.summary = {{{"", moments->statistics()}, {"_s", spatial->statistics()}}, std::string(convention_.name)};
        return out;
    }

    [[nodiscard]] const metrics::FidConvention& convention() const { return convention_; }

   private:
    static void add(std::span<const float> rows, Index count, std::optional<metrics::FeatureMoments>& to) {
        if (!to) {
            to.emplace(static_cast<Index>(rows.size()) / count);
        }
        to->add(rows);
    }

    std::vector<float> prepared(const io::ImageDataset& images, Index first, Index count) {
        std::vector<float> input;
        for (Index i = first; i < first + count; ++i) {
            const io::Image image = images.load(i);
            const std::pair<int, int> size(image.height, image.width);
            const auto& prepare = inputs_.try_emplace(size, convention_, image.height, image.width).first->second;
            const std::vector<float> one = prepare(io::to_planes({&image, 1}));
            input.insert(input.end(), one.begin(), one.end());
        }
        return input;
    }

    InceptionNetwork network_;
    metrics::FidConvention convention_;
    std::map<std::pair<int, int>, metrics::FidInput> inputs_;  ///< by height and width
};

/// Distances between two summaries; those that only one of them has are left out.
struct InceptionDistances {
    std::optional<metrics::FrechetDistance> features;  ///< what is called FID
    std::optional<metrics::FrechetDistance> spatial;   ///< sFID
};

/// Throws `Error` if the summaries are known to follow different conventions.
[[nodiscard]] inline InceptionDistances distances_of(const io::ReferenceStatistics& reference,
                                                     const io::ReferenceStatistics& images,
                                                     const metrics::FidConvention& convention) {
    for (const io::ReferenceStatistics* side : {&reference, &images}) {
        require(side->convention.empty() || side->convention == convention.name,
                "the statistics follow the convention ", side->convention, ", not ", convention.name);
    }
    const auto between = [&](const std::string& key) {
        std::optional<metrics::FrechetDistance> out;
        if (reference.sets.contains(key) && images.sets.contains(key)) {
            out = metrics::frechet_distance(reference.sets.at(key), images.sets.at(key), convention.trace);
        }
        return out;
    };
    return {between(""), between("_s")};
}

}  // namespace flowfar::program
