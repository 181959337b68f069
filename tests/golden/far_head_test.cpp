/// FAR's diffusion head alone against the reference: forward pass, guidance, loss with all gradients, sampling.

#include <doctest/doctest.h>

#include "flowfar/autoregressive/head/diffusion_head.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Tested>;
using Numbers = Tensor<A, Shape<dyn>>;

template <class R>
using HeadOf = DiffusionHead<A, R::Config::channels, R::Config::condition, R::Config::width>;

template <class R>
HeadOf<R> make() {
    HeadOf<R> head(R::Config::depth);
    golden_parameters(R::parameters, head);
    return head;
}

/// The rows of the conditional half of a recorded result.
HostTensor first_half(const Golden& golden, const std::string& tensor) {
    const std::vector<double> all = golden.doubles(tensor);
    const Extents extents = golden.extents(tensor);
    return {{extents[0] / 2, extents[1]}, {all.begin(), all.begin() + static_cast<Index>(all.size() / 2)}};
}

template <class R>
void check_network() {
    using Head = HeadOf<R>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    const Head head = make<R>();
    const auto x = golden->template tensor<typename Head::Rows>("x");
    const auto z = golden->template tensor<typename Head::Conditions>("z");
    const auto level = golden->template tensor<typename Head::Scalars>("index");
    const std::vector<Index> t = golden->integers("t");
    const typename Head::Hidden times =
        head.net.times(Numbers::from_host(std::vector<float>(t.begin(), t.end()), {x.extent(0)}));
    golden->close("temb", times, 1e-5);
    golden->close("forward.out", head.net(x, head.net.condition(z, level) + times), 1e-5);
    golden->close("forward.out_noindex", head.net(x, head.net.condition(z, {}) + times), 1e-5);

    const auto both =
        head.guided(slice<0>(x, 0, x.extent(0) / 2), head.net.condition(z, level) + times, golden->number("cfg"));
    golden->close("forward_with_cfg.out",
                  typename Head::Net::Output(concat<1>(concat<0>(both.epsilon, both.epsilon), both.v)), 1e-5);
}

template <class R>
void check_loss() {
    using Head = HeadOf<R>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    Head head = make<R>();
    const auto z = leaf(golden->template tensor<typename Head::Conditions>("z"));
    const auto loss = head.loss(golden->template tensor<typename Head::Rows>("target"), z,
                                golden->template tensor<typename Head::Scalars>("index"), golden->integers("train.t"),
                                filled<typename Head::Rows>("diffloss.train.1", golden->extents("target")));
    golden->close("train.mse", reshape<dyn>(loss.mse, loss.mse.extent(0)), 1e-5);
    golden->close("train.vb", reshape<dyn>(loss.vb, loss.vb.extent(0)), 5e-5);
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

template <class R>
void check_sampling() {
    using Head = HeadOf<R>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    const Head head = make<R>();
    const auto z = golden->template tensor<typename Head::Conditions>("z");
    const auto level = golden->template tensor<typename Head::Scalars>("index");
    for (const auto& [steps, result] :
         {std::pair{golden->word("steps"), "sample.out"}, std::pair{golden->word("steps2"), "sample_steps2.out"}}) {
        const auto prepared = head.prepare(respace(head.process, steps));
        const auto noise = [rows = z.extent(0)](int draw) {
            const Extents extents{draw == 0 ? rows / 2 : rows, R::Config::channels};
            const auto both = filled<typename Head::Rows>(text("diffloss.sample.", draw), extents);
            return typename Head::Rows(slice<0>(both, 0, rows / 2));
        };
        const auto y = head.sample(head.net.condition(z, level), prepared, golden->number("cfg"),
                                   {.temperature = golden->number("temp")}, noise);
        const HostTensor want = first_half(*golden, result);
        check_error(result, relative_l2(host(y).values, want.values), 5e-5);
    }
}

}  // namespace

TEST_CASE("the network with and without level, and guided") {
    FarHeads::each([]<class R>() { check_network<R>(); });
}
TEST_CASE("diffusion loss with all gradients") {
    FarHeads::each([]<class R>() { check_loss<R>(); });
}
TEST_CASE("guided sampling with spaced steps") {
    FarHeads::each([]<class R>() { check_sampling<R>(); });
}
