#pragma once

/// The results that data/make_fixtures.py recorded from PyTorch, and the weights of the closed formula as a file.

#include <cmath>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/nn/parameter.hpp"

#include "folders.hpp"
#include "golden.hpp"

namespace flowfar::testing {

/// A file of weights that exists only in memory: tensors of given names and extents, filled by the formula when they
/// are asked for. `add`, `rename` and `remove` make the files that loaders must refuse.
class FormulaFile {
   public:
    explicit FormulaFile(const nlohmann::json& shapes) {
        for (const auto& [name, shape] : shapes.items()) {
            add(name, shape.get<std::vector<Index>>());
        }
    }
    void add(const std::string& name, std::vector<Index> shape) { shapes_[name] = std::move(shape); }
    void remove(const std::string& name) { REQUIRE(shapes_.erase(name) == 1); }
    void rename(const std::string& from, const std::string& to) {
        add(to, shapes_.at(from));
        remove(from);
    }
    /// Fills a tensor with one number instead.
    void fix(const std::string& name, float value) { fixed_[name] = value; }

    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (const auto& [name, shape] : shapes_) {
            out.push_back(name);
        }
        return out;
    }
    [[nodiscard]] bool contains(const std::string& name) const { return shapes_.contains(name); }
    [[nodiscard]] io::Path path() const { return "formula"; }
    /// Valid until the next call.
    [[nodiscard]] io::TensorView at(const std::string& name) const {
        const auto found = shapes_.find(name);
        require(found != shapes_.end(), "formula: tensor \"", name, "\": no such tensor");
        const std::vector<Index>& shape = found->second;
        Index count = 1;
        for (const Index extent : shape) {
            count *= extent;
        }
        const auto [base, scale] = rule(name, shape);
        const auto value = fixed_.find(name);
        values_ = value != fixed_.end() ? std::vector<float>(static_cast<std::size_t>(count), value->second)
                                        : fill(name, static_cast<std::size_t>(count), base, scale);
        return {DType::f32, shape, std::as_bytes(std::span<const float>(values_)), "formula: tensor \"" + name + '"'};
    }

   private:
    static std::pair<double, double> rule(const std::string& name, const std::vector<Index>& shape) {
        if (name.starts_with("lin")) {
            return {0.5, 0.5};
        }
        if (shape.size() >= 2) {
            double fan_in = 1.0;
            for (std::size_t axis = 1; axis < shape.size(); ++axis) {
                fan_in *= static_cast<double>(shape[axis]);
            }
            return {0.0, std::sqrt(6.0 / fan_in)};
        }
        if (name.ends_with("running_var")) {
            return {1.0, 0.5};
        }
        return name.ends_with(".weight") ? std::pair{1.0, 0.1} : std::pair{0.0, 0.05};
    }

    std::map<std::string, std::vector<Index>> shapes_;
    std::map<std::string, float> fixed_;
    mutable std::vector<float> values_;
};

/// One recorded file.
class Fixture {
   public:
    explicit Fixture(const std::string& name)
        : file_(flowfar::testing::source_folder() / "tests" / "perceptual" / "data" / (name + ".safetensors")) {}

    /// The reference's state dict.
    [[nodiscard]] FormulaFile weights(const std::string& part = "network") const {
        return FormulaFile(nlohmann::json::parse(file_.metadata().at("state")).at(part));
    }
    [[nodiscard]] std::vector<double> values(const std::string& name) const {
        return io::values<double>(file_.at(name));
    }
    [[nodiscard]] Extents extents(const std::string& name) const {
        Extents out;
        for (const Index extent : io::values<Index>(file_.at(name))) {
            out.push_back(extent);
        }
        return out;
    }
    /// Compares what was recorded of a tensor: one element in n/200, an odd number apart.
    void close(const std::string& name, const HostTensor& got, double bound) const {
        const std::size_t step = (got.values.size() / 200) | 1U;
        std::vector<double> kept;
        for (std::size_t i = 0; i < got.values.size(); i += step) {
            kept.push_back(got.values[i]);
        }
        check_error(file_.path().filename().string() + ": " + name, relative_l2(kept, values(name)), bound);
    }
    template <AnyTensor X>
    void close(const std::string& name, const X& got, double bound) const {
        close(name, host(got), bound);
    }

   private:
    io::SafetensorsFile file_;
};

/// A tensor whose gradient is wanted, on a backend with tape.
template <AnyTensor X>
[[nodiscard]] X filled_leaf(const std::string& name, const Extents& extents) {
    using B = typename X::Backend;
    return X(B::leaf(filled<X>(name, extents).handle().value));
}
template <AnyTensor X>
[[nodiscard]] HostTensor gradient_of(const X& leaf) {
    return host<Plain<typename X::Backend>>(leaf.handle().node->gradient);
}

}  // namespace flowfar::testing
