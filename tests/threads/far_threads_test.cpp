/// One const FAR, used from several threads at once: each gets what it would get alone.

#include <cstddef>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/model.hpp"

#include "at_once.hpp"

using namespace flowfar;
using flowfar::testing::at_once;

namespace {

template <class C>
void check() {
    using Model = Far<C, Cpu>;
    constexpr int users = 4;
    const Model model = [] {
        Model fresh;
        fresh.initialize(5);
        // A fresh model's output layers are zero, which would hide mistakes.
        for_each_parameter(fresh, [](const auto& p) {
            if (p.name.find("diffloss") != std::string::npos) {
                const auto noise = Cpu::normal(p.extents(), DType::f32, fold(5, p.name), 0);
                Cpu::assign(p.value(), Cpu::unary({UnaryOp::affine, 0.1, 0.0}, noise));
            }
        });
        return fresh;
    }();
    const auto options = [](int user) {
        FarSampleOptions chosen;
        chosen.levels = {0, 20};
        chosen.steps = DiffusionSteps::list({2, 3});
        chosen.seed = static_cast<std::uint64_t>(user);
        return chosen;
    };
    const std::vector<Index> labels{3, 0, no_class};
    const FarSampler<Model> shared(model, options(0));
    const auto sample = [&](int user) {
        // Half of the threads also share the sampler.
        return user % 2 == 0 ? shared(labels).to_host() : FarSampler<Model>(model, options(user))(labels).to_host();
    };
    std::vector<std::vector<float>> expected;
    for (int user = 0; user < users; ++user) {
        expected.push_back(sample(user));
    }
    const auto wrong =
        at_once(users, 1, [&](int user) { return sample(user) == expected[static_cast<std::size_t>(user)]; });
    CHECK(wrong == std::vector<int>(users));
}

}  // namespace

TEST_CASE("FarTiny samples in several threads as in one") {
    check<FarTiny>();
}

TEST_CASE("FarTiny with hidden tokens samples in several threads as in one") {
    check<Masked<FarTiny>>();
}
