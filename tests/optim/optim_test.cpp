#include <cmath>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/optim/adam.hpp"
#include "flowfar/optim/clip.hpp"
#include "flowfar/optim/ema.hpp"
#include "flowfar/optim/fixed_norm.hpp"
#include "flowfar/optim/rate_schedule.hpp"
#include "flowfar/optim/sgd.hpp"

namespace {

using namespace flowfar;
using A = Autodiff<Reference>;
using Layer = Linear<A, 3, 2, double>;

Layer make_layer(std::uint64_t seed) {
    Layer layer;
    layer.initialize(seed);
    return layer;
}
void give_gradients(const Layer& layer, std::uint64_t seed) {
    const auto x = Tensor<A, Shape<dyn, 3>, double>::normal({4, 3}, seed);
    backward(sum_squares(layer(x)));
}

/// The textbook update on one element.
struct ScalarAdam {
    double m = 0;
    double v = 0;
    int step = 0;

    void update(double& p, double g, const AdamOptions& s, double rate) {
        ++step;
        const double lr = s.learning_rate * rate;
        if (s.decoupled) {
            p -= lr * s.weight_decay * p;
        } else {
            g += s.weight_decay * p;
        }
        m = s.beta1 * m + (1 - s.beta1) * g;
        v = s.beta2 * v + (1 - s.beta2) * g * g;
        p -= lr * (m / (1 - std::pow(s.beta1, step))) / (std::sqrt(v / (1 - std::pow(s.beta2, step))) + s.epsilon);
    }
};

TEST_CASE("parameter groups have settings of their own, and steps follow the textbook") {
    Layer layer = make_layer(1);
    auto all = parameters(layer);
    Adam<A> adam;
    const AdamOptions decayed{.learning_rate = 0.1, .beta2 = 0.95, .weight_decay = 0.02};
    const AdamOptions coupled{
        .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.3, .decoupled = false};
    adam.add_group({all[0]}, decayed);
    adam.add_group({all[1]}, coupled);
    std::vector<double> weight = layer.weight.to_host();
    std::vector<double> bias = layer.bias.to_host();
    std::vector<ScalarAdam> weight_twin(weight.size());
    std::vector<ScalarAdam> bias_twin(bias.size());
    for (int step = 0; step < 5; ++step) {
        give_gradients(layer, static_cast<std::uint64_t>(step));
        const double rate = 1.0 / (step + 1);
        const double scale = 0.5;
        const auto gw = gradient(layer.weight).to_host();
        const auto gb = gradient(layer.bias).to_host();
        adam.step(rate, scale);
        for (std::size_t i = 0; i < weight.size(); ++i) {
            weight_twin[i].update(weight[i], gw[i] * scale, decayed, rate);
            CHECK(layer.weight.to_host()[i] == doctest::Approx(weight[i]).epsilon(1e-12));
        }
        for (std::size_t i = 0; i < bias.size(); ++i) {
            bias_twin[i].update(bias[i], gb[i] * scale, coupled, rate);
            CHECK(layer.bias.to_host()[i] == doctest::Approx(bias[i]).epsilon(1e-12));
        }
        CHECK(!gradient(layer.weight).defined());  // a step clears what it used
    }
}

TEST_CASE("a parameter without gradient is left alone, weight decay included") {
    Layer layer = make_layer(1);
    Adam<A> adam;
    adam.add_group(parameters(layer), {0.1, 0.9, 0.95, 1e-8, 0.5, true});
    const auto before = layer.weight.to_host();
    adam.step();
    CHECK(layer.weight.to_host() == before);
    CHECK(adam.slots()[0].steps == 0);
    CHECK(!adam.slots()[0].first.defined());
}

TEST_CASE("the average moves at every n-th step by the decay to the n") {
    Layer layer = make_layer(1);
    Ema<A> ema(parameters(layer), 0.9, 3, EmaStart::published);
    const double start = layer.bias.to_host()[0];
    init::constant(layer.bias, 1.0);
    const double keep = 0.9 * 0.9 * 0.9;
    double expected = start;
    for (std::int64_t step = 0; step < 7; ++step) {
        ema.update(step);
        if (step % 3 == 0) {
            expected = keep * expected + (1 - keep);
        }
        Linear<Reference, 3, 2, double> averaged;
        ema.lend_to(averaged);
        CHECK(averaged.bias.to_host()[0] == doctest::Approx(expected).epsilon(1e-12));
    }
    CHECK_THROWS_AS(Ema<A>(parameters(layer), 1.5), Error);
}

TEST_CASE("SGD follows PyTorch's formulas, with momentum of both kinds and weight decay") {
    for (const SgdOptions& options : {SgdOptions{0.1}, SgdOptions{0.1, 0.9}, SgdOptions{0.1, 0.9, 0.2, true}}) {
        Layer layer = make_layer(1);
        Sgd<A> sgd(parameters(layer), options);
        std::vector<double> expected = layer.weight.to_host();
        std::vector<double> velocity(expected.size());
        for (int step = 0; step < 3; ++step) {
            give_gradients(layer, 5);
            const auto gradients = gradient(layer.weight).to_host();
            sgd.step(0.5, 0.25);
            for (std::size_t i = 0; i < expected.size(); ++i) {
                const double g = 0.25 * gradients[i] + options.weight_decay * expected[i];
                velocity[i] = options.momentum * velocity[i] + g;
                expected[i] -= 0.05 * (options.nesterov ? g + options.momentum * velocity[i] : velocity[i]);
            }
            const auto found = layer.weight.to_host();
            for (std::size_t i = 0; i < expected.size(); ++i) {
                CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-12));
            }
            CHECK(gradient_norm(parameters(layer)) == 0.0);
        }
    }
    Layer layer = make_layer(1);
    CHECK_THROWS_WITH_AS((Sgd<A>(parameters(layer), {.nesterov = true})), doctest::Contains("needs momentum"), Error);
}

