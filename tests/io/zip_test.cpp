#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "flowfar/io/bytes/byte_reader.hpp"
#include "flowfar/io/bytes/zip_archive.hpp"
#include "flowfar/io/bytes/zip_writer.hpp"

#include "io_support.hpp"
#include "support/temp_dir.hpp"
#include "zip_builder.hpp"

using flowfar::Error;
using namespace flowfar::testing;
namespace fs = std::filesystem;
namespace io = flowfar::io;

namespace {

std::string open_error(const std::string& archive) {
    const Bytes bytes = to_bytes(archive);
    return error_text([&] { io::ZipArchive zip(bytes, "x.zip"); });
}

ZipPart part(const std::string& name, const std::string& content) {
    ZipPart out;
    out.name = name;
    out.content = content;
    return out;
}

/// The error of an archive with one entry that `change` has tampered with.
template <class Change>
std::string error_with(Change&& change) {
    ZipPart odd = part("a", "content");
    change(odd);
    ZipBuilder zip;
    zip.add("first", "12345678");
    zip.add(odd);
    return open_error(zip.finish());
}

}  // namespace

TEST_CASE("entries are views of the archive") {
    ZipBuilder zip;
    zip.add("folder/first", "hello");
    zip.add("second", "");
    zip.add("third", std::string(1000, 'x'));
    const Bytes bytes = to_bytes(zip.finish({}, "a comment"));
    const io::ZipArchive archive(bytes, "x.zip");
    REQUIRE(archive.entries().size() == 3);
    CHECK(archive.entries()[0].name == "folder/first");
    CHECK(io::as_text(archive.stored(*archive.find("folder/first"))) == "hello");
    CHECK(archive.stored(*archive.find("second")).empty());
    CHECK(archive.stored(*archive.find("third")).size() == 1000);
    CHECK(archive.find("fourth") == nullptr);
    for (const io::ZipEntry& entry : archive.entries()) {
        archive.verify(entry);
    }
    CHECK(open_error(ZipBuilder().finish()) == "no error");
}

TEST_CASE("a wrong checksum is noticed on demand") {
    ZipPart odd = part("a", "content");
    odd.crc = 7;
    ZipBuilder zip;
    zip.add(odd);
    const Bytes bytes = to_bytes(zip.finish());
    const io::ZipArchive archive(bytes, "x.zip");
    CHECK(contains(error_text([&] { archive.verify(archive.entries()[0]); }),
                   "x.zip: entry \"a\": damaged: expected CRC-32 7, found "));
}

TEST_CASE("hostile and damaged archives are refused") {
    CHECK(contains(open_error(""), "not a zip archive, or cut short"));
    CHECK(contains(open_error(std::string(100000, 'P')), "not a zip archive, or cut short"));
    CHECK(error_with([](ZipPart&) {}) == "no error");
    CHECK(contains(error_with([](ZipPart& p) { p.name = "first"; }), "\"first\": the name occurs twice"));
    CHECK(contains(error_with([](ZipPart& p) { p.offset = 0; }), "overlap"));
    CHECK(contains(error_with([](ZipPart& p) { p.offset = 5; }), "overlap"));
    CHECK(contains(error_with([](ZipPart& p) { p.offset = 100000; }), "are not inside the file"));
    CHECK(contains(error_with([](ZipPart& p) {
                       p.size = 9;
                       p.compressed_size = 9;
                   }),
                   "9 bytes at 74 overlap what begins at"));
    CHECK(contains(error_with([](ZipPart& p) { p.size = 1U << 30U; }), "stored, but 7 bytes in the archive"));
    CHECK(contains(error_with([](ZipPart& p) { p.flags = 1; }), "encrypted"));
    CHECK(contains(error_with([](ZipPart& p) { p.own_name = "b"; }), "its own header names it differently"));
    for (const char* const name : {"/etc/passwd", "../up", "a/../../b", "a/..", "back\\slash", ""}) {
        CAPTURE(name);
        CHECK(contains(error_with([&](ZipPart& p) { p.name = name; }), "leads out of its folder"));
    }
    CHECK(error_with([](ZipPart& p) { p.name = "a/..b/c.."; }) == "no error");
    CHECK(
        contains(error_with([](ZipPart& p) { p.name = std::string(5000, 'n'); }), "5000 bytes, expected at most 4096"));
    ZipBuilder zip;
    zip.add("a", "b");
    CHECK(contains(open_error(zip.finish(2)), "do not fit into a table"));
    CHECK(contains(open_error(zip.finish(0)), "bytes after the last entry"));
    CHECK(contains(open_error(zip.finish(60000)), "do not fit into a table"));
    CHECK(contains(open_error("junk" + zip.finish()), "does not end at"));
}

