#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "flowfar/io/safetensors.hpp"
#include "flowfar/io/safetensors_writer.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar::io {

namespace detail {

template <class B>
void put(const ParameterRef<B>& parameter, const TensorView& view) {
    using P = Plain<B>;
    Extents extents;
    for (const Index extent : view.shape) {
        extents.push_back(extent);
    }
    if (view.dtype == DType::f16) {  // no backend computes with it
        const std::vector<float> wide = values<float>(view);
        parameter.replace(P::cast(P::from_host(wide.data(), extents, DType::f32), parameter.dtype()));
        return;
    }
    parameter.replace(P::cast(P::from_host(view.bytes.data(), extents, view.dtype), parameter.dtype()));
}

[[nodiscard]] inline std::string shape_text(const std::vector<Index>& shape) {
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    return out + "]";
}

}  // namespace detail

/// Loads all parameters of a model by name from `prefix + name`. Strict: missing, unexpected (below the prefix) and
/// mismatched tensors are reported all at once, and then nothing has been changed.
template <class Model>
void load_parameters(Model& model, const SafetensorsFile& file, const std::string& prefix = "") {
    const auto targets = parameters(model);
    std::set<std::string> expected;
    std::string report;
    for (const auto& p : targets) {
        expected.insert(prefix + p.name);
        if (!file.contains(prefix + p.name)) {
            report += "\n  missing " + prefix + p.name + " " + to_string(p.extents());
            continue;
        }
        const TensorView view = file.at(prefix + p.name);
        Extents found;
        const bool fits_rank = view.shape.size() <= static_cast<std::size_t>(max_rank);
        for (std::size_t i = 0; fits_rank && i < view.shape.size(); ++i) {
            found.push_back(view.shape[i]);
        }
        const bool floating = view.dtype == DType::f32 || view.dtype == DType::f64 || view.dtype == DType::bf16 ||
                              view.dtype == DType::f16;
        if (!fits_rank || !(found == p.extents()) || !floating) {
            report += "\n  mismatched " + prefix + p.name + ": expected " + to_string(p.extents()) +
                      " of floats, found " + detail::shape_text(view.shape) + " of " + std::string(name_of(view.dtype));
        }
    }
    for (const std::string& name : file.names()) {
        if (name.starts_with(prefix) && !expected.contains(name)) {
            report += "\n  unexpected " + name;
        }
    }
    require(report.empty(), file.path().string(), ": the tensors do not fit the model:", report);
    for (const auto& p : targets) {
        detail::put(p, file.at(prefix + p.name));
    }
}
template <class Model>
void load_parameters(Model& model, const Path& path, const std::string& prefix = "") {
    load_parameters(model, SafetensorsFile(path), prefix);
}

/// A list of named tensors on backend B to be written to one file, in order and without a second copy of all of them.
template <class B>
class StateWriter {
   public:
    using H = typename B::Handle;

    /// `dtype` is the type in the file; the tensor is converted when it is written.
    void add(std::string name, const H& value, DType dtype) { entries_.push_back({std::move(name), value, dtype}); }
    void add(std::string name, const H& value) { add(std::move(name), value, B::dtype(value)); }

    /// Writes safetensors atomically: the file is complete or unchanged.
    void write(const Path& path, const std::map<std::string, std::string>& metadata) const {
        SafetensorsWriter writer(path, metadata);
        for (const Entry& e : entries_) {
            const Extents extents = B::extents(e.value);
            writer.declare(e.name, e.dtype, std::vector<Index>(extents.begin(), extents.end()));
        }
        std::vector<std::byte> bytes;
        for (const Entry& e : entries_) {
            const H value = B::cast(e.value, e.dtype);
            bytes.resize(static_cast<std::size_t>(B::extents(value).count()) * size_of(e.dtype));
            B::to_host(value, bytes.data());
            writer.write(e.name, bytes);
        }
        writer.finish();
    }

   private:
    struct Entry {
        std::string name;
        H value;
        DType dtype;
    };
    std::vector<Entry> entries_;
};

/// Writes all parameters of a model as safetensors, converted to `dtype`.
template <class Model>
void save_parameters(Model& model, const Path& path, DType dtype,
                     const std::map<std::string, std::string>& metadata = {}) {
    using B = Plain<typename std::remove_const_t<Model>::Backend>;
    StateWriter<B> writer;
    for (const auto& p : parameters(model)) {
        writer.add(p.name, p.value(), dtype);
    }
    writer.write(path, metadata);
}

}  // namespace flowfar::io
