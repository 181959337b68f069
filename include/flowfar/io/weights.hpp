#pragma once

/// Opens files of named tensors whatever their format, and finds a model's weights in checkpoints as they are
/// published.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/file.hpp"
#include "flowfar/io/safetensors.hpp"
#include "flowfar/io/sharded_safetensors.hpp"
#include "flowfar/io/strided_tensor.hpp"
#include "flowfar/io/tensor_view.hpp"
#include "flowfar/io/torch_checkpoint.hpp"

namespace flowfar::io {

/// A file of named tensors: safetensors, a safetensors index with its shards (or the folder that holds it), or a
/// PyTorch checkpoint. The format is recognised by the contents, not by the name. A const object may be used by several
/// threads at once, each with a scratch of its own.
class WeightsFile {
   public:
    using Notes = std::vector<std::pair<std::string, std::string>>;

    /// Throws `Error` if the file cannot be read, is of no known format, is damaged, or is refused.
    explicit WeightsFile(const Path& path) : file_(open(path)) {}
    explicit WeightsFile(MappedFile file) : file_(open(std::move(file))) {}

    /// "safetensors", "sharded safetensors", "PyTorch" or "PyTorch (legacy)".
    [[nodiscard]] std::string_view format() const {
        if (const auto* torch = std::get_if<TorchCheckpoint>(&file_); torch != nullptr) {
            return torch->is_legacy() ? "PyTorch (legacy)" : "PyTorch";
        }
        return std::holds_alternative<SafetensorsFile>(file_) ? "safetensors" : "sharded safetensors";
    }
    [[nodiscard]] Path path() const {
        return std::visit([](const auto& file) { return Path(file.path()); }, file_);
    }
    /// All tensor names, in the file's order; those of nested checkpoints are dotted.
    [[nodiscard]] const std::vector<std::string>& names() const {
        return std::visit(
            [](const auto& file) -> const auto& { return file.names(); }, file_);
    }
    [[nodiscard]] bool contains(const std::string& name) const {
        return std::visit([&](const auto& file) { return file.contains(name); }, file_);
    }
    /// Throws `Error` if there is no such tensor.
    [[nodiscard]] TensorInfo info(const std::string& name) const {
        return std::visit([&](const auto& file) { return file.info(name); }, file_);
    }
    /// The tensor in row-major order, little-endian, in place where possible, else in `scratch`; valid until the next
    /// use of `scratch`. Integers other than I64 and U8 are widened to I64, booleans are U8. Throws `Error` if there is
    /// no such tensor or its element type has no `DType`.
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const {
        return std::visit([&](const auto& file) { return file.at(name, scratch); }, file_);
    }
    /// Lets the system drop a tensor's bytes from memory; they are read again when they are used.
    void release(const std::string& name) const {
        std::visit([&](const auto& file) { file.release(name); }, file_);
    }
    /// Everything that is not a tensor, as name and text: safetensors metadata, a checkpoint's numbers and objects.
    [[nodiscard]] Notes notes() const {
        if (const auto* torch = std::get_if<TorchCheckpoint>(&file_); torch != nullptr) {
            return torch->values();
        }
        if (const auto* single = std::get_if<SafetensorsFile>(&file_); single != nullptr) {
            return {single->metadata().begin(), single->metadata().end()};
        }
        return {};
    }
    /// The checkpoint behind this, or null: for strides, storages and devices.
    [[nodiscard]] const TorchCheckpoint* torch() const { return std::get_if<TorchCheckpoint>(&file_); }

   private:
    using Variant = std::variant<SafetensorsFile, ShardedSafetensors, TorchCheckpoint>;

    [[nodiscard]] static Variant open(const Path& path) {
        std::error_code unreadable;  // the mapping below says why
        if (std::filesystem::is_directory(path, unreadable)) {
            return ShardedSafetensors(path / "model.safetensors.index.json");
        }
        return open(MappedFile(path));
    }

    [[nodiscard]] static Variant open(MappedFile file) {
        if (TorchCheckpoint::recognise(file.bytes())) {
            return TorchCheckpoint(std::move(file));
        }
        // A safetensors file begins with a length below 2^27, which no text could be.
        const std::string_view head = as_text(file.bytes().first(std::min<std::size_t>(file.size(), 8)));
        const std::size_t brace = head.find_first_not_of(" \t\r\n");
        if (brace != head.npos && head[brace] == '{' && head.find('\0') == head.npos) {
            return ShardedSafetensors(file.path());
        }
        return SafetensorsFile(std::move(file));
    }

