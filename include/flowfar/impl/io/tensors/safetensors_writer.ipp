#pragma once

/// The definitions of safetensors_writer.hpp.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/json_text.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

FLOWFAR_INLINE SafetensorsWriter::SafetensorsWriter(const Path& path, std::map<std::string, std::string> metadata)
    : file_(path), metadata_(std::move(metadata)) {
    for (const auto& [key, value] : metadata_) {
        static_cast<void>(quoted(key) + quoted(value));
    }
}

FLOWFAR_INLINE void SafetensorsWriter::set_metadata(std::string key, std::string value) {
    require(!header_written_, where(), ": metadata must be set before the first write");
    static_cast<void>(quoted(key) + quoted(value));
    metadata_.insert_or_assign(std::move(key), std::move(value));
}

FLOWFAR_INLINE void SafetensorsWriter::declare(std::string name, DType dtype, std::vector<Index> shape) {
    require(!header_written_, label(name), ": declared after the first write");
    require(name != "__metadata__", label(name), ": the name is reserved");
    static_cast<void>(quoted(name));
    const auto count = static_cast<std::uint64_t>(element_count(shape, label(name)));
    std::uint64_t size = 0;
    std::uint64_t end = 0;
    require(!__builtin_mul_overflow(count, size_of(dtype), &size) && !__builtin_add_overflow(size, total_, &end),
            label(name), ": too large");
    require(index_.emplace(name, tensors_.size()).second, label(name), ": declared twice");
    tensors_.push_back({std::move(name), dtype, std::move(shape), end});
    total_ = end;
}

FLOWFAR_INLINE void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
    require_declared(name);
    write_header();
    if (bytes.empty()) {
        return;
    }
    skip_complete();
    require(current_ < tensors_.size(), label(name), ": more bytes than declared");
    const Tensor& tensor = tensors_[current_];
    require(tensor.name == name, label(name), ": expected the bytes of tensor \"", tensor.name, "\" next");
    const std::uint64_t room = tensor.end - written_;
    require(bytes.size() <= room, label(name), ": expected at most ", room, " more bytes, found ", bytes.size());
    file_.write(bytes);
    written_ += bytes.size();
}

FLOWFAR_INLINE void SafetensorsWriter::finish() {
    write_header();
    skip_complete();
    if (current_ < tensors_.size()) {
        const Tensor& tensor = tensors_[current_];
        fail(label(tensor.name), ": ", tensor.end - written_, " bytes are missing");
    }
    file_.commit();
}

FLOWFAR_INLINE std::string SafetensorsWriter::label(std::string_view name) const {
    return text(where(), ": tensor \"", name, '"');
}

FLOWFAR_INLINE void SafetensorsWriter::require_declared(const std::string& name) const {
    require(index_.contains(name), label(name), ": not declared");
}

FLOWFAR_INLINE void SafetensorsWriter::skip_complete() {
    while (current_ < tensors_.size() && tensors_[current_].end == written_) {
        ++current_;
    }
}

FLOWFAR_INLINE std::string SafetensorsWriter::quoted(const std::string& characters) const {
    return detail::json_quoted(characters, where());
}

FLOWFAR_INLINE std::string SafetensorsWriter::header() const {
    std::string out = "{";
    if (!metadata_.empty()) {
        out += R"("__metadata__":{)";
        for (const auto& [key, value] : metadata_) {
            out += text(out.back() == '{' ? "" : ",", quoted(key), ':', quoted(value));
        }
        out += '}';
    }
    std::uint64_t begin = 0;
    for (const Tensor& tensor : tensors_) {
        out += text(out.size() == 1 ? "" : ",", quoted(tensor.name), R"(:{"dtype":")", name_of(tensor.dtype),
                    R"(","shape":[)");
        for (const Index extent : tensor.shape) {
            out += text(out.back() == '[' ? "" : ",", extent);
        }
        out += text(R"(],"data_offsets":[)", begin, ',', tensor.end, "]}");
        begin = tensor.end;
    }
    out += '}';
    out.resize((out.size() + 7) / 8 * 8, ' ');  // the data begin at a multiple of 8
    return out;
}

FLOWFAR_INLINE void SafetensorsWriter::write_header() {
    if (std::exchange(header_written_, true)) {
        return;
    }
    const std::string table = header();
    const std::uint64_t length = table.size();
    file_.write(std::as_bytes(std::span(&length, 1)));
    file_.write(table);
}

}  // namespace flowfar::io
