/// Tokenizers in damaged and contradictory files.

#include <doctest/doctest.h>
#include <string>
#include <string_view>

#include "flowfar/text/load_tokenizer.hpp"

#include "../io/io_support.hpp"
#include "byte_vocabulary.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// A vocabulary of the 256 bytes, each at its own value, and some merges.
BpeVocabulary bytes_vocabulary() {
    BpeVocabulary out;
    out.name = "vocabulary";
    for (int byte = 0; byte < 256; ++byte) {
        out.tokens.emplace_back(1, static_cast<char>(byte));
    }
    for (const auto& [left, right] : {std::pair("a", "b"), std::pair("ab", "ab"), std::pair("b", "a")}) {
        out.merges.emplace_back(left, right);
        out.tokens.push_back(std::string(left) + right);
    }
    out.added = {{259, "<|endoftext|>"}, {260, "<|end|>"}, {261, "<|e"}};
    return out;
}

std::string vocabulary_error(BpeVocabulary vocabulary) {
    return error_text([&] { static_cast<void>(BpeTokenizer(std::move(vocabulary))); });
}

using Reader = void (*)(const io::MappedFile&, BpeVocabulary&);
std::string read_error(Reader read, std::string_view characters) {
    BpeVocabulary out;
    return error_text([&] { read(io::MappedFile::of_memory("file", std::as_bytes(std::span(characters))), out); });
}

}  // namespace

TEST_CASE("merges go by rank, and of equal ranks the leftmost comes first") {
    const BpeTokenizer tokenizer(bytes_vocabulary());
    using Ids = std::vector<Index>;
    CHECK(tokenizer.encode("abab") == Ids{257});
    CHECK(tokenizer.encode("ababab") == Ids{257, 256});
    CHECK(tokenizer.encode("ba") == Ids{258});
    CHECK(tokenizer.encode("bab") == Ids{'b', 256});
    CHECK(tokenizer.encode("") == Ids{});
}

TEST_CASE("the longest added token that fits is taken, and none across what was decomposed") {
    const BpeTokenizer tokenizer(bytes_vocabulary());
    using Ids = std::vector<Index>;
    CHECK(tokenizer.encode("<|end|><|endo") == Ids{260, 261, 'n', 'd', 'o'});
    CHECK(tokenizer.encode("<|end|>\xCC\xB8") == Ids{260, 0xCC, 0xB8});
    CHECK(tokenizer.encode("a\xCC\x81") == Ids{0xC3, 0xA1});
}

TEST_CASE("text that is not UTF-8 is refused with its place, ids out of range with theirs") {
    const BpeTokenizer tokenizer(bytes_vocabulary());
    CHECK(error_text([&] { static_cast<void>(tokenizer.encode("ab\xFFz")); }) ==
          "text for a tokenizer: byte 2 of 4 is not UTF-8");
    const std::vector<Index> ids{262};
    CHECK(error_text([&] { static_cast<void>(tokenizer.decode(ids)); }) == "vocabulary: token 262, expected 0 to 261");
}

