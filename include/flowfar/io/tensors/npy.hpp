#pragma once

/// NumPy's array files (.npy): reading arrays in place and writing them.

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/byte_reader.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/strided_tensor.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

namespace detail {

/// The header of an array file: a Python dict literal with exactly the keys 'descr', 'fortran_order' and 'shape'.
class NpyHeader {
   public:
    std::string_view descr;
    bool fortran = false;
    std::vector<Index> shape;

    NpyHeader(std::string_view characters, std::string_view label) : left_(characters), label_(label) {
        expect('{');
        int seen = 0;
        while (!accept('}')) {
            const std::string_view key = quoted();
            expect(':');
            const int field = key == "descr" ? 1 : key == "fortran_order" ? 2 : key == "shape" ? 4 : 0;
            require(field != 0 && (seen & field) == 0, label_, ": damaged header: unexpected key \"", key, '"');
            seen |= field;
            read(field);
            if (!accept(',')) {
                expect('}');
                break;
            }
        }
        require(seen == 7 && !descr.empty(), label_,
                ": damaged header: 'descr', 'fortran_order' or 'shape' is missing");
        skip_space();
        require(left_.empty(), label_, ": damaged header: something follows the dict");
    }

   private:
    void skip_space() {
        const std::size_t begin = std::min(left_.find_first_not_of(" \t\r\n"), left_.size());
        left_.remove_prefix(begin);
    }
    [[nodiscard]] bool accept(std::string_view word) {
        skip_space();
        const bool found = left_.starts_with(word);
        left_.remove_prefix(found ? word.size() : 0);
        return found;
    }
    [[nodiscard]] bool accept(char character) { return accept(std::string_view(&character, 1)); }
    void expect(char character) {
        require(accept(character), label_, ": damaged header: expected '", character, "' before \"",
                left_.substr(0, 20), '"');
    }
    [[nodiscard]] std::string_view quoted() {
        skip_space();
        const char quote = left_.empty() ? ' ' : left_.front();
        const std::size_t end = quote == '\'' || quote == '"' ? left_.find(quote, 1) : left_.npos;
        require(end != left_.npos, label_, ": damaged header: expected a string before \"", left_.substr(0, 20), '"');
        const std::string_view out = left_.substr(1, end - 1);
        left_.remove_prefix(end + 1);
        return out;
    }
    void read(int field) {
        if (field == 1) {
            skip_space();
            require(!left_.starts_with('['), label_, ": arrays of records are not supported");
            descr = quoted();
        } else if (field == 2) {
            fortran = accept("True");
            require(fortran || accept("False"), label_, ": damaged header: fortran_order is neither True nor False");
        } else {
            read_shape();
        }
    }
    void read_shape() {
        expect('(');
        while (!accept(')')) {
            skip_space();
            Index extent = 0;
            const auto result = std::from_chars(left_.data(), left_.data() + left_.size(), extent);
            require(result.ec == std::errc() && extent >= 0 && shape.size() < rank_limit, label_,
                    ": damaged header: bad extent before \"", left_.substr(0, 24), '"');
            shape.push_back(extent);
            left_.remove_prefix(static_cast<std::size_t>(result.ptr - left_.data()));
            static_cast<void>(accept('L'));  // Python 2
            if (!accept(',')) {
                expect(')');
                break;
            }
        }
    }

    std::string_view left_;
    std::string_view label_;
};

inline constexpr std::string_view npy_magic = "\x93NUMPY";
inline constexpr std::uint64_t npy_header_limit = std::uint64_t{1} << 20;

}  // namespace detail

/// An array that lies in memory in NumPy's format, versions 1 to 3; `bytes` must outlive it. The header and the number
/// of bytes are checked here; arrays of Python objects, records and texts are refused. C and Fortran order, little and
/// big endian.
class NpyArray {
   public:
    /// Throws `Error` that begins with `label`, the file's name, if this is no such array or it is cut short.
    NpyArray(std::span<const std::byte> bytes, const std::string& label) {
        ByteReader r(bytes, label);
        require(as_text(bytes).starts_with(detail::npy_magic), label, ": not a NumPy array file");
        r.skip(detail::npy_magic.size());
        const auto version = r.little<std::uint8_t>();
        r.skip(1);
        require(version >= 1 && version <= 3, label, ": NumPy format version ", version, ", expected 1 to 3");
        const std::uint64_t length = version == 1 ? r.little<std::uint16_t>() : r.little<std::uint32_t>();
        require(length <= detail::npy_header_limit, label, ": a header of ", length, " bytes, expected at most ",
                detail::npy_header_limit);
        const detail::NpyHeader header(r.take_text(length), label);
        const std::string_view descr = header.descr;
        tensor_.type = find_element_type(&ElementType::numpy, descr.substr(1));
        const bool known_order =
            descr.front() == '<' || descr.front() == '>' || descr.front() == '|' || descr.front() == '=';
        require(tensor_.type != nullptr && known_order, label, ": elements of NumPy type \"", descr,
                "\" are not supported", descr.find('O') == descr.npos ? "" : ": they are Python objects");
        tensor_.big_endian = descr.front() == '>';
        tensor_.shape = header.shape;
        tensor_.label = label;
        const auto count = static_cast<std::uint64_t>(element_count(tensor_.shape, label));
        std::uint64_t size = 0;
        require(!__builtin_mul_overflow(count, tensor_.type->size, &size) && size <= r.left(), label, ": ", r.left(),
                " bytes of data, expected ", count, " elements of type ", tensor_.type->name);
        require(size == r.left(), label, ": ", r.left() - size, " bytes after the array's end");
        tensor_.storage = r.take(size);
        set_strides(header.fortran, count == 0);
    }

