#pragma once

// Defines make_prompt_reader<C, B, T>(); included only by the units that examples/CMakeLists.txt generates.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "flowfar/checkpoints/qwen2.hpp"
#include "flowfar/qwen2/prefix.hpp"
#include "flowfar/text/load_tokenizer.hpp"
#include "flowfar/text/prompts.hpp"

#include "common/cli/device.hpp"
#include "common/cli/floats.hpp"
#include "common/text/any_prompt_reader.hpp"
#include "common/text/far_text_configs.hpp"

namespace flowfar::program {

template <class C, class B, class T>
class PromptReaderOn final : public AnyPromptReader {
   public:
    using Reader = Qwen2<typename C::Reader, B, T>;

    explicit PromptReaderOn(const io::Path& language) : language_(language), tokenizer_(load_tokenizer(language)) {
        require(tokenizer_.size() <= C::Reader::vocabulary, language.string(), ": a tokenizer of ", tokenizer_.size(),
                " tokens, but the language model has ", C::Reader::vocabulary);
        check_qwen2<Reader>(language);
    }
    Index tokens() const override { return C::context_tokens; }
    Index width() const override { return C::context_width; }
    PromptReport take(std::vector<std::string> prompts, const PromptPlace& where) override {
        PromptReport report;
        report.length = C::context_tokens;
        for (std::size_t i = 0; i < prompts.size(); ++i) {
            try {
                report.cut.push_back(rows_of(prompts[i]).cut[0]);
            } catch (const Error& error) {
                fail(where(i), ": ", error.what());
            }
        }
        prompts_ = std::move(prompts);
        contexts_.clear();
        return report;
    }
    void expect(std::span<const Index> labels) override { expected_ = std::set<Index>(labels.begin(), labels.end()); }
    void read_ahead() override {
        for (const Index label : std::exchange(expected_, {})) {
            read(label);
        }
        reader_.reset();
    }
    Index size() const override { return static_cast<Index>(prompts_.size()); }
    std::vector<float> contexts(std::span<const Index> labels) override {
        std::erase_if(contexts_, [&](const auto& entry) {
            return entry.second.used && std::ranges::find(labels, entry.first) == labels.end();
        });
        std::vector<float> out;
        for (const Index label : labels) {
            Context& context = read(label);
            out.insert(out.end(), context.values.begin(), context.values.end());
            context.used = true;
            if (expected_.erase(label) != 0 && expected_.empty()) {
                reader_.reset();
            }
        }
        return out;
    }

   private:
    struct Context {
        std::vector<float> values;
        bool used = false;
    };

    [[nodiscard]] TokenRows rows_of(const std::string& prompt) const {
        return far_prompts(tokenizer_, std::span(&prompt, 1), C::context_tokens);
    }
    Context& read(Index label) {
        require(label >= 0 && label < size(), C::name, ": prompt ", label, " of ", size());
        const auto [entry, fresh] = contexts_.try_emplace(label);
        if (fresh) {
            if (!reader_) {
                reader_.emplace(load_qwen2<Reader>(language_), far_instruction, C::context_tokens,
                                tokenizer_.padding());
            }
            const TokenRows rows = rows_of(prompts_[static_cast<std::size_t>(label)]);
            entry->second.values = to_floats((*reader_)(rows.ids, rows.mask));
        }
        return entry->second;
    }

    io::Path language_;
    BpeTokenizer tokenizer_;
    std::optional<Qwen2Prefix<Reader>> reader_;
    std::vector<std::string> prompts_;
    std::set<Index> expected_;
    std::map<Index, Context> contexts_;
};

template <class C, class B, class T>
std::shared_ptr<AnyPromptReader> make_prompt_reader(const io::Path& language) {
    return std::make_shared<PromptReaderOn<C, B, T>>(language);
}

}  // namespace flowfar::program
