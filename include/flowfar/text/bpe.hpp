#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/text/vocabulary.hpp"

namespace flowfar {

/// Byte pair encoding (Sennrich et al. 2016) of bytes (Radford et al. 2019): the adjacent pair of the lowest rank is
/// merged until none has a rank. A heap holds the ranks at hand, and each rank a list of places, so that one pass from
/// left to right merges all pairs of a rank: long pieces take time in proportion to their length.
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
        Id left;
        Id right;
        Id result;
    };
    struct Rank {  // of a pair whose left part is known
        Id right;
        Id rank;
    };
    /// A token of a piece under way, and its neighbors. A symbol that was merged into its left neighbor has no token.
    struct Symbol {
        Id token;
        Id previous;
        Id next;
    };
    /// A place where a pair of some rank began when it was listed, and the entry listed before.
    struct Entry {
        Id place;
        Id before;
    };

    void read_merges(const BpeVocabulary& vocabulary, const std::unordered_map<std::string_view, Id>& ids) {
        merges_.reserve(vocabulary.merges.size());
        for (const auto& [left, right] : vocabulary.merges) {
            const auto rank = static_cast<Id>(merges_.size());
            const auto token = [&](const std::string& bytes, const char* what) {
                const auto found = ids.find(bytes);
                require(found != ids.end(), vocabulary.name, ": merge ", rank, ": ", what, " is no token");
                return found->second;
            };
            merges_.push_back(
                {token(left, "the left part"), token(right, "the right part"), token(left + right, "the result")});
        }
        std::vector<Id> order(merges_.size());
        std::iota(order.begin(), order.end(), Id{0});
        const auto pair = [&](Id rank) { return std::pair(merges_[rank].left, merges_[rank].right); };
        std::sort(order.begin(), order.end(), [&](Id a, Id b) { return pair(a) < pair(b); });
        first_rank_.assign(vocabulary.tokens.size() + 1, 0);
        for (std::size_t i = 0; i < order.size(); ++i) {
            require(i == 0 || pair(order[i - 1]) != pair(order[i]), vocabulary.name, ": merges ",
                    std::min(order[i ? i - 1 : 0], order[i]), " and ", std::max(order[i ? i - 1 : 0], order[i]),
                    " are equal");
            ++first_rank_[merges_[order[i]].left + 1];
            ranks_.push_back({merges_[order[i]].right, order[i]});
        }
        std::partial_sum(first_rank_.begin(), first_rank_.end(), first_rank_.begin());
        for (std::size_t i = 0; i < of_bytes_.size(); ++i) {
            of_bytes_[i] = rank_of(bytes_[i / bytes_.size()], bytes_[i % bytes_.size()]);
        }
    }

    /// The rank of a pair, or `none`.
    [[nodiscard]] Id rank_of(Id left, Id right) const {
        const auto begin = ranks_.begin() + first_rank_[left];
        const auto end = ranks_.begin() + first_rank_[left + 1];
        const auto found =
            std::lower_bound(begin, end, right, [](const Rank& entry, Id value) { return entry.right < value; });
        return found == end || found->right != right ? none : found->rank;
    }

    std::array<Id, 256> bytes_{};
    std::vector<Merge> merges_;              // by rank
    std::vector<std::uint32_t> first_rank_;  // of each left part, in ranks_
    std::vector<Rank> ranks_;                // by left part, then right part
    /// The rank of every pair of bytes: most of the pairs that are looked up.
    std::vector<Id> of_bytes_ = std::vector<Id>(256 * 256);
};

/// The lists are empty between pieces.
struct BytePairs::Scratch {
    std::vector<Symbol> symbols;
    std::vector<Id> last;  ///< entry of each rank, or `none`
    std::vector<Entry> entries;
    std::vector<Id> heap;  ///< ranks that have entries, the lowest on top
    std::vector<Id> places;
};

inline void BytePairs::encode(std::string_view piece, std::vector<Index>& out, Scratch& scratch) const {
    require(piece.size() < none, "a piece of text: ", piece.size(), " bytes, expected less than 4 GiB");
    auto& [symbols, last, entries, heap, places] = scratch;
    symbols.clear();
    entries.clear();
    last.resize(merges_.size(), none);
    const auto count = static_cast<Id>(piece.size());
    for (Id i = 0; i < count; ++i) {
        symbols.push_back({bytes_[static_cast<unsigned char>(piece[i])], i == 0 ? none : i - 1, i + 1});
    }
    const auto list = [&](Id rank, Id place) {
        if (rank == none) {
            return;
        }
        if (last[rank] == none) {
            heap.push_back(rank);
            std::push_heap(heap.begin(), heap.end(), std::greater<>());
        }
        entries.push_back({place, last[rank]});
        last[rank] = static_cast<Id>(entries.size() - 1);
    };
    for (Id i = 0; i + 1 < count; ++i) {
        list(of_bytes_[static_cast<std::size_t>(static_cast<unsigned char>(piece[i])) * bytes_.size() +
                       static_cast<unsigned char>(piece[i + 1])],
             i);
    }
    while (!heap.empty()) {
        std::pop_heap(heap.begin(), heap.end(), std::greater<>());
        const Id rank = heap.back();
        heap.pop_back();
        places.clear();
        for (Id entry = std::exchange(last[rank], none); entry != none; entry = entries[entry].before) {
            places.push_back(entries[entry].place);
        }
        std::sort(places.begin(), places.end());
        const Merge merge = merges_[rank];
        for (std::size_t i = 0; i < places.size(); ++i) {
            const Id place = places[i];
            Symbol& left = symbols[place];
            if (left.token != merge.left || left.next == count || symbols[left.next].token != merge.right) {
                continue;  // one of the two was merged meanwhile
            }
            Symbol& right = symbols[left.next];
            left.token = merge.result;
            right.token = none;
            left.next = right.next;
            if (left.next != count) {
                symbols[left.next].previous = place;
                list(rank_of(merge.result, symbols[left.next].token), place);
            }
            if (left.previous != none) {
                list(rank_of(symbols[left.previous].token, merge.result), left.previous);
            }
            // A result may take part in a merge of a lower rank; what is left of this rank then waits.
            if (!heap.empty() && heap.front() < rank) {
                for (++i; i < places.size(); ++i) {
                    list(rank, places[i]);
                }
            }
        }
    }
    for (Id i = 0; i < count; i = symbols[i].next) {
        out.push_back(static_cast<Index>(symbols[i].token));
    }
}

}  // namespace flowfar
