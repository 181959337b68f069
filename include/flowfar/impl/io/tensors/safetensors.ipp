#pragma once

/// The definitions of safetensors.hpp.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file_kind.hpp"
#include "flowfar/io/tensors/element_type.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/io/tensors/strided_tensor.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

namespace detail {

inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;

/// Receives JSON events and accepts exactly the header's grammar, so neither nesting nor repeated keys can hide
/// anything. A handler returns false to stop; `problem` then says why.
class SafetensorsHeader : public nlohmann::json_sax<nlohmann::json> {
   public:
    std::vector<SafetensorsEntry> entries;
    std::map<std::string, std::string> metadata;
    std::string problem;

    bool null() override { return skipped() || unexpected("null"); }
    bool boolean(bool) override { return skipped() || unexpected("a boolean"); }
    bool number_integer(number_integer_t value) override {
        return skipped() || refuse(where(), ": negative number ", static_cast<std::int64_t>(value));
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (skipped()) {
            return true;
        }
        if (!inside_array_) {
            return unexpected("a number");
        }
        if (value > static_cast<std::uint64_t>(std::numeric_limits<Index>::max())) {
            return refuse(where(), ": ", value, " is too large");
        }
        if (place_ == Place::shape) {
            entries.back().shape.push_back(static_cast<Index>(value));
            return true;
        }
        if (offset_count_ >= 2) {
            return refuse(where(), ": expected two numbers, found more");
        }
        (offset_count_++ == 0 ? entries.back().begin : entries.back().end) = value;
        return true;
    }
    bool number_float(number_float_t, const string_t& digits) override {
        return skipped() || refuse(where(), ": expected a whole number below 2^63, found ", digits);
    }
    bool string(string_t& value) override {
        if (skipped()) {
            return true;
        }
        if (place_ == Place::metadata && !key_.empty()) {
            return metadata.emplace(std::exchange(key_, {}).substr(1), value).second ||
                   refuse("duplicate metadata key");
        }
        if (place_ != Place::dtype) {
            return unexpected("a string");
        }
        const auto* found = std::ranges::find(stored_types, std::string_view(value), &StoredType::name);
        if (found == stored_types.end()) {
            entries.back().type = &unknown_type;
            entries.back().unread = value.substr(0, 32);
        } else {
            entries.back().type = found;
        }
        place_ = Place::tensor;
        return true;
    }
    bool binary(binary_t&) override { return unexpected("binary data"); }
    bool start_object(std::size_t) override {
        switch (place_) {
            case Place::start:
                place_ = Place::table;
                return true;
            case Place::skipped:
                return deeper();
            case Place::entry:
                place_ = entry_is_metadata_ ? Place::metadata : Place::tensor;
                return true;
            default:
                return unexpected("an object");
        }
    }
    bool key(string_t& name) override {
        switch (place_) {
            case Place::table:
                entry_is_metadata_ = name == "__metadata__";
                if (entry_is_metadata_) {
                    if (std::exchange(metadata_seen_, true)) {
                        return refuse("duplicate __metadata__");
                    }
                } else {
                    entries.emplace_back().name = name;
                    fields_seen_ = {};
                    offset_count_ = 0;
                }
                place_ = Place::entry;
                return true;
            case Place::skipped:
                return true;
            case Place::metadata:
                key_ = '=' + name;  // never empty: tells "key read" from "no key"
                return true;
            case Place::tensor:
                return tensor_field(name);
            default:
                return unexpected("a key");
        }
    }
    bool end_object() override {
        if (place_ == Place::skipped) {
            return shallower();
        }
        if (place_ == Place::tensor) {
            if (!extra_.empty() && entries.back().type != nullptr) {
                SafetensorsEntry& entry = entries.back();
                entry.unread =
                    text(entry.unread.empty() ? entry.type->name : std::string_view(entry.unread), ' ', extra_);
                entry.type = &unknown_type;
                extra_.clear();
            }
            for (std::size_t i = 0; i < field_names.size(); ++i) {
                if (!fields_seen_[i]) {
                    return refuse(where(), ": missing \"", field_names[i], '"');
                }
            }
        }
        place_ = place_ == Place::table ? Place::end : Place::table;
        return true;
    }
    bool start_array(std::size_t) override {
        if (place_ == Place::skipped) {
            return deeper();
        }
        if ((place_ != Place::shape && place_ != Place::offsets) || std::exchange(inside_array_, true)) {
            return unexpected("an array");
        }
        return true;
    }
    bool end_array() override {
        if (place_ == Place::skipped) {
            return shallower();
        }
        if (place_ == Place::offsets && offset_count_ != 2) {
            return refuse(where(), ": expected two numbers, found ", offset_count_);
        }
        inside_array_ = false;
        place_ = Place::tensor;
        return true;
    }
    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
        return refuse("header is not valid JSON near byte ", position);
    }

