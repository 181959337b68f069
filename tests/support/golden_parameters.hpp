#pragma once

/// Gives a model the parameters that the reference models had when golden files were recorded.

#include <atomic>
#include <string_view>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/nn/parameter.hpp"

#include "golden.hpp"

namespace flowfar::testing {

/// Parameters are filled with base + scale·(2u − 1).
struct FillRule {
    double base;
    double scale;
};

/// The rule for a parameter of this name and these extents.
[[nodiscard]] inline FillRule fill_rule(std::string_view name, const Extents& extents) {
    const auto contains = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
    if (contains("pos_embed") || contains("mask_token") || contains("fake_latent") || contains("class_emb") ||
        (contains("index_cond_embed") && name.ends_with("weight"))) {
        return {0.0, 0.05};
    }
    if (extents.rank() >= 2) {
        return {0.0, std::sqrt(3.0 / static_cast<double>(extents.count() / extents[0]))};
    }
    return name.ends_with("scale") || name.ends_with(".weight") ? FillRule{1.0, 0.1} : FillRule{0.0, 0.05};
}

/// Fills every parameter of a module (on a host backend, in float) by its name, `prefix` in front.
template <class Module>
void fill_parameters(Module& module, const std::string& prefix = "") {
    for_each_parameter(
        module,
        [](const auto& p) {
            require(p.dtype() == DType::f32, "fill_parameters: ", p.name, " is not float");
            const FillRule rule = fill_rule(p.name, p.extents());
            const std::uint64_t seed = fill_seed(p.name);
            float* const data = p.value().template data<float>();
            Cpu::parallel(p.count(), 1 << 16, [&](Index begin, Index end) {
                const std::span<float> part(data + begin, static_cast<std::size_t>(end - begin));
                fill_range(seed, static_cast<std::uint64_t>(begin), part, rule.base, rule.scale);
            });
        },
        prefix);
}

/// Checks a filled module against CASE.params.json: the same names (those that begin with `prefix`), extents and sums.
template <class Module>
void check_parameters(const std::string& name, Module& module, const std::string& prefix = "") {
    const auto path = golden_path(name + ".params.json");
    REQUIRE_MESSAGE(path.has_value(), "there is no ", name, ".params.json beside the recorded case");
    std::ifstream stream(*path);
    nlohmann::json left = nlohmann::json::parse(stream);
    for_each_parameter(
        module,
        [&](const auto& p) {
            CAPTURE(p.name);
            REQUIRE_MESSAGE(left.contains(p.name), "the reference has no such parameter");
            const nlohmann::json want = left[p.name];
            left.erase(p.name);
            const Extents extents = p.extents();
            CHECK(std::vector<Index>(extents.begin(), extents.end()) == want[0].template get<std::vector<Index>>());
            const float* const data = p.value().template data<float>();
            std::atomic<double> sum = 0;
            std::atomic<double> absolute = 0;
            Cpu::parallel(p.count(), 1 << 16, [&](Index begin, Index end) {
                double s = 0;
                double a = 0;
                for (Index i = begin; i < end; ++i) {
                    s += static_cast<double>(data[i]);
                    a += std::abs(static_cast<double>(data[i]));
                }
                sum += s;
                absolute += a;
            });
            const auto scale = want[2].template get<double>();
            CHECK(std::abs(sum - want[1].template get<double>()) <= 1e-11 * scale);
            CHECK(std::abs(absolute - scale) <= 1e-11 * scale);
        },
        prefix);
    for (const auto& [missing, value] : left.items()) {
        if (prefix.empty() || missing.starts_with(prefix + ".")) {
            FAIL_CHECK("our model lacks the parameter ", missing);
        }
    }
}

/// Fills and checks.
template <class Module>
void golden_parameters(const std::string& name, Module& module, const std::string& prefix = "") {
    fill_parameters(module, prefix);
    check_parameters(name, module, prefix);
}

}  // namespace flowfar::testing
