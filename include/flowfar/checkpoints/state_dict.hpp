#pragma once

/// Moves parameters between models and files.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/io/tensors/weights.hpp"
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

template <class File>
[[nodiscard]] TensorView view_of(const File& file, const std::string& name, Scratch& scratch) {
    if constexpr (requires { file.at(name, scratch); }) {
        return file.at(name, scratch);
    } else {
        return file.at(name);
    }
}
template <class File>
[[nodiscard]] TensorInfo info_of(const File& file, const std::string& name) {
    if constexpr (requires { file.info(name); }) {
        return file.info(name);
    } else {
        Scratch scratch;
        const TensorView view = view_of(file, name, scratch);
        return {name_of(view.dtype), view.shape, view.bytes.size()};
    }
}
template <class File>
[[nodiscard]] std::string name_in_messages(const File& file) {
    if constexpr (requires { file.where(); }) {
        return file.where();
    } else {
        return file.path().string();
    }
}

/// What a comparison of names finds. Of many findings ten are shown, some of each kind, one a line.
class Findings {
   public:
    enum class Kind : std::uint8_t { missing, unreadable, mismatched, unexpected };

    void add(Kind kind, std::string finding) { found_[static_cast<std::size_t>(kind)].push_back(std::move(finding)); }
    [[nodiscard]] bool empty() const {
        return std::ranges::all_of(found_, [](const auto& list) { return list.empty(); });
    }
    [[nodiscard]] std::string lines() const {
        std::array<std::size_t, kinds> shown{};
        for (std::size_t left = most_shown, before = 0; left > 0 && left != before;) {  // one of each kind in turn
            before = left;
            for (std::size_t kind = 0; kind < found_.size() && left > 0; ++kind) {
                if (shown[kind] < found_[kind].size()) {
                    ++shown[kind];
                    --left;
                }
            }
        }
        constexpr std::array<std::string_view, kinds> words{"missing", "unreadable", "mismatched", "unexpected"};
        std::string out;
        for (std::size_t kind = 0; kind < found_.size(); ++kind) {
            for (std::size_t i = 0; i < shown[kind]; ++i) {
                out += text("\n  ", words[kind], " ", found_[kind][i]);
            }
            if (shown[kind] < found_[kind].size()) {
                out += text("\n  and ", found_[kind].size() - shown[kind], " more ", words[kind]);
            }
        }
        return out;
    }

   private:
    static constexpr std::size_t most_shown = 10;
    static constexpr std::size_t kinds = 4;
    std::array<std::vector<std::string>, kinds> found_;
};

/// Throws `Error` that names missing, unreadable, unexpected (below the prefix) and mismatched tensors, ten at most, if
/// there are any. Gives the model's size in bytes.
template <class B, class File>
std::uint64_t check_parameters(const std::vector<ParameterRef<B>>& targets, const File& file,
                               const std::string& prefix) {
    std::set<std::string> expected;
    Findings findings;
    std::uint64_t total = 0;
    for (const auto& p : targets) {
        total += static_cast<std::uint64_t>(p.count()) * size_of(p.dtype());
        expected.insert(prefix + p.name);
        if (!file.contains(prefix + p.name)) {
            std::string_view reason;
            if constexpr (requires { file.why_unread(p.name); }) {
                reason = file.why_unread(prefix + p.name);
            }
            findings.add(reason.empty() ? Findings::Kind::missing : Findings::Kind::unreadable,
                         text(prefix, p.name, " ", p.extents(), reason.empty() ? "" : ": ", reason));
            continue;
        }
        const TensorInfo info = info_of(file, prefix + p.name);
        Extents found;
        const bool fits_rank = info.shape.size() <= static_cast<std::size_t>(max_rank);
        for (std::size_t i = 0; fits_rank && i < info.shape.size(); ++i) {
            found.push_back(info.shape[i]);
        }
        const bool floating = info.type == "F32" || info.type == "F64" || info.type == "BF16" || info.type == "F16";
        if (!fits_rank || !(found == p.extents()) || !floating) {
            findings.add(Findings::Kind::mismatched,
                         text(prefix, p.name, ": expected ", p.extents(), " of floats, found ", shape_text(info.shape),
                              " of ", info.type));
        }
    }
    for (const std::string& name : file.names()) {
        if (name.starts_with(prefix) && !expected.contains(name)) {
            findings.add(Findings::Kind::unexpected, name);
        }
    }
    if (!findings.empty()) {
        fail(name_in_messages(file), ": the tensors do not fit the model:", findings.lines());
    }
    return total;
}

}  // namespace detail

