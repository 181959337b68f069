#pragma once

/// Convolution as matrix products: what the kernel sees of each output pixel is gathered into a matrix [in · taps,
/// pixels] ("im2col"), in parts that fit a scratch buffer.

#include "flowfar/backend/cuda/kernels/gemm/gemm_lt.cuh"
#include "flowfar/core/shapes/conv_shape.hpp"

namespace flowfar::cuda {

/// The convolution's sizes as kernels divide by them.
struct ConvPlan {
    ConvShape shape;
    FastDivide taps;
    FastDivide kernel_width;
    FastDivide out_width;
    FastDivide height;
    FastDivide width;

    [[nodiscard]] static ConvPlan of(const ConvShape& s) {
        return {s,
                FastDivide::by(s.taps()),
                FastDivide::by(s.kernel_width),
                FastDivide::by(s.out_width),
                FastDivide::by(s.height),
                FastDivide::by(s.width)};
    }
};

/// A part of the gathered matrix: some images, some channels with all their taps, some output pixels. Element (image,
/// row, pixel) lies at image · image_stride + row · row_stride + pixel.
struct ConvPart {
    Index images = 0;
    Index channel = 0;
    Index channels = 0;
    Index pixel = 0;
    Index pixels = 0;
    Index image_stride = 0;
    Index row_stride = 0;
};

/// out = what the taps see of x [images, in, height, width], which begins at the part's first image; zeros outside. A
/// thread gathers `width` neighboring pixels of one tap; `pixels` divides by the packs of a line, `count` counts packs.
template <class T, int width>
__global__ void __launch_bounds__(map_threads)
    gather_taps_kernel(T* out, const T* x, ConvPlan plan, ConvPart part, FastDivide rows, FastDivide pixels,
                       std::uint32_t count) {
    const std::uint32_t step = gridDim.x * blockDim.x;
    const ConvShape& s = plan.shape;
    const auto stride = static_cast<int>(s.options.stride);
    const auto x_height = static_cast<int>(s.height);
    const auto x_width = static_cast<int>(s.width);
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t line = pixels.quotient(i);
        const std::uint32_t pixel = (i - line * pixels.divisor) * width;
        const std::uint32_t image = rows.quotient(line);
        const std::uint32_t row = line - image * rows.divisor;
        const std::uint32_t channel = plan.taps.quotient(row);
        const std::uint32_t tap = row - channel * plan.taps.divisor;
        const std::uint32_t tap_row = plan.kernel_width.quotient(tap);
        const std::uint32_t tap_column = tap - tap_row * plan.kernel_width.divisor;
        const std::uint32_t at = static_cast<std::uint32_t>(part.pixel) + pixel;
        const std::uint32_t out_row = plan.out_width.quotient(at);
        auto left = static_cast<int>(plan.out_width.divisor - (at - out_row * plan.out_width.divisor));  // in this row
        const int first = static_cast<int>(tap_column) - static_cast<int>(s.options.left);
        int y = static_cast<int>(out_row) * stride + static_cast<int>(tap_row) - static_cast<int>(s.options.top);
        int z = (static_cast<int>(plan.out_width.divisor) - left) * stride + first;
        const T* const plane = x + (image * s.in + part.channel + channel) * s.height * s.width;
        Pack<T, width> seen;
#pragma unroll
        for (int k = 0; k < width; ++k) {
            const bool inside = y >= 0 && y < x_height && z >= 0 && z < x_width;
            seen.values[k] = inside ? plane[y * x_width + z] : convert<T>(0.0F);
            z += stride;
            if (--left == 0) {  // the next pixel begins a row
                left = static_cast<int>(plan.out_width.divisor);
                y += stride;
                z = first;
            }
        }
        store_pack(out + image * part.image_stride + row * part.row_stride + pixel, seen);
    }
}

/// dx [images, channels of the part, height, width] = the sum of all entries of `columns` (with all pixels) that each
/// of its elements was gathered to.
template <class T>
__global__ void __launch_bounds__(map_threads)
    scatter_taps_kernel(T* dx, const T* columns, ConvPlan plan, ConvPart part, FastDivide channels,
                        std::uint32_t count) {
    using C = Compute<T>;
    const std::uint32_t step = gridDim.x * blockDim.x;
    const ConvShape& s = plan.shape;
    const auto stride = static_cast<int>(s.options.stride);
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t line = plan.width.quotient(i);
        const auto column = static_cast<int>(i - line * plan.width.divisor + s.options.left);
        const std::uint32_t plane = plan.height.quotient(line);
        const auto row = static_cast<int>(line - plane * plan.height.divisor + s.options.top);
        const std::uint32_t image = channels.quotient(plane);
        const std::uint32_t channel = plane - image * channels.divisor;
        const T* const from = columns + image * part.image_stride + channel * plan.taps.divisor * part.row_stride;
        C total = 0;
        for (int tap_row = 0; tap_row < s.kernel_height && tap_row <= row; ++tap_row) {
            const int y = (row - tap_row) / stride;
            if (y * stride != row - tap_row || y >= s.out_height) {
                continue;
            }
            for (int tap_column = 0; tap_column < s.kernel_width && tap_column <= column; ++tap_column) {
                const int z = (column - tap_column) / stride;
                if (z * stride == column - tap_column && z < s.out_width) {
                    const Index tap = tap_row * s.kernel_width + tap_column;
                    total += convert<C>(from[tap * part.row_stride + y * s.out_width + z]);
                }
            }
        }
        dx[((image * s.in + part.channel + channel) * s.height + (line - plane * plan.height.divisor)) * s.width +
           (column - s.options.left)] = convert<T>(total);
    }
}

