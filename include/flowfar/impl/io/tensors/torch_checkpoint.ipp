#pragma once

/// The definitions of torch_checkpoint.hpp.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/byte_reader.hpp"
#include "flowfar/io/bytes/zip_archive.hpp"
#include "flowfar/io/pickle/pickle.hpp"
#include "flowfar/io/tensors/strided_tensor.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"
#include "flowfar/io/tensors/torch_checkpoint.hpp"
#include "flowfar/io/tensors/torch_graph.hpp"
#include "flowfar/io/tensors/torch_tensor.hpp"

namespace flowfar::io {

namespace detail {

/// The number that every stream begins with, as it lies in the file, and the version that follows.
inline constexpr std::string_view torch_magic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
inline constexpr Index torch_stream_version = 1001;

inline bool is_torch_stream(std::span<const std::byte> bytes) {
    return as_text(bytes.first(std::min<std::size_t>(bytes.size(), 32))).find(torch_magic) != std::string_view::npos;
}

/// Before version 0.1.10, torch.save wrote tar archives.
inline bool is_torch_tar(std::span<const std::byte> bytes) {
    constexpr std::array<std::string_view, 4> parts{"sys_info", "pickle", "storages", "tensors"};
    const auto name = as_text(bytes.first(std::min<std::size_t>(bytes.size(), 100)));
    return bytes.size() >= 512 && as_text(bytes.subspan(257, 5)) == "ustar" &&
           std::ranges::find(parts, name.substr(0, name.find('\0'))) != parts.end();
}

/// The folder that holds everything; its name is the saved file's, or "archive".
inline std::string find_torch_prefix(const ZipArchive& archive) {
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

}  // namespace detail

FLOWFAR_INLINE bool TorchCheckpoint::recognize(std::span<const std::byte> bytes) {
    return ZipArchive::recognize(bytes) || detail::is_torch_stream(bytes) || detail::is_torch_tar(bytes);
}

FLOWFAR_INLINE TensorInfo TorchCheckpoint::info(const std::string& name) const {
    const TorchTensor& found = tensor(name);
    const StridedTensor checked = strided(name, found);
    std::uint64_t size = 0;  // elements may share bytes, so that there is no limit to their number
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(check_strided(checked)), found.type->size, &size)) {
        size = std::numeric_limits<std::uint64_t>::max();
    }
    return {found.type->name, found.shape, size};
}

FLOWFAR_INLINE const TorchTensor& TorchCheckpoint::tensor(const std::string& name) const {
    const auto found = tensors_.find(name);
    for (const auto& [other, reason] : unread_) {
        require(found != tensors_.end() || other != name, label(name), ": ", reason);
    }
    require(found != tensors_.end(), label(name), ": no such tensor");
    return found->second;
}

FLOWFAR_INLINE TensorView TorchCheckpoint::at(const std::string& name, Scratch& scratch) const {
    return load_strided(strided(name, tensor(name)), scratch);
}

FLOWFAR_INLINE void TorchCheckpoint::verify() const {
    if (!legacy_) {
        const ZipArchive archive(bytes_, label_);
        for (const ZipEntry& entry : archive.entries()) {
            archive.verify(entry);
        }
    }
}

FLOWFAR_INLINE std::string TorchCheckpoint::label(std::string_view name) const {
    return text(label_, ": tensor \"", name, '"');
}

FLOWFAR_INLINE void TorchCheckpoint::open() {
    require(!detail::is_torch_tar(bytes_), label_,
            ": a tar archive of PyTorch before 0.1.10, which is not supported: "
            "load and save it with a newer PyTorch");
    legacy_ = !ZipArchive::recognize(bytes_);
    if (legacy_) {
        require(detail::is_torch_stream(bytes_), label_, ": not a PyTorch checkpoint");
        open_stream();
    } else {
        open_archive();
    }
    for (const auto& [name, tensor] : tensors_) {
        check_strided(strided(name, tensor));
    }
}

FLOWFAR_INLINE StridedTensor TorchCheckpoint::strided(const std::string& name, const TorchTensor& tensor) const {
    return {tensor.type, tensor.shape, tensor.strides, tensor.offset, storages_.at(tensor.storage),
            big_endian_, label(name)};
}

FLOWFAR_INLINE void TorchCheckpoint::take(detail::TorchGraph&& graph) {
    names_ = std::move(graph.names);
    tensors_ = std::move(graph.tensors);
    values_ = std::move(graph.values);
    unread_ = std::move(graph.unread);
}

FLOWFAR_INLINE void TorchCheckpoint::open_archive() {
    const ZipArchive archive(bytes_, label_);
    const std::string prefix = detail::find_torch_prefix(archive);
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

/// Pickles of magic number, version, system, contents and storage keys, then the storages.
FLOWFAR_INLINE void TorchCheckpoint::open_stream() {
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
        require(value.is(PickleKind::big_integer) && value.text() == detail::torch_magic, label_,
                ": not a PyTorch checkpoint");
    });
    header("version", [&](const PickleValue& value) {
        require(value.is(PickleKind::integer) && value.integer() == detail::torch_stream_version, label_,
                ": stream format version ", to_string(value), ", expected ", detail::torch_stream_version);
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
        require(!__builtin_mul_overflow(count, found->second.type->size, &size) && size == found->second.size, label_,
                ": storage \"", key, "\" of ", count, " elements, expected ",
                found->second.size / found->second.type->size);
        require(storages_.emplace(key, r.take(size)).second, label_, ": storage \"", key, "\" occurs twice");
    }
    for (const auto& [key, storage] : graph.storages) {
        require(storages_.contains(key), label_, ": the file has no storage \"", key, '"');
    }
    take(std::move(graph));
}

}  // namespace flowfar::io
