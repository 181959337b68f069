#pragma once

/// Memory, views, indexing and random numbers of a backend against the reference.

#include <array>
#include <span>

#include "twin.hpp"

namespace flowfar::testing {

inline constexpr DType all_dtypes[] = {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64, DType::u8};

template <class B>
void check_cast() {
    // Small whole numbers and halves survive in every type that can hold them.
    const std::vector<double> whole{0.0, 1.0, 2.0, 100.0, 127.0, 64.0};
    for (const DType from : all_dtypes) {
        for (const DType to : all_dtypes) {
            INFO(name_of(from), " to ", name_of(to));
            const auto x = B::cast(B::from_host(whole.data(), {2, 3}, DType::f64), from);
            const auto y = B::cast(B::permute(x, {1, 0}), to);
            CHECK(B::dtype(y) == to);
            CHECK((values_of<B>(y) == std::vector<double>{0.0, 100.0, 1.0, 127.0, 2.0, 64.0}));
            CHECK(B::extents(B::cast(B::empty({0, 3}, from), to)) == Extents{0, 3});
        }
    }
    for (const Index size : awkward_sizes) {
        Maker<B> make(DType::f64, 601);
        const Twin<B> x = make.uniform({size}, -3.0, 3.0);
        for (const DType to : {DType::f32, DType::bf16}) {
            INFO("size ", size);
            CHECK((values_of<B>(B::cast(x.tested, to)) == values_of<Reference>(Reference::cast(x.exact, to))));
        }
    }
}

/// Assignment into views, with broadcasting and conversion; elements around the view must stay.
template <class B>
void check_assign(DType dtype) {
    Maker<B> make(dtype, 602);
    const auto check = [&](const char* what, const Twin<B>& whole, const Twin<B>& part, const Twin<B>& source) {
        B::assign(part.tested, source.tested);
        Reference::assign(part.exact, source.exact);
        check_handles<B>(what, {whole.tested}, {whole.exact}, dtype, 0.0, make.seed());
    };
    for (const Index size : awkward_sizes) {
        const Twin<B> target = make.uniform({size});
        check("same shape", target, target, make.uniform({size}));
        const Twin<B> wide = make.uniform({size + 2});
        check("with sentinels", wide, wide.slice(0, 1, size + 1), make.uniform({size}));
    }
    const Twin<B> cube = make.uniform({5, 7, 9});
    check("slice", cube, cube.slice(1, 2, 4), make.uniform({5, 2, 9}));
    check("column", cube, cube.slice(2, 8, 9), make.uniform({5, 7, 1}));
    check("broadcast", cube, cube.slice(0, 1, 4), make.uniform({7, 1}));
    check("scalar", cube, cube.slice(2, 3, 5), make.uniform({}));
    check("transposed target", cube, cube.permute({2, 0, 1}), make.uniform({9, 5, 7}));
    check("transposed source", cube, cube, make.uniform({9, 5, 7}).permute({1, 2, 0}));
    check("empty slice", cube, cube.slice(0, 2, 2), make.uniform({0, 7, 9}));
    const Twin<B> big = make.uniform({300, 200});
    check("large transposed", big, big.slice(0, 7, 207), make.uniform({200, 200}).permute({1, 0}));
    CHECK_THROWS_AS(B::assign(cube.tested, make.uniform({2, 9}).tested), Error);
}

template <class B>
void check_views(DType dtype) {
    Maker<B> make(dtype, 603);
    const Twin<B> x = make.uniform({4, 6, 8});
    const auto check = [&](const char* what, const Twin<B>& y) {
        check_handles<B>(what, {y.tested}, {y.exact}, dtype, 0.0, make.seed());
        check_handles<B>(what, {B::contiguous(y.tested)}, {y.exact}, dtype, 0.0, make.seed());
    };
    check("reshape", x.reshape({24, 2, 4}));
    check("reshape of a transposed view", x.permute({2, 0, 1}).reshape({32, 6}));
    check("reshape that merges what stays together", x.permute({2, 0, 1}).reshape({8, 24}));
    check("reshape of a slice", x.slice(1, 1, 4).reshape({4, 24}));
    check("reshape of a column", x.slice(2, 3, 4).reshape({4, 6}));
    check("reshape of a broadcast view", x.slice(1, 0, 1).expand({4, 6, 8}).reshape({4, 48}));
    check("reshape around an axis of extent 1", make.uniform({2, 9, 4}).slice(1, 3, 4).permute({1, 0, 2}).reshape({8}));
    check("reshape to more ones", x.slice(2, 0, 3).reshape({4, 1, 6, 1, 3, 1}));
    check("reshape of nothing", make.uniform({0, 3}).reshape({3, 0, 7}));
    check("reshape to a scalar", x.slice(0, 1, 2).slice(1, 1, 2).slice(2, 1, 2).reshape({}));
    const Twin<B> same = x.reshape({6, 4, 8});
    CHECK(same.tested.storage == x.tested.storage);
}

template <class B>
void check_indexing(DType dtype) {
    Maker<B> make(dtype, 604);
    const auto joined = [](int axis) {
        return [axis](auto b, const auto&... parts) {
            using H = std::remove_cvref_t<std::tuple_element_t<0, std::tuple<decltype(parts)...>>>;
            const std::array<H, sizeof...(parts)> list{parts...};
            return b.concat(std::span<const H>(list), axis);
        };
    };
    for (int axis = 0; axis < 3; ++axis) {
        const auto part = [&](Index length) {
            Extents e{3, 5, 7};
            e[axis] = length;
            return make.uniform(e);
        };
        agree<B>(text("concat along ", axis), make, 0.0, joined(axis), part(2), part(1), part(33));
        agree<B>(text("concat with nothing along ", axis), make, 0.0, joined(axis), part(0), part(4));
        agree<B>(text("concat of one along ", axis), make, 0.0, joined(axis), part(4));
    }
    agree<B>("concat of views", make, 0.0, joined(1), make.uniform({5, 3}).permute({1, 0}),
             make.uniform({1, 4}).expand({3, 4}), make.uniform({3, 9}).slice(1, 2, 5));

    const auto gather = [](auto b, const auto& x, const auto& rows) { return b.gather_rows(x, rows); };
    const auto scatter = [](auto b, const auto& x, const auto& rows) { return b.scatter_add_rows(x, rows, 5); };
    const Twin<B> rows = Maker<B>::indices({4, 0, 0, 3, 4, 4, 1});
    const Twin<B> none = Maker<B>::indices({});
    agree<B>("gather", make, 0.0, gather, make.uniform({5, 33}), rows);
    agree<B>("gather of a vector", make, 0.0, gather, make.uniform({5}), rows);
    agree<B>("gather of higher rank", make, 0.0, gather, make.uniform({5, 2, 3}), rows);
    agree<B>("gather of a view", make, 0.0, gather, make.uniform({9, 5}).permute({1, 0}), rows);
    agree<B>("gather by every second", make, 0.0, gather, make.uniform({5, 4}),
             Twin<B>(Maker<B>::indices({4, 9, 0, 9, 2, 9})).reshape({3, 2}).slice(1, 0, 1).reshape({3}));
    agree<B>("gather nothing", make, 0.0, gather, make.uniform({5, 4}), none);
    // four terms meet in one row: bf16 rounds after each
    const double sums = 3.0 * approx::of(dtype, 4);
    agree<B>("scatter", make, sums, scatter, make.uniform({7, 33}, 0.1, 1.0), rows);
    agree<B>("scatter of a vector", make, sums, scatter, make.uniform({7}, 0.1, 1.0), rows);
    agree<B>("scatter of a view", make, sums, scatter, make.uniform({33, 7}, 0.1, 1.0).permute({1, 0}), rows);
    agree<B>("scatter of repeated rows", make, sums, scatter, make.uniform({1, 3}, 0.1, 1.0).expand({7, 3}), rows);
    agree<B>("scatter nothing", make, 0.0, scatter, make.uniform({0, 4}), none);

    const auto table = make.uniform({5, 2}).tested;
    for (const Index wrong : {Index{-1}, Index{5}, Index{1} << 40}) {
        const auto list = Maker<B>::indices({0, wrong}).tested;
        const auto source = make.uniform({2, 2}).tested;
        CHECK_THROWS_AS(static_cast<void>(B::gather_rows(table, list)), Error);
        CHECK_THROWS_AS(static_cast<void>(B::scatter_add_rows(source, list, 5)), Error);
    }
    CHECK_THROWS_AS(static_cast<void>(B::gather_rows(table, table)), Error);
}

/// Random numbers are the same bits as the reference's, and addressable: element i depends on seed, offset + i only.
template <class B>
void check_random() {
    using H = typename B::Handle;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        for (const Extents& e : {Extents{}, Extents{0}, Extents{1}, Extents{33}, Extents{3, 31}, Extents{50001}}) {
            for (const std::uint64_t offset : {0U, 1U, 2U, 3U, 1000003U}) {
                for (const std::uint64_t seed : {std::uint64_t{0}, ~std::uint64_t{0}}) {
                    INFO(name_of(dtype), " ", to_string(e), " seed ", seed, " offset ", offset);
                    CHECK((values_of<B>(B::uniform(e, dtype, seed, offset)) ==
                           values_of<Reference>(Reference::uniform(e, dtype, seed, offset))));
                    CHECK((values_of<B>(B::normal(e, dtype, seed, offset)) ==
                           values_of<Reference>(Reference::normal(e, dtype, seed, offset))));
                }
            }
        }
    }
    const H all = B::normal({100}, DType::f32, 9, 0);
    const H later = B::normal({60}, DType::f32, 9, 37);
    CHECK((values_of<B>(B::slice(all, 0, 37, 97)) == values_of<B>(later)));
    CHECK_THROWS_AS(static_cast<void>(B::normal({3}, DType::i64, 1, 0)), Error);
}

}  // namespace flowfar::testing
