#pragma once

/// A tensor on the backend under test and, in double, on the reference: what every suite computes with.

#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "flowfar/backend/reference.hpp"

#include "approx.hpp"

namespace flowfar::testing {

/// One operand; both sides undefined for an absent one.
template <class B>
struct Twin {
    typename B::Handle tested;
    Handle exact;

    [[nodiscard]] Twin permute(const Extents& order) const {
        return {B::permute(tested, order), Reference::permute(exact, order)};
    }
    [[nodiscard]] Twin slice(int axis, Index begin, Index end) const {
        return {B::slice(tested, axis, begin, end), Reference::slice(exact, axis, begin, end)};
    }
    [[nodiscard]] Twin expand(const Extents& extents) const {
        return {B::expand(tested, extents), Reference::expand(exact, extents)};
    }
    [[nodiscard]] Twin reshape(const Extents& extents) const {
        return {B::reshape(tested, extents), Reference::reshape(exact, extents)};
    }
    [[nodiscard]] const Extents& extents() const { return exact.extents(); }
    /// A copy in storage of its own, for operations in place.
    [[nodiscard]] Twin copy() const { return {copy_of<B>(tested), copy_of<Reference>(exact)}; }

   private:
    template <class P>
    static typename P::Handle copy_of(const typename P::Handle& h) {
        const auto out = P::empty(P::extents(h), P::dtype(h));
        P::assign(out, h);
        return out;
    }
};

/// Draws operands from a seed that a failing test prints.
template <class B>
class Maker {
   public:
    Maker(DType dtype, std::uint32_t seed) : dtype_(dtype), seed_(seed), engine_(seed) {}

    [[nodiscard]] DType dtype() const { return dtype_; }
    [[nodiscard]] std::uint32_t seed() const { return seed_; }
    [[nodiscard]] std::mt19937& engine() { return engine_; }

    /// Numbers in [low, high) that the element type can hold, the same on both sides.
    [[nodiscard]] Twin<B> uniform(const Extents& extents, double low = -1.0, double high = 1.0) {
        std::vector<double> values(static_cast<std::size_t>(extents.count()));
        for (double& value : values) {
            value = low + (high - low) * (static_cast<double>(engine_()) * 0x1p-32);
        }
        return from(std::move(values), extents);
    }
    /// Multiples of 1/4 in [-1, 1]: exact everywhere, with many ties.
    [[nodiscard]] Twin<B> quarters(const Extents& extents) {
        std::vector<double> values(static_cast<std::size_t>(extents.count()));
        for (double& value : values) {
            value = 0.25 * (static_cast<double>(engine_() % 9) - 4.0);
        }
        return from(std::move(values), extents);
    }
    [[nodiscard]] Twin<B> from(std::vector<double> values, const Extents& extents) const {
        for (double& value : values) {
            const auto narrow = static_cast<float>(value);
            value = dtype_ == DType::bf16  ? static_cast<double>(static_cast<float>(bf16(narrow)))
                    : dtype_ == DType::f32 ? static_cast<double>(narrow)
                                           : value;
        }
        return {B::cast(B::from_host(values.data(), extents, DType::f64), dtype_),
                Reference::from_host(values.data(), extents, DType::f64)};
    }
    /// Row numbers.
    [[nodiscard]] static Twin<B> indices(const std::vector<Index>& values) {
        const Extents extents{static_cast<Index>(values.size())};
        return {B::from_host(values.data(), extents, DType::i64),
                Reference::from_host(values.data(), extents, DType::i64)};
    }

   private:
    DType dtype_;
    std::uint32_t seed_;
    std::mt19937 engine_;
};

/// All elements in row-major order as doubles.
template <class B>
[[nodiscard]] std::vector<double> values_of(const typename B::Handle& h) {
    std::vector<double> out(static_cast<std::size_t>(B::extents(h).count()));
    B::to_host(B::cast(h, DType::f64), out.data());
    return out;
}

namespace detail {

inline std::vector<Handle> listed(const Handle& h) {
    return {h};
}
template <class H>
std::vector<H> listed(const std::vector<H>& handles) {
    return handles;
}

/// Fills blocks with NaN and frees them: a backend that reuses blocks gets them for its results, so that elements it
/// forgets to write do not pass as zeros.
template <class B>
void poison(const std::vector<Handle>& shapes) {
    std::vector<typename B::Handle> blocks;
    for (const Handle& shape : shapes) {
        if (shape.defined()) {
            blocks.push_back(B::full(shape.extents(), DType::f32, std::numeric_limits<double>::quiet_NaN()));
            blocks.push_back(B::full(shape.extents(), DType::f32, std::numeric_limits<double>::quiet_NaN()));
        }
    }
}

}  // namespace detail

/// Compares handles of B with exact ones; `dtype` is what B's must have.
template <class B>
void check_handles(const std::string& what, const std::vector<typename B::Handle>& found,
                   const std::vector<Handle>& expected, DType dtype, double tolerance, std::uint32_t seed) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        const std::string where = text(what, ", result ", i, ", seed ", seed);
        INFO(where);
        REQUIRE(found[i].defined() == expected[i].defined());
        if (!expected[i].defined()) {
            continue;
        }
        CHECK(B::dtype(found[i]) == dtype);
        REQUIRE(B::extents(found[i]) == expected[i].extents());
        const std::string wrong = difference_of(values_of<B>(found[i]), values_of<Reference>(expected[i]), tolerance);
        CHECK(wrong == "");
    }
}

/// Calls `f(backend, operands…)`, which gives a handle or a vector of handles, with both sides and compares.
template <class B, class F, class... Operands>
void agree(const std::string& what, Maker<B>& maker, double tolerance, F&& f, const Operands&... operands) {
    const std::vector<Handle> expected = detail::listed(f(Reference{}, operands.exact...));
    detail::poison<B>(expected);
    const auto found = detail::listed(f(B{}, operands.tested...));
    check_handles<B>(what, found, expected, maker.dtype(), tolerance, maker.seed());
}

/// Extents of one axis that catch off-by-one errors around vector widths.
inline constexpr Index awkward_sizes[] = {0, 1, 31, 32, 33, 1000, 40001};

}  // namespace flowfar::testing