    [[nodiscard]] const ElementType& type() const { return *tensor_.type; }
    [[nodiscard]] const std::vector<Index>& shape() const { return tensor_.shape; }
    /// Bytes of the elements that `view` gives, widened ones included; at most eight times those in the file.
    [[nodiscard]] std::uint64_t view_size() const {
        const std::uint64_t count = tensor_.storage.size() / tensor_.type->size;
        return count * (tensor_.type->dtype ? size_of(*tensor_.type->dtype) : tensor_.type->size);
    }
    /// The array in row-major order, little-endian: in place if it lies so in the file, else in `scratch`. Integers
    /// other than I64 and U8 are widened to I64, booleans are U8. Throws `Error` for types that the library lacks.
    [[nodiscard]] TensorView view(Scratch& scratch) const { return load_strided(tensor_, scratch); }

   private:
    void set_strides(bool fortran, bool empty) {
        const std::size_t rank = tensor_.shape.size();
        tensor_.strides.assign(rank, 0);
        Index stride = 1;
        for (std::size_t i = 0; i < rank && !empty; ++i) {
            const std::size_t axis = fortran ? i : rank - 1 - i;
            tensor_.strides[axis] = stride;
            stride *= tensor_.shape[axis];
        }
    }

    StridedTensor tensor_;
};

/// A .npy file mapped into memory.
class NpyFile {
   public:
    explicit NpyFile(const Path& path) : NpyFile(MappedFile(path)) {}
    explicit NpyFile(MappedFile file) : file_(std::move(file)), array_(file_.bytes(), file_.path().string()) {}

    [[nodiscard]] const NpyArray& array() const { return array_; }
    [[nodiscard]] TensorView view(Scratch& scratch) const { return array_.view(scratch); }
    [[nodiscard]] const Path& path() const { return file_.path(); }

   private:
    MappedFile file_;
    NpyArray array_;
};

namespace detail {

/// The header for a row-major array; the data behind it begin at a multiple of 64.
inline std::string npy_header(DType dtype, std::span<const Index> shape) {
    std::string dict = text("{'descr': '", size_of(dtype) == 1 ? '|' : '<', stored_as(dtype).numpy,
                            "', 'fortran_order': False, 'shape': (");
    for (const Index extent : shape) {
        dict += text(extent, shape.size() == 1 ? "," : ", ");
    }
    if (shape.size() > 1) {
        dict.resize(dict.size() - 2);
    }
    dict += "), }";
    constexpr std::size_t before = 10;  // magic, version and length
    dict.append((64 - (before + dict.size() + 1) % 64) % 64, ' ');
    dict += '\n';
    std::string out(npy_magic);
    out += std::string_view("\x01\x00", 2);
    out += static_cast<char>(dict.size() & 0xFFU);
    out += static_cast<char>(dict.size() >> 8U);
    return out + dict;
}

/// The bytes of an array file for `view`. NumPy has no bf16, so such values become f32, which holds them exactly.
inline std::pair<std::string, Scratch> npy_parts(const TensorView& view) {
    const auto count = static_cast<std::uint64_t>(element_count(view.shape, view.label));
    require(view.shape.size() <= 32, view.label, ": ", view.shape.size(), " axes, expected at most NumPy's 32");
    require(count == view.bytes.size() / size_of(view.dtype), view.label, ": ", view.bytes.size(), " bytes, expected ",
            count, " elements of type ", name_of(view.dtype));
    Scratch wide;
    if (view.dtype == DType::bf16) {
        wide.resize(static_cast<std::size_t>(count) * sizeof(float));
        copy_to(view, reinterpret_cast<float*>(wide.data()));
        return {npy_header(DType::f32, view.shape), std::move(wide)};
    }
    return {npy_header(view.dtype, view.shape), std::move(wide)};
}

}  // namespace detail

/// Writes one array as .npy, atomically. bf16 becomes f32.
inline void write_npy(const Path& path, const TensorView& view) {
    const auto [header, wide] = detail::npy_parts(view);
    write_atomically(path, [&](OutputFile& file) {
        file.write(header);
        file.write(view.dtype == DType::bf16 ? std::span<const std::byte>(wide) : view.bytes);
    });
}
template <class T>
void write_npy(const Path& path, std::span<const T> values, std::vector<Index> shape) {
    write_npy(path, TensorView{dtype_of<T>, std::move(shape), std::as_bytes(values), path.string()});
}

}  // namespace flowfar::io
