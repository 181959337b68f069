/// FAR's sampling loops with and without hidden tokens, step by step against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// The recorded draws: one counter over all calls; the second half of the rows belongs to the null condition.
template <class Model>
struct RecordedDraws {
    std::vector<Index> order;
    int steps;  ///< diffusion steps per autoregressive step; before them comes the start
    Index batch;

    [[nodiscard]] typename Model::Head::Rows noise(int k, int draw) const {
        const std::string name = text("far.sample.", (steps + 1) * k + draw);
        return filled<typename Model::Head::Rows>(name, {batch * Model::tokens, Model::token_dim});
    }
    [[nodiscard]] std::vector<Index> orders() const { return order; }
};

template <class C>
void check(const std::string& name, const std::string& parameters) {
    using Model = Far<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    FarSampleOptions options;
    options.steps = DiffusionSteps::spaced(golden->word("steps"));
    options.guidance = golden->number("cfg");
    options.temperature = golden->number("temp");
    const std::vector<Index> labels = golden->integers("labels");
    const auto batch = static_cast<Index>(labels.size());
    const auto tokens = static_cast<std::size_t>(batch * Model::tokens);
    const std::size_t values = tokens * static_cast<std::size_t>(Model::token_dim);
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
        check_error(text("input of step ", k), relative_l2(host(step.input).values, at_step(inputs, k, values)), 1e-4);
        check_error(text("result of step ", k),
                    relative_l2(host(Model::patchify(step.estimate)).values, at_step(results, k, values)), 1e-4);
        const std::vector<double> want = at_step(schedule, k, 3);
        CHECK(std::abs(step.temperature - want[0]) < 1e-12);
        CHECK(std::abs(step.guidance - want[1]) < 1e-12);
        CHECK(static_cast<double>(step.level) == want[2]);
        if (C::masked) {
            const auto& flags = step.mask->flags();
            CHECK(std::vector<double>(flags.begin(), flags.end()) == at_step(masks, k, tokens));
        }
        return true;
    };
    const auto count = static_cast<int>(options.steps->kept(0, 1, model.head.process.steps()).size());
    const auto final = sampler.run(labels, RecordedDraws<Model>{golden->integers("orders"), count, batch}, callback);
    golden->close("sample.final", final, 1e-4);
    CHECK(steps == static_cast<int>(sampler.options().levels.size()));
}

}  // namespace

TEST_CASE("sampling with and without hidden tokens, step by step") {
    FarTransformers::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
