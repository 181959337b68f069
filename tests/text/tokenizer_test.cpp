/// The tokenizer of Qwen2 against ids on which five published implementations agree (qwen2_tokenizer.json).

#include <algorithm>
#include <doctest/doctest.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "flowfar/text/far_instruction.hpp"
#include "flowfar/text/load_tokenizer.hpp"
#include "flowfar/text/prompts.hpp"

#include "golden.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Json = nlohmann::json;
using Ids = std::vector<Index>;

const Json& recorded() {
    static const Json out = [] {
        const auto path = Golden::find_path("qwen2_tokenizer.json");
        REQUIRE(path.has_value());
        std::ifstream file(*path);
        return Json::parse(file);
    }();
    return out;
}

/// The vocabulary cut after 2000 merges, in every form in which files have it.
io::Path small_folder() {
    const auto path = Golden::find_path("qwen2_tokenizer_2000");
    REQUIRE(path.has_value());
    return *path;
}

/// The published vocabulary, 4.4 MB, where it is at hand.
std::optional<BpeTokenizer> published() {
    const auto path = Golden::find_path("qwen2_tokenizer_full");
    if (!path) {
        return std::nullopt;
    }
    BpeVocabulary vocabulary;
    vocabulary.name = path->string();
    tokenizer_files::read_vocab_json(io::MappedFile(*path / "vocab.json"), vocabulary);
    tokenizer_files::read_merges(io::MappedFile(*path / "merges.txt"), vocabulary);
    for (const Json& name : recorded()["special"]) {
        const auto id = static_cast<Index>(vocabulary.tokens.size() + vocabulary.added.size());
        vocabulary.added.push_back({id, name.get<std::string>()});
    }
    return BpeTokenizer(std::move(vocabulary));
}

void check_ids(const BpeTokenizer& tokenizer, const char* which) {
    CHECK(tokenizer.size() == recorded()[which]["size"].get<Index>());
    for (const Json& one : recorded()["cases"]) {
        const auto text = one["text"].get<std::string>();
        CAPTURE(text);
        CHECK(tokenizer.encode(text) == one[which].get<Ids>());
        CHECK(tokenizer.pieces(text) == one["pieces"].get<std::vector<std::string>>());
    }
    for (const Json& one : recorded()["decode"]) {
        if (one["vocabulary"] == which) {
            const auto ids = one["ids"].get<Ids>();
            CHECK(tokenizer.decode(ids) == one["text"].get<std::string>());
            CHECK(tokenizer.decode(ids, SpecialTokens::skip) == one["without_special"].get<std::string>());
        }
    }
    for (const Json& one : recorded()["padding"]) {
        if (one["vocabulary"] == which) {
            const std::vector<std::string> prompts{one["text"].get<std::string>()};
            const auto rows =
                prompt_rows(tokenizer, prompts,
                            {.length = one["max_length"].get<Index>(),
                             .side = one["padding_side"] == "left" ? PaddingSide::left : PaddingSide::right});
            CHECK(rows.ids == one["ids"].get<Ids>());
            CHECK(rows.mask == one["mask_by_id"].get<Ids>());
        }
    }
}

}  // namespace

TEST_CASE("ids, pieces, decoded texts and padding with the published vocabulary") {
    if (const auto tokenizer = published()) {
        check_ids(*tokenizer, "full");
        for (const Json& prefix : recorded()["prefix"]) {
            CHECK(tokenizer->encode(prefix["text"].get<std::string>()) == prefix["full"].get<Ids>());
        }
    }
}

TEST_CASE("FAR's instruction is kept as tokens") {
    CHECK(Ids(far_instruction.begin(), far_instruction.end()) == recorded()["prefix"]["far"]["full"].get<Ids>());
    const std::vector<std::string> prompts{"A"};
    const TokenRows rows = far_prompts(load_tokenizer(small_folder()), prompts);
    CHECK(rows.length == 444);
    CHECK(rows.ids.back() == 32);
    CHECK(far_prompts(load_tokenizer(small_folder()), prompts, 24).length == 168);
    CHECK(std::count(rows.mask.begin(), rows.mask.end(), 1) == 145);
}

TEST_CASE("the same with a small vocabulary from vocab.json and merges.txt, and from tokenizer.json in both forms") {
    const io::Path folder = small_folder();
    for (const char* file : {"", "tokenizer.json", "tokenizer_pairs.json"}) {
        CAPTURE(file);
        const BpeTokenizer tokenizer = load_tokenizer(*file == '\0' ? folder : folder / file);
        CHECK(tokenizer.padding_side() == PaddingSide::left);
        CHECK(tokenizer.padding() == 2256);
        check_ids(tokenizer, "trunc");
    }
}

TEST_CASE("prompts with a prefix: the prefix is never masked, long prompts lose their end") {
    const BpeTokenizer tokenizer = load_tokenizer(small_folder());
    const std::vector<std::string> prompts{"a b c d", "a"};
    const auto rows = prompt_rows(tokenizer, prompts, {{2256, 7}, 3, PaddingSide::left});
    CHECK(rows.length == 5);
    CHECK(rows.ids == Ids{2256, 7, 64, 293, 272, 2256, 7, 2256, 2256, 64});
    CHECK(rows.mask == Ids{1, 1, 1, 1, 1, 1, 1, 0, 0, 1});
    CHECK(rows.cut == Ids{1, 0});
}

TEST_CASE("a word of 200,000 letters takes one heap") {
    const BpeTokenizer tokenizer = load_tokenizer(small_folder());
    std::string word;
    for (int i = 0; i < 20000; ++i) {
        word += "tokenizing";
    }
    const Ids ids = tokenizer.encode(word);
    CHECK(ids.size() < word.size());
    CHECK(tokenizer.decode(ids) == word);
}
