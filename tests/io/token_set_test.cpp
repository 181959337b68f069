#include "flowfar/checkpoints/codes/token_set.hpp"

#include <doctest/doctest.h>
#include <numeric>

#include "io_support.hpp"
#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::io;
using flowfar::testing::error_text;
using flowfar::testing::TempDir;

/// Five images of 2 × 2 codewords below 12, two per shard.
TokenSetFacts some_facts() {
    return {"Some", 77, 2, 2, 4, 12, "4 3", "model key", "f32", "5 images", 5, 2, {"cat", "dog"}};
}

Tokens tokens_of(Index first, Index count) {
    Tokens out{count, 2, 2, 4, {}};
    for (Index i = 4 * first; i < 4 * (first + count); ++i) {
        out.indices.push_back(static_cast<std::uint32_t>((5 * i + 5 * (i / 4)) % 12));
    }
    return out;
}
std::vector<Index> labels_of(Index first, Index count) {
    std::vector<Index> out;
    for (Index i = first; i < first + count; ++i) {
        out.push_back(i % 2);
    }
    return out;
}

void write(const Path& folder, const TokenSetFacts& facts, Index shard) {
    const Index first = facts.first_of(shard);
    const Index count = facts.size_of(shard);
    write_token_shard(folder, facts, shard, tokens_of(first, count), labels_of(first, count));
}
void write_all(const Path& folder, const TokenSetFacts& facts) {
    for (Index shard = 0; shard < facts.shards(); ++shard) {
        write(folder, facts, shard);
    }
}

std::string opening(const Path& folder) {
    return error_text([&] { static_cast<void>(TokenSet(folder)); });
}

}  // namespace

TEST_CASE("images are read at random, whatever their shard") {
    const TempDir dir;
    const TokenSetFacts facts = some_facts();
    CHECK(!has_token_shard(dir.path(), facts, 1));
    write_all(dir.path(), facts);
    CHECK(has_token_shard(dir.path(), facts, 1));
    const TokenSet set(dir.path());
    CHECK(set.facts() == facts);
    CHECK(set.size() == 5);
    std::vector<Index> all(5);
    std::iota(all.begin(), all.end(), Index{0});
    CHECK(set.read(all).tokens == tokens_of(0, 5));
    CHECK(set.read(all).labels == labels_of(0, 5));
    const std::vector<Index> some = {4, 1};
    const auto [tokens, labels] = set.read(some);
    CHECK(std::equal(tokens.indices.begin(), tokens.indices.begin() + 4, tokens_of(4, 1).indices.begin()));
    CHECK(labels == std::vector<Index>{0, 1});
    CHECK(set.label(3) == 1);

    std::vector<Index> seen;
    for (std::uint64_t i = 0; i < 5; ++i) {
        const auto batch = set.batch(all, i, 1, 3);
        for (Index image = 0; image < 5; ++image) {
            if (batch.tokens == tokens_of(image, 1)) {
                seen.push_back(image);
            }
        }
    }
    CHECK(seen != all);  // in another order
    std::ranges::sort(seen);
    CHECK(seen == all);

    const auto [train, held_back] = set.split(2, 1);
    CHECK(train.size() == 3);
    CHECK(held_back.size() == 2);
    std::vector<Index> both = train;
    both.insert(both.end(), held_back.begin(), held_back.end());
    std::ranges::sort(both);
    CHECK(both == all);
    CHECK_THROWS_AS(static_cast<void>(set.split(5, 1)), Error);
    const std::vector<Index> images = {2, 3, 5, 7, 11, 13, 17};
    CHECK(spread_evenly(images, 3) == std::vector<Index>{2, 5, 11});
    CHECK(spread_evenly(images, 9) == images);
    CHECK(spread_evenly(images, 0).empty());
    const std::vector<Index> beyond = {5};
    CHECK_THROWS_AS(static_cast<void>(set.read(beyond)), Error);
}

