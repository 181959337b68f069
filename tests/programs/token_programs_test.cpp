// Photos -> tokens -> generator -> pictures: flowmo_tokenize --shard-size, token_train, token_generate.

#include <charconv>
#include <csignal>
#include <doctest/doctest.h>

#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/io/images/image.hpp"

#include "../../examples/programs/common/cli/jsonl.hpp"
#include "../../examples/programs/common/files/folder_lock.hpp"
#include "folders.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// The number that stands before a part of a text; -1 if there is none.
Index number_before(const std::string& text, const std::string& part) {
    const std::size_t end = text.find(part);
    std::size_t begin = end == std::string::npos ? 0 : end;
    while (end != std::string::npos && begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') {
        --begin;
    }
    Index number = -1;
    std::from_chars(text.data() + begin, text.data() + (end == std::string::npos ? 0 : end), number);
    return number;
}
double validation_loss(const std::string& folder) {
    double found = 0;
    for (const program::Json& line : program::read_jsonl(io::Path(folder) / "log.jsonl")) {
        found = line.value("validation_loss", found);
    }
    return found;
}

/// Photos, a barely trained tokenizer of 16 x 16 pixels, and their tokens in shards of four, made once.
struct Fixture {
    TempDir folder;
    std::string photos = at("photos");
    std::string tokenizer = at("flowmo/model.safetensors");
    std::string tokens = at("tokens");
    Outcome tokenized;

    Fixture() {
        write_photos(photos, 9);
        const Outcome made = run("flowmo_train", {"--config", "FlowMoNano", photos, "-o", at("flowmo"), "--train-steps",
                                                  "3", "--batch", "4", "--validation", "4"});
        require(made.code == 0, "the test's tokenizer: ", made.err);
        tokenized = tokenize(tokens);
        require(tokenized.code == 0, "the test's tokens: ", tokenized.err);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
    /// Trained once, for a few steps.
    [[nodiscard]] std::string generator() const {
        if (!fs::exists(at("run/model.safetensors"))) {
            const Outcome made = train("run", {});
            require(made.code == 0, "the test's generator: ", made.err);
        }
        return at("run/model.safetensors");
    }
    [[nodiscard]] Outcome train(const std::string& out, const std::vector<std::string>& more,
                                const std::string& steps = "4") const {
        return run("token_train",
                   std::vector<std::string>{tokens, "-o", at(out), "--config", "MaskGitNano", "--train-steps", steps,
                                            "--batch", "4", "--validation", "3", "--log-every", "1"} +
                       more);
    }
    [[nodiscard]] Outcome tokenize(const std::string& out, const std::string& size = "4",
                                   const std::vector<std::string>& more = {}) const {
        return run("flowmo_tokenize",
                   std::vector<std::string>{photos, "-o", out, "--model", tokenizer, "--shard-size", size} + more);
    }
};

const Fixture& fixture() {
    static const Fixture made;
    return made;
}

}  // namespace

TEST_CASE("a data set becomes shards of tokens, which go on where they were left") {
    const Fixture& f = fixture();
    CHECK(has(f.tokenized.out, "3 of 3 shards made, 0 were there"));
    CHECK(has(f.tokenized.out, " of 512 codewords used, entropy "));
    CHECK(has(f.tokenized.out, " of 9 bits, 160 seen"));
    CHECK(has(f.tokenized.err, "broken.png"));  // the next image stands for it
    CHECK(has(f.tokenized.out, "unreadable files skipped: 1\n"));
    const io::TokenSet set(f.tokens);
    CHECK(set.size() == 10);
    CHECK(set.facts().configuration == "FlowMoNano");
    CHECK(set.facts().levels == "2 2 2 2 2 2 2 2 2");
    CHECK(set.facts().classes == std::vector<std::string>{"even", "odd"});
    CHECK(set.label(0) == 0);
    CHECK(set.label(9) == 1);
    const std::string alone = f.at("alone.tokens");
    REQUIRE(run("flowmo_tokenize", {f.photos + "/even/2.png", "-o", alone, "--model", f.tokenizer}).code == 0);
    const std::vector<Index> second_image = {1};
    CHECK(set.read(second_image).tokens == io::read_tokens(alone).tokens);

    // One shard missing, first while another process makes it.
    const std::string second = f.tokens + "/shard-00001-of-00003.safetensors";
    const std::string before = io::read_text(second);
    fs::remove(second);
    {
        const program::FileLock other_process(second + ".lock");
        const Outcome beside = f.tokenize(f.tokens);
        CHECK(beside.code == 0);
        CHECK(has(beside.out, "0 of 3 shards made, 2 were there"));
        CHECK(has(beside.out, "1 shards are being made by other processes"));
        CHECK_FALSE(fs::exists(second));
    }
    const Outcome again = f.tokenize(f.tokens);
    CHECK(has(again.out, "1 of 3 shards made, 2 were there"));
    CHECK(io::read_text(second) == before);
    CHECK_FALSE(fs::exists(second + ".lock"));

    // Another set's folder stays as it is.
    const Outcome other = f.tokenize(f.tokens, "5");
    CHECK(other.code == 1);
    CHECK(has(other.err, "choose another folder"));
    const Outcome narrow = f.tokenize(f.tokens, "4", {"--precision", "bf16"});
    CHECK(narrow.code == 1);
    CHECK(has(narrow.err, "the shard is of another set: precision: expected bf16, found "));
    const std::string damaged = before.substr(0, before.size() - 1) + static_cast<char>(before.back() ^ 1);
    io::write_atomically(second, std::as_bytes(std::span(damaged)));
    const Outcome refused = f.tokenize(f.tokens);
    CHECK(refused.code == 1);
    CHECK(has(refused.err, "the shard is damaged"));
    io::write_atomically(second, std::as_bytes(std::span(before)));

    CHECK(run("flowmo_tokenize", {f.photos, f.photos, "-o", f.at("no"), "--model", f.tokenizer, "--shard-size", "4"})
              .code == 2);
    CHECK(run("flowmo_tokenize",
              {f.photos, "-o", f.at("no"), "--model", f.tokenizer, "--shard-size", "4", "--fit", "tile"})
              .code == 2);
    CHECK_FALSE(fs::exists(f.at("no")));
}

