#pragma once

/// Reads what PyTorch's `torch.save` wrote, without Python and without running anything that the file contains.

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/strided_tensor.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"
#include "flowfar/io/tensors/torch_tensor.hpp"

namespace flowfar::io {

namespace detail {

class TorchGraph;

}  // namespace detail

/// A checkpoint mapped into memory: zip archives (PyTorch 1.6 and later) and the older streams of pickles. Tensors have
/// dotted names like "model_ema.encoder_norm.weight"; lists count from 0. Opening reads the structure only, and checks
/// it: what could run code is refused by name, tensors must lie inside their storages, storages inside the file, and
/// memory stays in proportion to the pickle. Tensors that were on a GPU or another device load like all others.
///
///     const io::TorchCheckpoint file("flowmo_lo.pth");
///     io::Scratch scratch;
///     for (const std::string& name : file.names()) {
///         const io::TensorView view = file.at(name, scratch);  // valid until the next use of `scratch`
///     }
///
/// A const object may be used by several threads at once, each with a scratch of its own.
class TorchCheckpoint {
   public:
    /// Throws `Error` if `path` cannot be read, is no checkpoint, is damaged, or is refused.
    explicit TorchCheckpoint(const Path& path) : TorchCheckpoint(MappedFile(path)) {}
    explicit TorchCheckpoint(MappedFile file)
        : file_(std::move(file)), bytes_(file_.bytes()), label_(file_.path().string()) {
        open();
    }

    /// Whether the bytes begin as a checkpoint does. A zip archive may still turn out to be something else.
    [[nodiscard]] static bool recognize(std::span<const std::byte> bytes);

    [[nodiscard]] const Path& path() const { return file_.path(); }
    /// Names of all tensors, in the file's order.
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return tensors_.contains(name); }
    /// Throws `Error` if there is no such tensor.
    [[nodiscard]] TensorInfo info(const std::string& name) const;
    /// Strides, storage and device besides. Throws `Error` if there is no such tensor.
    [[nodiscard]] const TorchTensor& tensor(const std::string& name) const;
    /// A tensor in row-major order, little-endian: in place if it lies so in the file, else in `scratch`. Integers
    /// other than I64 and U8 are widened to I64, booleans are U8. Throws `Error` for types that the library lacks
    /// (complex numbers, 8-bit floats).
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const;
    /// Lets the system drop a tensor's storage from memory; it is read again when it is used.
    void release(const std::string& name) const { file_.release(storages_.at(tensor(name).storage)); }
    /// Everything in the file that is not a tensor, as dotted name and short description: numbers, texts, and objects
    /// of classes that were passed over ("object of argparse.Namespace", followed by its fields).
    [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& values() const { return values_; }
    /// Tensors that cannot be read (sparse, quantized, nested, meta, of unknown elements), as dotted name and reason;
    /// they are not among `names`.
    [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& unread() const { return unread_; }
    /// Whether this is the stream format of PyTorch before 1.6.
    [[nodiscard]] bool is_legacy() const { return legacy_; }
    [[nodiscard]] bool is_big_endian() const { return big_endian_; }

    /// Reads everything and throws `Error` at the first entry whose checksum is wrong. Legacy streams have no
    /// checksums.
    void verify() const;

   private:
    using Storages = std::map<std::string, std::span<const std::byte>>;

    void open();
    void open_archive();
    void open_stream();
    void take(detail::TorchGraph&& graph);
    [[nodiscard]] std::string label(std::string_view name) const;
    [[nodiscard]] StridedTensor strided(const std::string& name, const TorchTensor& tensor) const;

    MappedFile file_;
    std::span<const std::byte> bytes_;
    std::string label_;
    Storages storages_;
    std::vector<std::string> names_;
    std::map<std::string, TorchTensor> tensors_;
    std::vector<std::pair<std::string, std::string>> values_;
    std::vector<std::pair<std::string, std::string>> unread_;
    bool legacy_ = false;
    bool big_endian_ = false;
};

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/tensors/torch_checkpoint.ipp"
#endif
