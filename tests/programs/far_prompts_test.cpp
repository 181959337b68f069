// far_generate from text as a user meets it.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/load.hpp"
#include "flowfar/far/text/model.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/qwen2/model.hpp"

#include "../io/io_support.hpp"
#include "byte_vocabulary.hpp"
#include "common/models/far_text_configs.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

/// A random model, a random language model with a tokenizer of bytes, and what the two make of words.
struct Painter {
    using Words = std::vector<std::string>;
    TempDir folder;

    Painter() {
        auto model = FarText<program::FarTextNano, Cpu>::random(1);
        std::uint64_t seed = 0;
        for (const auto& p : parameters(model)) {  // fresh ones give the same image whatever the prompt
            p.replace(Cpu::unary({UnaryOp::affine, 0.2, 0.0}, Cpu::normal(p.extents(), p.dtype(), ++seed, 0)));
        }
        save(model, folder / "far.safetensors");
        fs::create_directories(folder / "language");
        save(Qwen2<program::FarTextNano::Reader, Cpu>::random(2), folder / "language/model.safetensors", DType::bf16);
        put_file(folder / "language/vocab.json", byte_vocabulary());
        put_file(folder / "language/merges.txt", "");
    }
    [[nodiscard]] Outcome operator()(const Words& words) const {
        Words all{"--model",    at("far.safetensors"),
                  "--config",   "FarTextNano",
                  "--language", at("language"),
                  "--steps",    "2",
                  "--levels",   "0,4",
                  "--seed",     "3",
                  "--threads",  "2"};
        all.insert(all.end(), words.begin(), words.end());
        return run("far_generate", all);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
    [[nodiscard]] Image image(const std::string& name) const { return io::read_image(folder / name); }
};

}  // namespace

TEST_CASE("far_generate makes images from prompts, and other images from other prompts") {
    const Painter paint;
    put_file(paint.folder / "prompts.txt", "a red apple\r\n\ntwo boats\n");
    const std::vector<std::string> words{"--prompts", paint.at("prompts.txt"), "--count", "2",
                                         "--folder",  paint.at("images"),      "--out",   paint.at("sheet.png")};
    const Outcome all = paint(words);
    INFO(all.err);
    REQUIRE(all.code == 0);
    CHECK(fs::exists(paint.folder / "sheet.png"));
    for (const char* name : {"class_0/0.png", "class_0/1.png", "class_1/2.png", "class_2/5.png"}) {
        CHECK(fs::exists(paint.folder / "images" / name));
    }
    CHECK(contains(paint(words).out, "0 images made"));
    const auto single = [&](const std::string& prompt) {
        const Outcome made = paint({"--prompt", prompt, "--count", "1", "--folder", paint.at("one" + prompt)});
        CHECK(made.code == 0);
        return paint.image("one" + prompt + "/class_0/0.png").pixels;
    };
    CHECK(single("a red apple") == paint.image("images/class_0/0.png").pixels);
    CHECK(single("a red apple") != single("two boats"));
    CHECK(single("") != single("a red apple"));
    const Outcome other = paint({"--prompt", "a pear", "--count", "1", "--folder", paint.at("onetwo boats")});
    CHECK(other.code == 1);
    CHECK(contains(other.err, "prompts was [\"two boats\"], now [\"a pear\"]"));
}

TEST_CASE("far_generate says what it cannot do with prompts") {
    const Painter paint;
    CHECK(contains(paint({"--prompt", std::string(305, 'x'), "--count", "1", "--out", paint.at("long.png")}).err,
                   "prompt 1: only the first 300 tokens are read, 5 are not"));
    CHECK(contains(paint({"--prompt", "a", "--classes", "1"}).err, "--classes: expected no prompts beside them"));
    const Outcome idle = paint({"--classes", "1"});
    CHECK(idle.code == 2);
    CHECK(contains(idle.err, "--language: expected --prompt or --prompts beside it"));
    CHECK(contains(paint({"--prompt", "a\xFF"}).err, "byte 1 of 2 is not UTF-8"));
    CHECK(contains(paint({"--prompt", "a", "--prompts", "b"}).err, "--prompts: expected no --prompt beside it"));
    CHECK(contains(paint({"--prompts", paint.at("none.txt")}).err, "none.txt: cannot open"));
    CHECK(contains(run("far_generate", {"--prompt", "a"}).err,
                   "--prompt: expected a --model that was trained with prompts"));
    CHECK(contains(run("far_generate", {"--prompt", "a", "--model", paint.at("far.safetensors")}).err,
                   "--language: expected the folder of the language model"));
}