TEST_CASE("two processes side by side make a set together") {
    const Fixture& f = fixture();
    const std::vector<std::string> command = {f.photos,    "-o",           f.at("both"), "--model",
                                              f.tokenizer, "--shard-size", "1"};
    Process first("flowmo_tokenize", command);
    Process second("flowmo_tokenize", command);
    const Outcome a = first.finish();
    const Outcome b = second.finish();
    CAPTURE(a.err);
    CAPTURE(b.err);
    CHECK(a.code == 0);
    CHECK(b.code == 0);
    CHECK(number_before(a.out, " of 10 shards made") + number_before(b.out, " of 10 shards made") == 10);
    const io::TokenSet together(f.at("both"));
    const io::TokenSet alone(f.tokens);
    for (Index image = 0; image < 10; ++image) {
        const std::vector<Index> one = {image};
        CHECK(together.read(one).tokens == alone.read(one).tokens);
    }
}

TEST_CASE("shards need not be whole batches of the encoder") {
    const Fixture& f = fixture();
    fs::create_directories(f.at("many/all"));
    for (int i = 0; i < 70; ++i) {
        const std::string photo = (i % 2 == 0 ? "/even/" : "/odd/") + std::to_string(i % 8) + ".png";
        fs::copy_file(f.photos + photo, f.at("many/all/") + std::to_string(100 + i) + ".png");
    }
    const Outcome made =
        run("flowmo_tokenize", {f.at("many"), "-o", f.at("many_tokens"), "--model", f.tokenizer, "--shard-size", "66"});
    CAPTURE(made.err);
    REQUIRE(made.code == 0);
    const io::TokenSet many(f.at("many_tokens"));
    const io::TokenSet set(f.tokens);
    REQUIRE(many.size() == 70);
    for (Index i = 0; i < 70; ++i) {
        CAPTURE(i);
        const std::vector<Index> here = {i};
        const std::vector<Index> there = {i % 2 == 0 ? i % 8 / 2 : 6 + i % 8 / 2};  // five and one unreadable are even
        CHECK(many.read(here).tokens == set.read(there).tokens);
    }
}

