#pragma once

/// Files of FlowMo tokens: packed bits with a header that says of which configuration and image.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/flowmo/config.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/quantize/tokens.hpp"

namespace flowfar::io {

/// The packed token stream, little-endian:
///
/// | bytes | content |
/// |---|---|
/// | 0–7 | magic "FLOWTOK\n" |
/// | 8–9 | version: 1, or 2 for tiles that overlap |
/// | 10–11 | bits per codeword, 1 to 32 |
/// | 12–15 | codewords per token |
/// | 16–19 | tokens per image |
/// | 20–23 | images |
/// | 24–27 | image height in pixels |
/// | 28–31 | image width in pixels |
/// | 32–39 | hash of the model configuration |
/// | 40–47 | payload bytes |
/// | version 2: 48–51 | pixels that neighboring tiles share at least (`TileGrid`) |
/// | then | payload: per image the indices in order, `bits` bits each, lowest bit first, padded to whole bytes |
/// | last 4 | CRC-32 of everything before |
struct TokenFile {
    Tokens tokens;     ///< of the picture's tiles in raster order
    Index height = 0;  ///< of the picture, in pixels
    Index width = 0;
    std::uint64_t configuration = 0;
    Index overlap = 0;  ///< pixels that neighboring tiles share at least
};

/// Hash that tells configurations apart: name, image size, geometry and quantizer of a FlowMo configuration C. (Files
/// from before there were other quantizers than LFQ keep theirs.)
template <class C>
[[nodiscard]] inline std::uint64_t configuration_hash() {
    std::uint64_t hash = fold(0, C::name);
    using Config = CheckedFlowMoConfig<C>;
    for (const Index value :
         {C::image_height, C::image_width, C::patch, C::code_length, C::context_dim, Config::codebook_bits}) {
        hash = fold(hash, static_cast<std::uint64_t>(value));
    }
    if (const std::string quantizer = Config::Quantizer::name(); quantizer != text("lfq ", Config::codebook_bits)) {
        hash = fold(hash, quantizer);
    }
    for (const auto& network : {C::encoder, C::decoder}) {
        for (const Index value :
             {network.hidden, network.heads, network.depth, network.axes[0], network.axes[1], network.axes[2]}) {
            hash = fold(hash, static_cast<std::uint64_t>(value));
        }
    }
    return hash;
}

namespace detail {

inline constexpr std::string_view token_magic = "FLOWTOK\n";
inline constexpr std::size_t token_header = 48;

inline void append_little(std::vector<std::byte>& out, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
        out.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xFFU));
    }
}
[[nodiscard]] inline std::uint64_t read_little(std::span<const std::byte> data, std::size_t at, int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
        value |= static_cast<std::uint64_t>(data[at + static_cast<std::size_t>(i)]) << (8 * i);
    }
    return value;
}
[[nodiscard]] inline std::uint64_t payload_per_image(std::uint64_t length, std::uint64_t per_token,
                                                     std::uint64_t bits) {
    return (length * per_token * bits + 7) / 8;
}

/// Per image the indices in order, `bits` bits each, lowest bit first, padded to whole bytes.
[[nodiscard]] inline std::vector<std::byte> pack_indices(const Tokens& t) {
    const auto indices = static_cast<std::size_t>(t.length * t.per_token);
    const auto per_image = static_cast<std::size_t>(payload_per_image(static_cast<std::uint64_t>(t.length),
                                                                      static_cast<std::uint64_t>(t.per_token),
                                                                      static_cast<std::uint64_t>(t.bits)));
    std::vector<std::byte> out(static_cast<std::size_t>(t.batch) * per_image);
    for (std::size_t image = 0; image < static_cast<std::size_t>(t.batch); ++image) {
        std::size_t bit = 8 * image * per_image;
        for (std::size_t i = 0; i < indices; ++i) {
            for (Index b = 0; b < t.bits; ++b, ++bit) {
                const std::uint32_t value = (t.indices[image * indices + i] >> b) & 1U;
                out[bit / 8] |= static_cast<std::byte>(value << (bit % 8));
            }
        }
    }
    return out;
}
/// Appends the `count` indices of one packed image.
inline void unpack_indices(std::span<const std::byte> packed, std::size_t count, Index bits,
                           std::vector<std::uint32_t>& out) {
    const std::size_t first = out.size();
    const auto each = static_cast<std::size_t>(bits);
    out.resize(first + count);
    for (std::size_t i = 0; i < count * each; ++i) {
        const auto value = (static_cast<std::uint32_t>(packed[i / 8]) >> (i % 8)) & 1U;
        out[first + i / each] |= value << (i % each);
    }
}

}  // namespace detail

