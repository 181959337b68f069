// Qwen2's tokenizer with the published vocabulary (FLOWFAR_TOKENIZER names its folder): prose, and one word of 1 MB,
// whose time must not grow faster than its length. Bytes per second.
#include <benchmark/benchmark.h>
#include <cstdlib>
#include <string>

#include "flowfar/core/philox.hpp"
#include "flowfar/text/load_tokenizer.hpp"

namespace {

using namespace flowfar;

const BpeTokenizer& tokenizer() {
    static const BpeTokenizer out = [] {
        const char* const folder = std::getenv("FLOWFAR_TOKENIZER");
        require(folder != nullptr, "FLOWFAR_TOKENIZER must name a folder with vocab.json and merges.txt");
        return load_tokenizer(folder);
    }();
    return out;
}

void encode(benchmark::State& state, const std::string& characters) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(tokenizer().encode(characters));
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(characters.size()));
}

/// Sentences of common words in a random order.
void prose(benchmark::State& state) {
    constexpr const char* words[] = {"the",      "a",        "of",       "photo", "photograph", "dog",
                                     "in",       "and",      "café",     "two",   "It's",       "bright",
                                     "painting", "detailed", "sunlight", "2024",  "on",         "雪山"};
    Random random(1);
    std::string characters;
    while (static_cast<Index>(characters.size()) < state.range(0)) {
        characters += words[random.below(std::size(words))];
        characters += random.below(12) == 0 ? ". " : " ";
    }
    encode(state, characters);
}
BENCHMARK(prose)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

void one_word(benchmark::State& state) {
    Random random(2);
    std::string characters;
    for (Index i = 0; i < state.range(0); ++i) {
        characters += static_cast<char>('a' + random.below(26));
    }
    encode(state, characters);
}
BENCHMARK(one_word)->Arg(10'000)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
