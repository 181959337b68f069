#pragma once

/// Reads what PyTorch's `torch.save` wrote, without Python and without running anything that the file contains.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/byte_reader.hpp"
#include "flowfar/io/file.hpp"
#include "flowfar/io/pickle.hpp"
#include "flowfar/io/strided_tensor.hpp"
#include "flowfar/io/tensor_view.hpp"
#include "flowfar/io/torch_graph.hpp"
#include "flowfar/io/zip_archive.hpp"

namespace flowfar::io {

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
    [[nodiscard]] static bool recognise(std::span<const std::byte> bytes) {
        return ZipArchive::recognise(bytes) || is_stream(bytes) || is_tar(bytes);
    }

    [[nodiscard]] const Path& path() const { return file_.path(); }
    /// Names of all tensors, in the file's order.
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return tensors_.contains(name); }
    /// Throws `Error` if there is no such tensor.
    [[nodiscard]] TensorInfo info(const std::string& name) const {
        const TorchTensor& found = tensor(name);
        const StridedTensor checked = strided(name, found);
        return {found.type->name, found.shape, static_cast<std::uint64_t>(check_strided(checked)) * found.type->size};
    }
    /// Strides, storage and device besides. Throws `Error` if there is no such tensor.
    [[nodiscard]] const TorchTensor& tensor(const std::string& name) const {
        const auto found = tensors_.find(name);
        require(found != tensors_.end(), label(name), ": no such tensor");
        return found->second;
    }
    /// A tensor in row-major order, little-endian: in place if it lies so in the file, else in `scratch`. Integers
    /// other than I64 and U8 are widened to I64, booleans are U8. Throws `Error` for types that the library lacks
    /// (complex numbers, 8-bit floats).
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const {
        return load_strided(strided(name, tensor(name)), scratch);
    }
    /// Lets the system drop a tensor's storage from memory; it is read again when it is used.
    void release(const std::string& name) const { file_.release(storages_.at(tensor(name).storage)); }
    /// Everything in the file that is not a tensor, as dotted name and short description: numbers, texts, and objects
    /// of classes that were passed over ("object of argparse.Namespace", followed by its fields).
    [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& values() const { return values_; }
    /// Whether this is the stream format of PyTorch before 1.6.
    [[nodiscard]] bool is_legacy() const { return legacy_; }
    [[nodiscard]] bool is_big_endian() const { return big_endian_; }

    /// Reads everything and throws `Error` at the first entry whose checksum is wrong. Legacy streams have no
    /// checksums.
    void verify() const {
        if (!legacy_) {
            const ZipArchive archive(bytes_, label_);
            for (const ZipEntry& entry : archive.entries()) {
                archive.verify(entry);
            }
        }
    }

   private:
    using Storages = std::map<std::string, std::span<const std::byte>>;

    /// The number that every stream begins with, as it lies in the file, and the version that follows.
    static constexpr std::string_view magic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    static constexpr Index stream_version = 1001;

    [[nodiscard]] std::string label(std::string_view name) const { return text(label_, ": tensor \"", name, '"'); }

    [[nodiscard]] static bool is_stream(std::span<const std::byte> bytes) {
        return as_text(bytes.first(std::min<std::size_t>(bytes.size(), 32))).find(magic) != std::string_view::npos;
    }
    /// Before version 0.1.10, torch.save wrote tar archives.
    [[nodiscard]] static bool is_tar(std::span<const std::byte> bytes) {
        return bytes.size() >= 512 && as_text(bytes.subspan(257, 5)) == "ustar";
    }

    void open() {
        require(!is_tar(bytes_), label_,
                ": a tar archive of PyTorch before 0.1.10, which is not supported: "
                "load and save it with a newer PyTorch");
        legacy_ = !ZipArchive::recognise(bytes_);
        if (legacy_) {
            require(is_stream(bytes_), label_, ": not a PyTorch checkpoint");
            open_stream();
        } else {
            open_archive();
        }
        for (const auto& [name, tensor] : tensors_) {
            check_strided(strided(name, tensor));
        }
    }

    [[nodiscard]] StridedTensor strided(const std::string& name, const TorchTensor& tensor) const {
        return {tensor.type, tensor.shape, tensor.strides, tensor.offset, storages_.at(tensor.storage),
                big_endian_, label(name)};
    }

    void take(detail::TorchGraph&& graph) {
        names_ = std::move(graph.names);
        tensors_ = std::move(graph.tensors);
        values_ = std::move(graph.values);
    }

    // ---- zip archives
    void open_archive() {
        const ZipArchive archive(bytes_, label_);
        const std::string prefix = find_prefix(archive);
        if (const ZipEntry* const order = archive.find(prefix + "byteorder"); order != nullptr) {
            const std::string_view name = as_text(archive.stored(*order));
            require(name == "little" || name == "big", archive.describe(*order), ": expected little or big");
            big_endian_ = name == "big";
        }
        const ZipEntry& entry = *archive.find(prefix + "data.pkl");
        const Pickle pickle(archive.stored(entry), archive.describe(entry));
        require(pickle.size() == entry.size, archive.describe(entry), ": ", entry.size - pickle.size(),
                " bytes after the end of the pickle");
        detail::TorchGraph graph(pickle, label_);
        for (const auto& [key, storage] : graph.storages) {
            const ZipEntry* const data = archive.find(prefix + "data/" + key);
            require(data != nullptr, label_, ": the archive has no storage \"", key, '"');
            const auto bytes = archive.stored(*data);
            require(storage.size <= bytes.size(), archive.describe(*data), ": ", bytes.size(), " bytes, expected ",
                    storage.size);
            storages_[key] = bytes.first(storage.size);
        }
        take(std::move(graph));
    }

    /// The folder that holds everything; its name is the saved file's, or "archive".
    [[nodiscard]] static std::string find_prefix(const ZipArchive& archive) {
        constexpr std::string_view table = "data.pkl";
        std::optional<std::string> prefix;
        for (const ZipEntry& entry : archive.entries()) {
            const std::string& name = entry.name;
            if (name == table || name.ends_with("/data.pkl")) {
                require(!prefix.has_value(), archive.label(), ": more than one data.pkl in the archive");
                prefix = name.substr(0, name.size() - table.size());
            }
        }
        require(prefix.has_value(), archive.label(), ": not a PyTorch checkpoint: the archive has no data.pkl");
        require(archive.find(*prefix + "constants.pkl") == nullptr, archive.label(),
                ": a TorchScript program, expected a checkpoint of tensors");
        return *prefix;
    }

    // ---- streams: pickles of magic number, version, system, contents and storage keys, then the storages
    void open_stream() {
        std::size_t position = 0;
        const auto next = [&](std::string_view what) {
            return std::pair(bytes_.subspan(position), text(label_, ": ", what));
        };
        const auto header = [&](std::string_view what, auto&& check) {
            const auto [bytes, where] = next(what);
            const Pickle pickle(bytes, where);
            check(pickle.root());
            position += pickle.size();
        };
        header("magic number", [&](const PickleValue& value) {
            require(value.is(PickleKind::big_integer) && value.text() == magic, label_, ": not a PyTorch checkpoint");
        });
        header("version", [&](const PickleValue& value) {
            require(value.is(PickleKind::integer) && value.integer() == stream_version, label_,
                    ": stream format version ", to_string(value), ", expected ", stream_version);
        });
        header("system", [](const PickleValue&) {});  // storages are little-endian wherever they were written
        const auto [bytes, where] = next("contents");
        const Pickle contents(bytes, where);
        position += contents.size();
        detail::TorchGraph graph(contents, label_);
        graph.add_all_storages(contents);
        std::vector<std::string> keys;
        header("storage keys", [&](const PickleValue& value) {
            for (std::size_t i = 0; i < value.size(); ++i) {
                keys.emplace_back(value.item(i).text());
            }
        });
        ByteReader r(bytes_.subspan(position), label_ + ": storages");
        for (const std::string& key : keys) {
            const auto found = graph.storages.find(key);
            const auto count = r.little<std::uint64_t>();
            std::uint64_t size = 0;
            require(found != graph.storages.end(), label_, ": storage \"", key, "\" belongs to no tensor");
            require(!__builtin_mul_overflow(count, found->second.type->size, &size) && size == found->second.size,
                    label_, ": storage \"", key, "\" of ", count, " elements, expected ",
                    found->second.size / found->second.type->size);
            require(storages_.emplace(key, r.take(size)).second, label_, ": storage \"", key, "\" occurs twice");
        }
        for (const auto& [key, storage] : graph.storages) {
            require(storages_.contains(key), label_, ": the file has no storage \"", key, '"');
        }
        take(std::move(graph));
    }

    MappedFile file_;
    std::span<const std::byte> bytes_;
    std::string label_;
    Storages storages_;
    std::vector<std::string> names_;
    std::map<std::string, TorchTensor> tensors_;
    std::vector<std::pair<std::string, std::string>> values_;
    bool legacy_ = false;
    bool big_endian_ = false;
};

}  // namespace flowfar::io