   private:
    enum class Place { start, table, entry, metadata, tensor, dtype, shape, offsets, skipped, end };
    static constexpr int skipped_limit = 16;  // levels of what unknown fields hold
    static constexpr std::array<std::string_view, 3> field_names{"dtype", "shape", "data_offsets"};

    /// Whether the value belongs to a field that is passed over; ends one that is no more than this value.
    bool skipped() {
        if (place_ != Place::skipped) {
            return false;
        }
        place_ = skipped_depth_ == 0 ? before_skipped_ : place_;
        return true;
    }
    bool deeper() { return ++skipped_depth_ <= skipped_limit || refuse(where(), ": nested too deeply"); }
    bool shallower() {
        place_ = --skipped_depth_ == 0 ? before_skipped_ : place_;
        return true;
    }

    template <class... Parts>
    bool refuse(const Parts&... parts) {
        if (problem.empty()) {
            problem = text(parts...);
        }
        return false;
    }
    bool unexpected(std::string_view what) { return refuse(where(), ": unexpected ", what, " in the header"); }
    [[nodiscard]] std::string where() const {
        const bool in_tensor = place_ != Place::start && place_ != Place::table && !entry_is_metadata_;
        return in_tensor && !entries.empty() ? text("tensor \"", entries.back().name, '"') : "header";
    }
    bool tensor_field(const std::string& name) {
        const auto found = std::ranges::find(field_names, std::string_view(name));
        if (found == field_names.end()) {  // whose meaning is unknown, and so the tensor's
            extra_ = text("with the field \"", name.substr(0, 64), '"');
            skipped_depth_ = 0;
            before_skipped_ = place_;
            place_ = Place::skipped;
            return true;
        }
        const auto field = static_cast<std::size_t>(found - field_names.begin());
        if (std::exchange(fields_seen_[field], true)) {
            return refuse(where(), ": \"", name, "\" occurs twice");
        }
        place_ = std::array{Place::dtype, Place::shape, Place::offsets}[field];
        return true;
    }

    Place place_ = Place::start;
    Place before_skipped_ = Place::start;
    int skipped_depth_ = 0;
    std::string extra_;
    std::string key_;
    std::array<bool, 3> fields_seen_{};
    int offset_count_ = 0;
    bool inside_array_ = false;
    bool entry_is_metadata_ = false;
    bool metadata_seen_ = false;
};

}  // namespace detail

FLOWFAR_INLINE TensorInfo SafetensorsFile::info(const std::string& name) const {
    const detail::SafetensorsEntry& entry = find(name);
    return {entry.unread.empty() ? entry.type->name : std::string_view(entry.unread), entry.shape,
            entry.end - entry.begin};
}

FLOWFAR_INLINE std::vector<std::pair<std::string, std::string>> SafetensorsFile::unread() const {
    std::vector<std::pair<std::string, std::string>> out;
    for (const std::string& name : names_) {
        const detail::SafetensorsEntry& entry = find(name);
        const ElementType* const type = find_element_type(&ElementType::name, entry.type->name);
        if (!entry.unread.empty() || (!entry.type->dtype && (type == nullptr || !type->dtype))) {
            out.emplace_back(name, text("elements of type ", info(name).type));
        }
    }
    return out;
}

FLOWFAR_INLINE void SafetensorsFile::release(const std::string& name) const {
    const detail::SafetensorsEntry& entry = find(name);
    file_.release(data_.subspan(entry.begin, entry.end - entry.begin));
}

