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

#include "flowfar/checkpoints/feature_statistics.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/data/dataset.hpp"
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

/// The Inception network of FID on backend B, from a file as io::load_published takes it. Defined once per backend, see
/// inception_network_impl.hpp.
template <class B>
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

/// What the network says about images that come in pieces, prepared by one convention.
class InceptionSet {
   public:
    InceptionSet(InceptionNetwork network, const metrics::FidConvention& convention)
        : network_(std::move(network)), convention_(convention) {}

    /// Planes [images, 3, height, width] in [-1, 1]; another piece may be of another size, see `prepare`.
    void add(std::span<const float> planes, int height, int width) { add_prepared(prepare(planes, height, width)); }
    /// Planes of one size as the network wants them: [images, 3, 299, 299]. Pieces of several sizes can be joined.
    [[nodiscard]] std::vector<float> prepare(std::span<const float> planes, int height, int width) {
        return inputs_.try_emplace(std::pair(height, width), convention_, height, width).first->second(planes);
    }
    void add_prepared(std::span<const float> input) {
        constexpr std::size_t size = 3 * metrics::FidInput::side * metrics::FidInput::side;
        const auto count = static_cast<Index>(input.size() / size);
        const InceptionOutputs found = network_(input);
        join(found.features, count, moments_);
        join(found.spatial, count, spatial_);
        out_.rows.insert(out_.rows.end(), found.features.begin(), found.features.end());
        out_.logits.insert(out_.logits.end(), found.logits.begin(), found.logits.end());
        out_.count += count;
    }
    [[nodiscard]] Index count() const { return out_.count; }
    /// Ends the set; throws `Error` if it has fewer than two images.
    [[nodiscard]] InceptionFeatures finish() {
        require(out_.count > 0, "no images");
        out_.summary = {{{"", moments_->statistics()}, {"_s", spatial_->statistics()}}, std::string(convention_.name)};
        return std::move(out_);
    }

   private:
    static void join(std::span<const float> rows, Index count, std::optional<metrics::FeatureMoments>& to) {
        if (!to) {
            to.emplace(static_cast<Index>(rows.size()) / count);
        }
        to->add(rows);
    }

    InceptionNetwork network_;
    metrics::FidConvention convention_;
    std::map<std::pair<int, int>, metrics::FidInput> inputs_;  ///< by height and width
    std::optional<metrics::FeatureMoments> moments_;
    std::optional<metrics::FeatureMoments> spatial_;
    InceptionFeatures out_;
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
        InceptionSet set = start();
        while (set.count() < images.size()) {
            std::vector<float> input;
            const Index last = std::min(set.count() + batch, images.size());
            for (Index i = set.count(); i < last; ++i) {
                const Image image = images.load(i);
                const std::vector<float> one = set.prepare(to_planes({&image, 1}), image.height, image.width);
                input.insert(input.end(), one.begin(), one.end());
            }
            set.add_prepared(input);
            on_images(set.count());
        }
        return set.finish();
    }
    /// An empty set of this network and convention.
    [[nodiscard]] InceptionSet start() const { return {network_, convention_}; }

    [[nodiscard]] const metrics::FidConvention& convention() const { return convention_; }

   private:
    InceptionNetwork network_;
    metrics::FidConvention convention_;
};

/// Throws `Error` unless stored statistics are of this network's features and, as far as the file says, of this
/// convention: known before any image is read.
inline void check_reference(const io::ReferenceStatistics& reference, const std::string& name,
                            const metrics::FidConvention& convention) {
    require(reference.convention.empty() || reference.convention == convention.name, name,
            ": the statistics follow the convention ", reference.convention, ", not ", convention.name);
    bool known = false;
    for (const auto& [key, width] : {std::pair{"", std::size_t{2048}}, std::pair{"_s", std::size_t{2023}}}) {
        const auto found = reference.sets.find(key);
        if (found != reference.sets.end()) {
            known = true;
            require(found->second.mean.size() == width, name, ": \"mu", key, "\" is of ", found->second.mean.size(),
                    " features, expected the ", width, " of the Inception network");
        }
    }
    require(known, name, ": expected the arrays \"mu\" and \"sigma\"");
}

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
