// PyTorch checkpoints that were made to do harm, and tensors that are not read.
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/torch_checkpoint.hpp"

#include "io_support.hpp"
#include "tensor_numbers.hpp"
#include "torch_builder.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("hostile tensors are refused") {
    const auto refuses = [](const TorchBuilder& builder, const char* part) {
        const Bytes bytes = builder.file();
        const std::string message = error_text([&] {
            const io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes));
            io::Scratch scratch;
            (void)file.at("w", scratch);
        });
        CAPTURE(message);
        CHECK(contains(message, part));
        CHECK(contains(message, "x.pth: "));
    };
    const auto with = [](auto&& change) {
        TorchBuilder builder;
        change(builder);
        return builder;
    };
    constexpr Index large = std::numeric_limits<Index>::max();
    {
        const Bytes bytes = TorchBuilder{}.file();
        const io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes));
        CHECK(doubles(file, "w") == std::vector<double>(12));
    }
    // storages and tensors that do not fit
    refuses(with([](auto& b) { b.shape[0] = 4; }), "reach element 16 of a storage that holds 12 elements of type F32");
    refuses(with([](auto& b) { b.offset = 1; }), "reach element 13 of");
    refuses(with([](auto& b) { b.strides[0] = 5; }), "reach element 14 of");
    refuses(with([](auto& b) { b.storage.resize(47); }), "any/data/0\": 47 bytes, expected 48");
    refuses(with([](auto& b) { b.key = "1"; }), "the archive has no storage \"1\"");
    refuses(with([](auto& b) { b.key = "../../etc/passwd"; }), "the archive has no storage");
    // negative and enormous numbers
    refuses(with([](auto& b) { b.shape[0] = -3; }), "\"w\": negative extent -3");
    refuses(with([](auto& b) { b.strides[0] = -4; }), "\"w\": negative stride -4");
    refuses(with([](auto& b) { b.offset = -1; }), "\"w\": storage offset -1");
    refuses(with([](auto& b) { b.count = -1; }), "\"w\": a storage of -1 elements");
    refuses(with([](auto& b) { b.count = large; }), "\"w\": a storage of 9223372036854775807 elements");
    refuses(with([](auto& b) { b.shape = {large, large}; }), "the number of elements exceeds 2^63 - 1");
    refuses(with([](auto& b) { b.shape = {Index{1} << 32, Index{1} << 31}; }), "the number of elements exceeds");
    refuses(with([](auto& b) { b.strides = {large, large}; }), "reach element 2^63 of");
    refuses(with([](auto& b) { b.offset = large; }), "reach element 2^63 of");
    refuses(with([](auto& b) { b.shape_instructions = std::string("(\x8a\x09\0\0\0\0\0\0\0\x80\0K\x01t", 15); }),
            "expected extents below 2^63, found an integer");
    refuses(with([](auto& b) {
                b.shape = {Index{1} << 40, 1};
                b.strides = {0, 0};
            }),
            "such a tensor could fill the memory");
    refuses(with([](auto& b) {
                b.shape.assign(65, 1);
                b.strides.assign(65, 1);
            }),
            "65 axes, expected at most 64");
    refuses(with([](auto& b) { b.strides = {1}; }), "2 extents, but 1 strides");
    // types and functions
    refuses(with([](auto& b) { b.storage_class = "torch\nNoStorage"; }),
            "elements of the unknown type torch.NoStorage");
    refuses(with([](auto& b) { b.function = "torch._utils\n_rebuild_other"; }),
            "\"w\": made by torch._utils._rebuild_other");
    refuses(with([](auto& b) { b.shape_instructions = "K\x03"; }), "expected extents, found 3");
    refuses(with([](auto& b) { b.method = 8; }), "compressed (method 8), expected a stored entry");
    // code
    for (const char* const name : {"os\nsystem",
                                   "posix\nsystem",
                                   "subprocess\nPopen",
                                   "builtins\neval",
                                   "builtins\nexec",
                                   "builtins\ngetattr",
                                   "__builtin__\neval",
                                   "builtins\n__import__",
                                   "builtins\nopen",
                                   "sys\nexit",
                                   "runpy\nrun_path",
                                   "nt\nsystem",
                                   "importlib\nimport_module",
                                   "socket\nsocket",
                                   "shutil\nrmtree",
                                   "torch\nload",
                                   "torch.hub\nload",
                                   "torch.storage\n_load_from_bytes",
                                   "pickle\nloads",
                                   "torch\nserialization.os.system"}) {
        std::string shown = name;
        shown[shown.find('\n')] = '.';
        const std::string expected = "refused: the pickle mentions " + shown + ", which could run code";
        refuses(with([&](auto& b) { b.before = text("c", name, "\n(", TorchBuilder::string("id"), "tR"); }),
                expected.c_str());
        refuses(with([&](auto& b) {
                    const std::string module = std::string(name).substr(0, std::string(name).find('\n'));
                    const std::string function = std::string(name).substr(module.size() + 1);
                    b.before = TorchBuilder::string(module) + TorchBuilder::string(function) + "\x93";
                }),
                expected.c_str());
        refuses(with([&](auto& b) { b.before = text("(", TorchBuilder::string("id"), "i", name, "\n"); }),
                expected.c_str());
    }
    refuses(with([](auto& b) { b.before = "K\x01)R"; }),
            "refused: the pickle calls an integer instead of a named class");
}

