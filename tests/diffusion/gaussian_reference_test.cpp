#include "gaussian_reference.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/philox.hpp"
#include "flowfar/diffusion/respacing.hpp"
#include "flowfar/io/tensors/safetensors.hpp"

#include "fill.hpp"
#include "folders.hpp"

using flowfar::Cosine;
using flowfar::Ddpm;
using flowfar::DdpmSchedule;
using flowfar::DdpmVariance;
using flowfar::GaussianReference;
using flowfar::Index;

namespace {

using Row = std::vector<double>;

const flowfar::io::SafetensorsFile& golden() {
    static const flowfar::io::SafetensorsFile file(flowfar::testing::source_folder().string() +
                                                   "/tests/golden/ddpm.safetensors");
    return file;
}

Row tensor(const std::string& name) {
    return flowfar::io::values<double>(golden().at(name));
}

Row filled(const std::string& name, std::size_t count) {
    const std::vector<float> values = flowfar::testing::fill(name, count);
    return {values.begin(), values.end()};
}

/// Row `index` of a matrix with `width` columns.
std::span<const double> row(const Row& matrix, std::size_t index, std::size_t width) {
    return std::span(matrix).subspan(index * width, width);
}

struct Distance {
    double difference = 0;
    double reference = 0;

    void see(double got, double want) {
        difference += (got - want) * (got - want);
        reference += want * want;
    }
    [[nodiscard]] double relative() const { return std::sqrt(difference / reference); }
};

const GaussianReference& trained() {
    static const GaussianReference process{DdpmSchedule(Ddpm<1000, Cosine>{})};
    return process;
}

Row random_row(flowfar::Random& random, std::size_t count, double scale) {
    Row out(count);
    for (double& value : out) {
        value = scale * random.normal();
    }
    return out;
}

}  // namespace

TEST_CASE("training rows equal the published losses and gradients") {
    const auto steps = flowfar::io::values<Index>(golden().at("train.t"));
    const Row x_start = tensor("train.x_start");
    const Row noise = tensor("train.noise");
    const Row output = tensor("train.model_out");
    const Row x_t = tensor("train.x_t");
    const Row mse = tensor("train.mse");
    const Row vb = tensor("train.vb");
    const Row loss = tensor("train.loss");
    const Row gradient = tensor("train.grad_model_out_of_mean_loss");
    for (std::size_t r = 0; r < steps.size(); ++r) {
        CAPTURE(steps[r]);
        const int t = static_cast<int>(steps[r]);
        const Row noisy = trained().q_sample(t, row(x_start, r, 16), row(noise, r, 16));
        Distance samples;
        for (std::size_t c = 0; c < 16; ++c) {
            samples.see(noisy[c], x_t[16 * r + c]);
        }
        CHECK(samples.relative() < 1e-6);
        const GaussianReference::Loss got =
            trained().loss(t, row(x_start, r, 16), row(noise, r, 16), row(output, r, 32));
        CHECK(got.mse == doctest::Approx(mse[r]).epsilon(1e-6));
        CHECK(got.vb == doctest::Approx(vb[r]).epsilon(1e-5));
        CHECK(got.mse + got.vb == doctest::Approx(loss[r]).epsilon(5e-6));
        Distance here;
        for (std::size_t c = 0; c < 32; ++c) {
            here.see(got.gradient[c] / static_cast<double>(steps.size()), gradient[32 * r + c]);
        }
        CHECK(here.relative() < 1e-5);
    }
}

TEST_CASE("gradients equal central differences of the loss") {
    const std::uint64_t seed = 5;
    CAPTURE(seed);
    flowfar::Random random(seed);
    for (const int t : {0, 1, 40, 700, 999}) {
        CAPTURE(t);
        Row x_start = random_row(random, 6, 0.5);
        x_start[0] = -1.0;  // the open ends of the discrete likelihood at t = 0
        x_start[1] = 1.0;
        const Row noise = random_row(random, 6, 1);
        Row output = random_row(random, 12, 0.7);
        if (t == 0) {
            for (std::size_t c = 0; c < 6; ++c) {
                output[c] = noise[c] + 0.3 * output[c];  // near the truth, where the likelihood is not clamped
            }
        }
        const GaussianReference::Loss loss = trained().loss(t, x_start, noise, output);
        for (std::size_t k = 0; k < 12; ++k) {
            CAPTURE(k);
            const double h = 1e-5;
            const auto at = [&](double delta) {
                Row moved = output;
                moved[k] += delta;
                const GaussianReference::Loss here = trained().loss(t, x_start, noise, moved);
                return k < 6 ? here.mse : here.vb;  // the bound does not see the mean's dependence on epsilon
            };
            const double want = (at(h) - at(-h)) / (2 * h);
            CHECK(std::fabs(loss.gradient[k] - want) <= 1e-6 * (1 + std::fabs(want)));
        }
    }
}

