// Tokenizers: the first byte chooses a reader of one of the files, or text that becomes ids and text again.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/text/load_tokenizer.hpp"
#include "flowfar/text/prompts.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

namespace {

BpeVocabulary of_bytes() {
    BpeVocabulary out;
    out.name = input_name;
    for (int byte = 0; byte < 256; ++byte) {
        out.tokens.emplace_back(1, static_cast<char>(byte));
    }
    return out;
}

/// Bytes, every pair of two of a few, and some pairs of those.
BpeTokenizer small_tokenizer() {
    BpeVocabulary out = of_bytes();
    const auto merge = [&](std::string left, std::string right) {
        out.tokens.push_back(left + right);
        out.merges.emplace_back(std::move(left), std::move(right));
    };
    for (const char left : {'a', 'b', ' ', '\n', '\xCC'}) {
        for (const char right : {'a', 'b', '\x81'}) {
            merge(std::string(1, left), std::string(1, right));
        }
    }
    merge("ab", "ab");
    merge("a", "ba");
    merge("\xCC\x81", "\xCC\x81");
    out.added = {{300, "<|endoftext|>"}, {301, "<|end|>"}, {302, "<|e"}};
    return BpeTokenizer(std::move(out));
}

void text_to_ids_and_back(std::string_view characters) {
    static const BpeTokenizer tokenizer = small_tokenizer();
    only_errors(
        [&] {
            const std::vector<Index> ids = tokenizer.encode(characters);
            expect(ids.size() <= 4 * characters.size(), "no more ids than bytes in NFC");
            const std::string again = tokenizer.decode(ids);
            expect(tokenizer.encode(again) == ids, "the ids of the decoded text");
            std::string joined;
            for (const std::string& piece : tokenizer.pieces(characters)) {
                expect(!piece.empty(), "pieces that are not empty");
                joined += piece;
            }
            expect(joined == again, "pieces that make up the text");
            static_cast<void>(tokenizer.decode(ids, SpecialTokens::skip));
            const std::vector<std::string> prompts{std::string(characters)};
            const TokenRows rows = prompt_rows(tokenizer, prompts, {{1, 2}, 8, PaddingSide::left});
            expect(rows.ids.size() == 10 && rows.mask.size() == 10, "a row of the length asked for");
        },
        "text for a tokenizer");
}

void read(int which, Bytes bytes) {
    only_errors([&] {
        namespace files = tokenizer_files;
        constexpr decltype(&files::read_merges) readers[] = {files::read_merges, files::read_vocab_json,
                                                             files::read_tokenizer_json, files::read_added_tokens,
                                                             files::read_tokenizer_config};
        BpeVocabulary vocabulary = of_bytes();
        readers[which](io::MappedFile::of_memory(input_name, bytes), vocabulary);
        const BpeTokenizer tokenizer(std::move(vocabulary));
        for (Index id = 0; id < tokenizer.size(); ++id) {
            static_cast<void>(tokenizer.token(id));
        }
        static_cast<void>(tokenizer.encode("abab <|endoftext|>"));
    });
}

}  // namespace

void run(Bytes bytes) {
    if (bytes.empty()) {
        return;
    }
    const int which = std::to_integer<int>(bytes[0]) % 8;
    const Bytes rest = bytes.subspan(1);
    if (which < 5) {
        read(which, rest);
    } else {
        text_to_ids_and_back({reinterpret_cast<const char*>(rest.data()), rest.size()});
    }
}

}  // namespace flowfar::fuzz
