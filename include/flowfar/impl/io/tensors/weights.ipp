#pragma once

/// The definitions of weights.hpp.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/sharded_safetensors.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"
#include "flowfar/io/tensors/torch_checkpoint.hpp"
#include "flowfar/io/tensors/weights.hpp"

namespace flowfar::io {

namespace detail {

/// The file to open in a folder: the first that transformers or diffusers would write there.
inline Path weights_in(const Path& folder) {
    std::error_code ignored;
    for (const char* const stem : {"model", "diffusion_pytorch_model", "pytorch_model"}) {
        for (const char* const ending : {".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"}) {
            const Path file = folder / (std::string(stem) + ending);
            if (std::filesystem::exists(file, ignored)) {
                return file;
            }
        }
    }
    fail(folder.string(),
         ": no weights in the folder: expected model.safetensors, diffusion_pytorch_model.safetensors, "
         "pytorch_model.bin, or the index of one of these; or name a file");
}

}  // namespace detail

FLOWFAR_INLINE WeightsFile::WeightsFile(const Path& path) : file_(open(path)) {}

FLOWFAR_INLINE WeightsFile::WeightsFile(WeightsFile&&) noexcept = default;

FLOWFAR_INLINE WeightsFile& WeightsFile::operator=(WeightsFile&&) noexcept = default;

FLOWFAR_INLINE WeightsFile::~WeightsFile() = default;

FLOWFAR_INLINE std::string_view WeightsFile::format() const {
    if (const auto* torch = std::get_if<TorchCheckpoint>(&file_); torch != nullptr) {
        return torch->is_legacy() ? "PyTorch (legacy)" : "PyTorch";
    }
    return std::holds_alternative<SafetensorsFile>(file_) ? "safetensors" : "sharded safetensors";
}

FLOWFAR_INLINE Path WeightsFile::path() const {
    return std::visit([](const auto& file) { return Path(file.path()); }, file_);
}

FLOWFAR_INLINE const std::vector<std::string>& WeightsFile::names() const {
    return std::visit([](const auto& file) -> const auto& { return file.names(); }, file_);
}

FLOWFAR_INLINE bool WeightsFile::contains(const std::string& name) const {
    return std::visit([&](const auto& file) { return file.contains(name); }, file_);
}

FLOWFAR_INLINE TensorInfo WeightsFile::info(const std::string& name) const {
    return std::visit([&](const auto& file) { return file.info(name); }, file_);
}

FLOWFAR_INLINE TensorView WeightsFile::at(const std::string& name, Scratch& scratch) const {
    return std::visit([&](const auto& file) { return file.at(name, scratch); }, file_);
}

FLOWFAR_INLINE void WeightsFile::release(const std::string& name) const {
    std::visit([&](const auto& file) { file.release(name); }, file_);
}

FLOWFAR_INLINE WeightsFile::Notes WeightsFile::notes() const {
    if (const auto* torch = std::get_if<TorchCheckpoint>(&file_); torch != nullptr) {
        return torch->values();
    }
    if (const auto* single = std::get_if<SafetensorsFile>(&file_); single != nullptr) {
        return {single->metadata().begin(), single->metadata().end()};
    }
    return {};
}

FLOWFAR_INLINE WeightsFile::Notes WeightsFile::unread() const {
    if (const auto* torch = std::get_if<TorchCheckpoint>(&file_); torch != nullptr) {
        Notes out = torch->unread();
        for (const std::string& name : torch->names()) {
            if (const ElementType& type = *torch->tensor(name).type; !type.dtype) {
                out.emplace_back(name, text("elements of type ", type.name));
            }
        }
        return out;
    }
    if (const auto* single = std::get_if<SafetensorsFile>(&file_); single != nullptr) {
        return single->unread();
    }
    Notes out;
    for (const auto& [name, shard] : std::get<ShardedSafetensors>(file_).shards()) {
        for (auto& entry : shard.unread()) {
            out.push_back(std::move(entry));
        }
    }
    return out;
}

FLOWFAR_INLINE void WeightsFile::require_tensors() const {
    if (!names().empty() || !unread().empty()) {
        return;
    }
    const Notes found = notes();
    const auto whole =
        std::ranges::find_if(found, [](const auto& note) { return note.second.starts_with("object of "); });
    const auto shown = whole == found.end() ? found.begin() : whole;
    if (torch() == nullptr || shown == found.end()) {
        fail(path().string(), ": no tensors in the file");
    }
    fail(path().string(), ": no tensors in the checkpoint, but ", shown->second,
         shown->first.empty() ? "" : text(" under \"", shown->first, '"'), ": save a state_dict() instead");
}

FLOWFAR_INLINE WeightsFile::Variant WeightsFile::open(const Path& path) {
    std::error_code unreadable;  // the mapping below says why
    if (std::filesystem::is_directory(path, unreadable)) {
        return open(detail::weights_in(path));
    }
    MappedFile file(path);
    require(file.size() > 0, path.string(), ": expected weights as safetensors or of PyTorch, found an empty file");
    if (TorchCheckpoint::recognize(file.bytes())) {
        return TorchCheckpoint(std::move(file));
    }
    // A safetensors file begins with a length below 2^27, which no text could be.
    const std::string_view head = as_text(file.bytes().first(std::min<std::size_t>(file.size(), 8)));
    const std::size_t brace = head.find_first_not_of(" \t\r\n");
    if (brace != head.npos && head[brace] == '{' && head.find('\0') == head.npos) {
        return ShardedSafetensors(path);
    }
    return SafetensorsFile(std::move(file));
}

FLOWFAR_INLINE Weights::Weights(const WeightsFile& file, std::string_view root, WrapperTraces traces)
    : file_(&file), root_(root) {
    const std::string prefix = root.empty() ? "" : text(root, '.');
    const bool kept = traces == WrapperTraces::kept;
    bool wrapped = !kept;
    for (const std::string& name : file.names()) {
        wrapped = wrapped && (!name.starts_with(prefix) || unwrap(name.substr(prefix.size())).starts_with("module."));
    }
    const auto own_name = [&](const std::string& name) {
        const std::string below = name.substr(prefix.size());
        const std::string plain = kept ? below : unwrap(below);
        return wrapped && plain.starts_with("module.") ? plain.substr(7) : plain;
    };
    for (auto& [name, reason] : file.unread()) {
        if (name.starts_with(prefix) && !file.contains(name)) {
            unread_.emplace(own_name(name), reason);
        }
    }
    for (const std::string& name : file.names()) {
        if (name.starts_with(prefix)) {
            std::string own = own_name(name);
            names_.push_back(own);
            const auto [entry, inserted] = sources_.emplace(std::move(own), name);
            require(inserted, file.path().string(), ": tensors \"", entry->second, "\" and \"", name,
                    "\" have the same name in the model");
        }
    }
}

namespace detail {

/// Where else a model's weights are: what stands before its parameters in the file, such as "state_dict.model" in
/// checkpoints of Lightning. Of several places the averaged weights', by name; "" if that does not tell. Names without
/// a dot, such as "weight", occur in too many parts to tell anything.
inline std::string other_root(const WeightsFile& file, const std::vector<std::string>& parameters) {
    const auto sign = std::ranges::find_if(parameters, [](const auto& name) { return name.find('.') != name.npos; });
    std::vector<std::string> roots;
    for (const std::string& name : file.names()) {
        if (sign != parameters.end() && name.ends_with("." + *sign)) {
            const std::string root = name.substr(0, name.size() - sign->size() - 1);
            const auto there = std::ranges::count_if(
                parameters, [&](const auto& parameter) { return file.contains(text(root, '.', parameter)); });
            if (2 * there >= std::ssize(parameters)) {
                roots.push_back(root);
            }
        }
    }
    const auto averaged = std::ranges::find_if(roots, [](const auto& root) { return root.find("ema") != root.npos; });
    return averaged != roots.end() ? *averaged : roots.size() == 1 ? roots.front() : std::string();
}

}  // namespace detail

FLOWFAR_INLINE Weights Weights::find(const WeightsFile& file, const std::vector<std::string>& parameters) {
    if (file.torch() != nullptr) {
        file.require_tensors();
    }
    for (const std::string_view root : usual_roots) {
        Weights weights(file, root);
        const auto has = [&](const std::string& name) {
            return weights.contains(name) || weights.unread_.contains(name);
        };
        if (std::ranges::any_of(parameters, has)) {
            const auto of_loss = [](const std::string& name) { return name.starts_with("loss."); };
            if (std::ranges::none_of(parameters, of_loss)) {
                std::erase_if(weights.names_, of_loss);
            }
            return weights;
        }
    }
    return {file, detail::other_root(file, parameters)};
}

FLOWFAR_INLINE std::string Weights::where() const {
    return root_.empty() ? path().string() : text(path().string(), ": \"", root_, '"');
}

FLOWFAR_INLINE std::string_view Weights::why_unread(const std::string& name) const {
    const auto found = unread_.find(name);
    return found == unread_.end() ? std::string_view() : std::string_view(found->second);
}

FLOWFAR_INLINE const std::string& Weights::source(const std::string& name) const {
    const auto found = sources_.find(name);
    require(found != sources_.end(), where(), ": tensor \"", name, "\": no such tensor");
    return found->second;
}

FLOWFAR_INLINE Index Weights::list_length(std::string_view list) const {
    std::set<std::string_view> found;
    for (const std::string_view name : names_) {
        if (name.starts_with(list) && name.size() > list.size() && name[list.size()] == '.') {
            const std::string_view rest = name.substr(list.size() + 1);
            found.insert(rest.substr(0, rest.find('.')));
        }
    }
    return static_cast<Index>(found.size());
}

FLOWFAR_INLINE Index Weights::extent(const std::string& name, std::size_t axis) const {
    const std::vector<Index> shape = contains(name) ? info(name).shape : std::vector<Index>{};
    return axis < shape.size() ? shape[axis] : 0;
}

FLOWFAR_INLINE std::string Weights::unwrap(std::string_view name) {
    constexpr std::string_view trace = "_orig_mod.";
    std::string out;
    while (!name.empty()) {
        const bool wrapper = name.starts_with(trace);
        const std::size_t length = wrapper ? trace.size() : std::min(name.find('.'), name.size() - 1) + 1;
        out += wrapper ? std::string_view() : name.substr(0, length);
        name.remove_prefix(length);
    }
    return out;
}

}  // namespace flowfar::io
