#pragma once

/// Pooling and nearest-neighbor doubling of images, and their gradients. Every thread owns one pixel of the result and
/// gathers what belongs to it, so nothing is added by two threads. All operands are contiguous.

#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/core/shapes/pooling_shape.hpp"

namespace flowfar::cuda {

/// Place of the largest pixel of a window, the first of equals; NaN counts as larger than any number.
template <class T>
[[nodiscard]] __device__ __forceinline__ Index largest_pixel(const T* image, const PoolShape::Range& rows,
                                                             const PoolShape::Range& columns, Index width) {
    using C = Compute<T>;
    Index best = rows.begin * width + columns.begin;
    C peak = convert<C>(image[best]);
    for (Index row = rows.begin; row < rows.end; ++row) {
        for (Index column = columns.begin; column < columns.end; ++column) {
            const C value = convert<C>(image[row * width + column]);
            if (!(value <= peak) && peak == peak) {
                peak = value;
                best = row * width + column;
            }
        }
    }
    return best;
}

/// Pixel number i of [planes, height, width].
struct Pixel {
    Index plane;
    Index row;
    Index column;

    [[nodiscard]] __device__ static __forceinline__ Pixel at(std::uint32_t i, FastDivide height, FastDivide width) {
        const std::uint32_t line = width.quotient(i);
        const std::uint32_t plane = height.quotient(line);
        return {plane, line - plane * height.divisor, i - line * width.divisor};
    }
};

template <class T>
__global__ void __launch_bounds__(map_threads)
    pool_kernel(T* y, const T* x, PoolShape shape, FastDivide out_height, FastDivide out_width, std::uint32_t count) {
    using C = Compute<T>;
    const std::uint32_t step = gridDim.x * blockDim.x;
    const ConvShape& w = shape.windows;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const Pixel p = Pixel::at(i, out_height, out_width);
        const T* const image = x + p.plane * w.height * w.width;
        const PoolShape::Range rows = shape.rows(p.row);
        const PoolShape::Range columns = shape.columns(p.column);
        if (shape.options.kind == PoolKind::max) {
            y[i] = image[largest_pixel(image, rows, columns, w.width)];
            continue;
        }
        C total = 0;
        for (Index row = rows.begin; row < rows.end; ++row) {
            for (Index column = columns.begin; column < columns.end; ++column) {
                total += convert<C>(image[row * w.width + column]);
            }
        }
        y[i] = convert<T>(total * (C(1) / static_cast<C>(rows.counted * columns.counted)));
    }
}

/// The windows of one axis that see a pixel: [begin, end).
struct Windows {
    Index begin;
    Index end;

    [[nodiscard]] __device__ static __forceinline__ Windows of(Index pixel, Index before, Index size, Index stride,
                                                               Index count) {
        const int at = static_cast<int>(pixel + before);  // divisions of 64 bits are slow
        const int first = at - static_cast<int>(size) + 1;
        const int step = static_cast<int>(stride);
        const Index last = at / step + 1;
        return {first <= 0 ? 0 : (first + step - 1) / step, last < count ? last : count};
    }
};

template <class T, PoolKind Kind>
__global__ void __launch_bounds__(map_threads)
    pool_backward_kernel(T* dx, const T* x, const T* g, PoolShape shape, FastDivide height, FastDivide width,
                         std::uint32_t count) {
    using C = Compute<T>;
    const std::uint32_t step = gridDim.x * blockDim.x;
    const ConvShape& w = shape.windows;
    const ConvOptions& o = shape.options.around;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const Pixel p = Pixel::at(i, height, width);
        const Windows lines = Windows::of(p.row, o.top, w.kernel_height, o.stride, w.out_height);
        const Windows places = Windows::of(p.column, o.left, w.kernel_width, o.stride, w.out_width);
        const Index plane = p.plane * w.height * w.width;
        const T* const cotangent = g + p.plane * w.out_height * w.out_width;
        C total = 0;
        for (Index line = lines.begin; line < lines.end; ++line) {
            const PoolShape::Range rows = shape.rows(line);
            for (Index place = places.begin; place < places.end; ++place) {
                const PoolShape::Range columns = shape.columns(place);
                const C slope = convert<C>(cotangent[line * w.out_width + place]);
                if constexpr (Kind != PoolKind::max) {
                    total += slope * (C(1) / static_cast<C>(rows.counted * columns.counted));
                } else if (largest_pixel(x + plane, rows, columns, w.width) == p.row * w.width + p.column) {
                    total += slope;
                }
            }
        }
        dx[i] = convert<T>(total);
    }
}

