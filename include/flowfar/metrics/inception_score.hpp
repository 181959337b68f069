#pragma once

/// The Inception Score (Salimans et al. 2016) from a classifier's logits.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/metrics/moments.hpp"

namespace flowfar::metrics {

struct InceptionScore {
    double mean = 0;                ///< over the splits
    double standard_deviation = 0;  ///< over the splits, divided by their number as numpy does by default
};

namespace detail {

/// Log-probabilities of one row of logits, in double.
inline void log_softmax_row(std::span<const float> logits, std::span<double> out) {
    const double largest = static_cast<double>(*std::ranges::max_element(logits));
    double sum = 0;
    for (const float value : logits) {
        sum += std::exp(static_cast<double>(value) - largest);
    }
    for (std::size_t i = 0; i < logits.size(); ++i) {
        out[i] = static_cast<double>(logits[i]) - largest - std::log(sum);
    }
}

/// exp of the mean divergence of the rows' distributions from their mean distribution. It is computed as the entropy of
/// the mean less the mean of the entropies, so that one pass suffices.
inline double score_of_split(std::span<const float> logits, std::size_t classes) {
    const std::size_t rows = logits.size() / classes;
    std::vector<double> row(classes);
    std::vector<double> marginal(classes, 0.0);
    double negative_entropy = 0;
    for (std::size_t i = 0; i < rows; ++i) {
        log_softmax_row(logits.subspan(i * classes, classes), row);
        for (std::size_t k = 0; k < classes; ++k) {
            const double probability = std::exp(row[k]);
            marginal[k] += probability;
            negative_entropy += probability * row[k];
        }
    }
    double divergence = negative_entropy / static_cast<double>(rows);
    for (const double sum : marginal) {
        const double probability = sum / static_cast<double>(rows);
        divergence -= probability > 0 ? probability * std::log(probability) : 0.0;
    }
    return std::exp(divergence);
}

}  // namespace detail

/// The score of logits [n, classes], cut into `splits` runs of rows in the given order: split s holds the rows from
/// s n / splits on, rounded down. Splits are comparable only if the order is arbitrary; shuffle samples sorted by
/// class. Throws `Error` for values that are not finite, parts of rows and fewer rows than splits.
[[nodiscard]] inline InceptionScore inception_score(std::span<const float> logits, Index classes, Index splits = 10) {
    const Index rows = detail::check_rows("inception_score", logits, classes);
    require(splits >= 1 && rows >= splits, "inception_score: expected 1..", rows,
            " splits (the number of rows), found ", splits);
    InceptionScore out;
    std::vector<double> scores;
    for (Index split = 0; split < splits; ++split) {
        const auto first = static_cast<std::size_t>(rows * split / splits * classes);
        const auto last = static_cast<std::size_t>(rows * (split + 1) / splits * classes);
        scores.push_back(
            detail::score_of_split(logits.subspan(first, last - first), static_cast<std::size_t>(classes)));
        out.mean += scores.back() / static_cast<double>(splits);
    }
    double square = 0;
    for (const double score : scores) {
        square += (score - out.mean) * (score - out.mean);
    }
    out.standard_deviation = std::sqrt(square / static_cast<double>(splits));
    return out;
}

}  // namespace flowfar::metrics
