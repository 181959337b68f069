/// FAR's diffusion head alone against the reference: forward pass, guidance, loss with all gradients, sampling.

#include <doctest/doctest.h>

#include "flowfar/far/diffusion_head.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Tested>;
using Head = DiffusionHead<A, 16, 48, 64>;
using Output = Head::Net::Output;
using Numbers = Tensor<A, Shape<dyn>>;

const std::string name = "diffloss_tiny";

Head make() {
    Head head(3);
    golden_parameters(name, head);
    return head;
}

/// The rows of the conditional half of a recorded result.
HostTensor first_half(const Golden& golden, const std::string& tensor) {
    const std::vector<double> all = golden.doubles(tensor);
    return {{6, 16}, {all.begin(), all.begin() + 6 * 16}};
}

}  // namespace

TEST_CASE("the network with and without level, and guided") {
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    const Head head = make();
    const auto x = golden->tensor<Head::Rows>("x");
    const auto z = golden->tensor<Head::Conditions>("z");
    const auto level = golden->tensor<Head::Scalars>("index");
    const std::vector<Index> t = golden->integers("t");
    const Head::Hidden times = head.net.times(Numbers::from_host(std::vector<float>(t.begin(), t.end()), {12}));
    golden->close("temb", times, 1e-5);
    golden->close("forward.out", head.net(x, head.net.condition(z, level) + times), 1e-5);
    golden->close("forward.out_noindex", head.net(x, head.net.condition(z, {}) + times), 1e-5);

    const auto both = head.guided(slice<0>(x, 0, 6), head.net.condition(z, level) + times, 2.5);
    golden->close("forward_with_cfg.out", Output(concat<1>(concat<0>(both.epsilon, both.epsilon), both.v)), 1e-5);
}

TEST_CASE("diffusion loss with all gradients") {
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Head head = make();
    const auto z = leaf(golden->tensor<Head::Conditions>("z"));
    const auto loss = head.loss(golden->tensor<Head::Rows>("target"), z, golden->tensor<Head::Scalars>("index"),
                                golden->integers("train.t"), filled<Head::Rows>("diffloss.train.1", {12, 16}));
    golden->close("train.mse", reshape<dyn>(loss.mse, 12), 1e-5);
    golden->close("train.vb", reshape<dyn>(loss.vb, 12), 5e-5);
    const auto total = mean(loss.mse + loss.vb);
    golden->close("train.loss", total, 1e-5);
    backward(total);
    golden->close("grad_z", gradient(z), 5e-5);
    for_each_parameter(head, [&](const auto& p) {
        CAPTURE(p.name);
        REQUIRE(p.gradient().defined());
        golden->close("grad." + p.name, host<Tested>(p.gradient()), 2e-5);
    });
}

TEST_CASE("guided sampling with spaced steps") {
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    const Head head = make();
    const auto z = golden->tensor<Head::Conditions>("z");
    const auto level = golden->tensor<Head::Scalars>("index");
    for (const auto& [steps, result] : {std::pair{"ddim10", "sample.out"}, std::pair{"10", "sample_steps2.out"}}) {
        const auto prepared = head.prepare(respace(head.process, steps));
        const auto noise = [](int draw) {
            return Head::Rows(
                slice<0>(filled<Head::Rows>(text("diffloss.sample.", draw), {draw == 0 ? 6 : 12, 16}), 0, 6));
        };
        const auto y = head.sample(head.net.condition(z, level), prepared, 2.5, {.temperature = 0.9}, noise);
        const HostTensor want = first_half(*golden, result);
        check_error(result, relative_l2(host(y).values, want.values), 5e-5);
    }
}
