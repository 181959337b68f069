#pragma once

/// Opens files of named tensors whatever their format, and finds a model's weights in checkpoints as they are
/// published.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/sharded_safetensors.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"
#include "flowfar/io/tensors/torch_checkpoint.hpp"

namespace flowfar::io {

/// A file of named tensors: safetensors, a safetensors index with its shards, or a PyTorch checkpoint; or the folder
/// that holds one of these under the names that transformers and diffusers use. The format is recognized by the
/// contents, not by the name. A const object may be used by several threads at once, each with a scratch of its own.
///
///     const io::WeightsFile file("model.pth");
///     const io::TensorInfo first = file.info(file.names()[0]);   // type, shape, size
class WeightsFile {
   public:
    using Notes = std::vector<std::pair<std::string, std::string>>;

    /// Throws `Error` if the file cannot be read, is of no known format, is damaged, or is refused.
    explicit WeightsFile(const Path& path);
    WeightsFile(WeightsFile&&) noexcept;
    WeightsFile& operator=(WeightsFile&&) noexcept;
    ~WeightsFile();

    /// "safetensors", "sharded safetensors", "PyTorch" or "PyTorch (legacy)".
    [[nodiscard]] std::string_view format() const;
    [[nodiscard]] Path path() const;
    /// All tensor names, in the file's order; names in nested checkpoints are dotted.
    [[nodiscard]] const std::vector<std::string>& names() const;
    [[nodiscard]] bool contains(const std::string& name) const;
    /// Throws `Error` if there is no such tensor.
    [[nodiscard]] TensorInfo info(const std::string& name) const;
    /// The tensor in row-major order, little-endian, in place where possible, else in `scratch`; valid until the next
    /// use of `scratch`. Integers other than I64 and U8 are widened to I64, booleans are U8. Throws `Error` if there is
    /// no such tensor or its element type has no `DType`.
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const;
    /// Lets the system drop a tensor's bytes from memory; they are read again when they are used.
    void release(const std::string& name) const;
    /// Everything that is not a tensor, as name and text: safetensors metadata, a checkpoint's numbers and objects.
    [[nodiscard]] Notes notes() const;
    /// Tensors that cannot be read, as name and reason: sparse, quantized, nested and meta ones of PyTorch, which are
    /// not among `names`, and tensors of element types that the library lacks.
    [[nodiscard]] Notes unread() const;
    /// Throws `Error` that says what the file holds instead if it has no tensors.
    void require_tensors() const;
    /// The checkpoint behind this, or null: for strides, storages and devices.
    [[nodiscard]] const TorchCheckpoint* torch() const { return std::get_if<TorchCheckpoint>(&file_); }

   private:
    using Variant = std::variant<SafetensorsFile, ShardedSafetensors, TorchCheckpoint>;

    [[nodiscard]] static Variant open(const Path& path);

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
    Weights(const WeightsFile& file, std::string_view root, WrapperTraces traces = WrapperTraces::removed);

    /// The weights of the model with these parameters: those below the first of the usual roots that has any of them,
    /// or below whatever else stands before the first parameter. Parts of a training loss ("loss.…", as in KL-16) are
    /// left out unless the model has such parameters, too.
    [[nodiscard]] static Weights find(const WeightsFile& file, const std::vector<std::string>& parameters);

    [[nodiscard]] const WeightsFile& file() const { return *file_; }
    [[nodiscard]] Path path() const { return file_->path(); }
    /// File and root for error messages.
    [[nodiscard]] std::string where() const;
    [[nodiscard]] const std::string& root() const { return root_; }
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return sources_.contains(name); }
    /// Why a tensor is in the file but not among `names`, such as "sparse"; empty if that is not so.
    [[nodiscard]] std::string_view why_unread(const std::string& name) const;
    /// The name in the file. Throws `Error` if there is no such tensor.
    [[nodiscard]] const std::string& source(const std::string& name) const;
    /// Length of a list of modules: how many different words follow `list` and a dot, as in "blocks.3.weight".
    [[nodiscard]] Index list_length(std::string_view list) const;
    /// An extent of a tensor; 0 if there is no such tensor or axis.
    [[nodiscard]] Index extent(const std::string& name, std::size_t axis) const;
    /// As `WeightsFile`'s.
    [[nodiscard]] TensorInfo info(const std::string& name) const { return file_->info(source(name)); }
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const {
        return file_->at(source(name), scratch);
    }
    void release(const std::string& name) const { file_->release(source(name)); }

   private:
    /// The name without parts "_orig_mod".
    [[nodiscard]] static std::string unwrap(std::string_view name);

    const WeightsFile* file_;
    std::string root_;
    std::vector<std::string> names_;
    std::map<std::string, std::string> sources_;
    std::map<std::string, std::string> unread_;  // reasons
};

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/tensors/weights.ipp"
#endif
