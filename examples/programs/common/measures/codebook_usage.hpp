#pragma once

// Which codewords a model's tokens use, and how evenly.

#include <cmath>
#include <cstdint>
#include <map>

#include "flowfar/quantize/tokens.hpp"

namespace flowfar::program {

/// Counts codewords, all positions of a code together. Memory goes with the number of different codewords.
class CodebookUsage {
   public:
    /// Of a codebook with so many codewords; 0: as many as fit into the tokens' bits.
    explicit CodebookUsage(Index codewords = 0) : codewords_(codewords) {}

    /// Throws `Error` for tokens of another codebook than those before.
    void add(const Tokens& tokens) {
        require(seen_ == 0 || tokens.bits == bits_, "codebook usage: codewords of ", bits_, " and of ", tokens.bits,
                " bits");
        bits_ = tokens.bits;
        for (const std::uint32_t codeword : tokens.indices) {
            ++counts_[codeword];
        }
        seen_ += static_cast<Index>(tokens.indices.size());
    }

    [[nodiscard]] Index bits() const { return bits_; }  ///< per codeword
    [[nodiscard]] Index seen() const { return seen_; }
    [[nodiscard]] Index used() const { return static_cast<Index>(counts_.size()); }
    [[nodiscard]] Index available() const { return codewords_ > 0 ? codewords_ : Index{1} << bits_; }
    /// Of the codewords' frequencies, in bits; at most bits(), and biased downwards while few have been seen.
    [[nodiscard]] double entropy() const {
        double sum = 0;
        for (const auto& [codeword, count] : counts_) {
            const double share = static_cast<double>(count) / static_cast<double>(seen_);
            sum -= share * std::log2(share);
        }
        return sum;
    }

   private:
    std::map<std::uint32_t, Index> counts_;
    Index codewords_ = 0;
    Index bits_ = 0;
    Index seen_ = 0;
};

}  // namespace flowfar::program
