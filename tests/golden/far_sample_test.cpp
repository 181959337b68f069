/// FAR's sampling loops with and without hidden tokens, step by step against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_far.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// The recorded draws: one counter over all calls; the second half of the rows belongs to the null condition.
template <class Model>
struct RecordedDraws {
    std::vector<Index> order;

    [[nodiscard]] typename Model::Head::Rows noise(int k, int draw) const {
        const std::string name = text("far.sample.", 11 * k + draw);  // "ddim10": a start and ten steps
        return filled<typename Model::Head::Rows>(name, {512, 16});
    }
    [[nodiscard]] std::vector<Index> orders() const { return order; }
};

/// Elements [step · count, (step + 1) · count) of a recorded sequence.
std::vector<double> at_step(const std::vector<double>& all, int step, std::size_t count) {
    const auto begin = all.begin() + static_cast<Index>(count) * step;
    return {begin, begin + static_cast<Index>(count)};
}

template <class C>
void check(const std::string& name) {
    using Model = Far<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    FarSampleOptions options;
    options.steps = DiffusionSteps::spaced("ddim10");
    const FarSampler<Model> sampler(model, options);
    const auto inputs = golden->doubles("sample.tokens_in");
    const auto results = golden->doubles("sample.raw_latents");
    const auto schedule = golden->doubles("sample.temperature_cfg_index");
    const auto masks = C::masked ? golden->doubles("sample.mask_in") : std::vector<double>{};
    int steps = 0;
    const auto callback = [&](const FarStep<Model>& step) {
        const int k = step.step - 1;
        CAPTURE(k);
        ++steps;
        check_error(text("input of step ", k), relative_l2(host(step.input).values, at_step(inputs, k, 8192)), 1e-4);
        check_error(text("result of step ", k),
                    relative_l2(host(Model::patchify(step.estimate)).values, at_step(results, k, 8192)), 1e-4);
        const std::vector<double> want = at_step(schedule, k, 3);
        CHECK(std::abs(step.temperature - want[0]) < 1e-12);
        CHECK(std::abs(step.guidance - want[1]) < 1e-12);
        CHECK(static_cast<double>(step.level) == want[2]);
        if (C::masked) {
            const auto& flags = step.mask->flags();
            CHECK(std::vector<double>(flags.begin(), flags.end()) == at_step(masks, k, 512));
        }
        return true;
    };
    const std::vector<Index> labels = golden->integers("labels");
    const auto final = sampler.run(labels, RecordedDraws<Model>{golden->integers("orders")}, callback);
    golden->close("sample.final", final, 1e-4);
    CHECK(steps == static_cast<int>(sampler.options().levels.size()));
}

}  // namespace

TEST_CASE("sampling without a mask, step by step") {
    check<FarTinyGolden>("far_tiny_nomask");
}
TEST_CASE("sampling with hidden tokens, step by step") {
    check<Masked<FarTinyGolden>>("far_tiny_mask");
}