TEST_CASE("class folders have names of any bytes") {
    const Fixture& f = fixture();
    const fs::path photos = f.at("bytes");
    fs::create_directories(photos / "caf\xE9");
    fs::create_directories(photos / "a\\b");
    fs::copy_file(f.photos + "/even/0.png", photos / "caf\xE9" / "0.png");
    fs::copy_file(f.photos + "/odd/1.png", photos / "a\\b" / "1.png");
    const Outcome made = run(
        "flowmo_tokenize", {photos.string(), "-o", f.at("bytes_tokens"), "--model", f.tokenizer, "--shard-size", "4"});
    CAPTURE(made.err);
    REQUIRE(made.code == 0);
    CHECK(io::TokenSet(f.at("bytes_tokens")).facts().classes == std::vector<std::string>{"a\\\\b", "caf\\xE9"});
    const Outcome trained = run("token_train", {f.at("bytes_tokens"), "-o", f.at("bytes_run"), "--config",
                                                "MaskGitNano", "--train-steps", "1", "--validation", "0"});
    CAPTURE(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(run("token_generate", {"--model", f.at("bytes_run/model.safetensors"), "--tokenizer", f.tokenizer, "--count",
                                 "1", "--classes", "caf\xE9,a\\b", "--decode-steps", "1", "-o", f.at("bytes.png")})
              .code == 0);
}

TEST_CASE("a generator is trained on tokens; stopped, it goes on with the same bits") {
    const Fixture& f = fixture();
    const std::string model = f.generator();
    const Outcome with_pictures = f.train("whole", {"--tokenizer", f.tokenizer});
    CAPTURE(with_pictures.err);
    REQUIRE(with_pictures.code == 0);
    CHECK(has(with_pictures.out, "MaskGitNano: "));
    CHECK(has(with_pictures.out, "7 images to train on, 3 held back"));
    CHECK(has(with_pictures.out, "10 images' tokens by FlowMoNano, 2 classes"));
    CHECK(has(with_pictures.err, " of 512 codewords used, entropy "));
    CHECK(has(io::read_text(f.at("whole/log.jsonl")), "\"validation_loss\""));
    CHECK(fs::exists(f.at("whole/loss.png")));
    CHECK(fs::exists(f.at("whole/samples.png")));
    CHECK_FALSE(fs::exists(f.at("run/samples.png")));
    CHECK(io::read_text(f.at("whole/model.safetensors")) == io::read_text(model));

    CHECK(f.train("parts", {}, "2").code == 0);
    CHECK(f.train("parts", {"--resume"}).code == 0);
    CHECK(io::read_text(f.at("parts/model.safetensors")) == io::read_text(model));
    const Outcome other = f.train("parts", {"--resume", "--smoothing", "0.2"});
    CHECK(other.code == 1);
    CHECK(has(other.err, "--smoothing: saved 0.1, now 0.2"));

    // Ctrl-C, whenever it comes.
    Process stopped("token_train", {f.tokens, "-o", f.at("stopped"), "--config", "MaskGitNano", "--train-steps",
                                    "100000", "--batch", "4", "--validation", "3", "--log-every", "1"});
    REQUIRE(stopped.reaches([&] {
        return fs::exists(f.at("stopped/log.jsonl")) && has(io::read_text(f.at("stopped/log.jsonl")), "\"loss\"");
    }));
    stopped.signal(SIGINT);
    const Outcome interrupted = stopped.finish();
    CHECK(interrupted.code == 128 + SIGINT);
    const std::string at = "interrupted and saved at step ";
    REQUIRE(has(interrupted.out, at));
    const std::string rest = interrupted.out.substr(interrupted.out.find(at) + at.size());
    const std::string steps = std::to_string(std::stol(rest) + 2);
    REQUIRE(f.train("stopped", {"--resume"}, steps).code == 0);
    REQUIRE(f.train("unstopped", {}, steps).code == 0);
    CHECK(io::read_text(f.at("stopped/model.safetensors")) == io::read_text(f.at("unstopped/model.safetensors")));
}

TEST_CASE("the validation loss does not depend on the batch") {
    const Fixture& f = fixture();
    const auto loss = [&](const std::string& batch) {  // of the generator, which such a rate leaves as it is
        const std::string out = "batch" + batch;
        const Outcome made =
            run("token_train", {f.tokens, "-o", f.at(out), "--config", "MaskGitNano", "--train-steps", "1", "--batch",
                                batch, "--validation", "5", "--lr", "1e-30", "--init", f.generator()});
        CAPTURE(made.err);
        CHECK(made.code == 0);
        return validation_loss(f.at(out));
    };
    const double in_parts = loss("2");
    CHECK(in_parts > 1);
    CHECK(in_parts == doctest::Approx(loss("5")).epsilon(1e-6));
}

TEST_CASE("a generator's tokens become pictures") {
    const Fixture& f = fixture();
    const std::vector<std::string> command = {"--model",        f.generator(), "--tokenizer", f.tokenizer,
                                              "--decode-steps", "2",           "--steps",     "4"};
    const Outcome sheet =
        run("token_generate", command + std::vector<std::string>{"-o", f.at("all.png"), "--count", "2"});
    CAPTURE(sheet.err);
    REQUIRE(sheet.code == 0);
    CHECK(has(sheet.out, "all.png: 4 images in "));
    CHECK(io::read_image(f.at("all.png")).width > 2 * 64);

    // Image i depends on the seed and i alone, whatever is made with it.
    const std::vector<std::string> into = {"--folder", f.at("pictures"), "--classes", "even,odd", "--count", "2"};
    REQUIRE(run("token_generate", command + into).code == 0);
    const std::string third = f.at("pictures/class_1/2.png");
    const std::string before = io::read_text(third);
    fs::remove(third);
    const Outcome again = run("token_generate", command + into);
    CHECK(has(again.out, "1 images made"));
    CHECK(io::read_text(third) == before);
    // A sheet of what was there and what was not is the sheet of all.
    const std::vector<std::string> with_sheet = into + std::vector<std::string>{"-o", f.at("again.png")};
    fs::remove(third);
    const Outcome partly = run("token_generate", command + with_sheet);
    CHECK(has(partly.out, "again.png: 1 images in "));
    CHECK(has(partly.out, ", and 3 that were there\n"));
    CHECK(io::read_text(f.at("again.png")) == io::read_text(f.at("all.png")));
    const Outcome changed = run("token_generate", command + into + std::vector<std::string>{"--guidance", "2"});
    CHECK(changed.code == 1);
    CHECK(has(changed.err, "guidance was \"default\", now 2"));
}

TEST_CASE("what does not fit together is named before any work") {
    const Fixture& f = fixture();
    const std::string model = f.generator();
    const auto generate = [&](const std::vector<std::string>& more) {
        return run("token_generate", std::vector<std::string>{"--model", model, "-o", f.at("none.png")} + more);
    };
    const std::vector<std::string> with_tokenizer = {"--tokenizer", f.tokenizer};
    const Outcome steps = generate(with_tokenizer + std::vector<std::string>{"--steps", "17"});
    CHECK(steps.code == 1);
    CHECK(has(steps.err, "17 sampling steps, expected 1 to 16"));
    CHECK(has(generate(with_tokenizer + std::vector<std::string>{"--classes", "10"}).err, "expected 0 to 9"));
    CHECK(has(generate(with_tokenizer + std::vector<std::string>{"--classes", "evne"}).err, "did you mean even?"));
    const Outcome power =
        generate(with_tokenizer + std::vector<std::string>{"--guidance-schedule", "linear", "--guidance-power", "2"});
    CHECK(power.code == 2);
    CHECK(has(power.err, "--guidance-power is for --guidance-schedule cosine, found linear"));
    CHECK(has(generate({"--tokenizer", model}).err, "this is a MaskGiT file, FlowMo expected"));
    const Outcome swapped =
        run("token_generate", {"--model", f.tokenizer, "--tokenizer", f.tokenizer, "-o", f.at("none.png")});
    CHECK(has(swapped.err, "this is a FlowMo file, MaskGiT expected"));
    CHECK_FALSE(fs::exists(f.at("none.png")));

    // The configuration's other weights decode its tokens to noise.
    std::string weights = io::read_text(f.tokenizer);
    weights[weights.size() - 4] = static_cast<char>(weights[weights.size() - 4] ^ 1);
    io::write_atomically(f.at("other.safetensors"), std::as_bytes(std::span(weights)));
    const Outcome older = f.train("no", {"--tokenizer", f.at("other.safetensors")});
    CHECK(older.code == 1);
    CHECK(has(older.err, "were made with other weights: "));
    const Outcome noisy = run("token_generate", {"--model", model, "--tokenizer", f.at("other.safetensors"), "--count",
                                                 "1", "--decode-steps", "1", "-o", f.at("noisy.png")});
    CHECK(noisy.code == 0);
    CHECK(has(noisy.err, "other.safetensors: other weights ("));

    fs::create_directories(f.at("far"));
    io::write_atomically(f.at("far/far_generate.json"), std::as_bytes(std::span("{}", 2)));
    const Outcome mixed =
        run("token_generate", {"--model", model, "--tokenizer", f.tokenizer, "--folder", f.at("far")});
    CHECK(mixed.code == 1);
    CHECK(has(mixed.err, "holds images of another program (far_generate.json)"));
    CHECK_FALSE(fs::exists(f.at("far/token_generate.json")));

    const Outcome few = run("token_train", {f.tokens, "-o", f.at("no"), "--config", "MaskGitNano"});
    CHECK(few.code == 1);
    CHECK(has(few.err, "--validation 256 leaves none of the 10 images for training"));

    const Outcome photos = run("token_train", {f.photos, "-o", f.at("no"), "--config", "MaskGitNano"});
    CHECK(photos.code == 1);
    CHECK(has(photos.err, "no shards of tokens"));
    // Tokens of another size than the configuration's.
    const io::TokenSetFacts facts{"Other", 1, 8, 2, 9, 512, "8 8 8", "", "", "", 1, 1, {"only"}};
    fs::create_directories(f.at("other"));
    io::write_token_shard(f.at("other"), facts, 0, {1, 8, 2, 9, std::vector<std::uint32_t>(16)}, std::vector<Index>{0});
    const Outcome other =
        run("token_train", {f.at("other"), "-o", f.at("no"), "--config", "MaskGitNano", "--validation", "0"});
    CHECK(other.code == 1);
    CHECK(has(other.err,
              "tokens of Other are 8 of 2 codewords with levels 8 8 8, but MaskGitNano generates 8 of 2 with "
              "levels 2 2 2 2 2 2 2 2 2"));
    CHECK_FALSE(fs::exists(f.at("no")));
}
