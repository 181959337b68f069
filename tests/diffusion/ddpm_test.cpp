/// DDPM on tensors against the scalar reference in double.

#include "flowfar/diffusion/ddpm.hpp"

#include <doctest/doctest.h>

#include "flowfar/diffusion/respacing.hpp"

#include "gaussian_reference.hpp"
#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using X = Tensor<Tape, Shape<dyn, dyn>, double>;
using Plain64 = Tensor<Reference, Shape<dyn, dyn>, double>;

constexpr Index rows = 8;
constexpr Index channels = 6;

X make(Index width, std::uint32_t seed, double scale) {
    return X(Tape::constant(random_handle({rows, width}, seed, -scale, scale)));
}
std::span<const double> row(const std::vector<double>& values, Index index, Index width) {
    return std::span(values).subspan(static_cast<std::size_t>(index * width), static_cast<std::size_t>(width));
}

}  // namespace

TEST_CASE("loss and gradient of rows at all kinds of steps") {
    const GaussianReference reference{DdpmSchedule(Ddpm<1000, Cosine>{})};
    const DdpmSchedule& process = reference.schedule();
    // Step 0 has open ends beyond ±0.999; the scale of x makes all three kinds appear.
    const std::vector<Index> steps{0, 0, 1, 5, 500, 998, 999, 0};
    const X x = make(channels, 1, 1.6);
    const X noise = make(channels, 2, 1.7);
    const X close = noise * 1.001;  // so that the likelihood at step 0 is not saturated
    const X output = leaf(X(concat<1>(close, make(channels, 3, 1.0))));
    const auto loss = ddpm::loss(process, steps, x, noise, output);
    const auto total = sum(loss.mse + loss.vb);
    backward(total);

    const auto vx = x.to_host();
    const auto vn = noise.to_host();
    const auto vo = output.to_host();
    std::vector<double> mse;
    std::vector<double> vb;
    std::vector<double> gradients;
    std::vector<double> states;
    for (Index i = 0; i < rows; ++i) {
        const int t = static_cast<int>(steps[static_cast<std::size_t>(i)]);
        const auto want = reference.loss(t, row(vx, i, channels), row(vn, i, channels), row(vo, i, 2 * channels));
        mse.push_back(want.mse);
        vb.push_back(want.vb);
        gradients.insert(gradients.end(), want.gradient.begin(), want.gradient.end());
        const auto state = reference.q_sample(t, row(vx, i, channels), row(vn, i, channels));
        states.insert(states.end(), state.begin(), state.end());
    }
    // Table entries enter as floats, as they do in the published models.
    CHECK(difference_of(loss.mse.to_host(), mse, 1e-12) == "");
    CHECK(difference_of(loss.vb.to_host(), vb, 1e-6) == "");
    CHECK(difference_of(gradient(output).to_host(), gradients, 1e-6) == "");
    CHECK(difference_of(ddpm::q_sample(process, steps, x, noise).to_host(), states, 1e-7) == "");
}

TEST_CASE("reverse steps: ancestral and DDIM, clipped or not") {
    const DdpmSchedule base{Ddpm<1000, Cosine>{}};
    const GaussianReference reference(respace(base, "20"));
    const DdpmSchedule& process = reference.schedule();
    const X x = make(channels, 4, 1.0);
    const X output = make(2 * channels, 5, 1.0);
    const X noise = make(channels, 6, 1.5);
    const X epsilon = slice<1>(output, 0, channels);
    const X v = slice<1>(output, channels, 2 * channels);
    const auto vx = x.to_host();
    const auto vo = output.to_host();
    const auto vn = noise.to_host();
    for (const int t : {0, 1, 10, 19}) {
        for (const bool clip : {false, true}) {
            CAPTURE(t);
            CAPTURE(clip);
            std::vector<double> ancestral;
            std::vector<double> ddim;
            for (Index i = 0; i < rows; ++i) {
                const auto rx = row(vx, i, channels);
                const auto ro = row(vo, i, 2 * channels);
                const auto rn = row(vn, i, channels);
                const auto a = reference.ancestral_step(t, rx, ro, rn, 0.9, clip);
                ancestral.insert(ancestral.end(), a.begin(), a.end());
                const auto d = reference.ddim_step(t, rx, ro, rn, 0.5, clip);
                ddim.insert(ddim.end(), d.begin(), d.end());
            }
            const X got =
                ddpm::ancestral_step(process, t, x, epsilon, v, noise, {.temperature = 0.9, .clip = clip ? 1.0 : 0.0});
            CHECK(difference_of(got.to_host(), ancestral, 1e-9) == "");
            CHECK(difference_of(ddpm::ddim_step(process, t, x, epsilon, noise, 0.5, clip ? 1.0 : 0.0).to_host(), ddim,
                                1e-9) == "");
        }
    }
    const X last = ddpm::ancestral_step(process, 0, x, epsilon, v, X());
    CHECK(last.to_host() == ddpm::ancestral_step(process, 0, x, epsilon, v, noise).to_host());
}

TEST_CASE("steps outside the process and operands that do not fit") {
    const DdpmSchedule process{Ddpm<1000, Cosine>{}};
    const X x = make(channels, 1, 1.0);
    const std::vector<Index> late(static_cast<std::size_t>(rows), 1000);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddpm::q_sample(process, late, x, x)), "ddpm: step 1000, expected 0 to 999",
                         Error);
    const std::vector<Index> few{1, 2};
    CHECK_THROWS_AS(static_cast<void>(ddpm::q_sample(process, few, x, x)), Error);
    const std::vector<Index> steps(static_cast<std::size_t>(rows), 3);
    CHECK_THROWS_AS(static_cast<void>(ddpm::loss(process, steps, x, x, x)), Error);
}