TEST_CASE("tensors of kinds that are not read are named, and the others are read") {
    const auto checkpoint = [](const std::string& odd) {
        ZipBuilder zip;
        zip.add("any/data.pkl", "\x80\x02}(" + TorchBuilder::string("w") + TorchBuilder{}.tensor() +
                                    TorchBuilder::string("odd") + odd + "u.");
        zip.add("any/data/0", std::string(48, '\0'));
        return to_bytes(zip.finish());
    };
    TorchBuilder quantized;
    quantized.storage_class = "torch\nQUInt8Storage";
    quantized.key = "1";
    const auto made_by = [](const char* function) { return text("c", function, "\n)R"); };
    for (const auto& [odd, reason] :
         {std::pair<std::string, const char*>(made_by("torch._utils\n_rebuild_sparse_tensor"), "a sparse tensor"),
          {made_by("torch._utils\n_rebuild_qtensor"), "a quantized tensor"},
          {made_by("torch._utils\n_rebuild_nested_tensor"), "a nested tensor"},
          {made_by("torch._utils\n_rebuild_meta_tensor_no_storage"), "without values"},
          {quantized.tensor(), "elements of the unknown type torch.QUInt8Storage"}}) {
        const Bytes bytes = checkpoint(odd);
        const io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes));
        CHECK(file.names() == std::vector<std::string>{"w"});
        CHECK(doubles(file, "w") == std::vector<double>(12));
        REQUIRE(file.unread().size() == 1);
        CHECK(file.unread()[0].first == "odd");
        CHECK_MESSAGE(contains(file.unread()[0].second, reason), file.unread()[0].second);
        CHECK(contains(error_text([&] { (void)file.tensor("odd"); }), reason));
    }
}

TEST_CASE("containers that contain themselves, or each other many times, end in an error") {
    const auto refuses = [](const std::string& pickle, const char* part) {
        ZipBuilder zip;
        zip.add("a/data.pkl", pickle);
        const Bytes bytes = to_bytes(zip.finish());
        const std::string message =
            error_text([&] { io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes)); });
        CAPTURE(message);
        CHECK(contains(message, part));
    };
    refuses("\x80\x02]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a.", "nested deeper than 64");
    std::string doubling = "]\x94";  // each list holds the one before sixteen times
    for (int level = 0; level < 30; ++level) {
        doubling += "0(";
        for (int i = 0; i < 16; ++i) {
            doubling += "h";
            doubling += static_cast<char>(level);
        }
        doubling += "l\x94";
    }
    refuses("\x80\x04" + doubling + "0N.", "no error");
    refuses("\x80\x04" + doubling + ".", "x.pth: refused: ");
    std::string names = "N";  // long names for one value, again and again
    for (int level = 0; level < 60; ++level) {
        names = "}" + TorchBuilder::string(std::string(1000, 'n')) + names + "s";
    }
    refuses("\x80\x02" + names + ".", "names longer than the whole pickle");
    refuses("\x80\x02}" + TorchBuilder::string("a") + "K\x01" + "s" + TorchBuilder::string("a") + "K\x02s.",
            "no error");
    ZipBuilder two;
    two.add("a/data.pkl", "\x80\x02N.");
    two.add("b/data.pkl", "\x80\x02N.");
    const Bytes bytes = to_bytes(two.finish());
    CHECK(contains(error_text([&] { io::TorchCheckpoint file(io::MappedFile::of_memory("x.pth", bytes)); }),
                   "more than one data.pkl"));
    refuses("\x80\x02N.more", "4 bytes after the end of the pickle");
}
