// checkpoint_tool: what it says about files, and what the files it writes hold.

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <sys/resource.h>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/io/tensors/safetensors_writer.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "../io/io_support.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

using Values = std::map<std::string, std::vector<float>>;

std::vector<float> numbers(std::size_t count, float first) {
    std::vector<float> out;
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(first + 0.25F * static_cast<float>(i));
    }
    return out;
}

const Values plain{{"a.weight", numbers(6, 1.0F)}, {"a.bias", numbers(3, -2.0F)}, {"b.weight", numbers(3, 100.0F)}};

void write_safetensors(const fs::path& path, const Values& values) {
    io::SafetensorsWriter writer(path, {{"config", "Test"}});
    for (const auto& [name, numbers] : values) {
        writer.declare(name, DType::f32, {static_cast<Index>(numbers.size()) / 3, 3});
    }
    for (const auto& [name, numbers] : values) {
        writer.write_values<float>(name, numbers);
    }
    writer.finish();
}

/// A checkpoint as training programs make them: plain and averaged weights and the number of epochs.
void write_checkpoint(const fs::path& path, const Values& values) {
    io::TorchWriter writer(path);
    writer.note("epoch", 400);
    for (const char* part : {"model", "model_ema"}) {
        writer.select(part);
        for (const auto& [name, numbers] : values) {
            writer.declare(name, DType::f32, {static_cast<Index>(numbers.size()) / 3, 3});
        }
    }
    for (const float shift : {0.5F, 0.0F}) {
        for (auto [name, numbers] : values) {
            for (float& number : numbers) {
                number += shift;
            }
            writer.write_values<float>(name, numbers);
        }
    }
    writer.finish();
}

Values read(const fs::path& path) {
    const io::WeightsFile file(path);
    io::Scratch scratch;
    Values out;
    for (const std::string& name : file.names()) {
        out[name] = io::values<float>(file.at(name, scratch));
    }
    return out;
}

struct Fixture {
    TempDir folder;
    std::string model = (folder / "model.safetensors").string();
    std::string checkpoint = (folder / "checkpoint-last.pth").string();

    Fixture() {
        write_safetensors(model, plain);
        write_checkpoint(checkpoint, plain);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
};

Outcome tool(const std::vector<std::string>& arguments) {
    return testing::run("checkpoint_tool", arguments);
}

}  // namespace

TEST_CASE("list shows tensors, sums, a tree and notes") {
    const Fixture f;
    const Outcome listed = tool({"list", f.checkpoint, "--notes"});
    CAPTURE(listed.err);
    REQUIRE(listed.code == 0);
    CHECK(has(listed.out, ": PyTorch, 6 tensors, 24 elements, 96 B; 6 F32\n"));
    CHECK(has(listed.out, "\nmodel_ema.a.weight [2, 3] F32 24 B\n"));
    CHECK(has(listed.out, "\nnote epoch = 400\n"));
    const Outcome tree = tool({"list", f.checkpoint, "--tree", "--depth", "2", "--root", "model_ema"});
    REQUIRE(tree.code == 0);
    CHECK(has(tree.out, "\nmodel_ema: 3 tensors, 12 elements, 48 B; 3 F32\n  a: 2 tensors, 9 elements, 36 B; 2 F32\n"));
    CHECK_FALSE(has(tree.out, "weight"));
    CHECK_FALSE(has(tree.out, "model:"));
    const Outcome some = tool({"list", f.model, "--filter", "bias", "--notes"});
    CHECK(has(some.out, ": safetensors, 1 tensor, 3 elements, 12 B; 1 F32\na.bias [1, 3] F32 12 B\n"));
    CHECK(has(some.out, "\nnote config = Test\n"));
}

