#pragma once

/// The numbers that data/make_torch_files.py writes, and those that a file of tensors holds.

#include <string>
#include <vector>

#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::testing {

/// The number at position i.
[[nodiscard]] inline double number(Index i, bool is_unsigned = false) {
    return static_cast<double>((i * 7 + 3) % 113 - (is_unsigned ? 0 : 40));
}
[[nodiscard]] inline std::vector<double> numbers(Index count, bool is_unsigned = false) {
    std::vector<double> out;
    for (Index i = 0; i < count; ++i) {
        out.push_back(number(i, is_unsigned));
    }
    return out;
}

[[nodiscard]] inline std::vector<double> doubles(const io::TensorView& view) {
    if (view.dtype == DType::i64 || view.dtype == DType::u8) {
        const std::vector<Index> whole = io::values<Index>(view);
        return {whole.begin(), whole.end()};
    }
    return io::values<double>(view);
}
/// A tensor of a file that has `at(name, scratch)`.
template <class File>
[[nodiscard]] std::vector<double> doubles(const File& file, const std::string& name) {
    io::Scratch scratch;
    return doubles(file.at(name, scratch));
}

}  // namespace flowfar::testing