    Variant file_;
};

/// What happens to the traces that wrappers leave in names: DistributedDataParallel puts "module." in front of all of
/// them, torch.compile "_orig_mod." anywhere.
enum class WrapperTraces : std::uint8_t { removed, kept };

/// The weights of one model inside a file: the tensors below a root such as "model_ema", by their own names. The file
/// must outlive this object.
class Weights {
   public:
    /// Where published checkpoints keep the weights to use, best first: averaged before plain, nested before bare.
    /// (FlowMo: model_ema_state_dict, model_state_dict; FAR and MAR: model_ema, model; KL-16 and others: model,
    /// state_dict; this library's training states: ema, model.)
    static constexpr std::array<std::string_view, 7> usual_roots{
        "model_ema_state_dict", "model_ema", "ema", "model_state_dict", "state_dict", "model", ""};

    /// The tensors below `root`; all of the file if it is empty. Throws `Error` if two of them have the same name once
    /// the traces of wrappers are removed.
    Weights(const WeightsFile& file, std::string_view root, WrapperTraces traces = WrapperTraces::removed)
        : file_(&file), root_(root) {
        const std::string prefix = root.empty() ? "" : text(root, '.');
        const bool kept = traces == WrapperTraces::kept;
        bool wrapped = !kept;
        for (const std::string& name : file.names()) {
            wrapped =
                wrapped && (!name.starts_with(prefix) || unwrap(name.substr(prefix.size())).starts_with("module."));
        }
        for (const std::string& name : file.names()) {
            if (name.starts_with(prefix)) {
                const std::string below = name.substr(prefix.size());
                std::string own = kept ? below : unwrap(below).substr(wrapped ? 7 : 0);
                names_.push_back(own);
                const auto [entry, inserted] = sources_.emplace(std::move(own), name);
                require(inserted, file.path().string(), ": tensors \"", entry->second, "\" and \"", name,
                        "\" have the same name in the model");
            }
        }
    }

    /// The weights of the model with these parameters: those below the first of the usual roots that has any of them.
    /// Parts of a training loss ("loss.…", as in KL-16) are left out unless the model has such parameters, too.
    [[nodiscard]] static Weights find(const WeightsFile& file, const std::vector<std::string>& parameters) {
        if (file.torch() != nullptr && file.names().empty()) {
            const WeightsFile::Notes notes = file.notes();
            fail(file.path().string(), ": no tensors in the checkpoint",
                 notes.empty() ? "" : text(", but ", notes.front().second), ": save a state_dict() instead");
        }
        for (const std::string_view root : usual_roots) {
            Weights weights(file, root);
            if (std::ranges::any_of(parameters, [&](const std::string& name) { return weights.contains(name); })) {
                const auto of_loss = [](const std::string& name) { return name.starts_with("loss."); };
                if (std::ranges::none_of(parameters, of_loss)) {
                    std::erase_if(weights.names_, of_loss);
                }
                return weights;
            }
        }
        return {file, ""};
    }

    [[nodiscard]] const WeightsFile& file() const { return *file_; }
    [[nodiscard]] Path path() const { return file_->path(); }
    /// File and root for error messages.
    [[nodiscard]] std::string where() const {
        return root_.empty() ? path().string() : text(path().string(), ": \"", root_, '"');
    }
    [[nodiscard]] const std::string& root() const { return root_; }
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return sources_.contains(name); }
    /// The name in the file. Throws `Error` if there is no such tensor.
    [[nodiscard]] const std::string& source(const std::string& name) const {
        const auto found = sources_.find(name);
        require(found != sources_.end(), where(), ": tensor \"", name, "\": no such tensor");
        return found->second;
    }
    /// Length of a list of modules: how many different words follow `list` and a dot, as in "blocks.3.weight".
    [[nodiscard]] Index list_length(std::string_view list) const {
        std::set<std::string_view> found;
        for (const std::string_view name : names_) {
            if (name.starts_with(list) && name.size() > list.size() && name[list.size()] == '.') {
                const std::string_view rest = name.substr(list.size() + 1);
                found.insert(rest.substr(0, rest.find('.')));
            }
        }
        return static_cast<Index>(found.size());
    }
    /// An extent of a tensor; 0 if there is no such tensor or axis.
    [[nodiscard]] Index extent(const std::string& name, std::size_t axis) const {
        const std::vector<Index> shape = contains(name) ? info(name).shape : std::vector<Index>{};
        return axis < shape.size() ? shape[axis] : 0;
    }
    /// As `WeightsFile`'s.
    [[nodiscard]] TensorInfo info(const std::string& name) const { return file_->info(source(name)); }
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const {
        return file_->at(source(name), scratch);
    }
    void release(const std::string& name) const { file_->release(source(name)); }

   private:
    /// The name without parts "_orig_mod".
    [[nodiscard]] static std::string unwrap(std::string_view name) {
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

    const WeightsFile* file_;
    std::string root_;
    std::vector<std::string> names_;
    std::map<std::string, std::string> sources_;
};

}  // namespace flowfar::io
