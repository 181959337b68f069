#pragma once

/// Finds files recorded from the reference implementations ("golden" files), compares tensors with them, and gives
/// models the parameters that the reference models had. The small files lie in tests/golden; the others are looked for
/// in $FLOWFAR_GOLDEN_DIR, by default in shared/golden beside the checkout. With FLOWFAR_GOLDEN_VERBOSE set, every
/// comparison is printed.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/nn/parameter.hpp"

#include "fill.hpp"

namespace flowfar::io {
class SafetensorsFile;
}  // namespace flowfar::io

namespace flowfar::testing {

/// A tensor on the host.
struct HostTensor {
    Extents extents;
    std::vector<double> values;
};

/// A tensor of any backend, float or double, without its tape.
template <class B>
[[nodiscard]] HostTensor host(const typename B::Handle& handle) {
    HostTensor out{B::extents(handle), {}};
    const auto count = static_cast<std::size_t>(out.extents.count());
    if (B::dtype(handle) == DType::f64) {
        out.values.resize(count);
        B::to_host(handle, out.values.data());
    } else {
        require(B::dtype(handle) == DType::f32, "host: expected f32 or f64, found ", name_of(B::dtype(handle)));
        std::vector<float> values(count);
        B::to_host(handle, values.data());
        out.values.assign(values.begin(), values.end());
    }
    return out;
}
template <AnyTensor X>
[[nodiscard]] HostTensor host(const X& x) {
    return host<typename X::Backend>(x.handle());
}

/// One recorded case: named tensors and metadata.
class Golden {
   public:
    /// Opens CASE.safetensors. If it is not available, says so and returns nothing: the caller ends its test case. The
    /// program's last line counts both, so that a missing file cannot be mistaken for a pass.
    [[nodiscard]] static std::optional<Golden> find(const std::string& name);
    /// A file or folder among the golden files that is no such case, with find()'s manners.
    [[nodiscard]] static std::optional<std::filesystem::path> find_path(const std::string& name);
    /// Whether something was looked for but nothing was ever found.
    [[nodiscard]] static bool all_missing();

    /// Names of all tensors.
    [[nodiscard]] const std::vector<std::string>& tensors() const;
    [[nodiscard]] Extents extents(const std::string& name) const;
    /// All elements, row-major.
    [[nodiscard]] std::vector<float> values(const std::string& name) const;
    [[nodiscard]] std::vector<double> doubles(const std::string& name) const;
    [[nodiscard]] std::vector<Index> integers(const std::string& name) const;
    /// The only element.
    [[nodiscard]] double scalar(const std::string& name) const;
    template <AnyTensor X>
    [[nodiscard]] X tensor(const std::string& name) const {
        return X::from_host(values(name), extents(name));
    }
    /// A metadata entry; structured ones are JSON text.
    [[nodiscard]] std::string metadata(const std::string& key) const;
    /// A metadata entry that is a list of strings; with `field`, that member of an object.
    [[nodiscard]] std::vector<std::string> names(const std::string& key, const std::string& field = "") const;

    /// Members of the metadata's `config`: a number, a list of numbers, a text.
    [[nodiscard]] double number(const std::string& field) const;
    [[nodiscard]] std::vector<double> numbers(const std::string& field) const;
    [[nodiscard]] std::string word(const std::string& field) const;
    /// A member that is a list of lists, their values as text.
    [[nodiscard]] std::vector<std::vector<std::string>> lists(const std::string& field) const;
    /// Whether there is a tensor of this name.
    [[nodiscard]] bool has(const std::string& name) const;

    /// A metadata entry that is an object of objects; inner values as text, null as "".
    [[nodiscard]] std::map<std::string, std::map<std::string, std::string>> objects(const std::string& key) const;

    /// Checks extents (a scalar is recorded with extents [1]) and ‖got − want‖ ≤ bound · ‖want‖; where want is zero
    /// throughout, got must be too.
    void close(const std::string& name, const HostTensor& got, double bound) const;
    template <AnyTensor X>
    void close(const std::string& name, const X& got, double bound) const {
        close(name, host(got), bound);
    }
    /// Checks integers and flags.
    void equal(const std::string& name, const std::vector<Index>& got) const;

   private:
    explicit Golden(std::shared_ptr<const io::SafetensorsFile> file) : file_(std::move(file)) {}

    std::shared_ptr<const io::SafetensorsFile> file_;
};

/// Elements [step · count, (step + 1) · count) of a recorded sequence.
template <class Value>
[[nodiscard]] std::vector<Value> at_step(const std::vector<Value>& all, int step, std::size_t count) {
    const auto begin = all.begin() + static_cast<Index>(count) * step;
    return {begin, begin + static_cast<Index>(count)};
}

/// ‖got − want‖ / ‖want‖; the plain ‖got‖ where want is zero throughout.
[[nodiscard]] double relative_l2(std::span<const double> got, std::span<const double> want);

/// Checks a number against a bound, and prints both if that is asked for.
void check_error(const std::string& what, double error, double bound);

/// An input that was filled by formula rather than stored.
template <AnyTensor X>
[[nodiscard]] X filled(const std::string& name, const Extents& extents, double base = 0, double scale = 1) {
    const std::vector<float> values = fill(name, static_cast<std::size_t>(extents.count()), base, scale);
    return X::from_host(std::vector<typename X::Element>(values.begin(), values.end()), extents);
}

/// A parameter's storage on the host.
struct ParameterView {
    std::string name;
    Extents extents;
    std::span<float> values;
};

/// The parameters of a module on a host backend, all float.
template <class Module>
[[nodiscard]] std::vector<ParameterView> parameter_views(Module& module, const std::string& prefix = "") {
    std::vector<ParameterView> out;
    for_each_parameter(
        module,
        [&](const auto& p) {
            require(p.dtype() == DType::f32, "parameter_views: ", p.name, " is not float");
            out.push_back(
                {p.name, p.extents(), {p.value().template data<float>(), static_cast<std::size_t>(p.count())}});
        },
        prefix);
    return out;
}

/// Fills parameters by their names, and checks that CASE.params.json has the same names (those that begin with
/// `prefix`), extents and sums.
void fill_and_check(const std::string& name, const std::vector<ParameterView>& parameters, const std::string& prefix);

template <class Module>
void golden_parameters(const std::string& name, Module& module, const std::string& prefix = "") {
    using B = Plain<typename Module::Backend>;
    if constexpr (!RunsAhead<B>) {
        fill_and_check(name, parameter_views(module, prefix), prefix);
    } else {  // on a device: filled on the host, then copied
        std::vector<std::vector<float>> values;
        std::vector<ParameterView> views;
        for_each_parameter(
            module,
            [&](const auto& p) {
                values.emplace_back(static_cast<std::size_t>(p.count()));
                views.push_back({p.name, p.extents(), values.back()});
            },
            prefix);
        fill_and_check(name, views, prefix);
        std::size_t i = 0;
        for_each_parameter(
            module,
            [&](const auto& p) { B::assign(p.value(), B::from_host(values[i++].data(), p.extents(), DType::f32)); },
            prefix);
    }
}

}  // namespace flowfar::testing
