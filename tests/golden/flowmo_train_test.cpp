/// FlowMo's training steps against the reference: Adam, fixed initial norms, moving average, a second step.

#include <doctest/doctest.h>

#include "flowfar/flowmo/train.hpp"

#include "golden_backend.hpp"
#include "golden_training.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Values = std::map<std::string, std::vector<double>>;

/// Fills a trainer's model with the parameters of this name.
auto prepare(const std::string& parameters) {
    return [parameters](auto& model) { golden_parameters(parameters, model); };
}

template <class Trainer>
Values values_of(Trainer& trainer) {
    Values out;
    for_each_parameter(trainer.model(), [&](const auto& p) { out[p.name] = host<Tested>(p.value()).values; });
    return out;
}

/// One step with the noise that the reference drew under this prefix.
template <class Trainer>
FlowMoTrainReport train_step(Trainer& trainer, const Golden& golden, const std::string& prefix) {
    using Images = typename Trainer::Images;
    const auto images = golden.tensor<Images>("image");
    FlowMoTrainReport report;
    trainer.accumulate(images, filled<Images>(prefix + ".3", images.extents()),
                       RecordedDraws(golden).draws(0, images.extent(0)), report);
    trainer.apply();
    return report;
}

/// What a step changed, p − p0, against the recorded change. Adam's first step is close to −lr·sign(gradient), so
/// single elements with tiny gradients may differ by 2 lr.
void check_update(const std::string& what, const std::vector<double>& got, std::vector<double> want,
                  const std::vector<double>& start) {
    std::vector<double> change = got;
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
        change[i] -= start[i];
        want[i] -= start[i];
    }
    check_error(what, relative_l2(change, want), 5e-3);
}

std::vector<std::string> recorded_parameters(const Golden& golden, const std::string& stem) {
    std::vector<std::string> out;
    for (const std::string& name : golden.tensors()) {
        if (name.starts_with(stem)) {
            out.push_back(name.substr(stem.size()));
        }
    }
    REQUIRE(!out.empty());
    return out;
}

template <class C>
void check_adam(const std::string& name, const std::string& parameters) {
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    FlowMoTrainOptions options;
    options.fixed_norms = false;
    FlowMoTrainer<C, Tested> trainer(options, prepare(parameters));
    const Values start = values_of(trainer);
    train_step(trainer, *golden, "flowmo.train");
    const Values now = values_of(trainer);
    for (const std::string& parameter : recorded_parameters(*golden, "adam_only.")) {
        check_update("adam_only." + parameter, now.at(parameter), golden->doubles("adam_only." + parameter),
                     start.at(parameter));
    }
}

