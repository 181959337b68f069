#pragma once

// Copies tensors from one file of weights to another, with other element types if wanted.

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/tensors/element_type.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/byte_progress.hpp"
#include "common/cli/tensor_statistics.hpp"

namespace flowfar::program {

/// Calls `take(bytes)` with consecutive parts of the tensor in another floating type, at most 256 KiB each. Values pass
/// through float. Returns how many finite values became infinite.
template <class Take>
std::uint64_t convert_pieces(const io::TensorView& view, DType to, Take&& take) {
    std::uint64_t overflows = 0;
    std::vector<double> numbers;
    std::vector<std::byte> bytes;
    for_pieces(view, [&](std::size_t, const io::TensorView& piece) {
        numbers.resize(piece.bytes.size() / size_of(piece.dtype));
        io::copy_to(piece, numbers.data());
        bytes.resize(numbers.size() * size_of(to));
        visit_dtype(to, [&]<class T>() {
            if constexpr (std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, f16>) {
                for (std::size_t i = 0; i < numbers.size(); ++i) {
                    const T value(static_cast<float>(numbers[i]));
                    overflows += std::isfinite(numbers[i]) && std::isinf(static_cast<float>(value)) ? 1U : 0U;
                    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
                }
            } else {
                fail(view.label, ": conversion to ", name_of(to), " is not supported");
            }
        });
        take(std::span<const std::byte>(bytes));
    });
    return overflows;
}

/// What a copy of tensors has changed.
struct CopyReport {
    std::uint64_t overflows = 0;                   ///< finite values that became infinite
    std::map<std::string, std::uint64_t> widened;  ///< tensors whose type the library lacks, by "I32 to I64"

    /// "the element type of 3 tensors was widened (1 BOOL to U8, 2 I32 to I64)".
    [[nodiscard]] std::string widening() const {
        std::uint64_t count = 0;
        std::string kinds;
        for (const auto& [kind, tensors] : widened) {
            count += tensors;
            kinds += text(kinds.empty() ? "" : ", ", tensors, ' ', kind);
        }
        return text("the element type of ", count, " tensors was widened (", kinds, ')');
    }
};

/// Copies the tensors to `writer`, one after another; floating-point ones become `floating`, if it is given.
template <class Writer>
CopyReport copy_tensors(const io::Weights& weights, std::optional<DType> floating, Writer& writer) {
    const auto new_type = [&](DType type) { return floating && is_floating(type) ? *floating : type; };
    CopyReport report;
    io::Scratch scratch;
    std::uint64_t total = 0;
    for (const std::string& name : weights.names()) {
        const io::TensorInfo info = weights.info(name);
        const io::ElementType* const stored = io::find_element_type(&io::ElementType::name, info.type);
        const DType loaded = stored != nullptr && stored->dtype
                                 ? *stored->dtype
                                 : weights.at(name, scratch).dtype;  // throws: the file says why
        if (info.type != name_of(loaded)) {
            ++report.widened[text(info.type, " to ", name_of(loaded))];
        }
        writer.declare(name, new_type(loaded), info.shape);
        total += info.size;
    }
    ByteProgress progress("MB copied");
    std::uint64_t done = 0;
    for (const std::string& name : weights.names()) {
        progress(done, total);
        const io::TensorView view = weights.at(name, scratch);
        const DType type = new_type(view.dtype);
        if (type == view.dtype) {
            writer.write(name, view.bytes);
        } else if constexpr (std::same_as<Writer, io::SafetensorsWriter>) {
            report.overflows += convert_pieces(view, type, [&](auto bytes) { writer.write(name, bytes); });
        } else {  // this format needs a tensor's checksum before its bytes
            std::vector<std::byte> whole;
            whole.reserve(view.bytes.size() / size_of(view.dtype) * size_of(type));
            report.overflows +=
                convert_pieces(view, type, [&](auto bytes) { whole.insert(whole.end(), bytes.begin(), bytes.end()); });
            writer.write(name, whole);
        }
        weights.release(name);
        done += weights.info(name).size;
    }
    writer.finish();
    progress(total, total);
    return report;
}

}  // namespace flowfar::program
