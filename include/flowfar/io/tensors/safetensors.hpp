#pragma once

/// Reads safetensors files: a JSON table of named tensors followed by their bytes. (The writer comes along.)

#include <array>
#include <bit>
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
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian and used in place");

namespace detail {

struct StoredType {
    std::string_view name;
    std::uint64_t bits;
    std::optional<DType> dtype;  ///< empty: known to the format, but not to this library
};

/// Stands for all types that are not in the table; such tensors are listed, but not read.
inline constexpr StoredType unknown_type{"unknown", 0, {}};

/// Every element type that the format defines.
inline constexpr std::array<StoredType, 20> stored_types{{
    {"F32", 32, DType::f32}, {"F64", 64, DType::f64}, {"BF16", 16, DType::bf16}, {"F16", 16, DType::f16},
    {"I64", 64, DType::i64}, {"U8", 8, DType::u8},    {"BOOL", 8, {}},           {"I8", 8, {}},
    {"I16", 16, {}},         {"U16", 16, {}},         {"I32", 32, {}},           {"U32", 32, {}},
    {"U64", 64, {}},         {"C64", 64, {}},         {"F8_E4M3", 8, {}},        {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},      {"F6_E2M3", 6, {}},      {"F6_E3M2", 6, {}},        {"F4", 4, {}},
}};

struct SafetensorsEntry {
    std::string name;
    const StoredType* type = nullptr;
    std::vector<Index> shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::string unread;  ///< what the header says of a tensor of an unknown type, or with a field of unknown meaning
};

}  // namespace detail

/// A safetensors file mapped into memory. Opening checks everything: the header's length (at most 100 MB and inside the
/// file), its grammar (which nests no deeper than a tensor's extents), unique names, sizes equal to the extents'
/// product (at most 2^63 - 1) for known element types, and that the tensors fill the data section without gap or
/// overlap. Memory stays in proportion to the header. Views are valid as long as the file object lives.
class SafetensorsFile {
   public:
    explicit SafetensorsFile(const Path& path) : SafetensorsFile(MappedFile(path)) {}
    explicit SafetensorsFile(MappedFile file) : file_(std::move(file)) { parse(); }

    /// All tensor names, in the order of their data.
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return entries_.contains(name); }
    [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
    [[nodiscard]] const Path& path() const { return file_.path(); }

    /// Tensors of element types, or with fields, that are unknown here, by name and what the header says.
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> unread() const;
    /// Throws `Error` if there is no such tensor.
    [[nodiscard]] TensorInfo info(const std::string& name) const;
    /// Lets the system drop a tensor's bytes from memory; they are read again when they are used.
    void release(const std::string& name) const;
    /// A view of the file. Throws `Error` if there is no such tensor, or if its element type (say I32) has no `DType`.
    [[nodiscard]] TensorView at(const std::string& name) const;
    /// A view of the file, except that integers and booleans without a `DType` are widened into `scratch`, as in
    /// PyTorch's files (see `ElementType`); the view is then valid until the next use of `scratch`.
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch) const;

   private:
    [[nodiscard]] std::string label(std::string_view name) const;
    [[nodiscard]] const detail::SafetensorsEntry& find(const std::string& name) const;

    void parse();
    void check(const detail::SafetensorsEntry& entry, std::uint64_t expected_begin) const;

    MappedFile file_;
    std::span<const std::byte> data_;
    std::vector<std::string> names_;
    std::map<std::string, detail::SafetensorsEntry> entries_;
    std::map<std::string, std::string> metadata_;
};

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/tensors/safetensors.ipp"
#endif
