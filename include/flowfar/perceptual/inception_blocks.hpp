#pragma once

/// The blocks of Inception-v3 (Szegedy et al. 2016, arXiv 1512.00567) with torchvision's names; batch norms are folded.

#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/conv.hpp"

namespace flowfar {

/// A convolution with its batch norm folded in, and a ReLU.
template <class B, Index In, Index Out, Index Height, Index Width, class T = float>
struct InceptionConv {
    using Backend = B;
    RectangularConv2d<B, In, Out, Height, Width, T> conv;

    InceptionConv() = default;
    explicit InceptionConv(const ConvOptions& options) : conv{.options = options} {}

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return relu(conv(x));
    }
    void initialize(std::uint64_t seed) { conv.initialize(fold(seed, "conv")); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv", self.conv);
    }
};

namespace detail {

/// Windows of 3×3 around every pixel.
template <AnyTensor X>
[[nodiscard]] auto around_pixels(const X& x, PoolKind kind) {
    return pool2d(x, PoolOptions::square(kind, 3, 1, 1));
}
/// Maxima at half the size.
template <AnyTensor X>
[[nodiscard]] auto halved(const X& x) {
    return pool2d(x, PoolOptions::square(PoolKind::max, 3, 2));
}

}  // namespace detail

/// 1×1, 5×5, twice 3×3, and means: → 224 + Pooled channels.
template <class B, Index In, Index Pooled, class T = float>
struct InceptionA {
    using Backend = B;
    InceptionConv<B, In, 64, 1, 1, T> branch1x1;
    InceptionConv<B, In, 48, 1, 1, T> branch5x5_1;
    InceptionConv<B, 48, 64, 5, 5, T> branch5x5_2;
    InceptionConv<B, In, 64, 1, 1, T> branch3x3dbl_1;
    InceptionConv<B, 64, 96, 3, 3, T> branch3x3dbl_2;
    InceptionConv<B, 96, 96, 3, 3, T> branch3x3dbl_3;
    InceptionConv<B, In, Pooled, 1, 1, T> branch_pool;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return concat<1>(branch1x1(x), branch5x5_2(branch5x5_1(x)), branch3x3dbl_3(branch3x3dbl_2(branch3x3dbl_1(x))),
                         branch_pool(detail::around_pixels(x, PoolKind::mean_inside)));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("branch1x1", self.branch1x1);
        v("branch5x5_1", self.branch5x5_1);
        v("branch5x5_2", self.branch5x5_2);
        v("branch3x3dbl_1", self.branch3x3dbl_1);
        v("branch3x3dbl_2", self.branch3x3dbl_2);
        v("branch3x3dbl_3", self.branch3x3dbl_3);
        v("branch_pool", self.branch_pool);
    }
};

/// Half the size: 3×3, twice 3×3, and the maximum: → 480 + In channels.
template <class B, Index In, class T = float>
struct InceptionB {
    using Backend = B;
    InceptionConv<B, In, 384, 3, 3, T> branch3x3{ConvOptions::square(2, 0)};
    InceptionConv<B, In, 64, 1, 1, T> branch3x3dbl_1;
    InceptionConv<B, 64, 96, 3, 3, T> branch3x3dbl_2;
    InceptionConv<B, 96, 96, 3, 3, T> branch3x3dbl_3{ConvOptions::square(2, 0)};

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return concat<1>(branch3x3(x), branch3x3dbl_3(branch3x3dbl_2(branch3x3dbl_1(x))), detail::halved(x));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("branch3x3", self.branch3x3);
        v("branch3x3dbl_1", self.branch3x3dbl_1);
        v("branch3x3dbl_2", self.branch3x3dbl_2);
        v("branch3x3dbl_3", self.branch3x3dbl_3);
    }
};