TEST_CASE("a compressed entry is listed, but not given out as stored") {
    ZipPart odd = part("a", "1234");
    odd.method = 8;
    odd.size = 1000;
    ZipBuilder zip;
    zip.add(odd);
    const Bytes bytes = to_bytes(zip.finish());
    const io::ZipArchive archive(bytes, "x.zip");
    CHECK(archive.entries()[0].size == 1000);
    CHECK(archive.compressed(archive.entries()[0]).size() == 4);
    CHECK(contains(error_text([&] { (void)archive.stored(archive.entries()[0]); }), "compressed (method 8)"));
}

TEST_CASE("every cut is an error and no changed byte does harm") {
    ZipBuilder zip;
    zip.add("folder/first", "hello");
    zip.add("second", std::string(100, 'x'));
    const std::string whole = zip.finish();
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CHECK(open_error(whole.substr(0, length)) != "no error");
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
        for (const int change : {1, 0x7F, 0x80, 0xFF}) {
            std::string changed = whole;
            changed[at] = static_cast<char>(static_cast<unsigned char>(changed[at]) ^ static_cast<unsigned>(change));
            const Bytes bytes = to_bytes(changed);
            static_cast<void>(error_text([&] {
                const io::ZipArchive archive(bytes, "x.zip");
                for (const io::ZipEntry& entry : archive.entries()) {
                    static_cast<void>(error_text([&] { archive.verify(entry); }));
                }
            }));
        }
    }
}

TEST_CASE("what was written is read back, aligned to 64 bytes") {
    const TempDir folder;
    io::ZipWriter writer(folder / "a.zip");
    for (int i = 0; i < 200; ++i) {
        writer.add("entry" + std::to_string(i),
                   std::string(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26)));
    }
    CHECK(contains(error_text([&] { writer.add("entry7", std::string_view("x")); }), "\"entry7\" is added twice"));
    CHECK(contains(error_text([&] { writer.add("", std::string_view("x")); }), "0 bytes, expected 1 to 4096"));
    CHECK_FALSE(fs::exists(folder / "a.zip"));
    writer.finish();
    const io::MappedFile file(folder / "a.zip");
    const io::ZipArchive archive(file.bytes(), "a.zip");
    REQUIRE(archive.entries().size() == 200);
    for (std::size_t i = 0; i < 200; ++i) {
        const io::ZipEntry& entry = archive.entries()[i];
        CHECK(entry.name == "entry" + std::to_string(i));
        CHECK(entry.begin % 64 == 0);
        CHECK(archive.stored(entry).size() == i);
        archive.verify(entry);
    }
}

TEST_CASE("more entries than 16 bits count") {
    const TempDir folder;
    io::ZipWriter writer(folder / "many.zip");
    for (int i = 0; i < 70000; ++i) {
        writer.add(std::to_string(i), std::string_view());
    }
    writer.finish();
    const io::MappedFile file(folder / "many.zip");
    const io::ZipArchive archive(file.bytes(), "many.zip");
    CHECK(archive.entries().size() == 70000);
    CHECK(archive.find("69999") != nullptr);
}
