// Photos -> tokens -> generator -> pictures: flowmo_tokenize --shard-size, token_train, token_generate.

#include <csignal>
#include <doctest/doctest.h>

#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/io/images/image.hpp"

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
    [[nodiscard]] Outcome tokenize(const std::string& out, const std::string& size = "4") const {
        return run("flowmo_tokenize", {photos, "-o", out, "--model", tokenizer, "--shard-size", size});
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
    const io::TokenSet set(f.tokens);
    CHECK(set.size() == 10);
    CHECK(set.facts().configuration == "FlowMoNano");
    CHECK(set.facts().levels == "2 2 2 2 2 2 2 2 2");
    CHECK(set.facts().classes == std::vector<std::string>{"even", "odd"});
    CHECK(set.label(0) == 0);
    CHECK(set.label(9) == 1);

    // One shard missing, another being made by another process.
    const std::string second = f.tokens + "/shard-00001-of-00003.safetensors";
    const std::string before = io::read_text(second);
    fs::remove(second);
    const Outcome again = f.tokenize(f.tokens);
    CHECK(has(again.out, "1 of 3 shards made, 2 were there"));
    CHECK(io::read_text(second) == before);
    CHECK_FALSE(fs::exists(second + ".lock"));

    // Another set's folder stays as it is.
    const Outcome other = f.tokenize(f.tokens, "5");
    CHECK(other.code == 1);
    CHECK(has(other.err, "choose another folder"));
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
    const io::TokenSet together(f.at("both"));
    const io::TokenSet alone(f.tokens);
    for (Index image = 0; image < 10; ++image) {
        const std::vector<Index> one = {image};
        CHECK(together.read(one).tokens == alone.read(one).tokens);
    }
}
