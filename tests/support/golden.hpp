#pragma once

/// Finds files recorded from the reference implementations ("golden" files) and compares tensors with them. The small
/// ones lie in tests/golden; the others are looked for in $FLOWFAR_GOLDEN_DIR, by default in shared/golden beside the
/// source tree. With FLOWFAR_GOLDEN_VERBOSE set, every comparison is printed.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/tensor.hpp"
#include "flowfar/io/safetensors.hpp"

#include "fill.hpp"

namespace flowfar::testing {

using Golden = io::SafetensorsFile;

/// Which recorded cases a test program met. Its last line of output says so: a missing file must not look like a pass.
class GoldenTally {
   public:
    static GoldenTally& instance() {
        static GoldenTally tally;
        return tally;
    }
    GoldenTally(const GoldenTally&) = delete;
    GoldenTally& operator=(const GoldenTally&) = delete;
    ~GoldenTally() { std::printf("golden cases: %zu run, %zu not available\n", found_.size(), missing_.size()); }

    void found(const std::string& name) { found_.insert(name); }
    void missing(const std::string& name) { missing_.insert(name); }

   private:
    GoldenTally() = default;
    std::set<std::string> found_;
    std::set<std::string> missing_;
};

/// The path of a recorded file, or nothing.
[[nodiscard]] inline std::optional<std::filesystem::path> golden_path(const std::string& file_name) {
    const std::filesystem::path source(FLOWFAR_SOURCE_DIR);
    const char* const other = std::getenv("FLOWFAR_GOLDEN_DIR");
    for (const auto& folder : {source / "tests" / "golden",
                               other != nullptr ? std::filesystem::path(other) : source / ".." / "shared" / "golden"}) {
        if (std::filesystem::exists(folder / file_name)) {
            return folder / file_name;
        }
    }
    return std::nullopt;
}

/// Opens a recorded case; if it is not available, says so and returns null: the caller then ends its test case.
[[nodiscard]] inline std::shared_ptr<const Golden> golden_case(const std::string& name) {
    const auto path = golden_path(name + ".safetensors");
    if (!path) {
        GoldenTally::instance().missing(name);
        MESSAGE("NOT RUN: there is no ", name, ".safetensors in tests/golden or FLOWFAR_GOLDEN_DIR");
        return nullptr;
    }
    GoldenTally::instance().found(name);
    return std::make_shared<const Golden>(*path);
}

/// A metadata entry that holds JSON text.
[[nodiscard]] inline nlohmann::json golden_metadata(const Golden& golden, const std::string& key) {
    const auto found = golden.metadata().find(key);
    require(found != golden.metadata().end(), golden.path().string(), ": no metadata \"", key, '"');
    return nlohmann::json::parse(found->second);
}

/// The elements of a recorded tensor.
template <class T = float>
[[nodiscard]] std::vector<T> golden_values(const Golden& golden, const std::string& name) {
    return io::values<T>(golden.at(name));
}
/// A recorded tensor as a tensor of type X.
template <AnyTensor X>
[[nodiscard]] X golden_tensor(const Golden& golden, const std::string& name) {
    const io::TensorView view = golden.at(name);
    Extents extents;
    for (const Index extent : view.shape) {
        extents.push_back(extent);
    }
    return X::from_host(io::values<typename X::Element>(view), extents);
}
/// An input that was filled by formula rather than stored.
template <AnyTensor X>
[[nodiscard]] X filled_tensor(const std::string& name, const Extents& extents, double base = 0, double scale = 1) {
    return X::from_host(fill(name, static_cast<std::size_t>(extents.count()), base, scale), extents);
}

/// ‖got − want‖ / ‖want‖ in double; the plain ‖got‖ where want is zero throughout.
[[nodiscard]] inline double relative_l2(std::span<const double> got, std::span<const double> want) {
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

inline void golden_report(const std::string& what, double error, double bound) {
    static const bool verbose = std::getenv("FLOWFAR_GOLDEN_VERBOSE") != nullptr;
    if (verbose) {
        std::printf("%-64s %9.2e of %9.2e\n", what.c_str(), error, bound);
    }
}

/// Checks values against a recorded tensor by relative L2 error.
template <class T>
void check_close(const Golden& golden, const std::string& name, std::span<const T> got, double bound) {
    const std::vector<double> want = golden_values<double>(golden, name);
    const std::vector<double> values(got.begin(), got.end());
    const double error = relative_l2(values, want);
    golden_report(name, error, bound);
    INFO(golden.path().filename().string(), ": ", name, ", ", got.size(), " elements");
    CHECK(got.size() == want.size());
    CHECK(error <= bound);
}
/// Checks a tensor against a recorded one: extents, and relative L2 error. Scalars are recorded with extents [1].
template <AnyTensor X>
void check_close(const Golden& golden, const std::string& name, const X& got, double bound) {
    const std::vector<Index> shape = golden.at(name).shape;
    const Extents extents = got.extents();
    std::vector<Index> found(extents.begin(), extents.end());
    if (found.empty()) {
        found.push_back(1);
    }
    INFO(golden.path().filename().string(), ": ", name);
    CHECK(found == shape);
    const auto values = got.to_host();
    check_close(golden, name, std::span(values), bound);
}
/// Checks that integers (or flags) equal the recorded ones.
template <class T>
void check_equal(const Golden& golden, const std::string& name, const std::vector<T>& got) {
    const std::vector<Index> want = golden_values<Index>(golden, name);
    INFO(golden.path().filename().string(), ": ", name);
    CHECK(std::vector<Index>(got.begin(), got.end()) == want);
}

}  // namespace flowfar::testing