FLOWFAR_INLINE TensorView SafetensorsFile::at(const std::string& name) const {
    const detail::SafetensorsEntry& entry = find(name);
    require(entry.type->dtype.has_value(), label(name), ": elements of type ", info(name).type, " are not supported");
    return {*entry.type->dtype, entry.shape, data_.subspan(entry.begin, entry.end - entry.begin), label(name)};
}

FLOWFAR_INLINE TensorView SafetensorsFile::at(const std::string& name, Scratch& scratch) const {
    const detail::SafetensorsEntry& entry = find(name);
    const ElementType* const type = find_element_type(&ElementType::name, entry.type->name);
    if (entry.type->dtype.has_value() || type == nullptr) {
        return at(name);
    }
    const auto bytes = data_.subspan(entry.begin, entry.end - entry.begin);
    const Index count = element_count(entry.shape, label(name));
    TensorView view = load_strided({type, {count}, {1}, 0, bytes, false, label(name)}, scratch);
    view.shape = entry.shape;
    return view;
}

FLOWFAR_INLINE std::string SafetensorsFile::label(std::string_view name) const {
    return text(path().string(), ": tensor \"", name, '"');
}

FLOWFAR_INLINE const detail::SafetensorsEntry& SafetensorsFile::find(const std::string& name) const {
    const auto found = entries_.find(name);
    require(found != entries_.end(), label(name), ": no such tensor");
    return found->second;
}

FLOWFAR_INLINE void SafetensorsFile::parse() {
    const std::span<const std::byte> bytes = file_.bytes();
    const std::string where = path().string();
    require(bytes.size() >= 8, where, ": not a safetensors file: expected at least 8 bytes, found ", bytes.size(),
            bytes.empty() ? "" : found_kind(bytes));
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    if (length > detail::safetensors_header_limit || length > bytes.size() - 8) {
        const std::string kind = file_kind(bytes);
        require(kind.empty(), where, ": expected weights as safetensors or of PyTorch, found ", kind);
        fail(where, ": not a safetensors file, or cut short: header of ", length, " bytes in a file of ", bytes.size());
    }
    data_ = bytes.subspan(8 + length);
    const auto* begin = reinterpret_cast<const char*>(bytes.data() + 8);
    detail::SafetensorsHeader header;
    const bool valid = nlohmann::json::sax_parse(begin, begin + length, &header);
    require(valid && header.problem.empty(), where, ": ", header.problem);
    metadata_ = std::move(header.metadata);
    // Empty tensors sort before the one that begins at the same offset.
    std::ranges::sort(header.entries, {}, [](const auto& e) { return std::tie(e.begin, e.end, e.name); });
    std::uint64_t expected = 0;
    names_.reserve(header.entries.size());
    for (detail::SafetensorsEntry& entry : header.entries) {
        check(entry, expected);
        expected = entry.end;
        names_.push_back(entry.name);
        const bool inserted = entries_.emplace(entry.name, std::move(entry)).second;
        require(inserted, label(names_.back()), ": the name occurs twice");
    }
    require(expected == data_.size(), where, ": tensors end at byte ", expected, " of the data, but there are ",
            data_.size());
}

FLOWFAR_INLINE void SafetensorsFile::check(const detail::SafetensorsEntry& entry, std::uint64_t expected_begin) const {
    const std::string name = label(entry.name);
    require(entry.begin <= entry.end && entry.end <= data_.size(), name, ": data range [", entry.begin, ", ", entry.end,
            ") is not inside the ", data_.size(), " data bytes of the file");
    require(entry.begin == expected_begin, name, ": data begin at ", entry.begin,
            entry.begin < expected_begin ? " and overlap" : " and leave a gap after", " the tensor that ends at ",
            expected_begin);
    const auto count = static_cast<std::uint64_t>(element_count(entry.shape, name));
    std::uint64_t bits = 0;
    if (entry.type == &detail::unknown_type) {
        return;
    }
    require(
        !__builtin_mul_overflow(count, entry.type->bits, &bits) && bits % 8 == 0 && bits / 8 == entry.end - entry.begin,
        name, ": ", count, " elements of type ", entry.type->name, " do not take ", entry.end - entry.begin, " bytes");
}

}  // namespace flowfar::io
