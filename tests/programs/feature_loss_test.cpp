// The perceptual loss of a small classifier: its values, its gradients, and flowmo_train with it.

#include "../../examples/programs/common/training/feature_loss.hpp"

#include <cmath>
#include <doctest/doctest.h>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/checkpoints/state_dict.hpp"

#include "fill.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"
#include "training_log.hpp"

using namespace flowfar;
using namespace flowfar::program;
using namespace flowfar::testing;

namespace {

template <class Network>
typename Network::AnyImages images_of(const std::vector<float>& values) {
    return Network::AnyImages::from_host(values, {2, 3, 16, 16});
}

template <template <class> class Network>
void check_loss() {
    using Tracked = Network<Autodiff<Cpu>>;
    using Plain = Network<Cpu>;
    FeatureLoss<Plain> plain;
    plain.network.initialize(11);
    FeatureLoss<Tracked> loss;
    loss.network.initialize(11);
    freeze(loss.network);
    const std::vector<float> real = fill("feature_loss.real", 2 * 3 * 256);
    const std::vector<float> other = fill("feature_loss.other", 2 * 3 * 256);
    const auto value = [&](const std::vector<float>& x) {
        return static_cast<double>(plain(images_of<Plain>(real), images_of<Plain>(x)).item());
    };
    CHECK(value(real) == 0);
    CHECK(value(other) > 0.01);
    CHECK(value(other) < 12);
    std::vector<float> outside = other;
    outside[7] = 1.5F;
    CHECK(value(outside) > 0);  // a sample may leave the range, a photo may not
    CHECK_THROWS_AS((void)plain(images_of<Plain>(outside), images_of<Plain>(real)), Error);

    const typename Tracked::AnyImages x(Autodiff<Cpu>::leaf(images_of<Plain>(other).handle()));
    const auto total = loss(images_of<Tracked>(real), x);
    CHECK(static_cast<double>(total.item()) == doctest::Approx(value(other)).epsilon(1e-6));
    backward(total);
    for (const auto& p : parameters(loss.network)) {
        CHECK(p.handle->node == nullptr);
    }
    const std::vector<float> gradient = typename Plain::AnyImages(x.handle().node->gradient).to_host();
    double slope = 0;  // along the gradient
    for (const float g : gradient) {
        slope += static_cast<double>(g) * static_cast<double>(g);
    }
    REQUIRE(slope > 0);
    const double step = 0.1 / std::sqrt(slope);
    const auto moved = [&](double by) {
        std::vector<float> out = other;
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] += static_cast<float>(by) * gradient[i];
        }
        return value(out);
    };
    CHECK((moved(step) - moved(-step)) / (2 * step) == doctest::Approx(slope).epsilon(1e-2));
}

}  // namespace

TEST_CASE("the loss of the residual classifier, and its gradient") {
    check_loss<FeatureClassifier>();
}

TEST_CASE("the loss of the plain classifier, and its gradient") {
    check_loss<PlainClassifier>();
}

TEST_CASE("flowmo_train takes a classifier as perceptual loss in both stages") {
    const TempDir folder;
    write_photos(folder / "photos", 9);
    FeatureClassifier<Cpu> residual;
    residual.initialize(1);
    io::save_parameters(residual, folder / "residual.safetensors", DType::f32);  // without a name, as older files
    PlainClassifier<Cpu> plain;
    plain.initialize(1);
    io::save_parameters(plain, folder / "plain.safetensors", DType::f32, {{"network", "plain"}});
    io::save_parameters(plain, folder / "odd.safetensors", DType::f32, {{"network", "round"}});
    const auto train = [&](const char* out, const char* classifier, const std::vector<std::string>& more = {}) {
        return run("flowmo_train", std::vector<std::string>{"--config",
                                                            "FlowMoNano",
                                                            "--data",
                                                            folder / "photos",
                                                            "--out",
                                                            folder / out,
                                                            "--train-steps",
                                                            "3",
                                                            "--batch",
                                                            "4",
                                                            "--validation",
                                                            "3",
                                                            "--split-seed",
                                                            "5",
                                                            "--log-every",
                                                            "1",
                                                            "--perceptual",
                                                            "features",
                                                            "--perceptual-files",
                                                            folder / classifier} +
                                       more);
    };
    const Outcome first = train("a", "residual.safetensors");
    CAPTURE(first.err);
    REQUIRE(first.code == 0);
    CHECK(lines_of(folder / "a").front()["perceptual"].get<double>() > 0);
    const Outcome second = train("b", "plain.safetensors",
                                 {"--stage", "1b", "--sample-steps", "2", "--init", folder / "a/model.safetensors"});
    CAPTURE(second.err);
    REQUIRE(second.code == 0);
    CHECK(lines_of(folder / "b").front()["perceptual"].get<double>() > 0);

    const Outcome other = train("a", "plain.safetensors", {"--resume"});
    CHECK(other.code == 1);
    CHECK(other.err.find("--perceptual-files.0: saved ") != std::string::npos);
    CHECK(train("c", "missing.safetensors").code == 1);
    CHECK(train("c", "odd.safetensors").err.find("unknown classifier \"round\"") != std::string::npos);
    CHECK(train("c", "a/model.safetensors").code == 1);
}
