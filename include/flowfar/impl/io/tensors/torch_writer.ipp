#pragma once

/// The definitions of torch_writer.hpp.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/json_text.hpp"
#include "flowfar/io/tensors/element_type.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"

namespace flowfar::io {

namespace detail {

/// Writes the few instructions of pickle protocol 2 that a dict of tensors needs.
class PickleWriter {
   public:
    PickleWriter() : out_("\x80\x02") {}

    [[nodiscard]] std::string finish() && { return std::move(out_) + '.'; }

    void string(std::string_view characters) {
        out_ += 'X';
        little(static_cast<std::uint32_t>(characters.size()));
        out_ += characters;
    }
    void integer(std::int64_t value) {
        if (value >= INT32_MIN && value <= INT32_MAX) {
            out_ += 'J';
            little(static_cast<std::int32_t>(value));
        } else {
            out_ += "\x8a\x08";
            little(value);
        }
    }
    void real(double value) {
        out_ += 'G';
        const auto bits = std::bit_cast<std::uint64_t>(value);
        for (int shift = 56; shift >= 0; shift -= 8) {
            out_ += static_cast<char>(static_cast<unsigned char>((bits >> shift) & 0xFFU));
        }
    }
    /// What follows up to `set_items` are keys and values of a new ordered dict.
    void begin_ordered_dict() { out_ += "ccollections\nOrderedDict\n)R("; }
    void begin_dict() { out_ += "}("; }
    void set_items() { out_ += 'u'; }

    /// A row-major tensor that fills the storage `key`.
    void tensor(const ElementType& type, std::span<const Index> shape, Index count, std::string_view key) {
        out_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
        string("storage");
        out_ += text("ctorch\n", type.storage, "Storage\n");
        string(key);
        string("cpu");
        integer(count);
        out_ += "tQ";
        integer(0);
        out_ += '(';
        for (const Index extent : shape) {
            integer(extent);
        }
        out_ += "t(";
        Index stride = count;
        for (const Index extent : shape) {
            stride = count == 0 ? 1 : stride / extent;
            integer(stride);
        }
        out_ +=
            "t\x89"
            "ccollections\nOrderedDict\n)RtR";
    }

   private:
    template <class T>
    void little(T value) {
        out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }

    std::string out_;
};

}  // namespace detail

FLOWFAR_INLINE TorchWriter::TorchWriter(const Path& path, std::string root) : archive_(path), root_(std::move(root)) {}

FLOWFAR_INLINE void TorchWriter::note(const std::string& name, std::int64_t value) {
    static_cast<void>(detail::json_quoted(name, archive_.path().string()));
    notes_[name] = value;
}

FLOWFAR_INLINE void TorchWriter::declare(std::string name, DType dtype, std::vector<Index> shape) {
    const std::string where = label(name);
    require(!header_written_, where, ": declared after the first write");
    const Index count = element_count(shape, where);
    std::uint64_t size = 0;
    require(!__builtin_mul_overflow(static_cast<std::uint64_t>(count), size_of(dtype), &size), where, ": too large");
    require(name.size() <= 4096 && root_.size() <= 4096, where, ": the name is too long");
    static_cast<void>(detail::json_quoted(name, archive_.path().string()) +
                      detail::json_quoted(root_, archive_.path().string()));  // Python expects UTF-8
    require(names_.emplace(root_, name).second, where, ": declared twice");
    require(tensors_.empty() || tensors_.front().root.empty() == root_.empty(), where,
            ": parts and tensors outside of parts are mixed");
    tensors_.push_back({root_, std::move(name), dtype, std::move(shape), count, size});
}

FLOWFAR_INLINE void TorchWriter::write(const std::string& name, std::span<const std::byte> bytes) {
    write_header();
    require(next_ < tensors_.size(), label(name), ": written, but not declared");
    const Tensor& tensor = tensors_[next_];
    require(tensor.name == name, label(name), ": expected the bytes of tensor \"", tensor.name, "\" next");
    require(bytes.size() == tensor.size, label(name), ": expected ", tensor.size, " bytes, found ", bytes.size());
    archive_.add(text("archive/data/", next_), bytes);
    ++next_;
}

FLOWFAR_INLINE void TorchWriter::finish() {
    write_header();
    require(next_ == tensors_.size(), archive_.path().string(), ": ", tensors_.size() - next_, " tensors are missing");
    archive_.add("archive/version", std::string_view("3\n"));
    archive_.finish();
}

FLOWFAR_INLINE std::string TorchWriter::label(std::string_view name) const {
    return text(archive_.path().string(), ": tensor \"", name, '"');
}

FLOWFAR_INLINE void TorchWriter::write_header() {
    if (std::exchange(header_written_, true)) {
        return;
    }
    archive_.add("archive/data.pkl", pickle());
    archive_.add("archive/byteorder", std::string_view("little"));
}

FLOWFAR_INLINE std::string TorchWriter::pickle() const {
    detail::PickleWriter out;
    const bool parts = !notes_.empty() || (!tensors_.empty() && !tensors_.front().root.empty());
    if (!parts) {
        write_part(out, "");
        return std::move(out).finish();
    }
    require(tensors_.empty() || !tensors_.front().root.empty(), archive_.path().string(),
            ": numbers beside tensors need a root for the tensors");
    out.begin_dict();
    std::set<std::string> seen;
    for (const Tensor& tensor : tensors_) {
        if (seen.insert(tensor.root).second) {
            out.string(tensor.root);
            write_part(out, tensor.root);
        }
    }
    for (const auto& [name, value] : notes_) {
        require(seen.insert(name).second, archive_.path().string(), ": \"", name, "\" is both a part and a number");
        out.string(name);
        out.integer(value);
    }
    out.set_items();
    return std::move(out).finish();
}

FLOWFAR_INLINE void TorchWriter::write_part(detail::PickleWriter& out, const std::string& root) const {
    out.begin_ordered_dict();
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
        const Tensor& tensor = tensors_[i];
        if (tensor.root == root) {
            out.string(tensor.name);
            out.tensor(stored_as(tensor.dtype), tensor.shape, tensor.count, std::to_string(i));
        }
    }
    out.set_items();
}

}  // namespace flowfar::io
