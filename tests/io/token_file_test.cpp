#include "flowfar/checkpoints/codes/token_file.hpp"

#include <algorithm>
#include <bit>
#include <doctest/doctest.h>

#include "flowfar/flowmo/config.hpp"

#include "io_support.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Renamed : FlowMoTiny {
    static constexpr std::string_view name = "Renamed";
};
struct Deeper : FlowMoTiny {
    static constexpr MmditConfig decoder{112, 4, 4, {8, 10, 10}};
};

/// Random indices of `batch` images.
io::TokenFile make_file(Index batch, Index length, Index per_token, Index bits, Index height, Index width,
                        std::uint64_t seed) {
    io::TokenFile file{{batch, length, per_token, bits, {}}, height, width, fold(seed, "configuration")};
    for (Index i = 0; i < batch * length * per_token; ++i) {
        const std::uint64_t random = fold(seed, static_cast<std::uint64_t>(i));
        file.tokens.indices.push_back(static_cast<std::uint32_t>(random >> (64 - bits)));
    }
    return file;
}

template <class C>
io::TokenFile make_file(Index batch, std::uint64_t seed) {
    return make_file(batch, C::code_length, C::context_dim / C::codebook_bits, C::codebook_bits, C::image_height,
                     C::image_width, seed);
}

bool same(const io::TokenFile& a, const io::TokenFile& b) {
    return a.tokens == b.tokens && a.height == b.height && a.width == b.width && a.configuration == b.configuration &&
           a.overlap == b.overlap;
}

std::string unpack_error(std::span<const std::byte> bytes) {
    return error_text([&] { static_cast<void>(io::unpack_tokens(bytes, "some.tokens")); });
}

/// Replaces bytes and puts the checksum right again.
Bytes forged(Bytes bytes, std::size_t at, std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) {
        bytes[at + static_cast<std::size_t>(i)] = static_cast<std::byte>(value >> (8 * i) & 0xFFU);
    }
    const std::uint32_t sum = io::crc32(std::span(bytes).first(bytes.size() - 4));
    for (std::size_t i = 0; i < 4; ++i) {
        bytes[bytes.size() - 4 + i] = static_cast<std::byte>(sum >> (8 * i) & 0xFFU);
    }
    return bytes;
}

}  // namespace

TEST_CASE("tokens come back bit for bit, in the promised number of bytes") {
    constexpr std::size_t overhead = 48 + 4;
    for (const std::uint64_t seed : {1U, 2U}) {
        CAPTURE(seed);
        const io::TokenFile lo = make_file<FlowMoLo>(1, seed);
        const io::TokenFile hi = make_file<FlowMoHi>(1, seed);
        const Bytes lo_bytes = io::pack_tokens(lo);
        const Bytes hi_bytes = io::pack_tokens(hi);
        CHECK(lo_bytes.size() - overhead == 576);
        CHECK(hi_bytes.size() - overhead == 1792);
        CHECK(same(io::unpack_tokens(lo_bytes, "lo"), lo));
        CHECK(same(io::unpack_tokens(hi_bytes, "hi"), hi));
        CHECK(io::pack_tokens(io::unpack_tokens(lo_bytes, "lo")) == lo_bytes);
    }
    for (Index bits = 1; bits <= 32; ++bits) {
        CAPTURE(bits);
        const io::TokenFile odd = make_file(3, 5, 3, bits, 7, 11, static_cast<std::uint64_t>(bits));
        CHECK(same(io::unpack_tokens(io::pack_tokens(odd), "odd"), odd));
    }
    const io::TokenFile none = make_file(0, 5, 3, 9, 7, 11, 1);
    CHECK(same(io::unpack_tokens(io::pack_tokens(none), "none"), none));
}

TEST_CASE("tiles that overlap make version 2, which has their overlap after the header") {
    io::TokenFile file = make_file(6, 5, 3, 9, 40, 60, 3);
    const Bytes touching = io::pack_tokens(file);
    file.overlap = 0x0107;
    const Bytes bytes = io::pack_tokens(file);
    REQUIRE(bytes.size() == touching.size() + 4);
    CHECK(std::to_integer<int>(touching[8]) == 1);
    CHECK(std::to_integer<int>(bytes[8]) == 2);
    CHECK(std::to_integer<int>(bytes[48]) == 0x07);
    CHECK(std::to_integer<int>(bytes[49]) == 0x01);
    CHECK(same(io::unpack_tokens(bytes, "tiles"), file));
    CHECK(unpack_error(forged(bytes, 48, 0, 4)).find("found an overlap of 0") != std::string::npos);
    CHECK(unpack_error(std::span(bytes).first(54)).find("expected at least 56 bytes, found 54") != std::string::npos);
    file.overlap = -1;
    CHECK_THROWS_AS(static_cast<void>(io::pack_tokens(file)), Error);
}

