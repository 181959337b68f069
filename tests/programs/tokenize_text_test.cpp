// tokenize_text as a user meets it.

#include <doctest/doctest.h>

#include "folders.hpp"
#include "process.hpp"

using namespace flowfar::testing;

TEST_CASE("tokenize_text shows tokens of a text, and the text of tokens") {
    const std::string tokenizer = (source_folder() / "tests/golden/qwen2_tokenizer_2000").string();
    const Outcome listed = run("tokenize_text", {"--tokenizer", tokenizer, "A dog\n"});
    CHECK(listed.code == 0);
    CHECK(listed.out == "      32  \"A\"\n     294  \" d\"\n     538  \"og\"\n     198  \"?\"\n4 tokens, 6 bytes\n");
    CHECK(run("tokenize_text", {"--tokenizer", tokenizer, "--brief", "A dog\n"}).out == "32,294,538,198\n");
    CHECK(run("tokenize_text", {"--tokenizer", tokenizer, "--ids", "32,294,538"}).out == "A dog\n");
    CHECK(run("tokenize_text", {"--tokenizer", tokenizer, "--ids", "32,188,294,198"}).out == "A? d?\n");  // NUL, LF
    const Outcome missing = run("tokenize_text", {"--tokenizer", "nowhere", "A dog"});
    CHECK(missing.code == 1);
    CHECK(missing.err.find("nowhere") != std::string::npos);
    CHECK(run("tokenize_text", {"A dog"}).code == 2);
    const Outcome unknown = run("tokenize_text", {"--tokenizer", tokenizer, "--ids", "99999"});
    CHECK(unknown.err.find("token 99999, expected 0 to 2269") != std::string::npos);
}
