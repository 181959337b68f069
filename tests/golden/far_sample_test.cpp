/// FAR's sampling loops with and without hidden tokens, step by step against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_sampling.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

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
    golden->close("sample.final", check_sampling_steps(*golden, model, options, labels, "far.sample.", 1e-4), 1e-4);
}

}  // namespace

TEST_CASE("sampling with and without hidden tokens, step by step") {
    FarTransformers::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
