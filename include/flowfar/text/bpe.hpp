#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/text/vocabulary.hpp"

namespace flowfar {

/// Byte pair encoding (Sennrich et al. 2016) of bytes (Radford et al. 2019): the adjacent pair of the lowest rank is
/// merged until none has a rank. A heap of pairs makes it O(n log n) in a piece's length.
class BytePairs {
   public:
    /// Throws `Error` with `vocabulary.name` unless all bytes are tokens, and the parts of every merge and its result.
    explicit BytePairs(const BpeVocabulary& vocabulary) {
        const std::string& name = vocabulary.name;
        require(vocabulary.tokens.size() <= most_tokens && vocabulary.merges.size() <= most_tokens, name, ": ",
                vocabulary.tokens.size(), " tokens and ", vocabulary.merges.size(), " merges, expected at most ",
                most_tokens);
        std::unordered_map<std::string_view, Id> ids;
        ids.reserve(vocabulary.tokens.size());
        for (const std::string& token : vocabulary.tokens) {
            const auto id = static_cast<Id>(ids.size());
            require(!token.empty() && ids.emplace(token, id).second, name, ": token ", id,
                    token.empty() ? " is empty" : " has the bytes of an earlier one");
        }
        for (std::size_t byte = 0; byte < bytes_.size(); ++byte) {
            const char character = static_cast<char>(byte);
            const auto found = ids.find(std::string_view(&character, 1));
            require(found != ids.end(), name, ": no token for byte ", byte);
            bytes_[byte] = found->second;
        }
        read_merges(vocabulary, ids);
    }

    /// A merging's memory, to be used for many pieces.
    struct Scratch;

    /// Appends the tokens of a piece.
    void encode(std::string_view piece, std::vector<Index>& out, Scratch& scratch) const;

   private:
    using Id = std::uint32_t;
    static constexpr std::size_t most_tokens = 2'000'000;
    static constexpr Id none = ~Id{0};

    struct Merge {
        Id right;
        Id rank;
        Id result;
    };
    /// A token of a piece under way, and its neighbors. A symbol that was merged into its left neighbor has no token.
    struct Symbol {
        Id token;
        Id previous;
        Id next;
    };
    struct Candidate {
        Id rank;
        Id place;  ///< of the left symbol
        Id left;
        Id right;
        Id result;
        /// For a heap whose top is the lowest rank and, of that, the leftmost.
        friend bool operator<(const Candidate& a, const Candidate& b) {
            return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
        }
    };

    void read_merges(const BpeVocabulary& vocabulary, const std::unordered_map<std::string_view, Id>& ids) {
        struct Line {
            Id left;
            Merge merge;
        };
        std::vector<Line> lines;
        lines.reserve(vocabulary.merges.size());
        for (const auto& [left, right] : vocabulary.merges) {
            const auto rank = static_cast<Id>(lines.size());
            const auto token = [&](const std::string& bytes, const char* what) {
                const auto found = ids.find(bytes);
                require(found != ids.end(), vocabulary.name, ": merge ", rank, ": ", what, " is no token");
                return found->second;
            };
            lines.push_back({token(left, "the left part"),
                             {token(right, "the right part"), rank, token(left + right, "the result")}});
        }
        std::sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
            return a.left != b.left ? a.left < b.left : a.merge.right < b.merge.right;
        });
        first_merge_.assign(vocabulary.tokens.size() + 1, 0);
        for (std::size_t i = 0; i < lines.size(); ++i) {
            require(i == 0 || lines[i].left != lines[i - 1].left || lines[i].merge.right != lines[i - 1].merge.right,
                    vocabulary.name, ": merges ", std::min(lines[i].merge.rank, lines[i ? i - 1 : 0].merge.rank),
                    " and ", std::max(lines[i].merge.rank, lines[i ? i - 1 : 0].merge.rank), " are equal");
            ++first_merge_[lines[i].left + 1];
            merges_.push_back(lines[i].merge);
        }
        for (std::size_t i = 1; i < first_merge_.size(); ++i) {
            first_merge_[i] += first_merge_[i - 1];
        }
        for (std::size_t i = 0; i < of_bytes_.size(); ++i) {
            const Merge* const merge = merge_of(bytes_[i / bytes_.size()], bytes_[i % bytes_.size()]);
            of_bytes_[i] = merge == nullptr ? none : static_cast<Id>(merge - merges_.data());
        }
    }

    [[nodiscard]] const Merge* merge_of(Id left, Id right) const {
        const auto begin = merges_.begin() + first_merge_[left];
        const auto end = merges_.begin() + first_merge_[left + 1];
        const auto found =
            std::lower_bound(begin, end, right, [](const Merge& entry, Id value) { return entry.right < value; });
        return found == end || found->right != right ? nullptr : &*found;
    }

    std::array<Id, 256> bytes_{};
    /// The merge of every pair of bytes, a place in merges_: most of the pairs that are looked up.
    std::vector<Id> of_bytes_ = std::vector<Id>(256 * 256);
    std::vector<std::uint32_t> first_merge_;  // of each left part, in merges_
    std::vector<Merge> merges_;               // by left part, then right part
};

struct BytePairs::Scratch {
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
};

inline void BytePairs::encode(std::string_view piece, std::vector<Index>& out, Scratch& scratch) const {
    require(piece.size() < none, "a piece of text: ", piece.size(), " bytes, expected less than 4 GiB");
    auto& [symbols, heap] = scratch;
    symbols.clear();
    heap.clear();
    const auto count = static_cast<Id>(piece.size());
    for (Id i = 0; i < count; ++i) {
        symbols.push_back({bytes_[static_cast<unsigned char>(piece[i])], i == 0 ? none : i - 1, i + 1});
    }
    for (Id i = 0; i + 1 < count; ++i) {
        const auto pair = static_cast<std::size_t>(static_cast<unsigned char>(piece[i])) * bytes_.size() +
                          static_cast<unsigned char>(piece[i + 1]);
        if (of_bytes_[pair] != none) {
            const Merge& merge = merges_[of_bytes_[pair]];
            heap.push_back({merge.rank, i, symbols[i].token, merge.right, merge.result});
        }
    }
    const auto push = [&](Id place) {
        const Symbol& left = symbols[place];
        if (left.next == count) {
            return;
        }
        const Id right = symbols[left.next].token;
        if (const Merge* const merge = merge_of(left.token, right); merge != nullptr) {
            heap.push_back({merge->rank, place, left.token, right, merge->result});
            std::push_heap(heap.begin(), heap.end());
        }
    };
    std::make_heap(heap.begin(), heap.end());
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end());
        const Candidate best = heap.back();
        heap.pop_back();
        Symbol& left = symbols[best.place];
        if (left.token != best.left || left.next == count || symbols[left.next].token != best.right) {
            continue;  // one of the two was merged meanwhile
        }
        Symbol& right = symbols[left.next];
        left.token = best.result;
        right.token = none;
        left.next = right.next;
        if (left.next != count) {
            symbols[left.next].previous = best.place;
        }
        push(best.place);
        if (left.previous != none) {
            push(left.previous);
        }
    }
    for (Id i = 0; i < count; i = symbols[i].next) {
        out.push_back(static_cast<Index>(symbols[i].token));
    }
}

}  // namespace flowfar