TEST_CASE("nothing is written that could not be read") {
    const TempDir dir;
    const TokenSetFacts facts = some_facts();
    const std::string where = facts.path(dir.path(), 0).string();
    const auto writing = [&](Tokens tokens, const std::vector<Index>& labels) {
        return error_text([&] { write_token_shard(dir.path(), facts, 0, tokens, labels); });
    };
    Tokens tokens = tokens_of(0, 2);
    tokens.indices[3] = 12;
    CHECK(writing(tokens, {0, 1}) == where + ": index 3 is 12, expected 0 to 11");
    CHECK(writing(tokens_of(0, 2), {0, 2}) == where + ": label 1 is 2, but there are 2 classes");
    CHECK(writing(tokens_of(0, 1), {0}) == where + ": expected 2 images, found tokens of 1 and 1 labels");
    tokens = tokens_of(0, 2);
    tokens.bits = 5;
    CHECK(writing(tokens, {0, 1}) == where + ": expected 2 tokens of 2 x 4 bits, found 2 of 2 x 5");
    CHECK(std::filesystem::is_empty(dir.path()));
}

TEST_CASE("missing, foreign and damaged shards are named") {
    const TempDir dir;
    const TokenSetFacts facts = some_facts();
    const std::string folder = dir.path().string();
    CHECK(opening(dir.path() / "none") == folder + "/none: expected a folder of shards of tokens");
    CHECK(opening(dir.path()) == folder + ": no shards of tokens (shard-00000-of-…); flowmo_tokenize makes them");
    write(dir.path(), facts, 0);
    write(dir.path(), facts, 2);
    CHECK(opening(dir.path()) == folder +
                                     ": shard-00001-of-00003.safetensors is missing: found 2 of 3 shards; the "
                                     "command that made them makes the others");
    TokenSetFacts other = facts;
    other.configuration = "Other";
    const std::string second = facts.path(dir.path(), 1).string();
    write(dir.path(), other, 1);
    CHECK(opening(dir.path()) == second + ": the shard is of another set: configuration: expected Some, found Other");
    CHECK_THROWS_AS(static_cast<void>(has_token_shard(dir.path(), facts, 1)), Error);
    other = facts;
    other.levels = "2 2 2 2";
    write(dir.path(), other, 1);
    CHECK(opening(dir.path()) == second + ": the shard is of another set: levels: expected 4 3, found 2 2 2 2");

    write(dir.path(), facts, 1);
    CHECK(opening(dir.path()) == "no error");
    const std::string whole = read_text(second);
    std::string damaged = whole;
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    flowfar::testing::put_file(second, damaged);
    CHECK(opening(dir.path()) == second + ": checksum mismatch: the shard is damaged; remove it and tokenize again");
    flowfar::testing::put_file(second, std::string_view(whole).substr(0, whole.size() - 3));
    CHECK(flowfar::testing::contains(opening(dir.path()), second));
    // a shard that claims to be another's number
    std::filesystem::copy_file(facts.path(dir.path(), 0), second, std::filesystem::copy_options::overwrite_existing);
    CHECK(flowfar::testing::contains(opening(dir.path()), "shard-00001-of-00003.safetensors is missing"));
    CHECK(error_text([&] { static_cast<void>(has_token_shard(dir.path(), facts, 1)); }) ==
          second + ": holds shard 0, expected 1");
}

TEST_CASE("sets that cannot be are refused before any work") {
    const TempDir dir;
    const std::string folder = dir.path().string();
    const auto refused = [&](const TokenSetFacts& facts) {
        return error_text([&] { static_cast<void>(has_token_shard(dir.path(), facts, 0)); });
    };
    TokenSetFacts facts = some_facts();
    facts.shard_size = 0;
    CHECK(refused(facts) == folder + ": shards of 0 images for 5, expected 1 or more of both");
    facts.shard_size = 1;
    facts.images = 99'999;
    CHECK(refused(facts) == "no error");
    facts.images = 100'000;
    CHECK(refused(facts) == folder + ": 100000 shards of 1 images, expected at most 99999; choose a larger shard size");
    facts = some_facts();
    facts.classes.clear();
    CHECK(refused(facts) == folder + ": no classes, but every image has a label");
}
