#pragma once

/// `Cuda`'s reductions, softmax, normalisations and rotary embedding.

#include "flowfar/backend/cuda/kernels/rows/norm.cuh"
#include "flowfar/backend/cuda/kernels/rows/reduce.cuh"
#include "flowfar/backend/cuda/kernels/rows/rope.cuh"
#include "flowfar/backend/cuda/kernels/rows/softmax.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"

namespace flowfar {

namespace cuda {

/// The reduction of any view over any axes; `keep` leaves them with extent 1.
inline Handle reduce_axes(ReduceOp op, const Handle& x, Axes axes, bool keep) {
    Extents kept = x.extents();
    Extents result;
    Extents order;
    int first = x.rank();
    int last = -1;
    int reduced = 0;
    for (const bool wanted : {false, true}) {
        for (int axis = 0; axis < x.rank(); ++axis) {
            if (axes.contains(axis) == wanted) {
                order.push_back(axis);
            }
        }
    }
    for (int axis = 0; axis < x.rank(); ++axis) {
        if (axes.contains(axis)) {
            kept[axis] = 1;
            first = std::min(first, axis);
            last = axis;
            ++reduced;
        } else {
            result.push_back(x.extents()[axis]);
        }
    }
    const Extents& extents = keep ? kept : result;
    if (last - first + 1 > reduced && reduced > 0) {  // axes in between stay: bring the reduced ones together
        const Axes trailing{Axes::all(x.rank()).bits & ~Axes::all(x.rank() - reduced).bits};
        return reduce_axes(op, Cuda::permute(x, order), trailing, false).with(contiguous_layout(extents));
    }
    if (reduced == 0) {
        first = 0;
    }
    const Handle source = Cuda::contiguous(x);
    Index outer = 1;
    Index middle = 1;
    Index inner = 1;
    for (int axis = 0; axis < x.rank(); ++axis) {
        (axes.contains(axis) ? middle : (axis < first ? outer : inner)) *= x.extents()[axis];
    }
    const Handle out = Cuda::empty(extents, x.dtype);
    visit_float(x.dtype, "reduce", [&]<class T>() {
        Reduce::block(out.data<T>(), static_cast<const T*>(source.data<T>()), outer, middle, inner, op);
    });
    return out;
}

/// Softmax or its logarithm.
inline Handle softmax_of(const Handle& x, bool logarithm) {
    return route(
        [logarithm](const Handle& h) {
            const Handle out = Cuda::empty(h.extents(), h.dtype);
            Softmax::forward(out, Cuda::contiguous(h), logarithm);
            return out;
        },
        x);
}
inline Handle softmax_gradient(const Handle& y, const Handle& g, bool logarithm) {
    return route(
        [logarithm](const Handle& output, const Handle& cotangent) {
            const Handle out = Cuda::empty(output.extents(), output.dtype);
            Softmax::backward(out, Cuda::contiguous(output), Cuda::contiguous(cotangent), logarithm);
            return out;
        },
        y, g);
}

/// Layer norm (`centre`) or RMS norm.
inline Handle norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options, bool centre) {
    const Handle out = Cuda::empty(x.extents(), x.dtype);
    visit_native(x.dtype,
                 [&]<class T>() { Norm::forward<T>(out, dense_rows(x), dense(scale), dense(shift), options, centre); });
    return out;
}
inline NormGradients<Handle> norm_gradient(const Handle& x, const Handle& scale, const Handle& shift, const Handle& g,
                                           NormOptions options, bool centre) {
    const NormGradients<Handle> out{Cuda::empty(x.extents(), x.dtype),
                                    scale.defined() ? Cuda::empty(scale.extents(), x.dtype) : Handle{},
                                    shift.defined() ? Cuda::empty(shift.extents(), x.dtype) : Handle{}};
    visit_native(x.dtype, [&]<class T>() {
        Norm::backward<T>(out.input, out.scale, out.shift, dense_rows(x), dense(scale), dense_rows(g), options, centre);
    });
    return out;
}

}  // namespace cuda

Handle Cuda::reduce(ReduceOp op, const Handle& x, Axes axes, bool keep) {
    return cuda::route([=](const Handle& h) { return cuda::reduce_axes(op, h, axes, keep); }, x);
}

Handle Cuda::softmax(const Handle& x) {
    return cuda::softmax_of(x, false);
}
Handle Cuda::log_softmax(const Handle& x) {
    return cuda::softmax_of(x, true);
}
Handle Cuda::softmax_backward(const Handle& y, const Handle& g) {
    return cuda::softmax_gradient(y, g, false);
}
Handle Cuda::log_softmax_backward(const Handle& y, const Handle& g) {
    return cuda::softmax_gradient(y, g, true);
}

Handle Cuda::layer_norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs, const Handle& hb) {
            return hx.dtype == DType::f64 ? Composite::layer_norm(hx, hs, hb, options)
                                          : cuda::norm(hx, hs, hb, options, true);
        },
        x, scale, shift);
}
NormGradients<Handle> Cuda::layer_norm_backward(const Handle& x, const Handle& scale, const Handle& shift,
                                                const Handle& g, NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs, const Handle& hb, const Handle& hg) {
            return hx.dtype == DType::f64 ? Composite::layer_norm_backward(hx, hs, hb, hg, options)
                                          : cuda::norm_gradient(hx, hs, hb, hg, options, true);
        },
        x, scale, shift, g);
}
Handle Cuda::rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs) {
            return hx.dtype == DType::f64 ? Composite::rms_norm(hx, hs, options)
                                          : cuda::norm(hx, hs, Handle{}, options, false);
        },
        x, scale);
}
NormGradients<Handle> Cuda::rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                              NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs, const Handle& hg) {
            return hx.dtype == DType::f64 ? Composite::rms_norm_backward(hx, hs, hg, options)
                                          : cuda::norm_gradient(hx, hs, Handle{}, hg, options, false);
        },
        x, scale, g);
}

Handle Cuda::rope(const Handle& x, const Handle& cos, const Handle& sin, bool inverse) {
    const Extents table{x.extents()[x.rank() - 2], x.extents().back() / 2};
    require(cos.extents() == table && sin.extents() == table && x.extents().back() % 2 == 0, "rope: input ",
            x.extents(), ", tables ", cos.extents(), " and ", sin.extents());
    return cuda::route(
        [inverse](const Handle& hx, const Handle& hc, const Handle& hs) {
            const Handle out = empty(hx.extents(), hx.dtype);
            cuda::Rope::run(out, cuda::dense_rows(hx), contiguous(hc), contiguous(hs), inverse);
            return out;
        },
        x, cos, sin);
}

}  // namespace flowfar