/// Packs tokens into the stream described at TokenFile: 576 payload bytes per FlowMo-Lo image, 1,792 per Hi image.
[[nodiscard]] inline std::vector<std::byte> pack_tokens(const TokenFile& file) {
    const Tokens& t = file.tokens;
    t.check();
    require(file.height > 0 && file.width > 0 && file.height <= 0xFFFFFFFFLL && file.width <= 0xFFFFFFFFLL,
            "tokens: image size ", file.height, " x ", file.width);
    require(file.overlap >= 0 && file.overlap <= 0xFFFFFFFFLL, "tokens: overlap of ", file.overlap, " pixels");
    require(t.batch <= 0xFFFFFFFFLL && t.length <= 0xFFFFFFFFLL && t.per_token <= 0xFFFFFFFFLL,
            "tokens: too many for the format");
    const std::uint64_t per_image =
        detail::payload_per_image(static_cast<std::uint64_t>(t.length), static_cast<std::uint64_t>(t.per_token),
                                  static_cast<std::uint64_t>(t.bits));
    std::vector<std::byte> out;
    for (const char letter : detail::token_magic) {
        out.push_back(static_cast<std::byte>(letter));
    }
    detail::append_little(out, file.overlap > 0 ? 2 : 1, 2);
    detail::append_little(out, static_cast<std::uint64_t>(t.bits), 2);
    detail::append_little(out, static_cast<std::uint64_t>(t.per_token), 4);
    detail::append_little(out, static_cast<std::uint64_t>(t.length), 4);
    detail::append_little(out, static_cast<std::uint64_t>(t.batch), 4);
    detail::append_little(out, static_cast<std::uint64_t>(file.height), 4);
    detail::append_little(out, static_cast<std::uint64_t>(file.width), 4);
    detail::append_little(out, file.configuration, 8);
    detail::append_little(out, per_image * static_cast<std::uint64_t>(t.batch), 8);
    if (file.overlap > 0) {
        detail::append_little(out, static_cast<std::uint64_t>(file.overlap), 4);
    }
    const std::vector<std::byte> packed = detail::pack_indices(t);
    out.insert(out.end(), packed.begin(), packed.end());
    detail::append_little(out, crc32(out), 4);
    return out;
}

/// Reads a packed stream. `name` stands for the source in error messages; foreign, truncated, corrupted or newer
/// streams are refused, and so are sizes that do not fit the payload or more than 2^40 bits per image. Memory stays
/// below 33 times the stream's size (codewords of one bit).
[[nodiscard]] inline TokenFile unpack_tokens(std::span<const std::byte> data, const std::string& name) {
    require(data.size() >= detail::token_magic.size() &&
                std::memcmp(data.data(), detail::token_magic.data(), detail::token_magic.size()) == 0,
            name, ": not a flowfar token file");
    const auto need = [&](std::size_t bytes) {
        require(data.size() >= bytes, name, ": truncated token file: expected at least ", bytes, " bytes, found ",
                data.size());
    };
    need(detail::token_header + 4);
    const std::uint64_t version = detail::read_little(data, 8, 2);
    require(version == 1 || version == 2, name, ": token file version ", version,
            "; this library reads versions 1 and 2");
    const std::size_t header = detail::token_header + (version == 2 ? 4 : 0);
    const std::size_t overhead = header + 4;
    need(overhead);
    const std::uint64_t bits = detail::read_little(data, 10, 2);
    const std::uint64_t per_token = detail::read_little(data, 12, 4);
    const std::uint64_t length = detail::read_little(data, 16, 4);
    const std::uint64_t batch = detail::read_little(data, 20, 4);
    const std::uint64_t height = detail::read_little(data, 24, 4);
    const std::uint64_t width = detail::read_little(data, 28, 4);
    const std::uint64_t payload = detail::read_little(data, 40, 8);
    require(bits >= 1 && bits <= 32 && per_token >= 1 && length >= 1 && height >= 1 && width >= 1, name,
            ": impossible sizes in the header: ", length, " tokens of ", per_token, " x ", bits, " bits, image ",
            height, " x ", width);
    // Sizes come from a stranger: every product is checked before it is used.
    std::uint64_t codewords = 0;
    std::uint64_t image_bits = 0;
    std::uint64_t expected = 0;
    const bool overflow = __builtin_mul_overflow(length, per_token, &codewords) ||
                          __builtin_mul_overflow(codewords, bits, &image_bits) ||
                          __builtin_mul_overflow((image_bits + 7) / 8, batch, &expected);
    require(!overflow && image_bits <= 0xFFFFFFFFFFULL && expected == payload, name, ": the header announces ", payload,
            " payload bytes, which does not fit its sizes");
    require(payload == data.size() - overhead, name, ": expected ", payload, " payload bytes, found ",
            data.size() - overhead);
    const std::uint64_t stored = detail::read_little(data, data.size() - 4, 4);
    require(stored == crc32(data.first(data.size() - 4)), name, ": checksum mismatch: the token file is damaged");

    TokenFile out;
    out.height = static_cast<Index>(height);
    out.width = static_cast<Index>(width);
    out.configuration = detail::read_little(data, 32, 8);
    out.overlap = version == 2 ? static_cast<Index>(detail::read_little(data, detail::token_header, 4)) : 0;
    require(version == 1 || out.overlap >= 1, name, ": version 2 is for tiles that overlap, found an overlap of 0");
    out.tokens = {static_cast<Index>(batch),
                  static_cast<Index>(length),
                  static_cast<Index>(per_token),
                  static_cast<Index>(bits),
                  {}};
    out.tokens.indices.reserve(static_cast<std::size_t>(batch * codewords));
    const auto per_image = static_cast<std::size_t>((image_bits + 7) / 8);
    for (std::size_t image = 0; image < static_cast<std::size_t>(batch); ++image) {
        detail::unpack_indices(data.subspan(header + image * per_image, per_image), static_cast<std::size_t>(codewords),
                               static_cast<Index>(bits), out.tokens.indices);
    }
    return out;
}

/// Writes a token file atomically.
inline void write_tokens(const Path& path, const TokenFile& file) {
    const std::vector<std::byte> bytes = pack_tokens(file);
    write_atomically(path, [&](OutputFile& out) { out.write(bytes); });
}

/// Reads a token file.
[[nodiscard]] inline TokenFile read_tokens(const Path& path) {
    const MappedFile file(path);
    return unpack_tokens(file.bytes(), path.string());
}

}  // namespace flowfar::io