/// 1×1, 7×7 in two steps, twice 7×7, and means, `Width` channels inside: → 768 channels.
template <class B, Index In, Index Width, class T = float>
struct InceptionC {
    using Backend = B;
    InceptionConv<B, In, 192, 1, 1, T> branch1x1;
    InceptionConv<B, In, Width, 1, 1, T> branch7x7_1;
    InceptionConv<B, Width, Width, 1, 7, T> branch7x7_2;
    InceptionConv<B, Width, 192, 7, 1, T> branch7x7_3;
    InceptionConv<B, In, Width, 1, 1, T> branch7x7dbl_1;
    InceptionConv<B, Width, Width, 7, 1, T> branch7x7dbl_2;
    InceptionConv<B, Width, Width, 1, 7, T> branch7x7dbl_3;
    InceptionConv<B, Width, Width, 7, 1, T> branch7x7dbl_4;
    InceptionConv<B, Width, 192, 1, 7, T> branch7x7dbl_5;
    InceptionConv<B, In, 192, 1, 1, T> branch_pool;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return concat<1>(branch1x1(x), branch7x7_3(branch7x7_2(branch7x7_1(x))),
                         branch7x7dbl_5(branch7x7dbl_4(branch7x7dbl_3(branch7x7dbl_2(branch7x7dbl_1(x))))),
                         branch_pool(detail::around_pixels(x, PoolKind::mean_inside)));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("branch1x1", self.branch1x1);
        v("branch7x7_1", self.branch7x7_1);
        v("branch7x7_2", self.branch7x7_2);
        v("branch7x7_3", self.branch7x7_3);
        v("branch7x7dbl_1", self.branch7x7dbl_1);
        v("branch7x7dbl_2", self.branch7x7dbl_2);
        v("branch7x7dbl_3", self.branch7x7dbl_3);
        v("branch7x7dbl_4", self.branch7x7dbl_4);
        v("branch7x7dbl_5", self.branch7x7dbl_5);
        v("branch_pool", self.branch_pool);
    }
};

/// Half the size: 3×3, 7×7 then 3×3, and the maximum: → 512 + In channels.
template <class B, Index In, class T = float>
struct InceptionD {
    using Backend = B;
    InceptionConv<B, In, 192, 1, 1, T> branch3x3_1;
    InceptionConv<B, 192, 320, 3, 3, T> branch3x3_2{ConvOptions::square(2, 0)};
    InceptionConv<B, In, 192, 1, 1, T> branch7x7x3_1;
    InceptionConv<B, 192, 192, 1, 7, T> branch7x7x3_2;
    InceptionConv<B, 192, 192, 7, 1, T> branch7x7x3_3;
    InceptionConv<B, 192, 192, 3, 3, T> branch7x7x3_4{ConvOptions::square(2, 0)};

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return concat<1>(branch3x3_2(branch3x3_1(x)), branch7x7x3_4(branch7x7x3_3(branch7x7x3_2(branch7x7x3_1(x)))),
                         detail::halved(x));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("branch3x3_1", self.branch3x3_1);
        v("branch3x3_2", self.branch3x3_2);
        v("branch7x7x3_1", self.branch7x7x3_1);
        v("branch7x7x3_2", self.branch7x7x3_2);
        v("branch7x7x3_3", self.branch7x7x3_3);
        v("branch7x7x3_4", self.branch7x7x3_4);
    }
};

/// 1×1, 3×3 as 1×3 beside 3×1, the same after another 3×3, and windows of kind `Kind`: → 2048 channels.
template <class B, Index In, PoolKind Kind, class T = float>
struct InceptionE {
    using Backend = B;
    InceptionConv<B, In, 320, 1, 1, T> branch1x1;
    InceptionConv<B, In, 384, 1, 1, T> branch3x3_1;
    InceptionConv<B, 384, 384, 1, 3, T> branch3x3_2a;
    InceptionConv<B, 384, 384, 3, 1, T> branch3x3_2b;
    InceptionConv<B, In, 448, 1, 1, T> branch3x3dbl_1;
    InceptionConv<B, 448, 384, 3, 3, T> branch3x3dbl_2;
    InceptionConv<B, 384, 384, 1, 3, T> branch3x3dbl_3a;
    InceptionConv<B, 384, 384, 3, 1, T> branch3x3dbl_3b;
    InceptionConv<B, In, 192, 1, 1, T> branch_pool;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        const auto once = branch3x3_1(x);
        const auto twice = branch3x3dbl_2(branch3x3dbl_1(x));
        return concat<1>(branch1x1(x), branch3x3_2a(once), branch3x3_2b(once), branch3x3dbl_3a(twice),
                         branch3x3dbl_3b(twice), branch_pool(detail::around_pixels(x, Kind)));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("branch1x1", self.branch1x1);
        v("branch3x3_1", self.branch3x3_1);
        v("branch3x3_2a", self.branch3x3_2a);
        v("branch3x3_2b", self.branch3x3_2b);
        v("branch3x3dbl_1", self.branch3x3dbl_1);
        v("branch3x3dbl_2", self.branch3x3dbl_2);
        v("branch3x3dbl_3a", self.branch3x3dbl_3a);
        v("branch3x3dbl_3b", self.branch3x3dbl_3b);
        v("branch_pool", self.branch_pool);
    }
};

}  // namespace flowfar