TEST_CASE("vocabularies that contradict themselves") {
    const auto changed = [](auto&& change) {
        BpeVocabulary out = bytes_vocabulary();
        change(out);
        return vocabulary_error(std::move(out));
    };
    CHECK(changed([](BpeVocabulary& v) { v.merges.emplace_back("a", "c"); }) ==
          "vocabulary: merge 3: \"a c\": the result is no token");
    CHECK(changed([](BpeVocabulary& v) { v.merges.emplace_back("x y", "c"); }) ==
          "vocabulary: merge 3: \"xĠy c\": the left part is no token");
    CHECK(changed([](BpeVocabulary& v) { v.merges.push_back(v.merges[0]); }) ==
          "vocabulary: merge 3: \"a b\": the result is made by an earlier merge");
    CHECK(changed([](BpeVocabulary& v) { v.merges.pop_back(); }) ==
          "vocabulary: merge 2: expected a merge that makes token 258 \"ba\", found none after 2 merges");
    CHECK(changed([](BpeVocabulary& v) { v.tokens.emplace_back("ab"); }) ==
          "vocabulary: token 259 has the bytes of an earlier one");
    CHECK(changed([](BpeVocabulary& v) { v.tokens.erase(v.tokens.begin() + 7); }) == "vocabulary: no token for byte 7");
    CHECK(changed([](BpeVocabulary& v) { v.added[1].id = 65; }) ==
          "vocabulary: added token \"<|end|>\": id 65 belongs to another token");
    CHECK(changed([](BpeVocabulary& v) { v.added[1].id = 1'000'000'000; }) ==
          "vocabulary: added token \"<|end|>\": id 1000000000, expected 0 to 4354");
    CHECK(changed([](BpeVocabulary& v) { v.added[1].text = "<|e"; }) == "vocabulary: added token \"<|e\" occurs twice");
    CHECK(changed([](BpeVocabulary& v) { v.padding = "<pad>"; }) ==
          "vocabulary: the padding token \"<pad>\" is not an added token");
}

TEST_CASE("merges whose parts come later are refused: they would take quadratic time") {
    BpeVocabulary vocabulary = bytes_vocabulary();
    vocabulary.tokens.emplace_back("abc");
    vocabulary.merges.insert(vocabulary.merges.begin(), {"ab", "c"});
    CHECK(vocabulary_error(vocabulary) == "vocabulary: merge 0: \"ab c\": the left part is made by no earlier merge");
    vocabulary.merges[0] = {"c", "ab"};
    vocabulary.tokens.back() = "cab";
    CHECK(vocabulary_error(vocabulary) == "vocabulary: merge 0: \"c ab\": the right part is made by no earlier merge");
}

TEST_CASE("a token that no merge makes may be an added one") {
    BpeVocabulary vocabulary = bytes_vocabulary();
    vocabulary.tokens.emplace_back("<|endoftext|>");
    CHECK(vocabulary_error(vocabulary) == "no error");
}

TEST_CASE("damaged vocab.json and merges.txt") {
    using namespace tokenizer_files;
    CHECK(read_error(read_vocab_json, "[1]") == "file: not a JSON object");
    CHECK(read_error(read_vocab_json, R"({"a":0,"b":0})") == "file: token \"b\": id 0 occurs twice");
    CHECK(read_error(read_vocab_json, R"({"a":0,"b":2})") ==
          "file: token \"b\": id 2 of 2 tokens, whose ids must be 0, 1, …");
    CHECK(read_error(read_vocab_json, R"({"a":-1})") == "file: token \"a\": expected an id, found -1");
    CHECK(read_error(read_vocab_json, R"({"a b":0})") == "file: \"a b\" is not written in the alphabet of bytes");
    CHECK(contains(read_error(read_vocab_json, "{\"" + std::string(5000, 'a') + "\":0}"), "a symbol of 5000 bytes"));
    CHECK(read_error(read_vocab_json, "{\"a\":" + std::string(100, '[')) == "file: nested too deeply");
    CHECK(read_error(read_merges, "#version: 0.2\na b\nc\n") == "file: line 3: expected \"left right\", found \"c\"");
    CHECK(read_error(read_merges, "a b c\n") == "file: line 1: expected \"left right\", found \"a b c\"");
    CHECK(read_error(read_merges, " b\n") == "file: line 1: \"\" is not written in the alphabet of bytes");
    CHECK(read_error(read_merges, "a b\r\nc d") == "no error");
    CHECK(read_error(read_added_tokens, R"({"<x>":"1"})") == "file: token \"<x>\": expected an id, found \"1\"");
    CHECK(read_error(read_tokenizer_config, R"({"padding_side":"top"})") ==
          "file: padding_side: expected \"left\" or \"right\"");
    CHECK(read_error(read_tokenizer_config, R"({"added_tokens_decoder":{"x":{}}})") ==
          "file: added token \"x\": expected an id");
    CHECK(read_error(read_tokenizer_config, R"({"added_tokens_decoder":{"7":{"content":"<a>","lstrip":true}}})") ==
          "file: added token \"<a>\": \"lstrip\" is not supported");
}

TEST_CASE("a tokenizer.json of another kind is refused") {
    const auto error = [](std::string_view normalizer, std::string_view pattern, std::string_view model) {
        return read_error(tokenizer_files::read_tokenizer_json,
                          text(R"({"normalizer":{"type":")", normalizer,
                               R"("},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","behavior":)",
                               R"("Isolated","pattern":{"Regex":")", pattern,
                               R"("}},{"type":"ByteLevel","use_regex":false}]},"model":)", model, "}"));
    };
    std::string pattern;
    for (const char c : qwen2_pattern) {
        pattern += c == '\\' ? std::string("\\\\") : std::string(1, c);
    }
    CHECK(error("NFC", pattern, R"({"type":"BPE","vocab":{"a":0},"merges":["a a"]})") == "no error");
    CHECK(error("NFC", pattern, R"({"type":"BPE","vocab":{"a":0},"merges":[["a"]]})") ==
          R"(file: merge 0: expected "left right" or ["left", "right"])");
    CHECK(error("NFC", pattern, R"({"type":"BPE","vocab":{"a":0}})") == "file: no merges");
    CHECK(error("NFC", pattern, R"({"type":"BPE"})") == "file: no tokens");
    CHECK(error("NFC", pattern, R"({"type":"BPE","dropout":0.1})") == "file: model: \"dropout\" is not supported");
    CHECK(error("NFC", pattern, R"({"type":"WordPiece"})") == "file: model \"WordPiece\", expected \"BPE\"");
    CHECK(error("NFKC", pattern, R"({"type":"BPE"})") == "file: normalizer \"NFKC\", expected \"NFC\"");
    CHECK(error("NFC", "[\\\\p{L}\\\\p{M}]+", R"({"type":"BPE"})")
              .starts_with("file: pre-tokenizer: \"Split\" with pattern \"[\\p{L}\\p{M}]+\", expected \""));
    const auto steps_error = [&](std::string_view split, std::string_view others) {
        return read_error(
            tokenizer_files::read_tokenizer_json,
            text(R"({"normalizer":{"type":"NFC"},"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":)",
                 R"({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":{"Regex":")",
                 split, "\"}}", others, "}"));
    };
    CHECK(steps_error(pattern, R"(,{"type":"ByteLevel","use_regex":false}]},"post_processor":{"type":"ByteLevel"})") ==
          "no error");
    CHECK(steps_error(pattern, R"(,{"type":"ByteLevel","use_regex":false}]},"post_processor":{"type":"Template"})") ==
          "file: post-processor \"Template\", expected none or \"ByteLevel\"");
    CHECK(steps_error(pattern, R"(,{"type":"ByteLevel"}]})") ==
          "file: pre-tokenizer \"ByteLevel\", expected \"ByteLevel\" without prefix and pattern");
    CHECK(steps_error(pattern, R"(,{"type":"ByteLevel","use_regex":false,"add_prefix_space":true}]})") ==
          "file: pre-tokenizer \"ByteLevel\", expected \"ByteLevel\" without prefix and pattern");
    CHECK(steps_error(pattern.substr(0, 10),
                      text(R"(,{"type":"Split","behavior":"Isolated","pattern":{"Regex":")", pattern.substr(10),
                           R"("}},{"type":"ByteLevel","use_regex":false}]})")) ==
          "file: pre-tokenizer: expected two steps, \"Split\" and \"ByteLevel\", found 3");
}

