#pragma once

/// Writes named tensors so that `torch.load(path, weights_only=True)` reads them.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/bytes/zip_writer.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

namespace detail {

class PickleWriter;

}  // namespace detail

/// Usage: `declare` every tensor, then `write` their bytes in the same order, then `finish`. The target file appears
/// (or changes) only in `finish`; a writer destroyed earlier leaves no trace. The file holds an OrderedDict of tensors.
/// With `root`, or after calls of `select`, it is a dict of such dicts, as checkpoints of several parts are.
class TorchWriter {
   public:
    explicit TorchWriter(const Path& path, std::string root = "");

    /// Tensors declared from here on belong to the part `root`, such as "model_ema". Parts must not be mixed with
    /// tensors outside of all of them, whose root is empty.
    void select(std::string root) { root_ = std::move(root); }

    /// Adds a number to a file of several parts, beside the parts, such as "epoch".
    void note(const std::string& name, std::int64_t value);

    /// Announces the next tensor.
    void declare(std::string name, DType dtype, std::vector<Index> shape);

    /// Writes all bytes of the next tensor, which must be `name`: row-major, little-endian.
    void write(const std::string& name, std::span<const std::byte> bytes);

    /// Appends values of the tensor `name`, whose declared type must be T.
    template <class T>
    void write_values(const std::string& name, std::span<const T> values) {
        require(next_ < tensors_.size() && tensors_[next_].dtype == dtype_of<T>, label(name), ": values of type ",
                name_of(dtype_of<T>), " were not declared next");
        write(name, std::as_bytes(values));
    }

    /// Completes the file and puts it in place. Throws `Error` if tensors are missing.
    void finish();

   private:
    struct Tensor {
        std::string root;
        std::string name;
        DType dtype;
        std::vector<Index> shape;
        Index count;
        std::uint64_t size;
    };

    [[nodiscard]] std::string label(std::string_view name) const;
    [[nodiscard]] std::string pickle() const;
    void write_header();
    void write_part(detail::PickleWriter& out, const std::string& root) const;

    ZipWriter archive_;
    std::string root_;
    std::map<std::string, std::int64_t> notes_;
    std::set<std::pair<std::string, std::string>> names_;
    std::vector<Tensor> tensors_;
    std::size_t next_ = 0;
    bool header_written_ = false;
};

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/tensors/torch_writer.ipp"
#endif