[[nodiscard]] inline std::uint32_t image_elements(const Handle& h) {
    require(h.count() <= count_limit, "cuda: an image of ", h.count(), " elements");
    return static_cast<std::uint32_t>(h.count());
}

namespace pooling {

inline void forward(const Handle& y, const Handle& x, const PoolShape& shape) {
    const std::uint32_t count = image_elements(y);
    visit_float(y.dtype, "pool2d", [&]<class T>() {
        launch(pool_kernel<T>, dim3(map_blocks(count)), dim3(map_threads), 0, y.data<T>(), x.data<T>(), shape,
               FastDivide::by(shape.windows.out_height), FastDivide::by(shape.windows.out_width), count);
    });
}
/// x is needed for maxima only.
inline void backward(const Handle& dx, const Handle& x, const Handle& g, const PoolShape& shape) {
    const std::uint32_t count = image_elements(dx);
    visit_float(dx.dtype, "pool2d", [&]<class T>() {
        const auto kernel = shape.options.kind == PoolKind::max ? pool_backward_kernel<T, PoolKind::max>
                                                                : pool_backward_kernel<T, PoolKind::mean>;
        launch(kernel, dim3(map_blocks(count)), dim3(map_threads), 0, dx.data<T>(), x.defined() ? x.data<T>() : nullptr,
               g.data<T>(), shape, FastDivide::by(shape.windows.height), FastDivide::by(shape.windows.width), count);
    });
}

}  // namespace pooling

/// y [planes, 2h, 2w] from x [planes, h, w].
template <class T>
__global__ void __launch_bounds__(map_threads)
    upsample_kernel(T* y, const T* x, FastDivide out_height, FastDivide out_width, std::uint32_t count) {
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const Pixel p = Pixel::at(i, out_height, out_width);
        y[i] = x[(p.plane * (out_height.divisor / 2) + p.row / 2) * (out_width.divisor / 2) + p.column / 2];
    }
}

/// dx [planes, h, w] from g [planes, 2h, 2w].
template <class T>
__global__ void __launch_bounds__(map_threads)
    upsample_backward_kernel(T* dx, const T* g, FastDivide height, FastDivide width, std::uint32_t count) {
    using C = Compute<T>;
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const Pixel p = Pixel::at(i, height, width);
        const T* const upper = g + ((p.plane * height.divisor + p.row) * 2 * width.divisor + p.column) * 2;
        const T* const lower = upper + 2 * static_cast<Index>(width.divisor);
        dx[i] =
            convert<T>((convert<C>(upper[0]) + convert<C>(upper[1])) + (convert<C>(lower[0]) + convert<C>(lower[1])));
    }
}

namespace upsampling {

inline void forward(const Handle& y, const Handle& x) {
    const std::uint32_t count = image_elements(y);
    visit_float(y.dtype, "upsample_nearest2", [&]<class T>() {
        launch(upsample_kernel<T>, dim3(map_blocks(count)), dim3(map_threads), 0, y.data<T>(), x.data<T>(),
               FastDivide::by(y.extents()[2]), FastDivide::by(y.extents()[3]), count);
    });
}
inline void backward(const Handle& dx, const Handle& g) {
    const std::uint32_t count = image_elements(dx);
    visit_float(dx.dtype, "upsample_nearest2", [&]<class T>() {
        launch(upsample_backward_kernel<T>, dim3(map_blocks(count)), dim3(map_threads), 0, dx.data<T>(), g.data<T>(),
               FastDivide::by(dx.extents()[2]), FastDivide::by(dx.extents()[3]), count);
    });
}

}  // namespace upsampling

}  // namespace flowfar::cuda
