#pragma once

// Quality of generated 32 x 32 images in the feature space of this project's own classifier: Fréchet distance,
// precision and recall against a set of real images, and how often the classifier sees the class that was asked for.
// The numbers compare models judged with the same classifier file and as many samples; they are no published metric.

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/data/dataset.hpp"
#include "flowfar/metrics/frechet.hpp"
#include "flowfar/metrics/precision_recall.hpp"

#include "../../examples/programs/common/measures/feature_classifier.hpp"

namespace flowfar::program {

/// What the classifier says about a set of images. Sets are computed once and compared with many others.
struct ImageFeatures {
    std::vector<float> rows;       ///< [count, width]
    std::vector<Index> predicted;  ///< [count]
    std::vector<Index> labels;     ///< [count], the intended classes; empty where there are none

    [[nodiscard]] Index count() const { return static_cast<Index>(predicted.size()); }
    [[nodiscard]] Index width() const { return count() == 0 ? 0 : static_cast<Index>(rows.size()) / count(); }
};

struct SampleQuality {
    double frechet_distance = 0;  ///< of the classifier's features, in double
    double precision = 0;         ///< 3 nearest neighbors
    double recall = 0;
    /// Share of samples whose predicted class is the intended one; NaN where there are no labels.
    double accuracy = std::numeric_limits<double>::quiet_NaN();
    Index samples = 0;
    Index references = 0;
    std::string warning;  ///< not empty if there are too few images for a covariance of full rank
};

/// Judges images with a classifier of the kind `Network` from a file that `train_classifier` wrote.
template <template <class> class Network>
class BasicQualityJudge {
   public:
    using Classifier = Network<Cpu>;
    static constexpr Index side = Classifier::side;
    static constexpr Index width = Classifier::feature_width;

    explicit BasicQualityJudge(const io::Path& classifier) { io::load_parameters(classifier_, classifier); }
    /// Shares the parameters of a classifier in memory.
    explicit BasicQualityJudge(const Classifier& classifier) : classifier_(classifier) {}

    /// Features of planes [n, 3, 32, 32] in [-1, 1] (values outside are clipped, as in an image file); `labels` are the
    /// intended classes, one each or none at all. `rounded` also rounds them to 8 bits first, as real images are.
    [[nodiscard]] ImageFeatures features(std::span<const float> planes, std::span<const Index> labels = {},
                                         bool rounded = true) const {
        constexpr std::size_t size = 3 * side * side;
        require(planes.size() % size == 0, "quality: ", planes.size(), " values are no images [3, 32, 32]");
        require(labels.empty() || labels.size() == planes.size() / size, "quality: ", planes.size() / size,
                " images, but ", labels.size(), " labels");
        for (const Index label : labels) {
            require(label >= 0 && label < Classifier::classes, "quality: expected a label of 0..",
                    Classifier::classes - 1, ", found ", label);
        }
        ImageFeatures out;
        out.labels.assign(labels.begin(), labels.end());
        while (!planes.empty()) {
            const std::size_t values = std::min(batch * size, planes.size());
            add(prepared(planes.first(values), rounded), out);
            planes = planes.subspan(values);
        }
        return out;
    }

    /// Features of all images of a dataset, with its labels. Throws `Error` for images of another size.
    [[nodiscard]] ImageFeatures features(const io::ImageDataset& dataset) const {
        ImageFeatures out;
        for (Index first = 0; first < dataset.size(); first += Index{batch}) {
            std::vector<Image> images;
            for (Index i = first; i < std::min(first + Index{batch}, dataset.size()); ++i) {
                images.push_back(dataset.load(i));
                require(images.back().height == side && images.back().width == side, dataset.name(i),
                        ": expected 32 x 32 pixels, found ", images.back().height, " x ", images.back().width);
                out.labels.push_back(dataset.label(i));
            }
            add(to_planes(images), out);
        }
        return out;
    }

   private:
    static constexpr std::size_t batch = 250;

    static std::vector<float> prepared(std::span<const float> planes, bool rounded) {
        if (rounded) {
            return to_planes(from_planes(planes, side, side));
        }
        std::vector<float> out(planes.begin(), planes.end());
        for (float& value : out) {
            value = std::clamp(value, -1.0F, 1.0F);
        }
        return out;
    }

    void add(const std::vector<float>& planes, ImageFeatures& out) const {
        const Index count = static_cast<Index>(planes.size()) / (3 * side * side);
        const auto found = classifier_.features(Classifier::Images::from_host(planes, {count, 3, side, side}));
        const std::vector<float> rows = found.to_host();
        out.rows.insert(out.rows.end(), rows.begin(), rows.end());
        const std::vector<Index> classes = predictions(classifier_.head(found).to_host());
        out.predicted.insert(out.predicted.end(), classes.begin(), classes.end());
    }

    Classifier classifier_;
};

using QualityJudge = BasicQualityJudge<FeatureClassifier>;

/// Mean and covariance of a set's features.
[[nodiscard]] inline metrics::FeatureStatistics statistics_of(const ImageFeatures& set) {
    metrics::FeatureMoments moments(set.width());
    moments.add(set.rows);
    return moments.statistics();
}

/// Samples against real images. Two halves of the real images give the floor: what perfect samples would reach.
[[nodiscard]] inline SampleQuality sample_quality(const ImageFeatures& real, const ImageFeatures& samples) {
    const metrics::FrechetDistance distance = metrics::frechet_distance(statistics_of(real), statistics_of(samples));
    const metrics::PrecisionRecall shares = metrics::precision_recall(real.rows, samples.rows, real.width());
    SampleQuality out;
    out.frechet_distance = distance.value;
    out.precision = shares.precision;
    out.recall = shares.recall;
    out.samples = samples.count();
    out.references = real.count();
    out.warning = distance.warning;
    if (!samples.labels.empty()) {
        out.accuracy = agreement(samples.predicted, samples.labels);
    }
    return out;
}

/// One line for people: "Fréchet distance 1.23 (classifier features), precision 0.71, recall 0.65, accuracy 0.80; …".
[[nodiscard]] inline std::string shown(const SampleQuality& q) {
    return text("Fréchet distance ", q.frechet_distance, " (classifier features), precision ", q.precision, ", recall ",
                q.recall, q.accuracy == q.accuracy ? text(", class accuracy ", q.accuracy) : std::string(), "; ",
                q.samples, " samples, ", q.references, " references",
                q.warning.empty() ? std::string() : "; " + q.warning);
}

}  // namespace flowfar::program
