// far_generate from text as a user meets it.

#include <algorithm>
#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/far_text.hpp"
#include "flowfar/checkpoints/load.hpp"
#include "flowfar/far/text/model.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/qwen2/model.hpp"

#include "../io/io_support.hpp"
#include "byte_vocabulary.hpp"
#include "common/cli/jsonl.hpp"
#include "common/text/far_text_configs.hpp"
#include "folders.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// A random model, a random language model with a tokenizer of bytes, and what the two make of words.
struct Painter {
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
    /// Words replace the options below.
    [[nodiscard]] Outcome operator()(const Words& words) const {
        Words all = words;
        for (const auto& [option, value] :
             std::vector<std::pair<std::string, std::string>>{{"--model", at("far.safetensors")},
                                                              {"--config", "FarTextNano"},
                                                              {"--language", at("language")},
                                                              {"--steps", "2"},
                                                              {"--levels", "0,4"},
                                                              {"--seed", "3"},
                                                              {"--threads", "2"}}) {
            if (std::ranges::find(words, option) == words.end()) {
                all.insert(all.end(), {option, value});
            }
        }
        return run("far_generate", all);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
    [[nodiscard]] Image image(const std::string& name) const { return io::read_image(folder / name); }
};

struct Wider : program::FarTextNano {
    static constexpr std::string_view name = "Wider";
    static constexpr Index context_width = 24;
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
    const auto again = [&](const Words& more) {
        return paint(Words{"--prompt", "a red apple", "--count", "1", "--folder", paint.at("onea red apple")} + more);
    };
    CHECK(contains(again({}).out, "0 images made"));
    CHECK(contains(again({"--precision", "bf16"}).err, "precision was \"f32\", now \"bf16\""));
    // Folders of versions that had no solvers are continued with the one that they had.
    const fs::path record = paint.folder / "onea red apple/far_generate.json";
    program::Json before = program::Json::parse(io::read_text(record));
    REQUIRE(before.erase("solver") == 1);
    put_file(record, before.dump());
    CHECK(contains(again({}).out, "0 images made"));
    CHECK(contains(again({"--solver", "ddim"}).err, "solver was \"ddpm\", now \"ddim\""));
    save(Qwen2<program::FarTextNano::Reader, Cpu>::random(5), paint.folder / "language/model.safetensors", DType::bf16);
    CHECK(contains(again({}).err, "other options: language was"));
}

TEST_CASE("far_generate reads prompts as it needs them, or all before the first image: the same images") {
    const Painter paint;
    put_file(paint.folder / "prompts.txt", "a\nb\nc\n");
    const Words words{"--prompts", paint.at("prompts.txt"), "--count", "30", "--folder"};
    REQUIRE(paint(words + Words{paint.at("late")}).code == 0);
    REQUIRE(paint(words + Words{paint.at("early"), "--release-language"}).code == 0);
    for (const char* name : {"class_0/0.png", "class_1/30.png", "class_2/89.png"}) {
        CHECK(paint.image(text("late/", name)).pixels == paint.image(text("early/", name)).pixels);
    }
    // A folder that is continued: a column for each image that is made, under its own name.
    fs::remove_all(paint.folder / "late/class_1");
    const Outcome resumed = paint(words + Words{paint.at("late"), "--progressive", paint.at("levels.png")});
    CHECK(contains(resumed.out, "30 images made"));
    CHECK(paint.image("late/class_1/30.png").pixels == paint.image("early/class_1/30.png").pixels);
    const auto one =
        paint({"--prompt", "b", "--count", "1", "--out", paint.at("b.png"), "--progressive", paint.at("b_levels.png")});
    REQUIRE(one.code == 0);
    CHECK(paint.image("levels.png").width == paint.image("b_levels.png").width);
    CHECK(paint.image("levels.png").height == paint.image("b_levels.png").height);
}

TEST_CASE("far_generate writes an image per caption under its id") {
    const Painter paint;
    const auto captions = [&](const std::string& content) { put_file(paint.folder / "captions.tsv", content); };
    captions(
        "\xEF\xBB\xBF"
        "image_id\tcaption\tid\n9\ta red apple\t17\r\n9\t\"a \"\"green\"\" one\"\t18\n4\ttwo boats\t29\n");
    const Words words{"--prompts", paint.at("captions.tsv"), "--folder"};
    const Words all = words + Words{paint.at("all")};
    REQUIRE(paint(all).code == 0);
    for (const char* name : {"all/17.png", "all/18.png", "all/29.png"}) {
        CHECK(fs::exists(paint.folder / name));
    }
    CHECK(contains(io::read_text(paint.folder / "all/far_generate.json"), "a \\\"green\\\" one"));
    // In parts, of which one is made twice: the same images.
    CHECK(contains(paint(words + Words{paint.at("parts"), "--part", "2/2"}).out, "2 images made"));
    CHECK(contains(paint(words + Words{paint.at("parts"), "--part", "2/2"}).out, "0 images made"));
    CHECK_FALSE(fs::exists(paint.folder / "parts/17.png"));
    CHECK(contains(paint(words + Words{paint.at("parts"), "--part", "1/2"}).out, "1 images made"));
    const Outcome compared = run("image_metrics", {paint.at("all"), paint.at("parts")});
    CHECK(contains(compared.out, "3 pairs"));
    CHECK(paint.image("all/29.png").pixels == paint.image("parts/29.png").pixels);

    const auto refused = [&](const Words& more, const std::string& message) {
        const Outcome outcome = paint(all + more);
        CAPTURE(outcome.err);
        CHECK(outcome.code != 0);
        CHECK(contains(outcome.err, message));
    };
    refused({"--count", "2"}, "--count: 2, expected 1 for captions");
    refused({"--part", "3/2"}, "--part 3/2: expected a part such as 2/4");
    refused({"--part", "1/2", "--out", paint.at("sheet.png")}, "--part: expected --folder, and neither --out");
    captions("17\ta\n17\tb\n");
    refused({}, "captions.tsv, line 2: id 17 occurs in line 1, too");
    captions("17\ta\n18\n");
    refused({}, "captions.tsv, line 2: expected 2 columns");
    captions("../17\ta\n");
    refused({}, "id \"../17\": expected letters");
    captions("17\ta\n18\tb\xFF\n");
    refused({}, "captions.tsv, line 2: ");
    captions("id\tcaption\n17\tb\xFF\n");
    refused({}, "captions.tsv, line 2: ");
    captions("id\tsentence\n17\ta\n");
    refused({},
            "captions.tsv, line 1: expected the names of two columns, id (or image_id, file_name) and caption (or "
            "text, prompt), or neither, found id alone");
    captions("image\tcaption\n17\ta\n");
    refused({}, "or neither, found caption alone");
    captions("id\tcaption\n");
    refused({}, "captions.tsv: expected prompts, found none");
}

TEST_CASE("far_generate says which images its sheet has no room for, before it makes them") {
    const Painter paint;
    const auto sheet = [&](const Words& words) {
        return paint(words + Words{"--out", paint.at("sheet.png"), "--levels", "0", "--steps", "1"});
    };
    std::string lines;
    for (int i = 0; i < 122; ++i) {
        lines += text("prompt ", i, "\n");
    }
    put_file(paint.folder / "many.txt", lines);
    const Outcome rows = sheet({"--prompts", paint.at("many.txt"), "--count", "1"});
    CAPTURE(rows.err);
    CHECK(rows.code == 0);
    CHECK(contains(rows.err, "sheet.png has room for the first 120 of 122 rows, 1 of 1 images each; --folder keeps"));
    const Outcome columns = sheet({"--prompt", "a", "--count", "121"});
    CHECK(contains(columns.err, "sheet.png has room for the first 1 of 1 rows, 120 of 121 images each; --folder"));
    CHECK(sheet({"--prompt", "a", "--count", "2"}).err.find("has room") == std::string::npos);
}

TEST_CASE("far_generate lays a folder out as GenEval reads it") {
    const Painter paint;
    const std::string first = R"({"tag":"single_object","include":[{"class":"apple","count":1}],"prompt":"an apple"})";
    put_file(paint.folder / "metadata.jsonl", first + "\n{\"tag\":\"colors\",\"prompt\":\"a blue cup\"}\n");
    const Words words{"--prompts", paint.at("metadata.jsonl"), "--folder", paint.at("geneval")};
    const Outcome made = paint(words);
    CAPTURE(made.err);
    REQUIRE(made.code == 0);
    for (const char* name : {"00000/samples/0000.png", "00000/samples/0003.png", "00001/samples/0003.png"}) {
        CHECK(fs::exists(paint.folder / "geneval" / name));
    }
    CHECK(io::read_text(paint.folder / "geneval/00000/metadata.jsonl") == first + "\n");
    const Image kept = paint.image("geneval/00001/samples/0002.png");
    fs::remove(paint.folder / "geneval/00001/samples/0002.png");
    CHECK(contains(paint(words).out, "1 images made"));
    CHECK(paint.image("geneval/00001/samples/0002.png").pixels == kept.pixels);
    put_file(paint.folder / "metadata.jsonl", first + "\n{\"tag\":\"colors\"}");
    CHECK(contains(paint(words).err, "metadata.jsonl, prompt 2: expected a member \"prompt\""));
}

TEST_CASE("a file tells the sizes of a FAR from text") {
    const Painter paint;
    const auto model = load<FarText<program::FarTextNano, Cpu>>(paint.folder / "far.safetensors");
    CHECK(parameters(model).back().has_values());
    const io::WeightsFile file(paint.folder / "far.safetensors");
    const std::string error = error_text([&] { CheckpointTraits<FarText<Wider, Cpu>>::check(io::Weights(file, "")); });
    CHECK(contains(error, "this model has width 32, 1 + 1 blocks"));
    CHECK(contains(error, "contexts of 300 tokens of width 16, but Wider was expected"));
    // The sizes tell the configuration where nobody names it.
    io::save_parameters(model, paint.folder / "bare.safetensors", DType::bf16, {});
    const Outcome bare = run("far_generate", {"--model", paint.at("bare.safetensors"), "--language",
                                              paint.at("language"), "--prompt", "a", "--count", "1", "--folder",
                                              paint.at("bare"), "--steps", "2", "--levels", "0,4", "--seed", "3"});
    CAPTURE(bare.err);
    CHECK(bare.code == 0);
    CHECK(contains(io::read_text(paint.folder / "bare/far_generate.json"), "FarTextNano"));
}

TEST_CASE("far_generate says what it cannot do with prompts") {
    const Painter paint;
    CHECK(contains(paint({"--prompt", std::string(305, 'x'), "--count", "1", "--out", paint.at("long.png")}).err,
                   "--prompt: only the first 300 tokens are read, 5 are not"));
    std::string lines;
    for (int i = 0; i < 7; ++i) {
        lines += (i == 0 ? "short\n" : std::string(301, 'y') + "\n");
    }
    put_file(paint.folder / "long.txt", lines);
    const std::string cut =
        paint({"--prompts", paint.at("long.txt"), "--count", "1", "--folder", paint.at("long")}).err;
    CHECK(contains(cut, "long.txt, line 2: only the first 300 tokens are read, 1 are not"));
    CHECK(contains(cut, "long.txt, line 6: "));
    CHECK_FALSE(contains(cut, "long.txt, line 7: "));
    CHECK(contains(cut, "in all, 6 of 7 prompts have more than 300 tokens"));
    // Options that are impossible leave no record behind.
    const Words one{"--prompt", "a", "--count", "1", "--folder", paint.at("record")};
    CHECK(contains(paint(one + Words{"--steps", "2000"}).err, "2000"));
    CHECK_FALSE(fs::exists(paint.folder / "record"));
    CHECK(paint(one).code == 0);
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
    // What is checked before a prompt is read, in this order; the prompt itself is no UTF-8.
    const auto first = [&](const Words& more) { return paint(Words{"--prompt", "a\xFF"} + more).err; };
    const std::string classes = (source_folder() / "examples/models/far_tiny.safetensors").string();
    CHECK(contains(first({"--model", classes}), "this is a FAR file, FAR from text expected"));
    CHECK(contains(run("far_generate", {"--model", paint.at("far.safetensors")}).err,
                   "this is a FAR from text file, FAR expected"));
    CHECK(contains(first({"--language", paint.at("nowhere")}), "nowhere: no such folder"));
    CHECK(contains(first({"--tokenizer", paint.at("none.ckpt")}), "none.ckpt: this configuration generates pixels"));
    fs::remove(paint.folder / "language/model.safetensors");
    put_file(paint.folder / "language/model.safetensors.index.json",
             R"({"weight_map":{"model.embed_tokens.weight":"model-00001-of-00002.safetensors"}})");
    CHECK(contains(first({}), "model-00001-of-00002.safetensors: cannot open"));
}