TEST_CASE("sampling chains equal the published ones") {
    const GaussianReference process{flowfar::respace(DdpmSchedule(Ddpm<1000, Cosine>{}), "10")};
    const auto shown = flowfar::io::values<Index>(golden().at("chain.model_t"));
    const Row start = tensor("chain.xT");
    for (const std::string chain : {"noclip", "clip", "ddim_eta0", "ddim_eta05"}) {
        CAPTURE(chain);
        const Row samples = tensor("chain." + chain + ".samples");
        const Row starts = tensor("chain." + chain + ".pred_xstart");
        Row state = start;
        for (int i = 0; i < 10; ++i) {
            CAPTURE(i);
            const int t = 9 - i;
            CHECK(process.schedule().timestep_map[static_cast<std::size_t>(t)] == shown[static_cast<std::size_t>(i)]);
            const Row outputs = filled("ddpm.chain.model_out." + std::to_string(i), std::size_t{6} * 32);
            const Row noises = filled("ddpm.chain.noise." + std::to_string(i), std::size_t{6} * 16);
            Distance step;
            Distance prediction;
            for (std::size_t r = 0; r < 6; ++r) {
                const auto x = row(state, r, 16);
                const auto output = row(outputs, r, 32);
                const auto noise = row(noises, r, 16);
                const bool clip = chain == "clip";
                const Row x_start = process.predict(t, x, output, clip).x_start;
                const Row next = chain == "ddim_eta0"    ? process.ddim_step(t, x, output, noise, 0.0)
                                 : chain == "ddim_eta05" ? process.ddim_step(t, x, output, noise, 0.5)
                                                         : process.ancestral_step(t, x, output, noise, 0.9, clip);
                const std::size_t offset = (static_cast<std::size_t>(i) * 6 + r) * 16;
                for (std::size_t c = 0; c < 16; ++c) {
                    step.see(next[c], samples[offset + c]);
                    prediction.see(x_start[c], starts[offset + c]);
                    state[r * 16 + c] = next[c];
                }
            }
            CHECK(step.relative() < 2e-6);
            CHECK(prediction.relative() < 2e-6);
        }
    }
}

TEST_CASE("the true noise leads back to the start") {
    const std::uint64_t seed = 6;
    CAPTURE(seed);
    flowfar::Random random(seed);
    const GaussianReference process{DdpmSchedule::from_curve<Cosine>(50), DdpmVariance::fixed_small};
    const Row x_start = random_row(random, 8, 0.4);
    const Row noise = random_row(random, 8, 1);
    Row x = process.q_sample(45, x_start, noise);
    for (int t = 45; t >= 0; --t) {  // deterministic DDIM keeps the same noise on the whole path
        x = process.ddim_step(t, x, noise, noise);
    }
    for (std::size_t c = 0; c < 8; ++c) {
        CHECK(x[c] == doctest::Approx(x_start[c]).epsilon(1e-9));
    }
}

TEST_CASE("fixed variances and a perfect prediction") {
    const DdpmSchedule schedule = DdpmSchedule::from_curve<Cosine>(20);
    const GaussianReference small{schedule, DdpmVariance::fixed_small};
    const GaussianReference large{schedule, DdpmVariance::fixed_large};
    const GaussianReference learned{schedule};
    const Row x_start{0.2, -0.4};
    const Row noise{0.5, 1.5};
    for (const int t : {0, 1, 12}) {
        const auto at = static_cast<std::size_t>(t);
        const Row x_t = small.q_sample(t, x_start, noise);
        CHECK(small.predict(t, x_t, noise).log_variance[0] == schedule.posterior_log_variance_clipped[at]);
        CHECK(large.predict(t, x_t, noise).log_variance[1] ==
              (t == 0 ? schedule.posterior_log_variance_clipped[0] : schedule.log_betas[at]));
        CHECK(small.predict(t, x_t, noise).x_start[0] == doctest::Approx(0.2));
        const GaussianReference::Loss loss = small.loss(t, x_start, noise, noise);
        CHECK(loss.mse == 0);
        CHECK(loss.vb == 0);
        CHECK(loss.gradient == Row{0, 0});
        // v = -1 is the posterior variance: with the true noise the divergence vanishes
        const Row output{0.5, 1.5, -1, -1};
        if (t > 0) {
            CHECK(std::fabs(learned.loss(t, x_start, noise, output).vb) < 1e-12);
        }
    }
}

TEST_CASE("wrong sizes and steps are refused") {
    const Row four(4);
    const Row eight(8);
    CHECK_THROWS_AS((void)trained().q_sample(1000, four, four), flowfar::Error);
    CHECK_THROWS_AS((void)trained().q_sample(-1, four, four), flowfar::Error);
    CHECK_THROWS_AS((void)trained().q_sample(5, four, eight), flowfar::Error);
    CHECK_THROWS_WITH_AS((void)trained().predict(5, four, four),
                         "GaussianReference: network output has 4 values, expected 8", flowfar::Error);
    CHECK_THROWS_AS((void)trained().loss(5, four, four, four), flowfar::Error);
    CHECK_THROWS_AS((void)trained().ancestral_step(5, four, eight, eight), flowfar::Error);
    CHECK_THROWS_AS((void)trained().ddim_step(5, four, eight, eight), flowfar::Error);
}
