#pragma once

/// NumPy's archives of arrays (.npz), stored or compressed.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <zlib.h>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/bytes/zip_archive.hpp"
#include "flowfar/io/bytes/zip_writer.hpp"
#include "flowfar/io/tensors/npy.hpp"

namespace flowfar::io {

namespace detail {

/// Deflate cannot shrink anything to less than 1/1032 of its size, so a larger claim is a lie.
inline constexpr std::uint64_t deflate_ratio = 1032;

/// Uncompresses a raw deflate stream of known size and checks its checksum. Throws `Error` if anything differs.
inline void inflate_entry(const ZipArchive& archive, const ZipEntry& entry, Scratch& out) {
    const std::string where = archive.describe(entry);
    require(entry.size / deflate_ratio <= entry.compressed_size, where, ": ", entry.compressed_size,
            " bytes cannot hold the ", entry.size, " that it claims");
    out.resize(entry.size);
    z_stream stream{};
    require(inflateInit2(&stream, -MAX_WBITS) == Z_OK, where, ": zlib could not start");
    const auto input = archive.compressed(entry);
    std::size_t in = 0;
    std::size_t written = 0;
    int status = Z_OK;
    std::byte beyond{};  // room to notice a stream that goes on
    while (status == Z_OK) {
        constexpr std::size_t step = std::numeric_limits<uInt>::max();
        const std::size_t supply = std::min(input.size() - in, step);
        const std::size_t room = std::min(out.size() - written, step);
        stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input.data() + in));
        stream.avail_in = static_cast<uInt>(supply);
        stream.next_out = reinterpret_cast<Bytef*>(room == 0 ? &beyond : out.data() + written);
        stream.avail_out = static_cast<uInt>(room == 0 ? 1 : room);
        status = inflate(&stream, Z_NO_FLUSH);
        in += supply - stream.avail_in;
        if (room == 0 && stream.avail_out == 0) {
            status = Z_BUF_ERROR;
        }
        written += room == 0 ? 0 : room - stream.avail_out;
    }
    inflateEnd(&stream);
    require(status == Z_STREAM_END && in == input.size() && written == out.size(), where, ": damaged deflate stream");
    const std::uint32_t crc = crc32(out);
    require(crc == entry.crc, where, ": damaged: expected CRC-32 ", entry.crc, ", found ", crc);
}

}  // namespace detail

/// Arrays in a .npz file by name. Stored arrays are used in place, compressed ones are uncompressed on access. A const
/// object may be used by several threads at once, each with scratch of its own.
class NpzFile {
   public:
    /// Throws `Error` if the file cannot be read or is no undamaged archive.
    explicit NpzFile(const Path& path) : NpzFile(MappedFile(path)) {}
    explicit NpzFile(MappedFile file) : file_(std::move(file)), archive_(file_.bytes(), file_.path().string()) {
        index();
    }

    [[nodiscard]] const Path& path() const { return file_.path(); }
    /// Names of the arrays, without ".npy", in the file's order.
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return archive_.find(name + ".npy") != nullptr; }

    /// An array in row-major order, as `NpyArray::view` gives it: in place or in `scratch`. Throws `Error` if there is
    /// no such array, or it is damaged, or a compressed one would take more than `limit` bytes, uncompressed or as
    /// widened elements (for a moment both may be held).
    [[nodiscard]] TensorView at(const std::string& name, Scratch& scratch,
                                std::uint64_t limit = std::uint64_t{1} << 30) const {
        const ZipEntry* const entry = archive_.find(name + ".npy");
        require(entry != nullptr, archive_.label(), ": no array \"", name, '"');
        const std::string where = text(archive_.label(), ": array \"", name, '"');
        if (entry->method == 0) {
            return NpyArray(archive_.stored(*entry), where).view(scratch);
        }
        require(entry->method == 8, where, ": compressed by method ", entry->method, ", expected stored or deflated");
        require(entry->size <= limit, where, ": ", entry->size, " bytes, expected at most ", limit);
        Scratch file;
        detail::inflate_entry(archive_, *entry, file);
        const NpyArray array(file, where);
        require(array.view_size() <= limit, where, ": ", array.view_size(), " bytes when read, expected at most ",
                limit);
        const TensorView view = array.view(scratch);
        return view.bytes.data() == scratch.data() ? view : keep(view, std::move(file), scratch);
    }

   private:
    /// Moves an uncompressed array file into `scratch`; the view's bytes stay where they are.
    static TensorView keep(TensorView view, Scratch&& file, Scratch& scratch) {
        scratch = std::move(file);
        return view;
    }

    void index() {
        constexpr std::string_view suffix = ".npy";
        for (const ZipEntry& entry : archive_.entries()) {
            if (entry.name.ends_with(suffix)) {
                names_.push_back(entry.name.substr(0, entry.name.size() - suffix.size()));
            }
        }
    }

    MappedFile file_;
    ZipArchive archive_;
    std::vector<std::string> names_;
};

/// Writes a .npz file of stored arrays: `add` them all, then `finish`. The target file appears (or changes) only in
/// `finish`.
class NpzWriter {
   public:
    explicit NpzWriter(const Path& path) : archive_(path) {}

    /// Appends one array. bf16 becomes f32, because NumPy has no such type.
    void add(const std::string& name, const TensorView& view) {
        auto [header, wide] = detail::npy_parts(view);
        const std::span<const std::byte> data =
            view.dtype == DType::bf16 ? std::span<const std::byte>(wide) : view.bytes;
        const auto characters = std::as_bytes(std::span(header));
        Scratch file(characters.begin(), characters.end());
        file.insert(file.end(), data.begin(), data.end());
        archive_.add(name + ".npy", file);
    }
    template <class T>
    void add(const std::string& name, std::span<const T> values, std::vector<Index> shape) {
        add(name, TensorView{dtype_of<T>, std::move(shape), std::as_bytes(values),
                             text(archive_.path().string(), ": array \"", name, '"')});
    }
    void finish() { archive_.finish(); }

   private:
    ZipWriter archive_;
};

}  // namespace flowfar::io
