#include "golden.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "flowfar/backend/cpu/runtime/thread_pool.hpp"
#include "flowfar/io/tensors/safetensors.hpp"

#include "golden_folders.hpp"

namespace flowfar::testing {

namespace {

using Path = std::filesystem::path;

/// Which recorded cases this program met; printed when it ends. tests/run.sh reads the names.
struct Tally {
    std::set<std::string> found;
    std::set<std::string> missing;

    Tally() = default;
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    ~Tally() {
        for (const std::string& name : found) {
            std::printf("golden case: %s\n", name.c_str());
        }
        for (const std::string& name : missing) {
            std::printf("golden case missing: %s\n", name.c_str());
        }
        std::printf("golden cases: %zu run, %zu not available\n", found.size(), missing.size());
    }

    static Tally& instance() {
        static Tally tally;
        return tally;
    }
};

std::optional<Path> golden_path(const std::string& file_name) {
    for (const Path& folder : golden_folders()) {
        if (std::filesystem::exists(folder / file_name)) {
            return folder / file_name;
        }
    }
    return std::nullopt;
}

/// A parameter was filled with base + scale·(2u − 1).
struct FillRule {
    double base;
    double scale;
};

FillRule fill_rule(std::string_view name, const Extents& extents) {
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

struct Sums {
    double plain = 0;
    double absolute = 0;
};

Sums fill_parameter(const ParameterView& parameter) {
    const FillRule rule = fill_rule(parameter.name, parameter.extents);
    const std::uint64_t seed = fill_seed(parameter.name);
    std::atomic<double> plain = 0;
    std::atomic<double> absolute = 0;
    cpu::parallel_for(parameter.extents.count(), 1 << 16, [&](Index begin, Index end) {
        const auto part =
            parameter.values.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
        fill_range(seed, static_cast<std::uint64_t>(begin), part, rule.base, rule.scale);
        Sums here;
        for (const float value : part) {
            here.plain += static_cast<double>(value);
            here.absolute += std::abs(static_cast<double>(value));
        }
        plain += here.plain;
        absolute += here.absolute;
    });
    return {plain, absolute};
}

}  // namespace

std::optional<Path> Golden::find_path(const std::string& name) {
    auto path = golden_path(name);
    const std::string case_name = name.ends_with(".safetensors") ? name.substr(0, name.rfind('.')) : name;
    (path ? Tally::instance().found : Tally::instance().missing).insert(case_name);
    if (!path) {
        MESSAGE("NOT RUN: there is no ", name, " in tests/golden or FLOWFAR_GOLDEN_DIR");
    }
    return path;
}

std::optional<Golden> Golden::find(const std::string& name) {
    const auto path = find_path(name + ".safetensors");
    if (!path) {
        return std::nullopt;
    }
    auto file = std::make_shared<const io::SafetensorsFile>(*path);
    const auto config = file->metadata().find("config");
    const auto described =
        config == file->metadata().end() ? nlohmann::json() : nlohmann::json::parse(config->second, nullptr, false);
    fill_suffix() = described.is_object() ? described.value("fill_suffix", "") : "";
    return Golden(std::move(file));
}

bool Golden::all_missing() {
    return Tally::instance().found.empty() && !Tally::instance().missing.empty();
}

const std::vector<std::string>& Golden::tensors() const {
    return file_->names();
}
Extents Golden::extents(const std::string& name) const {
    Extents out;
    for (const Index extent : file_->at(name).shape) {
        out.push_back(extent);
    }
    return out;
}
std::vector<float> Golden::values(const std::string& name) const {
    return io::values<float>(file_->at(name));
}
std::vector<double> Golden::doubles(const std::string& name) const {
    return io::values<double>(file_->at(name));
}
std::vector<Index> Golden::integers(const std::string& name) const {
    return io::values<Index>(file_->at(name));
}
double Golden::scalar(const std::string& name) const {
    const std::vector<double> all = doubles(name);
    require(all.size() == 1, name, ": expected one element, found ", all.size());
    return all[0];
}
std::string Golden::metadata(const std::string& key) const {
    const auto found = file_->metadata().find(key);
    require(found != file_->metadata().end(), file_->path().string(), ": no metadata \"", key, '"');
    return found->second;
}
std::vector<std::string> Golden::names(const std::string& key, const std::string& field) const {
    const nlohmann::json json = nlohmann::json::parse(metadata(key));
    return (field.empty() ? json : json.at(field)).get<std::vector<std::string>>();
}
double Golden::number(const std::string& field) const {
    return nlohmann::json::parse(metadata("config")).at(field).get<double>();
}
std::vector<double> Golden::numbers(const std::string& field) const {
    return nlohmann::json::parse(metadata("config")).at(field).get<std::vector<double>>();
}
std::string Golden::word(const std::string& field) const {
    return nlohmann::json::parse(metadata("config")).at(field).get<std::string>();
}
std::vector<std::vector<std::string>> Golden::lists(const std::string& field) const {
    std::vector<std::vector<std::string>> out;
    const nlohmann::json config = nlohmann::json::parse(metadata("config"));
    for (const auto& list : config.at(field)) {
        out.emplace_back();
        for (const auto& value : list) {
            out.back().push_back(value.is_string() ? value.get<std::string>() : value.dump());
        }
    }
    return out;
}
bool Golden::has(const std::string& name) const {
    return std::ranges::find(tensors(), name) != tensors().end();
}
std::map<std::string, std::map<std::string, std::string>> Golden::objects(const std::string& key) const {
    std::map<std::string, std::map<std::string, std::string>> out;
    const nlohmann::json outer = nlohmann::json::parse(metadata(key));
    for (const auto& [name, inner] : outer.items()) {
        for (const auto& [field, value] : inner.items()) {
            out[name][field] = value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
        }
    }
    return out;
}

void Golden::close(const std::string& name, const HostTensor& got, double bound) const {
    const Extents want = extents(name);
    INFO(file_->path().filename().string(), ": ", name);
    CHECK(to_string(got.extents.rank() == 0 ? Extents{1} : got.extents) == to_string(want));
    check_error(name, relative_l2(got.values, doubles(name)), bound);
}
void Golden::equal(const std::string& name, const std::vector<Index>& got) const {
    INFO(file_->path().filename().string(), ": ", name);
    CHECK(got == integers(name));
}

double relative_l2(std::span<const double> got, std::span<const double> want) {
    if (got.size() != want.size()) {
        return HUGE_VAL;
    }
    double difference = 0;
    double reference = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        difference += (got[i] - want[i]) * (got[i] - want[i]);
        reference += want[i] * want[i];
    }
    return std::sqrt(reference > 0 ? difference / reference : difference);
}

void check_error(const std::string& what, double error, double bound) {
    static const bool verbose = std::getenv("FLOWFAR_GOLDEN_VERBOSE") != nullptr;
    if (verbose) {
        std::printf("%-72s %9.2e of %9.2e\n", what.c_str(), error, bound);
    }
    INFO(what);
    CHECK(error <= bound);
}

void fill_and_check(const std::string& name, const std::vector<ParameterView>& parameters, const std::string& prefix) {
    const auto path = golden_path(name + ".params.json");
    REQUIRE_MESSAGE(path.has_value(), "there is no ", name, ".params.json beside the recorded case");
    std::ifstream stream(*path);
    nlohmann::json left = nlohmann::json::parse(stream);
    for (const ParameterView& parameter : parameters) {
        const Sums sums = fill_parameter(parameter);
        INFO(parameter.name);
        if (!left.contains(parameter.name)) {
            FAIL_CHECK("the reference has no such parameter");
            continue;
        }
        const nlohmann::json want = left[parameter.name];
        left.erase(parameter.name);
        const std::vector<Index> extents(parameter.extents.begin(), parameter.extents.end());
        CHECK(extents == want[0].get<std::vector<Index>>());
        const auto absolute = want[2].get<double>();
        CHECK(std::abs(sums.plain - want[1].get<double>()) <= 1e-11 * absolute);
        CHECK(std::abs(sums.absolute - absolute) <= 1e-11 * absolute);
    }
    for (const auto& [missing, value] : left.items()) {
        if (prefix.empty() || missing.starts_with(prefix + ".")) {
            FAIL_CHECK("our model lacks the parameter ", missing);
        }
    }
}

}  // namespace flowfar::testing