template <class C>
void check_steps(const std::string& name, const std::string& parameters) {
    const auto golden = Golden::find(name);
    const auto after = Golden::find(name + "_params_after1");
    if (!golden || !after) {
        return;
    }
    FlowMoTrainer<C, Tested> trainer(FlowMoTrainOptions{.ema_start = EmaStart::published}, prepare(parameters));
    const Values start = values_of(trainer);

    std::vector<std::string> fixed;
    HostTensor norms{{static_cast<Index>(trainer.norms()->slots().size())}, {}};
    for (const auto& slot : trainer.norms()->slots()) {
        fixed.push_back(slot.parameter.name);
        norms.values.push_back(slot.norm);
    }
    std::vector<std::string> order = golden->names("initial_norms_order");
    for (std::string& parameter : order) {
        parameter += ".weight";
    }
    CHECK(fixed == order);
    golden->close("initial_norms", norms, 1e-6);

    const FlowMoTrainReport first = train_step(trainer, *golden, "flowmo.train");
    golden->close("train_step.loss", {{1}, {first.loss}}, 5e-6);
    golden->close("diffusion_loss", {{1}, {first.flow}}, 5e-6);
    golden->close("quantizer_loss", {{1}, {first.quantizer}}, 2e-5);
    const Values now = values_of(trainer);
    const auto without = golden->names("config", "params_without_grad");
    const std::set<std::string> untrained(without.begin(), without.end());
    CHECK(after->tensors().size() == now.size());
    for (const auto& [parameter, values] : now) {
        const std::vector<double> want = after->doubles("after." + parameter);
        if (untrained.contains(parameter)) {
            check_error("after." + parameter, relative_l2(values, want), 2e-7);  // rescaling by 1 leaves rounding
        } else {
            check_update("after." + parameter, values, want, start.at(parameter));
        }
    }
    for (const auto& slot : trainer.norms()->slots()) {
        check_error("norm of " + slot.parameter.name, std::abs(norm(now.at(slot.parameter.name)) / slot.norm - 1.0),
                    1e-6);
    }

    Values averages;
    for (const auto& slot : trainer.ema()->slots()) {
        averages[slot.parameter.name] = host<Tested>(slot.average).values;
    }
    for (const std::string& parameter : recorded_parameters(*golden, "ema.")) {
        const std::vector<double> want = golden->doubles("ema." + parameter);
        double worst = 0;
        double largest = 0;
        for (std::size_t i = 0; i < want.size(); ++i) {
            worst = std::max(worst, std::abs(averages.at(parameter).at(i) - want[i]));
            largest = std::max(largest, std::abs(want[i]));
        }
        // Within 1.5 spacings of floats of this size: the reference rounds decay·average + (1 − decay)·value in another
        // order. decay^1 instead of decay^10 would move averages by 9e-8, which the smaller parameters show.
        check_error("ema." + parameter, worst, largest < 0.5 ? 4.5e-8 : 1.8e-7);
    }

    const FlowMoTrainReport second = train_step(trainer, *golden, "flowmo.train2");
    golden->close("train_step2.loss", {{1}, {second.loss}}, 1e-5);
    const Values later = values_of(trainer);
    for (const std::string& parameter : recorded_parameters(*golden, "after2.")) {
        check_update("after2." + parameter, later.at(parameter), golden->doubles("after2." + parameter),
                     start.at(parameter));
    }
    for (const auto& slot : trainer.ema()->slots()) {
        CHECK(host<Tested>(slot.average).values == averages.at(slot.parameter.name));  // the next is due in step 10
    }
}

template <class C>
void check_accumulation(const std::string& name, const std::string& parameters) {
    using Trainer = FlowMoTrainer<C, Tested>;
    using Images = typename Trainer::Images;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    FlowMoTrainOptions options;
    options.accumulation = 2;
    Trainer trainer(options, prepare(parameters));
    const auto images = golden->template tensor<Images>("image");
    FlowMoTrainReport report;
    for (const Index chunk : {Index{0}, Index{1}}) {
        const Index size = images.extent(0) / 2;
        const Index begin = size * chunk;
        const Images part = slice<0>(images, begin, begin + size);
        const auto noise = filled<Images>(text("flowmo.accum.", 5 * chunk + 3), part.extents());
        trainer.accumulate(part, noise, RecordedDraws(*golden).draws(begin, begin + size), report);
    }
    golden->close("total_loss", {{1}, {report.loss}}, 5e-6);
    const auto all = flowfar::parameters(trainer.model());
    check_error("grad_norm_all", std::abs(gradient_norm(all) / golden->scalar("grad_norm_all") - 1.0), 1e-5);
    check_gradient_statistics(*golden, reference_gradients(trainer.model()));
}

}  // namespace

TEST_CASE("Adam alone") {
    FlowMoTrainings::each([]<class R>() { check_adam<typename R::Config>(R::name, R::parameters); });
}
TEST_CASE("two training steps with fixed norms and moving average") {
    FlowMoTrainings::each([]<class R>() { check_steps<typename R::Config>(R::name, R::parameters); });
}
TEST_CASE("the trainer accumulates over chunks") {
    FlowMoAccumulations::each([]<class R>() { check_accumulation<typename R::Config>(R::name, R::parameters); });
}