/// The names of all parameters of a model.
template <class Model>
[[nodiscard]] std::vector<std::string> parameter_names(Model& model) {
    std::vector<std::string> out;
    for (const auto& p : parameters(model)) {
        out.push_back(p.name);
    }
    return out;
}

/// Progress callback: bytes of the model loaded so far, total bytes.
using LoadProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Loads all parameters of a model by name from `prefix + name`. Strict: missing, unexpected (below the prefix) and
/// mismatched tensors are reported together, ten at most, and then nothing has been changed. `file` is a WeightsFile,
/// Weights, SafetensorsFile or TorchCheckpoint, or has their names, contains, at and path. Tensors are loaded one by
/// one, and what was read is released, so that memory holds the model and one tensor.
template <class Model, class File>
    requires requires(const File& f) { f.names(); }
void load_parameters(Model& model, const File& file, const std::string& prefix = "",
                     const LoadProgress& progress = {}) {
    const auto targets = parameters(model);
    const std::uint64_t total = detail::check_parameters(targets, file, prefix);
    Scratch scratch;
    std::uint64_t done = 0;
    for (const auto& p : targets) {
        const std::string name = prefix + p.name;
        detail::put(p, detail::view_of(file, name, scratch));
        if constexpr (requires { file.release(name); }) {
            file.release(name);
        }
        done += static_cast<std::uint64_t>(p.count()) * size_of(p.dtype());
        if (progress) {
            progress(done, total);
        }
    }
}
/// Loads from a file of any known format (see `WeightsFile`). Without a prefix, the weights are looked for where
/// published checkpoints keep them (see `Weights`): averaged ones are preferred, and names lose the traces of wrappers.
template <class Model>
void load_parameters(Model& model, const Path& path, const std::string& prefix = "",
                     const LoadProgress& progress = {}) {
    const WeightsFile file(path);
    if (prefix.empty()) {
        load_parameters(model, Weights::find(file, parameter_names(model)), prefix, progress);
    } else {
        load_parameters(model, file, prefix, progress);
    }
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
        write_to(writer);
    }
    /// Writes a file for `torch.load`, atomically: a state_dict, or with `root` a dict that holds it under that name.
    void write_torch(const Path& path, const std::string& root = "") const {
        TorchWriter writer(path, root);
        write_to(writer);
    }

   private:
    template <class Writer>
    void write_to(Writer& writer) const {
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

    struct Entry {
        std::string name;
        H value;
        DType dtype;
    };
    std::vector<Entry> entries_;
};

/// The element type of a model's parameters: f32 unless it names another `Element`.
template <class Model>
inline constexpr DType dtype_of_model = DType::f32;
template <class Model>
    requires requires { typename Model::Element; }
inline constexpr DType dtype_of_model<Model> = dtype_of<typename Model::Element>;

/// Writes all parameters of a model as safetensors, converted to `dtype`.
template <class Model>
void save_parameters(Model& model, const Path& path, DType dtype = dtype_of_model<std::remove_const_t<Model>>,
                     const std::map<std::string, std::string>& metadata = {}) {
    using B = Plain<typename std::remove_const_t<Model>::Backend>;
    StateWriter<B> writer;
    for (const auto& p : parameters(model)) {
        require(p.has_values(), path.string(), ": not written, as parameter ", p.name,
                " has no values; initialize the model or load it");
        writer.add(p.name, p.value(), dtype);
    }
    writer.write(path, metadata);
}

/// Writes all parameters of a model for `torch.load`, converted to `dtype`: a state_dict, or with `root`, such as
/// "model", a dict that holds it under that name.
template <class Model>
void save_torch_parameters(Model& model, const Path& path, DType dtype = dtype_of_model<std::remove_const_t<Model>>,
                           const std::string& root = "") {
    using B = Plain<typename std::remove_const_t<Model>::Backend>;
    StateWriter<B> writer;
    for (const auto& p : parameters(model)) {
        require(p.has_values(), path.string(), ": not written, as parameter ", p.name,
                " has no values; initialize the model or load it");
        writer.add(p.name, p.value(), dtype);
    }
    writer.write_torch(path, root);
}

}  // namespace flowfar::io