/// out + bias of its channel
template <class T>
struct AddMap {
    __device__ __forceinline__ T operator()(T x, T y) const {
        return convert<T>(convert<Compute<T>>(x) + convert<Compute<T>>(y));
    }
};

/// All operands are contiguous and of element type T, results and a bias of type Out: T, or f32 where T is bf16.
template <class T, class Out = T>
class Conv {
   public:
    /// Bytes that the gathered matrix may take, unless one image and one channel or 64 pixels need more.
    static std::size_t& scratch_limit() {
        static std::size_t bytes = std::size_t{32} << 20;
        return bytes;
    }

    explicit Conv(const ConvShape& shape)
        : s_(shape),
          plan_(ConvPlan::of(shape)),
          pixels_(shape.pixels()),
          inner_(shape.in * shape.taps()),
          limit_(static_cast<Index>(scratch_limit() / sizeof(Out))) {
        const ConvOptions& o = shape.options;
        direct_ = shape.taps() == 1 && o.stride == 1 && o.top + o.left + o.bottom + o.right == 0;
    }

    /// x [batch, in, h, w], weight [out, in, kh, kw], bias [out] or undefined → y.
    void forward(const Handle& y, const Handle& x, const Handle& weight, const Handle& bias) const {
        const Index whole = inner_ * pixels_;
        const Index images = direct_ ? s_.batch : std::clamp<Index>(limit_ / whole, 1, std::max<Index>(s_.batch, 1));
        const Index fitting = std::max<Index>(limit_ / inner_ / 64 * 64, 64);
        const Index pixels = direct_ || images > 1 ? pixels_ : std::min(pixels_, fitting);
        const Scratch<T> columns(direct_ ? 0 : images * inner_ * pixels);
        for (Index n = 0; n < s_.batch; n += images) {
            for (Index first = 0; first < pixels_; first += pixels) {
                ConvPart part{std::min(images, s_.batch - n), 0, s_.in, first, std::min(pixels, pixels_ - first)};
                part.row_stride = direct_ ? pixels_ : part.pixels;
                part.image_stride = inner_ * part.row_stride;
                const T* seen = x.data<T>() + n * s_.in * s_.height * s_.width;
                if (!direct_) {
                    gather(columns.data(), seen, part);
                    seen = columns.data();
                }
                MatrixProduct p = product(s_.out, inner_, part.pixels, part.images);
                p.a = {weight.data<T>(), inner_, true, 0};
                p.b = {seen, part.row_stride, true, part.image_stride};
                p.out = dtype_of<Out>;
                p.c = y.data<Out>() + n * s_.out * pixels_ + first;
                p.ldc = pixels_;
                p.c_stride = s_.out * pixels_;
                Gemm::multiply(p);
            }
        }
        if (bias.defined()) {
            map(AddMap<Out>{}, View<Out>::of(y), View<const Out>::of(y),
                View<const Out>::of(bias.with(*reshaped(bias.layout, {s_.out, 1, 1})), y.extents()));
        }
    }

    void backward_input(const Handle& dx, const Handle& weight, const Handle& g) const {
        const Index one = s_.taps() * pixels_;  // entries per image and channel
        const Index images =
            direct_ ? s_.batch : std::clamp<Index>(limit_ / (s_.in * one), 1, std::max<Index>(s_.batch, 1));
        const Index channels = direct_ || images > 1 ? s_.in : std::clamp<Index>(limit_ / one, 1, s_.in);
        const Scratch<Out> columns(direct_ ? 0 : images * channels * one);
        for (Index n = 0; n < s_.batch; n += images) {
            for (Index channel = 0; channel < s_.in; channel += channels) {
                ConvPart part{std::min(images, s_.batch - n), channel, std::min(channels, s_.in - channel), 0, pixels_};
                part.row_stride = pixels_;
                part.image_stride = part.channels * one;
                Out* const image = dx.data<Out>() + n * s_.in * s_.height * s_.width;
                MatrixProduct p = product(part.channels * s_.taps(), s_.out, pixels_, part.images);
                p.a = {weight.data<T>() + channel * s_.taps(), inner_, false, 0};
                p.b = {g.data<T>() + n * s_.out * pixels_, pixels_, true, s_.out * pixels_};
                p.out = dtype_of<Out>;
                p.c = direct_ ? image : columns.data();
                p.ldc = pixels_;
                p.c_stride = part.image_stride;
                Gemm::multiply(p);
                if (!direct_) {
                    const auto count = checked(part.images * part.channels * s_.height * s_.width);
                    launch(scatter_taps_kernel<Out>, dim3(map_blocks(count)), dim3(map_threads), 0, image,
                           static_cast<const Out*>(columns.data()), plan_, part, FastDivide::by(part.channels), count);
                }
            }
        }
    }

