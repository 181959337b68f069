#pragma once

/// Tensors, extents and element types as text. Tensors are shown as NumPy shows them, long axes by their ends:
///
///     std::cout << x;                    // [[1, 2, 3],
///                                        //  [4, 5, 6]]
///     require(ok, "unexpected ", x);     // texts of errors take them, too

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "flowfar/core/tensor.hpp"

namespace flowfar {

namespace detail {

/// Numbers as text, all as wide as the longest. `begin` is the first element of the part below `axis`.
class TensorText {
   public:
    TensorText(const Extents& extents, std::vector<double> values) : extents_(extents), values_(std::move(values)) {
        each_shown(0, 0, [&](Index i) { width_ = std::max(width_, number(i).size()); });
    }

    [[nodiscard]] std::string text() const { return extents_.count() == 0 ? "[]" : part(0, 0); }

   private:
    static constexpr Index most_shown = 1000;  ///< larger tensors are abbreviated
    static constexpr Index ends = 3;           ///< entries at either end of an abbreviated axis

    [[nodiscard]] std::string number(Index i) const { return number_text(values_[static_cast<std::size_t>(i)]); }
    [[nodiscard]] bool abbreviated(int axis) const {
        return extents_.count() > most_shown && extents_[axis] > 2 * ends;
    }
    [[nodiscard]] Index stride(int axis) const {
        Index product = 1;
        for (int i = axis + 1; i < extents_.rank(); ++i) {
            product *= extents_[i];
        }
        return product;
    }
    /// Entry after `i`, the middle left out.
    [[nodiscard]] Index after(int axis, Index i) const {
        return abbreviated(axis) && i + 1 == ends ? extents_[axis] - ends : i + 1;
    }
    template <class F>
    void each_shown(int axis, Index begin, F&& f) const {
        if (extents_.count() == 0) {
            return;
        }
        if (axis == extents_.rank()) {
            f(begin);
            return;
        }
        for (Index i = 0; i < extents_[axis]; i = after(axis, i)) {
            each_shown(axis + 1, begin + i * stride(axis), f);
        }
    }
    [[nodiscard]] std::string part(int axis, Index begin) const {
        if (axis == extents_.rank()) {
            const std::string shown = number(begin);
            return std::string(extents_.rank() == 0 ? 0 : width_ - shown.size(), ' ') + shown;
        }
        const int inner = extents_.rank() - axis - 1;  // axes below: so many line breaks, less one, between entries
        const std::string gap = inner == 0 ? ", "
                                           : "," + std::string(static_cast<std::size_t>(inner), '\n') +
                                                 std::string(static_cast<std::size_t>(axis + 1), ' ');
        std::string out = "[";
        for (Index i = 0; i < extents_[axis]; i = after(axis, i)) {
            out += (i == 0 ? "" : gap) + part(axis + 1, begin + i * stride(axis));
            out += after(axis, i) == i + 1 ? "" : gap + "...";
        }
        return out + "]";
    }

    Extents extents_;
    std::vector<double> values_;
    std::size_t width_ = 0;
};

}  // namespace detail

/// The elements as text; "absent" for a tensor without elements to show.
template <AnyTensor X>
[[nodiscard]] std::string to_string(const X& x) {
    if (!x.defined()) {
        return x.awaits_values() ? text("no values yet, ", x.extents()) : "absent";
    }
    std::vector<double> values;
    for (const auto value : x.to_host()) {
        values.push_back(convert<double>(value));
    }
    return detail::TensorText(x.extents(), std::move(values)).text();
}

template <AnyTensor X>
std::ostream& operator<<(std::ostream& out, const X& x) {
    return out << to_string(x);
}
inline std::ostream& operator<<(std::ostream& out, const Extents& extents) {
    return out << to_string(extents);
}
inline std::ostream& operator<<(std::ostream& out, DType type) {
    return out << name_of(type);
}

}  // namespace flowfar