TEST_CASE("the bytes are those that the format describes") {
    io::TokenFile file{{1, 2, 1, 9, {0x101, 0x0FF}}, 4, 8, 0x1122334455667788ULL};
    const Bytes bytes = io::pack_tokens(file);
    REQUIRE(bytes.size() == 48 + 3 + 4);
    const auto at = [&](std::size_t i) { return std::to_integer<int>(bytes[i]); };
    CHECK(std::equal(bytes.begin(), bytes.begin() + 8, to_bytes("FLOWTOK\n").begin()));
    CHECK(at(8) == 1);
    CHECK(at(10) == 9);
    CHECK(at(12) == 1);
    CHECK(at(16) == 2);
    CHECK(at(20) == 1);
    CHECK(at(24) == 4);
    CHECK(at(28) == 8);
    CHECK(at(32) == 0x88);
    CHECK(at(39) == 0x11);
    CHECK(at(40) == 3);
    // 1 0000 0001 and then 0 1111 1111, lowest bits first: 0000 0001, 1111 1111 with the first one's top bit, 0.
    CHECK(at(48) == 0x01);
    CHECK(at(49) == 0xFF);
    CHECK(at(50) == 0x01);
}

TEST_CASE("every truncation and every damaged byte is noticed") {
    const Bytes bytes = io::pack_tokens(make_file(2, 4, 2, 9, 16, 16, 3));
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        CAPTURE(length);
        const std::string message = unpack_error(std::span(bytes).first(length));
        CHECK(message.starts_with("some.tokens: "));
    }
    Bytes longer = bytes;
    longer.push_back(std::byte{0});
    CHECK(unpack_error(longer).starts_with("some.tokens: "));
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (const unsigned flip : {0x01U, 0x80U, 0xFFU}) {
            CAPTURE(at);
            CAPTURE(flip);
            Bytes damaged = bytes;
            damaged[at] ^= static_cast<std::byte>(flip);
            CHECK(unpack_error(damaged).starts_with("some.tokens: "));
        }
    }
    Bytes payload = bytes;
    payload[50] ^= std::byte{4};
    CHECK(contains(unpack_error(payload), "checksum mismatch"));
}

TEST_CASE("foreign and newer files and impossible headers are named") {
    const Bytes bytes = io::pack_tokens(make_file(2, 4, 2, 9, 16, 16, 3));
    CHECK(contains(unpack_error(to_bytes("\x89PNG\r\n\x1a\n and so on")), "not a flowfar token file"));
    CHECK(contains(unpack_error({}), "not a flowfar token file"));
    CHECK(contains(unpack_error(forged(bytes, 8, 3, 2)), "version 3"));
    CHECK(contains(unpack_error(forged(bytes, 10, 0, 2)), "impossible sizes"));
    CHECK(contains(unpack_error(forged(bytes, 10, 33, 2)), "impossible sizes"));
    CHECK(contains(unpack_error(forged(bytes, 24, 0, 4)), "impossible sizes"));
    CHECK(contains(unpack_error(forged(bytes, 20, 3, 4)), "does not fit its sizes"));
    CHECK(contains(unpack_error(forged(bytes, 40, 1U << 30, 8)), "does not fit its sizes"));
    // Sizes whose product overflows 64 bits must not pass as a small one.
    Bytes huge = forged(bytes, 12, 0xFFFFFFFF, 4);
    huge = forged(huge, 16, 0xFFFFFFFF, 4);
    huge = forged(huge, 20, 0xFFFFFFFF, 4);
    CHECK(contains(unpack_error(huge), "does not fit its sizes"));
}

TEST_CASE("what does not fit the format is not written") {
    const auto pack_error = [](const io::TokenFile& file) {
        return error_text([&] { static_cast<void>(io::pack_tokens(file)); });
    };
    io::TokenFile file = make_file(1, 4, 2, 9, 16, 16, 3);
    file.tokens.indices[5] = 512;
    CHECK(contains(pack_error(file), "512"));
    file = make_file(1, 4, 2, 9, 16, 16, 3);
    file.tokens.indices.pop_back();
    CHECK(contains(pack_error(file), "expected 8 indices, found 7"));
    CHECK(contains(pack_error(make_file(1, 4, 2, 9, 0, 16, 3)), "image size 0 x 16"));
}

TEST_CASE("files on disk") {
    const TempDir folder;
    const io::TokenFile file = make_file<FlowMoTiny>(3, 5);
    io::write_tokens(folder / "a.tokens", file);
    CHECK(same(io::read_tokens(folder / "a.tokens"), file));
    put_file(folder / "b.tokens", "no tokens at all");
    const std::string message = error_text([&] { static_cast<void>(io::read_tokens(folder / "b.tokens")); });
    CHECK(contains(message, "b.tokens: not a flowfar token file"));
    // A failed write leaves the old file.
    io::TokenFile broken = file;
    broken.tokens.indices.pop_back();
    CHECK(error_text([&] { io::write_tokens(folder / "a.tokens", broken); }) != "no error");
    CHECK(same(io::read_tokens(folder / "a.tokens"), file));
}

TEST_CASE("configurations differ in their hash") {
    std::vector<std::uint64_t> hashes = {io::configuration_hash<FlowMoLo>(),    io::configuration_hash<FlowMoHi>(),
                                         io::configuration_hash<FlowMoSmall>(), io::configuration_hash<FlowMoTiny>(),
                                         io::configuration_hash<Renamed>(),     io::configuration_hash<Deeper>(),
                                         io::configuration_hash<FlowMoNano>(),  io::configuration_hash<FlowMoTiny64>()};
    std::ranges::sort(hashes);
    CHECK(std::ranges::adjacent_find(hashes) == hashes.end());
}