TEST_CASE("a folder without a tokenizer, and one without tokenizer_config.json") {
    const TempDir folder;
    CHECK(error_text([&] { static_cast<void>(load_tokenizer(folder.path())); }) ==
          folder.path().string() + ": no tokenizer, expected vocab.json and merges.txt, or tokenizer.json");
    put_file(folder.path() / "vocab.json", byte_vocabulary());
    put_file(folder.path() / "merges.txt", "");
    const BpeTokenizer bare = load_tokenizer(folder.path());
    CHECK(bare.size() == 259);
    CHECK(bare.padding() == 256);
    CHECK(bare.padding_side() == PaddingSide::left);
    CHECK(bare.encode("! <|im_end|>") == std::vector<Index>{0, 220, 258});
    put_file(folder.path() / "added_tokens.json", R"({"<|endoftext|>":300})");
    CHECK(load_tokenizer(folder.path()).size() == 301);
    put_file(folder.path() / "merges.txt", "#version: 0.2\na b\n");
    CHECK(error_text([&] { static_cast<void>(load_tokenizer(folder.path())); }) ==
          (folder.path() / "merges.txt").string() + ": line 2: \"a b\": the result is no token");
    put_file(folder.path() / "merges.txt", "");
    std::string vocabulary = byte_vocabulary();
    vocabulary.back() = ',';
    put_file(folder.path() / "vocab.json", vocabulary + "\"ab\":256,\"aba\":257}");
    put_file(folder.path() / "merges.txt", "a b\n");  // cut after its first line
    CHECK(error_text([&] { static_cast<void>(load_tokenizer(folder.path())); }) ==
          (folder.path() / "merges.txt").string() +
              ": line 2: expected a merge that makes token 257 \"aba\", found none after 1 merges");
    put_file(folder.path() / "vocab.json", byte_vocabulary());
    put_file(folder.path() / "merges.txt", "");
    put_file(folder.path() / "tokenizer_config.json",
             R"({"pad_token":{"content":"<p>"},"added_tokens_decoder":{"256":{"content":"<p>","special":true}}})");
    const BpeTokenizer configured = load_tokenizer(folder.path());
    CHECK(configured.padding_side() == PaddingSide::right);
    CHECK(configured.padding() == 256);
}
