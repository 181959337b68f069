#include "../../benchmarks/quality/quality.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

#include "../../benchmarks/quality/classifier_training.hpp"
#include "fill.hpp"
#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;
using flowfar::testing::fill;

constexpr std::size_t image_size = 3 * 32 * 32;

QualityJudge::Classifier random_classifier() {
    QualityJudge::Classifier classifier;
    classifier.initialize(3);
    return classifier;
}

}  // namespace

TEST_CASE("a shift moves pixels and mirrors at the edges") {
    std::vector<float> planes(3 * 4 * 4);
    for (std::size_t i = 0; i < planes.size(); ++i) {
        planes[i] = static_cast<float>(i);
    }
    CHECK(shifted(planes, 4, 0, 0) == planes);
    const std::vector<float> moved = shifted(planes, 4, 1, -2);
    // row 0 comes from row 1 mirrored, row 1 from row 0; columns from x + 2: 2, 3, then 2 and 1 mirrored
    CHECK(std::vector<float>(moved.begin(), moved.begin() + 8) == std::vector<float>{6, 7, 6, 5, 2, 3, 2, 1});
    CHECK(moved[16] == 16 + 6);
    CHECK(shifted(planes, 4, 3, 3)[15] == 0);
}

TEST_CASE("labels, predictions and their agreement") {
    const std::vector<Index> labels{2, 0};
    CHECK(one_hot(labels, 3) == std::vector<float>{0, 0, 1, 1, 0, 0});
    CHECK(predictions(std::array{0.5F, -1.0F, 3.0F, 7.0F, 1.0F, 2.0F}, 3) == labels);
    CHECK(agreement(labels, std::array<Index, 2>{2, 1}) == 0.5);
    CHECK_THROWS_AS((void)one_hot(std::array<Index, 1>{3}, 3), Error);
    CHECK_THROWS_AS((void)one_hot(std::array<Index, 1>{-1}, 3), Error);
    CHECK_THROWS_AS((void)agreement(labels, {}), Error);
}

TEST_CASE("training lowers the loss on a few images, and the same seed gives the same run") {
    const std::vector<float> images = fill("quality.images", 10 * image_size);
    const std::vector<Index> labels{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    ClassifierTrainOptions options;
    options.shift = 1;
    options.seed = 5;
    ClassifierTrainer<Cpu> first(options);
    ClassifierTrainer<Cpu> second(options);
    double start = 0;
    double end = 0;
    for (int step = 0; step < 30; ++step) {
        const double loss = first.step(images, labels).loss;
        start = step == 0 ? loss : start;
        end = loss;
        if (step < 2) {
            CHECK(second.step(images, labels).loss == loss);
        }
    }
    CHECK(start == doctest::Approx(std::log(10)).epsilon(0.2));
    CHECK(end < 0.5 * start);
    options.shift = 32;
    CHECK_THROWS_AS((ClassifierTrainer<Cpu>(options)), Error);
}

TEST_CASE("a judge from a file equals the classifier in memory, however images are batched") {
    const testing::TempDir folder;
    const auto classifier = random_classifier();
    io::save_parameters(classifier, folder.path() / "c.safetensors", DType::f32);
    const QualityJudge judge(folder.path() / "c.safetensors");
    const std::vector<float> planes = fill("quality.images", 260 * image_size);
    const std::vector<Index> labels(260, 4);
    const ImageFeatures all = judge.features(planes, labels);
    CHECK(all.count() == 260);
    CHECK(all.rows.size() == 260 * 128);
    CHECK(all.labels == labels);
    const ImageFeatures last = QualityJudge(classifier).features(std::span(planes).last(image_size));
    CHECK(last.labels.empty());
    CHECK(last.predicted.front() == all.predicted.back());
    for (std::size_t i = 0; i < 128; ++i) {
        CHECK(last.rows[i] == doctest::Approx(all.rows[259 * 128 + i]).epsilon(1e-4));
    }
    CHECK_THROWS_AS((void)judge.features(std::span(planes).first(100)), Error);
    CHECK_THROWS_AS((void)judge.features(planes, std::span(labels).first(3)), Error);
    CHECK_THROWS_AS((void)judge.features(std::span(planes).first(image_size), std::vector<Index>{10}), Error);
    CHECK_THROWS_AS(QualityJudge(io::Path("no such file")), Error);
}

TEST_CASE("values beyond the range and between the levels of 8 bits count as in an image file") {
    const QualityJudge judge(random_classifier());
    std::vector<float> planes = fill("quality.images", image_size, 0, 1.5);
    const ImageFeatures rounded = judge.features(planes);
    const ImageFeatures exact = judge.features(planes, {}, false);
    CHECK(rounded.rows != exact.rows);
    const std::vector<float> written = to_planes(from_planes(planes, 32, 32));
    CHECK(judge.features(written).rows == rounded.rows);
    for (float& value : planes) {
        value = std::clamp(value, -1.0F, 1.0F);
    }
    CHECK(judge.features(planes, {}, false).rows == exact.rows);
}

TEST_CASE("quality compares what the parts compute, and equal sets are perfect") {
    const QualityJudge judge(random_classifier());
    const std::vector<float> planes = fill("quality.images", 140 * image_size);
    const std::vector<float> others = fill("quality.others", 130 * image_size, 0.25, 0.5);
    const ImageFeatures real = judge.features(planes);
    const SampleQuality same = sample_quality(real, real);
    CHECK(same.frechet_distance < 1e-8);
    CHECK(same.precision == 1);
    CHECK(same.recall == 1);
    CHECK(std::isnan(same.accuracy));
    CHECK(same.warning.empty());
    const ImageFeatures samples = judge.features(others, std::vector<Index>(130, 7));
    const SampleQuality found = sample_quality(real, samples);
    CHECK(found.frechet_distance == metrics::frechet_distance(statistics_of(real), statistics_of(samples)).value);
    CHECK(found.frechet_distance > 1e-4);
    CHECK(found.accuracy == agreement(samples.predicted, samples.labels));
    CHECK(found.samples == 130);
    CHECK(found.references == 140);
    CHECK(shown(found).find("class accuracy") != std::string::npos);
    CHECK(shown(same).find("class accuracy") == std::string::npos);
    const ImageFeatures few = judge.features(std::span(others).first(5 * image_size));
    CHECK(!sample_quality(real, few).warning.empty());
}
