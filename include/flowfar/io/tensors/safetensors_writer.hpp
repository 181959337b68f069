#pragma once

/// Writes safetensors files tensor by tensor, so that a model never needs a second copy in memory.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

/// Usage: `declare` every tensor, then `write` their bytes in the same order, then `finish`. The target file appears
/// (or changes) only in `finish`; a writer destroyed earlier leaves no trace.
///
///     io::SafetensorsWriter writer("codes.safetensors");
///     writer.declare("codes", DType::f32, {2, 3});
///     writer.write_values("codes", std::span<const float>(values));
///     writer.finish();
class SafetensorsWriter {
   public:
    explicit SafetensorsWriter(const Path& path, std::map<std::string, std::string> metadata = {});

    void set_metadata(std::string key, std::string value);

    /// Announces the next tensor of the file.
    void declare(std::string name, DType dtype, std::vector<Index> shape);

    /// Appends bytes of the tensor `name`: all of them or, in several calls, the next part. Tensors without elements
    /// need no call.
    void write(const std::string& name, std::span<const std::byte> bytes);

    /// Appends values of the tensor `name`, whose declared type must be T.
    template <class T>
    void write_values(const std::string& name, std::span<const T> values) {
        require_declared(name);
        const DType declared = tensors_[index_.at(name)].dtype;
        require(declared == dtype_of<T>, label(name), ": declared as ", name_of(declared), ", found values of type ",
                name_of(dtype_of<T>));
        write(name, std::as_bytes(values));
    }

    /// Completes the file and puts it in place. Throws `Error` if bytes are missing.
    void finish();

   private:
    struct Tensor {
        std::string name;
        DType dtype;
        std::vector<Index> shape;
        std::uint64_t end;
    };

    [[nodiscard]] std::string where() const { return file_.path().string(); }
    [[nodiscard]] std::string label(std::string_view name) const;

    void require_declared(const std::string& name) const;
    void skip_complete();
    /// Checked when a text is given, so that the header cannot fail later.
    [[nodiscard]] std::string quoted(const std::string& characters) const;

    [[nodiscard]] std::string header() const;
    void write_header();

    OutputFile file_;
    std::map<std::string, std::string> metadata_;
    std::vector<Tensor> tensors_;
    std::map<std::string, std::size_t> index_;
    std::uint64_t total_ = 0;
    std::uint64_t written_ = 0;
    std::size_t current_ = 0;
    bool header_written_ = false;
};

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/tensors/safetensors_writer.ipp"
#endif