TEST_CASE("names from strangers do not steer the terminal") {
    const Fixture f;
    write_safetensors(f.at("odd.safetensors"), {{"a\x1b[2Jb", numbers(3, 0.0F)}});
    const Outcome listed = tool({"list", f.at("odd.safetensors")});
    REQUIRE(listed.code == 0);
    CHECK(has(listed.out, "\na?[2Jb [1, 3]"));
    // A line break would forge a line; U+009B is ESC [ in one character; U+202E turns the direction of writing.
    write_safetensors(f.at("more.safetensors"), {{"x\nfake [1] F32 4 B\xc2\x9b"
                                                  "2J\xe2\x80\xae",
                                                  numbers(3, 0.0F)}});
    const std::string shown = "x?fake [1] F32 4 B?2J?";
    CHECK(has(tool({"list", f.at("more.safetensors")}).out, '\n' + shown + " [1, 3]"));
    CHECK(has(tool({"list", f.at("more.safetensors"), "--tree"}).out, '\n' + shown + ": 1 tensor"));
    CHECK(has(tool({"diff", f.at("more.safetensors"), f.model}).out, ": " + shown + '\n'));
    const Outcome missing = tool({"convert", f.at("more.safetensors"), "-o", f.at("x.pth"), "--root", "y"});
    CHECK(missing.code == 1);
    CHECK(has(missing.err, "names begin with " + shown + '\n'));
}

TEST_CASE("convert keeps names and values, there and back") {
    const Fixture f;
    REQUIRE(tool({"convert", f.model, "-o", f.at("there.pth")}).code == 0);
    CHECK(read(f.at("there.pth")) == plain);
    const Outcome back = tool({"convert", f.at("there.pth"), "-o", f.at("back.safetensors")});
    CHECK(has(back.out, ": 3 tensors, "));
    CHECK(read(f.at("back.safetensors")) == plain);
    // Nested checkpoints become flat; metadata survives between safetensors files.
    REQUIRE(tool({"convert", f.checkpoint, "-o", f.at("flat.safetensors")}).code == 0);
    CHECK(read(f.at("flat.safetensors")) == read(f.checkpoint));
    REQUIRE(tool({"convert", f.model, "-o", f.at("copy.safetensors")}).code == 0);
    CHECK(io::read_text(f.at("copy.safetensors")) == io::read_text(f.model));
    // In place, too: the file is replaced when all is written.
    REQUIRE(tool({"convert", f.at("copy.safetensors"), "-o", f.at("copy.safetensors"), "--dtype", "f16"}).code == 0);
    CHECK(read(f.at("copy.safetensors")) == plain);
}

TEST_CASE("convert rounds to smaller types and says what did not fit") {
    const Fixture f;
    Values large = plain;
    large["a.bias"] = {70000.0F, -1e30F, std::numeric_limits<float>::infinity()};
    large["b.weight"] = {1.0F / 3.0F, 0.1F, 1e-3F};
    write_safetensors(f.at("large.safetensors"), large);
    for (const char* out : {"half.safetensors", "half.pth"}) {
        const Outcome half = tool({"convert", f.at("large.safetensors"), "-o", f.at(out), "--dtype", "f16"});
        CHECK(half.code == 0);
        CHECK(has(half.err, "warning: 2 values were too large for f16 and became infinite"));
        const Values rounded = read(f.at(out));
        CHECK(rounded.at("a.weight") == plain.at("a.weight"));
        for (std::size_t i = 0; i < 3; ++i) {
            const float value = large["b.weight"][i];
            CHECK(rounded.at("b.weight")[i] == static_cast<float>(f16(value)));
        }
        CHECK(io::WeightsFile(f.at(out)).info("a.bias").type == "F16");
    }
    REQUIRE(tool({"convert", f.at("large.safetensors"), "-o", f.at("b.pth"), "--dtype", "bf16"}).code == 0);
    CHECK(read(f.at("b.pth")).at("b.weight")[1] == static_cast<float>(bf16(0.1F)));
    CHECK(
        tool({"diff", f.at("large.safetensors"), f.at("b.pth"), "--filter", "b.weight", "--tolerance", "0.004"}).code ==
        0);
}

TEST_CASE("extract prefers averaged weights and gives them their own names") {
    const Fixture f;
    const Outcome averaged = tool({"extract", f.checkpoint, "-o", f.at("ema.safetensors")});
    CAPTURE(averaged.err);
    REQUIRE(averaged.code == 0);
    CHECK(has(averaged.out, ": model_ema -> "));
    CHECK(read(f.at("ema.safetensors")) == plain);
    REQUIRE(tool({"extract", f.checkpoint, "-o", f.at("a.pth"), "--root", "model.a"}).code == 0);
    CHECK(read(f.at("a.pth")).at("bias") == std::vector<float>{-1.5F, -1.25F, -1.0F});
    const Outcome missing = tool({"extract", f.checkpoint, "-o", f.at("x.pth"), "--root", "modle"});
    CHECK(missing.code == 1);
    CHECK(has(missing.err, "no tensors below \"modle\"; names begin with model, model_ema"));
    CHECK_FALSE(fs::exists(f.at("x.pth")));
}

