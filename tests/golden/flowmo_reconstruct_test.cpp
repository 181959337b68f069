/// FlowMo from image to image against the reference: schedules, guidance interval, trajectories and results.

#include <doctest/doctest.h>
#include <map>
#include <string>

#include "flowfar/flowmo/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// One recorded sampling run.
struct Run {
    int steps;
    double power;
    double guidance;
    GuidanceInterval interval;

    explicit Run(const std::map<std::string, std::string>& fields)
        : steps(std::stoi(fields.at("sample_steps"))), power(1.0), guidance(std::stod(fields.at("cfg"))), interval() {
        const std::string& schedule = fields.at("schedule");
        if (schedule != "linear") {
            REQUIRE(schedule.starts_with("pow_"));
            power = std::stod(schedule.substr(4));
        }
        const std::string& bounds = fields.at("cfg_interval");  // such as (.17,1.02), or none
        if (!bounds.empty()) {
            const auto comma = bounds.find(',');
            interval = GuidanceInterval::from_sigma(std::stod(bounds.substr(1)), std::stod(bounds.substr(comma + 1)));
        }
    }
};

/// Compares times, steps and guidance flags. The linear schedule is recorded without its last time, 0.
void check_schedule(const Golden& golden, const std::string& stem, const ShiftedSchedule& schedule, const Run& run) {
    std::vector<double> times = schedule.times();
    const Index recorded = golden.extents(stem + "ts")[0];
    REQUIRE((recorded == run.steps || recorded == run.steps + 1));
    times.resize(static_cast<std::size_t>(recorded));
    golden.close(stem + "ts", {{recorded}, times}, 1e-6);
    std::vector<double> steps;
    std::vector<Index> guided;
    for (int i = 0; i < run.steps; ++i) {
        steps.push_back(schedule.step(i));
        const double t = schedule.times()[static_cast<std::size_t>(i)];
        guided.push_back(run.guidance != 1.0 && run.interval.contains(t) ? 1 : 0);
    }
    golden.close(stem + "dts", {{run.steps}, steps}, 1e-6);
    golden.equal(stem + "cfg_active", guided);
}

template <class C>
void check_reconstruction(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->tensor<typename Model::Images>("image");
    const auto noise = golden->tensor<typename Model::Images>("z0");
    golden->close("z0", filled<typename Model::Images>("input.z0", noise.extents()), 0.0);
    const auto code = Model::code_of(model.encode(images));
    golden->close("quantized_code", code, 1e-7);

    const auto runs = golden->objects("runs");
    REQUIRE(!runs.empty());
    for (const auto& [key, value] : runs) {
        CAPTURE(key);
        const std::string stem = key + ".";
        const Run run(value);
        const ShiftedSchedule schedule(run.steps, run.power);
        const FlowMoSampler<Model> sampler(model, {.guidance = run.guidance, .interval = run.interval}, schedule);
        check_schedule(*golden, stem, schedule, run);

        HostTensor states{golden->extents(stem + "traj"), {}};
        const bool all = states.extents[0] == run.steps;
        int calls = 0;
        const auto result = sampler(code, noise, [&](const typename Model::Step& step) {
            CHECK(step.step == ++calls);
            if (all || step.step == run.steps) {
                const HostTensor state = host(step.state);
                states.values.insert(states.values.end(), state.values.begin(), state.values.end());
            }
            return true;
        });
        CHECK(calls == run.steps);
        golden->close(stem + "traj", states, 2e-5);
        golden->close(stem + "image", result, 2e-5);
    }
}

}  // namespace

TEST_CASE("reconstruction") {
    FlowMoReconstructions::each([]<class R>() { check_reconstruction<typename R::Config>(R::name, R::parameters); });
}