TEST_CASE("a warm average forgets the start, and its decay rises to the one asked for") {
    Layer layer = make_layer(1);
    Ema<A> ema(parameters(layer), 0.9, 2);
    double expected = layer.bias.to_host()[0];
    init::constant(layer.bias, 1.0);
    const double start = expected;
    for (std::int64_t step = 0; step < 5; ++step) {
        ema.update(step);
        if (step % 2 == 0) {
            const auto s = static_cast<double>(step);
            const double keep = (1 + s) / (10 + s) * (1 + s) / (10 + s);
            expected = keep * expected + (1 - keep);
        }
        Linear<Reference, 3, 2, double> averaged;
        ema.lend_to(averaged);
        CHECK(averaged.bias.to_host()[0] == doctest::Approx(expected).epsilon(1e-12));
    }
    CHECK(std::fabs(expected - 1.0) < 1e-4 * std::fabs(start - 1.0));
    CHECK(ema.decay_at(79) == doctest::Approx(80.0 / 89.0));
    CHECK(ema.decay_at(80) == 0.9);  // 81 / 90
    CHECK(ema.decay_at(81) == 0.9);
}

TEST_CASE("clipping scales the gradient to the largest norm allowed") {
    Layer layer = make_layer(2);
    give_gradients(layer, 9);
    double square = 0;
    for (const auto& values : {gradient(layer.weight).to_host(), gradient(layer.bias).to_host()}) {
        for (const double g : values) {
            square += g * g;
        }
    }
    const double norm = gradient_norm(parameters(layer));
    CHECK(norm == doctest::Approx(std::sqrt(square)));
    CHECK(clip_scale(norm, norm * 2) == 1.0);
    CHECK(clip_scale(norm, norm / 4) == doctest::Approx(0.25).epsilon(1e-5));
    clear_gradients(parameters(layer));
    CHECK(gradient_norm(parameters(layer)) == 0.0);
    CHECK_THROWS_AS(static_cast<void>(clip_scale(1.0, 0.0)), Error);
}

TEST_CASE("fixed norms come back after a step") {
    Layer layer = make_layer(3);
    FixedNorms<A> norms({parameters(layer)[0]});
    const double before = l2_norm<Reference>(layer.weight.handle().value);
    init::uniform(layer.weight, 5.0, 4);
    CHECK(std::fabs(l2_norm<Reference>(layer.weight.handle().value) - before) > 0.1);
    norms.restore();
    CHECK(l2_norm<Reference>(layer.weight.handle().value) == doctest::Approx(before).epsilon(1e-12));
}

TEST_CASE("the learning rate warms up, then stays or follows a half cosine") {
    const RateSchedule constant{4, RateDecay::constant, 0, 0.0};
    CHECK(constant(0) == 0.25);
    CHECK(constant(3) == 1.0);
    CHECK(constant(1000000) == 1.0);
    const RateSchedule cosine{10, RateDecay::cosine, 110, 0.1};
    CHECK(cosine(10) == 1.0);
    CHECK(cosine(60) == doctest::Approx(0.55));
    CHECK(cosine(110) == doctest::Approx(0.1));
    CHECK(cosine(500) == doctest::Approx(0.1));
    CHECK_THROWS_AS(static_cast<void>(RateSchedule{10, RateDecay::cosine, 10, 0.0}(20)), Error);
}

}  // namespace
