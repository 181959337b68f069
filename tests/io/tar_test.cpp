#include "flowfar/io/data/tar.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "io_support.hpp"
#include "support/temp_dir.hpp"
#include "tar_builder.hpp"

using flowfar::Error;
using namespace flowfar::testing;
namespace io = flowfar::io;

namespace {

std::string open_error(const TempDir& folder, std::string_view archive) {
    put_file(folder / "x.tar", archive);
    return error_text([&] {
        const io::TarFile tar(folder / "x.tar");
        for (const io::TarEntry& entry : tar.entries()) {
            (void)tar.bytes(entry);
        }
    });
}

std::vector<std::string> names_of(const io::TarFile& tar) {
    std::vector<std::string> names;
    for (const io::TarEntry& entry : tar.entries()) {
        names.push_back(entry.name);
    }
    return names;
}

std::string content_of(const io::TarFile& tar, std::size_t index) {
    const auto bytes = tar.bytes(tar.entries().at(index));
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

TEST_CASE("regular files are listed with their bytes, other members are passed over") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("folder/", "", '5');
    builder.add("./folder/one.txt", "first");
    builder.add("link", "", '2');
    builder.add("hard", "", '1');
    builder.add("empty", "");
    builder.add("old-style", std::string(512, 'o'), '\0');
    builder.add("old-folder/", "", '\0');
    builder.add("long", std::string(1300, 'l'));
    builder.add("device", "", '3');
    builder.add("label", "", 'V');
    builder.add("unknown", "extracted", 'Z');
    put_file(folder / "x.tar", builder.finish());
    const io::TarFile tar(folder / "x.tar");
    CHECK(names_of(tar) == std::vector<std::string>{"folder/one.txt", "empty", "old-style", "long", "unknown"});
    CHECK(tar.dangling() == std::vector<std::string>{"link", "hard"});
    CHECK(content_of(tar, 0) == "first");
    CHECK(content_of(tar, 1).empty());
    CHECK(content_of(tar, 2) == std::string(512, 'o'));
    CHECK(content_of(tar, 3) == std::string(1300, 'l'));
}

TEST_CASE("long names: GNU, pax and the ustar prefix") {
    const TempDir folder;
    const std::string long_name = std::string(150, 'd') + "/" + std::string(120, 'f') + ".png";
    TarBuilder builder;
    builder.add("././@LongLink", long_name + '\0', 'L');
    builder.add(long_name.substr(0, 100), "gnu");
    builder.add("PaxHeaders/x", pax_record("mtime", "12.5") + pax_record("path", "pax/" + long_name), 'x');
    builder.add("short", "pax");
    builder.add("global", pax_record("comment", "hello"), 'g');
    builder.add("after", "plain");
    builder.add_with_prefix("prefix/folder", "name", "ustar");
    put_file(folder / "x.tar", builder.finish());
    const io::TarFile tar(folder / "x.tar");
    CHECK(names_of(tar) == std::vector<std::string>{long_name, "pax/" + long_name, "after", "prefix/folder/name"});
    CHECK(content_of(tar, 1) == "pax");
    CHECK(content_of(tar, 3) == "ustar");
}

TEST_CASE("links are the files that tar extracts") {
    const TempDir folder;
    TarBuilder builder;
    builder.link("a/early", "../b/file", '2');  // symbolic links may come before what they lead to
    builder.add("b/file", "one");
    builder.link("./a/hard", "b/./file", '1');
    builder.add("b/file", "two");  // the hard link keeps the first
    builder.link("a/chain", "early", '2');
    builder.link("a/hard-to-link", "a/chain", '1');
    builder.link("dir", "b", '2');
    builder.link("through", "dir/file", '2');
    builder.link("loop", "loop", '2');
    builder.link("up", "../../b/file", '2');  // no higher than the archive's root
    const std::string deep = std::string(120, 'd') + "/file";
    builder.add(deep.substr(0, 100), "cut");
    builder.add("././@LongLink", "b/" + std::string(120, 'x') + '\0', 'K');
    builder.link("gnu", "b/x", '2');
    builder.add("h", pax_record("linkpath", "b/file"), 'x');
    builder.link("pax", "elsewhere", '1');
    put_file(folder / "x.tar", builder.finish());
    const io::TarFile tar(folder / "x.tar");
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i < tar.entries().size(); ++i) {
        found[tar.entries()[i].name] = content_of(tar, i);
    }
    found.erase(deep.substr(0, 100));
    CHECK(found == std::map<std::string, std::string>{{"a/chain", "two"},
                                                      {"a/early", "two"},
                                                      {"a/hard", "one"},
                                                      {"a/hard-to-link", "two"},
                                                      {"b/file", "two"},
                                                      {"pax", "two"},
                                                      {"through", "two"},
                                                      {"up", "two"}});
    CHECK(tar.dangling() == std::vector<std::string>{"loop", "gnu"});
}

TEST_CASE("a member replaces earlier ones of its name, whatever the name's spelling") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("a/0", "old");
    builder.add("a/1", "kept");
    builder.add("a/2", "gone");
    builder.add("./a/./0", "new");
    builder.add("a//2/", "", '5');
    builder.add("../x", "above");
    put_file(folder / "x.tar", builder.finish());
    const io::TarFile tar(folder / "x.tar");
    CHECK(names_of(tar) == std::vector<std::string>{"a/1", "a/0", "../x"});
    CHECK(content_of(tar, 1) == "new");
}

