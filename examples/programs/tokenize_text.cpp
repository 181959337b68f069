// Shows what a language model's tokenizer makes of text; see --help.

#include <cstdio>
#include <iostream>
#include <iterator>

#include "flowfar/text/load_tokenizer.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/printable.hpp"

namespace {

using namespace flowfar;
using namespace flowfar::program;

struct Arguments {
    std::string tokenizer, text;
    std::vector<Index> ids;
    bool brief = false;
};

Spec make_spec(Arguments& a) {
    Spec spec("tokenize_text",
              "Shows the tokens of a text under Qwen2's tokenizer, one line each: id, and the bytes as text. Without a "
              "text it reads the standard input.");
    spec.positional("TEXT", a.text, "what to tokenize").optional();
    spec.option("tokenizer", a.tokenizer, "folder with vocab.json and merges.txt, or tokenizer.json, or that file")
        .placeholder("PATH")
        .required();
    spec.option("ids", a.ids, "shows the text of these tokens instead, control characters as ?").at_least(0);
    spec.flag("brief", a.brief, "only the ids, in one line, as --ids takes them");
    spec.example("--tokenizer Qwen2-1.5B \"A photo of a dog\"", "five tokens");
    spec.example("--tokenizer Qwen2-1.5B --ids 32,6548,315", "A photo of");
    return spec;
}

int show(const Arguments& a, const Spec& spec) {
    require(!spec.given("ids") || a.text.empty(), "--ids: expected no text beside it");
    const BpeTokenizer tokenizer = load_tokenizer(a.tokenizer);
    if (spec.given("ids")) {
        std::printf("%s\n", printable(tokenizer.decode(a.ids)).c_str());
        return 0;
    }
    const std::string text =
        !a.text.empty() ? a.text
                        : std::string(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    const std::vector<Index> ids = tokenizer.encode(text);
    if (a.brief) {
        for (std::size_t i = 0; i < ids.size(); ++i) {
            std::printf("%s%lld", i == 0 ? "" : ",", static_cast<long long>(ids[i]));
        }
        std::printf("\n");
        return 0;
    }
    for (const Index id : ids) {
        std::printf("%8lld  \"%s\"\n", static_cast<long long>(id),
                    printable(repaired_utf8(tokenizer.token(id))).c_str());
    }
    std::printf("%zu tokens, %zu bytes\n", ids.size(), text.size());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    Spec spec = make_spec(arguments);
    return run_program(argc, argv, spec, [&] { return show(arguments, spec); });
}