TEST_CASE("diff finds missing tensors, other shapes and the size of differences") {
    const Fixture f;
    const Outcome same = tool({"diff", f.checkpoint, f.model, "--root", "model_ema"});
    CHECK(same.code == 0);
    CHECK(same.out == "3 tensors compared, 3 equal: the same\n");
    const Outcome shifted = tool({"diff", f.checkpoint, f.checkpoint, "--root", "model_ema", "--other-root", "model"});
    CHECK(shifted.code == 1);
    CHECK(has(shifted.out, "b.weight: 3 elements differ, largest difference 0.5, relative 0.0049"));
    CHECK(has(shifted.out, "3 tensors compared, 0 equal: different\n"));
    const Outcome close = tool({"diff", f.model, f.checkpoint, "--other-root", "model", "--tolerance", "0.5"});
    CHECK(close.code == 0);
    CHECK(has(close.out, "the same within the tolerance"));
    Values other = plain;
    other.erase("a.bias");
    other["b.weight"] = numbers(6, 0.0F);
    other["new"] = numbers(3, 0.0F);
    other["a.weight"][2] = std::nanf("");
    write_safetensors(f.at("other.safetensors"), other);
    const Outcome different = tool({"diff", f.model, f.at("other.safetensors")});
    CHECK(different.code == 1);
    CHECK(has(different.out, "only in " + f.model + ": a.bias\n"));
    CHECK(has(different.out, "only in " + f.at("other.safetensors") + ": new\n"));
    CHECK(has(different.out, "b.weight: shape [1, 3], other [2, 3]\n"));
    CHECK(has(different.out, "a.weight: 1 elements differ, largest difference inf, relative inf\n"));
    CHECK(tool({"diff", f.at("other.safetensors"), f.at("other.safetensors")}).code == 0);
}

TEST_CASE("verify counts what is not a number and finds flipped bits") {
    const Fixture f;
    const Outcome sound = tool({"verify", f.checkpoint, "--all", "--root", "model_ema"});
    CHECK(sound.code == 0);
    CHECK(has(sound.out, "checksums, 0 wrong\n"));
    CHECK(has(sound.out, "model_ema.a.bias: 0 NaN, 0 infinite, finite ones from -2 to -1.5\n"));
    CHECK(has(sound.out, "3 tensors checked, 0 with NaN or infinities, 0 not checked: nothing wrong found\n"));
    Values bad = plain;
    bad["a.weight"][0] = std::nanf("");
    bad["a.weight"][4] = -std::numeric_limits<float>::infinity();
    write_safetensors(f.at("bad.safetensors"), bad);
    const Outcome found = tool({"verify", f.at("bad.safetensors")});
    CHECK(found.code == 1);
    CHECK(has(found.out, "a.weight: 1 NaN, 1 infinite, finite ones from 1.25 to 2.25\n"));
    CHECK(has(found.out, "3 tensors checked, 1 with NaN or infinities, 0 not checked: not all values are finite\n"));
    std::string bytes = io::read_text(f.checkpoint);
    const float marker = 100.75F;  // of model.b.weight
    const std::size_t at = bytes.find(std::string_view(reinterpret_cast<const char*>(&marker), 4));
    REQUIRE(at != std::string::npos);
    bytes[at + 1] = static_cast<char>(bytes[at + 1] ^ 4);
    put_file(f.at("flipped.pth"), bytes);
    const Outcome flipped = tool({"verify", f.at("flipped.pth")});
    CHECK(flipped.code == 1);
    CHECK(has(flipped.out, "damaged: expected CRC-32 "));
    CHECK(has(flipped.out, "checksums, 1 wrong\n"));
    CHECK(has(flipped.out, ", 0 not checked: damaged\n"));
    CHECK_FALSE(has(flipped.out, "sound"));
    const Outcome none = tool({"verify", f.model, "--filter", "nothing of that name"});
    CHECK(none.code == 1);
    CHECK(has(none.out, ": nothing to check\n"));
}

