#pragma once

#include <span>
#include <vector>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// The label that stands for no class: the learned null condition of guidance.
inline constexpr Index no_class = -1;

/// Rows of zeros with a 1 at each label: labels [n] → [n, classes]. `Rows` is the tensor type with a static number of
/// classes. Throws `Error` for labels that are no class.
///
///     const auto targets = one_hot<Tensor<Cpu, Shape<dyn, 10>>>(batch.labels);
template <AnyTensor Rows>
[[nodiscard]] Rows one_hot(std::span<const Index> labels) {
    static_assert(Rows::Shape::rank == 2 && Rows::Shape::at(1) != dyn,
                  "one_hot: the result is [n, classes] with a static number of classes");
    constexpr Index classes = Rows::Shape::at(1);
    using T = typename Rows::Element;
    std::vector<T> out(labels.size() * static_cast<std::size_t>(classes), T(0.0F));
    for (std::size_t i = 0; i < labels.size(); ++i) {
        require(labels[i] >= 0 && labels[i] < classes, "one_hot: label ", i, " is ", labels[i], ", expected 0 to ",
                classes - 1);
        out[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(labels[i])] = T(1.0F);
    }
    return Rows::from_host(out, {static_cast<Index>(labels.size()), classes});
}

/// The mean of −log p(label) over a batch, p being the softmax of scores [n, classes]: PyTorch's cross_entropy.
///
///     backward(cross_entropy(network(batch.images), batch.labels));
template <AnyTensor X>
[[nodiscard]] auto cross_entropy(const X& scores, std::span<const Index> labels) {
    static_assert(X::Shape::rank == 2, "cross_entropy: the scores are [n, classes]");
    require(static_cast<Index>(labels.size()) == scores.extent(0) && !labels.empty(), "cross_entropy: ", labels.size(),
            " labels for scores ", scores.extents());
    const auto log_p = log_softmax(scores);
    const auto right = one_hot<X>(labels);
    const auto zero = WithShape<X, Shape<>>::full({}, 0.0);  // not 0 · log p, which is no number where p is 0
    return sum(where(right, log_p, zero)) * (-1.0 / static_cast<double>(labels.size()));
}

/// Each row's cross-entropy with label smoothing ε (Szegedy et al. 2016): scores [n, classes] → [n, 1], with the target
/// 1 − ε + ε/classes at the label and ε/classes elsewhere.
template <AnyTensor X>
[[nodiscard]] auto smoothed_cross_entropy(const X& scores, std::span<const Index> labels, double smoothing) {
    static_assert(X::Shape::rank == 2, "smoothed_cross_entropy: the scores are [n, classes]");
    const auto n = static_cast<Index>(labels.size());
    const Index classes = scores.extent(1);
    require(n == scores.extent(0) && n > 0, "smoothed_cross_entropy: ", n, " labels for scores ", scores.extents());
    require(smoothing >= 0.0 && smoothing <= 1.0, "smoothed_cross_entropy: expected a smoothing in [0, 1], found ",
            smoothing);
    std::vector<Index> places;
    for (Index i = 0; i < n; ++i) {
        const Index label = labels[static_cast<std::size_t>(i)];
        require(label >= 0 && label < classes, "smoothed_cross_entropy: label ", i, " is ", label, ", expected 0 to ",
                classes - 1);
        places.push_back(i * classes + label);
    }
    using Places = Tensor<typename X::Backend, Shape<dyn>, Index>;
    using Rows = WithShape<X, Shape<dyn, 1>>;
    const auto log_p = log_softmax(scores);
    const auto at_label = [&] {
        return Rows(gather_rows(reshape<dyn, 1>(log_p, n * classes), Places::from_host(places, {n})) *
                    (smoothing - 1.0));
    };
    const auto everywhere = [&] { return Rows(Rows(mean<1>(log_p)) * smoothing); };
    // A term of weight 0 is left out, not multiplied by 0: it is no number where p is 0.
    if (smoothing == 0.0) {
        return at_label();
    }
    return smoothing == 1.0 ? Rows(everywhere() * -1.0) : Rows(at_label() - everywhere());
}

/// The index of the largest element of each row: x […, n] → […]. The first of equal ones; NaN counts as the largest.
/// Computed on the host.
///
///     const auto guesses = argmax(scores).to_host();
template <AnyTensor X>
[[nodiscard]] auto argmax(const X& x) {
    static_assert(X::Shape::rank >= 1, "argmax: a scalar has no axis");
    const Index width = x.extent(-1);
    require(width > 0, "argmax: rows without elements, ", x.extents());
    const auto values = x.to_host();
    const auto number = [&](Index i) {
        using T = typename X::Element;
        return convert<std::conditional_t<std::is_same_v<T, bf16>, float, T>>(values[static_cast<std::size_t>(i)]);
    };
    std::vector<Index> out;
    for (Index begin = 0; begin < static_cast<Index>(values.size()); begin += width) {
        Index best = begin;
        for (Index i = begin + 1; i < begin + width; ++i) {
            if (number(best) == number(best) && !(number(i) <= number(best))) {
                best = i;
            }
        }
        out.push_back(best - begin);
    }
    using Rows =
        Tensor<typename X::Backend, ShapeOf<shape_algebra::erase<typename X::Shape, X::Shape::rank - 1>()>, Index>;
    return Rows::from_host(out, erased(x.extents(), X::Shape::rank - 1));
}

}  // namespace flowfar
