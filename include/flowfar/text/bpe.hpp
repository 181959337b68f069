#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/text/byte_alphabet.hpp"
#include "flowfar/text/vocabulary.hpp"

namespace flowfar {

/// Byte pair encoding (Sennrich et al. 2016) of bytes (Radford et al. 2019): the adjacent pair of the lowest rank is
/// merged until none has a rank. A heap holds the ranks at hand, and each rank a list of places, so that one pass from
/// left to right merges all pairs of a rank: long pieces take time in proportion to their length.
class BytePairs {
   public:
    /// Throws `Error` with the file's name unless all bytes are tokens, and every other token is an added one or made
    /// by exactly one merge, of tokens that were made before.
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
    static constexpr std::size_t ahead = 16;  // places whose symbols are on their way from memory

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
    /// Places where pairs of some rank began when they were listed, and the block listed before. It fills a cache line:
    /// single entries, linked over megabytes, would wait for memory at every place.
    struct alignas(64) Block {
        Id before;
        Id count;
        std::array<Id, 14> places;
    };

    /// A part must be made before its merge, a token once: then each merge that a result takes part in has a higher
    /// rank, and `encode` never returns to a rank.
    void read_merges(const BpeVocabulary& vocabulary, const std::unordered_map<std::string_view, Id>& ids) {
        merges_.reserve(vocabulary.merges.size());
        std::vector<bool> made(vocabulary.tokens.size(), false);
        for (const Id byte : bytes_) {
            made[byte] = true;
        }
        for (const auto& [left, right] : vocabulary.merges) {
            const std::size_t rank = merges_.size();
            const auto token = [&](const std::string& bytes, const char* what, bool expected) {
                const auto found = ids.find(bytes);
                const bool known = found != ids.end();
                if (!known || made[found->second] != expected) {
                    fail(vocabulary.place_of(rank), ": \"", shown(left), ' ', shown(right), "\": ", what,
                         !known     ? " is no token"
                         : expected ? " is made by no earlier merge"
                                    : " is made by an earlier merge");
                }
                return found->second;
            };
            merges_.push_back({token(left, "the left part", true), token(right, "the right part", true),
                               token(left + right, "the result", false)});
            made[merges_.back().result] = true;
        }
        require_all_made(vocabulary, made);
        std::vector<Id> order(merges_.size());
        std::iota(order.begin(), order.end(), Id{0});
        const auto pair = [&](Id rank) { return std::pair(merges_[rank].left, merges_[rank].right); };
        std::sort(order.begin(), order.end(), [&](Id a, Id b) { return pair(a) < pair(b); });
        first_rank_.assign(vocabulary.tokens.size() + 1, 0);
        for (std::size_t i = 0; i < order.size(); ++i) {
            ++first_rank_[merges_[order[i]].left + 1];
            ranks_.push_back({merges_[order[i]].right, order[i]});
        }
        std::partial_sum(first_rank_.begin(), first_rank_.end(), first_rank_.begin());
        for (std::size_t i = 0; i < of_bytes_.size(); ++i) {
            of_bytes_[i] = rank_of(bytes_[i / bytes_.size()], bytes_[i % bytes_.size()]);
        }
    }

    /// Merges that were cut off would give other ids without a word.
    static void require_all_made(const BpeVocabulary& vocabulary, const std::vector<bool>& made) {
        std::unordered_set<std::string_view> added;
        for (const AddedToken& token : vocabulary.added) {
            added.insert(token.text);
        }
        for (std::size_t id = 0; id < made.size(); ++id) {
            if (!made[id] && !added.contains(vocabulary.tokens[id])) {
                fail(vocabulary.place_of(vocabulary.merges.size()), ": expected a merge that makes token ", id, " \"",
                     shown(vocabulary.tokens[id]), "\", found none after ", vocabulary.merges.size(), " merges");
            }
        }
    }
    /// What files write for the first bytes of a token.
    [[nodiscard]] static std::string shown(std::string_view bytes) {
        return byte_alphabet::symbol_of(bytes.substr(0, 80));
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
    std::vector<Id> last;  ///< block of each rank, or `none`
    std::vector<Block> blocks;
    std::vector<Id> heap;  ///< ranks that have blocks, the lowest on top
    std::vector<Id> places;
};

inline void BytePairs::encode(std::string_view piece, std::vector<Index>& out, Scratch& scratch) const {
    // Each byte begins at most one pair, and each merge at most two.
    require(piece.size() < none / 3, "a piece of text: ", piece.size(), " bytes, expected less than ", none / 3);
    auto& [symbols, last, blocks, heap, places] = scratch;
    symbols.clear();
    std::size_t used = 0;  // of the blocks
    last.resize(merges_.size(), none);
    const auto count = static_cast<Id>(piece.size());
    for (Id i = 0; i < count; ++i) {
        symbols.push_back({bytes_[static_cast<unsigned char>(piece[i])], i == 0 ? none : i - 1, i + 1});
    }
    const auto list = [&](Id rank, Id place) {
        if (rank == none) {
            return;
        }
        const Id block = last[rank];
        if (block == none) {
            heap.push_back(rank);
            std::push_heap(heap.begin(), heap.end(), std::greater<>());
        }
        if (block == none || blocks[block].count == blocks[block].places.size()) {
            if (used == blocks.size()) {
                blocks.resize(2 * used + 16);
            }
            last[rank] = static_cast<Id>(used);
            blocks[used].before = block;
            blocks[used++].count = 0;
        }
        Block& to = blocks[last[rank]];
        to.places[to.count++] = place;
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
        for (Id block = std::exchange(last[rank], none); block != none; block = blocks[block].before) {
            for (Id i = 0; i < blocks[block].count; ++i) {
                places.push_back(blocks[block].places[i]);
            }
        }
        std::sort(places.begin(), places.end());
        const Merge merge = merges_[rank];
        for (std::size_t k = 0; k < places.size(); ++k) {
            if (k + ahead < places.size()) {
                __builtin_prefetch(&symbols[places[k + ahead]], 1);
            }
            const Id place = places[k];
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
        }
    }
    for (Id i = 0; i < count; i = symbols[i].next) {
        out.push_back(static_cast<Index>(symbols[i].token));
    }
}

}  // namespace flowfar