    /// Fills dw; several images stand side by side, so that one product adds them up.
    void backward_weight(const Handle& dw, const Handle& x, const Handle& g) const {
        if (s_.batch == 0) {
            Copy::fill(dw, 0.0);
            return;
        }
        using C = Compute<T>;
        const Handle sums = dtype_of<C> == dw.dtype ? dw : empty(dw.extents(), dtype_of<C>);
        const Index images = std::clamp<Index>(limit_ / (inner_ * pixels_), 1, s_.batch);
        const Index fitting = std::max<Index>(limit_ / inner_ / 64 * 64, 64);
        const Index pixels = images > 1 ? pixels_ : std::min(pixels_, fitting);
        const Scratch<T> columns(images * inner_ * pixels);
        bool begun = false;
        for (Index n = 0; n < s_.batch; n += images) {
            for (Index first = 0; first < pixels_; first += pixels, begun = true) {
                ConvPart part{std::min(images, s_.batch - n), 0, s_.in, first, std::min(pixels, pixels_ - first)};
                part.image_stride = part.pixels;
                part.row_stride = part.images * part.pixels;
                gather(columns.data(), x.data<T>() + n * s_.in * s_.height * s_.width, part);
                const Handle cotangents = side_by_side(g, n, part.images);
                MatrixProduct p = product(s_.out, part.row_stride, inner_, 1);
                p.out = sums.dtype;
                p.beta = begun ? 1.0 : 0.0;
                p.a = {cotangents.data<T>() + first, part.images * pixels_, true, 0};
                p.b = {columns.data(), part.row_stride, false, 0};
                p.c = sums.data<C>();
                p.ldc = inner_;
                Gemm::multiply(p);
            }
        }
        if (sums.dtype != dw.dtype) {
            Copy::assign(dw, sums);
        }
    }

   private:
    template <class E>
    class Scratch {
       public:
        explicit Scratch(Index count) : block_(allocate(static_cast<std::size_t>(count) * sizeof(E))) {}
        [[nodiscard]] E* data() const { return reinterpret_cast<E*>(block_.get()); }

       private:
        std::shared_ptr<std::byte> block_;
    };

    [[nodiscard]] static std::uint32_t checked(Index count) {
        require(count <= count_limit, "conv2d: ", count, " elements");
        return static_cast<std::uint32_t>(count);
    }
    [[nodiscard]] static MatrixProduct product(Index rows, Index inner, Index columns, Index batches) {
        MatrixProduct p;
        p.in = p.out = dtype_of<T>;
        p.rows = rows;
        p.inner = inner;
        p.columns = columns;
        p.batches = batches;
        return p;
    }
    void gather(T* columns, const T* x, const ConvPart& part) const {
        const auto run = [&]<int width>() {
            const std::uint32_t count = checked(part.images * inner_ * part.pixels / width);
            launch(gather_taps_kernel<T, width>, dim3(map_blocks(count)), dim3(map_threads), 0, columns, x, plan_, part,
                   FastDivide::by(inner_), FastDivide::by(part.pixels / width), count);
        };
        // One plane is counted in 32 bits.
        require(s_.height * s_.width <= count_limit, "conv2d: images of ", s_.height, " × ", s_.width, " pixels");
        constexpr int widest = pack_size<T>;
        const bool packed =
            part.pixels % widest == 0 && part.row_stride % widest == 0 && part.image_stride % widest == 0;
        packed ? run.template operator()<widest>() : run.template operator()<1>();
    }
    /// g's images [n, n + images) as [out, images · pixels].
    [[nodiscard]] Handle side_by_side(const Handle& g, Index n, Index images) const {
        const Layout rows = contiguous_layout({s_.batch, s_.out, pixels_});
        Layout layout = sliced(rows, 0, n, n + images);
        layout.offset += g.layout.offset;
        return contiguous(g.with(permuted(layout, {1, 0, 2})));
    }

    ConvShape s_;
    ConvPlan plan_;
    Index pixels_;
    Index inner_;
    Index limit_;  ///< elements of the gathered matrix
    bool direct_ = false;
};

}  // namespace flowfar::cuda