TEST_CASE("files of other kinds are named") {
    const TempDir folder;
    CHECK(contains(open_error(folder, std::string("\x1F\x8B\x08", 3) + std::string(2000, 'z')), "gunzip"));
    CHECK(contains(open_error(folder, "PK\x03\x04" + std::string(2000, 'z')), "found a zip archive"));
    CHECK(contains(open_error(folder, ""), "found an empty file"));
    CHECK(contains(open_error(folder, "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"));
    CHECK(contains(open_error(folder, "<!DOCTYPE html><html>" + std::string(2000, ' ')), "found an HTML page"));
}

TEST_CASE("sizes: octal with blanks, base 256 and pax") {
    const TempDir folder;
    for (const std::string& field : {std::string("       5 \0\0\0", 12), std::string("00000000005 "),
                                     std::string("000000000005"), std::string("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12)}) {
        TarBuilder builder;
        builder.add("a", "12345", '0', field);
        builder.add("b", "next");
        put_file(folder / "x.tar", builder.finish());
        const io::TarFile tar(folder / "x.tar");
        CHECK(content_of(tar, 0) == "12345");
        CHECK(content_of(tar, 1) == "next");
    }
    TarBuilder builder;
    builder.add("h", pax_record("size", "600"), 'x');
    builder.add("a", std::string(600, 'a'), '0', "00000000000");
    builder.add("b", "next");
    put_file(folder / "x.tar", builder.finish());
    const io::TarFile tar(folder / "x.tar");
    CHECK(content_of(tar, 0) == std::string(600, 'a'));
    CHECK(content_of(tar, 1) == "next");
}

TEST_CASE("damaged and hostile archives are refused") {
    const TempDir folder;
    const auto refuses = [&](std::string_view archive, const char* part) {
        const std::string message = open_error(folder, archive);
        CAPTURE(message);
        CHECK(contains(message, part));
        CHECK(contains(message, "x.tar: "));
    };
    const auto with_size = [](const std::string& field) {
        TarBuilder builder;
        builder.add("a", "12345", '0', field);
        return builder.finish();
    };
    refuses("", "found an empty file");
    refuses(std::string(511, 'x'), "ends inside a block");
    refuses(std::string(1024, 'x'), "not a tar header");
    refuses(with_size("00000777777"), "\"a\" of 262143 bytes reaches beyond the archive");
    refuses(with_size("0000000000x"), "expected an octal number");
    refuses(with_size(std::string(12, '\xFF')), "out of range");
    refuses(with_size(std::string("\x80\0\0\0\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 12)), "reaches beyond the archive");
    refuses(with_size("\x80\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"), "out of range");

    TarBuilder wrong;
    wrong.add("a", "12345");
    std::string archive = wrong.finish();
    archive[0] = 'b';
    refuses(archive, "expected checksum");

    for (const std::string& record :
         {std::string("nonsense"), std::string("99 path=a\n"), std::string("9 path=ab"), std::string("3 \n"),
          std::string("99999999999999999 path=a\n"), std::string("99999999999999999999 path=a\n"),
          std::string("8 nopair\n"), std::string("11 size=-5\n"), std::string(" path=a\n"), std::string("4 a\n")}) {
        TarBuilder builder;
        builder.add("h", record, 'x');
        builder.add("a", "12345");
        CAPTURE(record);
        refuses(builder.finish(), "malformed");
    }
    TarBuilder sparse;
    sparse.add("a", "12345", 'S');
    refuses(sparse.finish(), "not supported");
    TarBuilder pax_sparse;
    pax_sparse.add("h", pax_record("GNU.sparse.major", "1"), 'x');
    pax_sparse.add("a", "12345");
    refuses(pax_sparse.finish(), "not supported");
    TarBuilder dangling;
    dangling.add("l", "name", 'L');
    refuses(dangling.finish(), "describes no file");
}

TEST_CASE("reading stops at two zero blocks; one is enough at the end") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("a", "12345");
    const std::string archive = builder.finish();
    CHECK(open_error(folder, archive + "anything after the end") == "no error");
    CHECK(open_error(folder, archive.substr(0, archive.size() - 512)) == "no error");
    CHECK(contains(open_error(folder, archive.substr(0, archive.size() - 1024)), "no closing zero block"));
}

TEST_CASE("an archive cut at any length is refused, except inside the closing zeros") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("././@LongLink", std::string(120, 'n') + '\0', 'L');
    builder.add("n", std::string(700, 'c'));
    builder.add("b", "last");
    const std::string archive = builder.finish();
    for (std::size_t size = 0; size < archive.size(); ++size) {
        CAPTURE(size);
        if (size == archive.size() - 512) {
            continue;
        }
        CHECK(open_error(folder, archive.substr(0, size)) != "no error");
    }
}

TEST_CASE("random damage never does worse than an Error") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("h", pax_record("path", "some/name") + pax_record("size", "700"), 'x');
    builder.add("n", std::string(700, 'c'));
    builder.add("b", "last");
    const std::string archive = builder.finish();
    constexpr unsigned seed = 9;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (int trial = 0; trial < 3000; ++trial) {
        std::string damaged = archive;
        for (unsigned i = 0; i <= random() % 3; ++i) {
            damaged[random() % damaged.size()] = static_cast<char>(random());
        }
        // Half of the time with correct checksums, so that damage gets past them.
        (void)open_error(folder, trial % 2 == 0 ? damaged : with_fresh_checksums(damaged));
    }
}

TEST_CASE("an entry of another archive is refused") {
    const TempDir folder;
    TarBuilder builder;
    builder.add("a", "12345");
    put_file(folder / "x.tar", builder.finish());
    const io::TarFile tar(folder / "x.tar");
    CHECK_THROWS_AS((void)tar.bytes({"foreign", 1 << 20, 5}), Error);
    CHECK_THROWS_AS((void)tar.bytes({"foreign", 0, ~std::uint64_t{0}}), Error);
}