TEST_CASE("tensors that cannot be read are named, and what would lack them is a failure") {
    const Fixture f;
    const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                               R"("odd":{"dtype":"F4X","shape":[3],"data_offsets":[4,6]}})";
    put_file(f.at("x.safetensors"),
             std::string(1, static_cast<char>(header.size())) + std::string(7, '\0') + header + std::string(6, '\1'));
    const Outcome listed = tool({"list", f.at("x.safetensors")});
    CHECK(listed.code == 0);
    CHECK(has(listed.out, "a [1] F32"));
    CHECK(has(listed.err, "cannot be read: odd: elements of type F4X"));
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"convert", f.at("x.safetensors"), "-o", f.at("y.pth")},
          {"extract", f.at("x.safetensors"), "-o", f.at("y.pth")},
          {"diff", f.at("x.safetensors"), f.at("x.safetensors")},
          {"verify", f.at("x.safetensors")}}) {
        const Outcome found = tool(words);
        CHECK(found.code == 1);
        CHECK(has(found.out + found.err, "odd"));
    }
    CHECK_FALSE(fs::exists(f.at("y.pth")));
    put_file(f.at("page.pth"), "<!DOCTYPE html><html>not found</html>");
    CHECK(has(tool({"list", f.at("page.pth")}).err, "found an HTML page"));
    put_file(f.at("empty.pth"), "");
    CHECK(has(tool({"list", f.at("empty.pth")}).err, "found an empty file"));
    put_file(f.at("plain.pkl"), "\x80\x04\x95 something");
    CHECK(has(tool({"list", f.at("plain.pkl")}).err, "a Python pickle that torch.save did not write"));
}

TEST_CASE("hostile files are refused by name, and wrong usage is explained") {
    const Fixture f;
    put_file(f.at("evil.pth"),
             "\x80\x02"
             "\x8a\x0al\xfc\x9c"
             "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.cos\nsystem\n(S'true'\ntR.");
    const Outcome evil = tool({"list", f.at("evil.pth")});
    CHECK(evil.code == 1);
    CHECK(has(evil.err, "refused: the pickle mentions os.system, which could run code"));
    put_file(f.at("text.pth"), "just some text, long enough for a header");
    CHECK(tool({"verify", f.at("text.pth")}).code == 1);
    CHECK(tool({"list", f.at("missing")}).code == 1);
    CHECK(tool({"list"}).code == 2);
    CHECK(tool({"lst", f.model}).code == 2);
    CHECK(tool({"list", f.model, "-o", "x"}).code == 2);
    CHECK(tool({"list", f.model, f.model}).code == 2);
    CHECK(tool({"diff", f.model}).code == 2);
    CHECK(tool({"convert", f.model}).code == 2);
    CHECK(tool({"convert", f.model, "-o", f.at("x.bin")}).code == 2);
    CHECK_FALSE(fs::exists(f.at("x.bin")));
}

TEST_CASE("memory holds one tensor, not the file") {
    const Fixture f;
    const std::vector<float> large(std::size_t{1} << 20, 0.5F);  // 4 MiB, 24 times
    {
        io::SafetensorsWriter writer(f.at("large.safetensors"));
        for (int i = 0; i < 24; ++i) {
            writer.declare(text("t", i), DType::f32, {1 << 20});
        }
        for (int i = 0; i < 24; ++i) {
            writer.write_values<float>(text("t", i), large);
        }
        writer.finish();
    }
    REQUIRE(tool({"convert", f.at("large.safetensors"), "-o", f.at("large.pth"), "--dtype", "bf16"}).code == 0);
    REQUIRE(tool({"convert", f.at("large.pth"), "-o", f.at("again.safetensors"), "--dtype", "f32"}).code == 0);
    REQUIRE(tool({"diff", f.at("large.safetensors"), f.at("again.safetensors")}).code == 0);
    REQUIRE(tool({"verify", f.at("large.pth")}).code == 0);
    rusage usage{};
    REQUIRE(::getrusage(RUSAGE_CHILDREN, &usage) == 0);  // of the largest program so far
    if (Pool::keeps) {                                   // else an address sanitizer takes memory of its own
        CHECK(usage.ru_maxrss < 40 * 1024);              // kB; the file has 96 MiB
    }
}
