#pragma once

#include "flowfar/autodiff/record.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar::rules {

/// Views, concatenation and row selection on tracked handles.
template <PlainBackend B>
struct Shape {
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    [[nodiscard]] static Handle reshape(const Handle& x, const Extents& extents) {
        return record<B>(B::reshape(x.value, extents), {&x},
                         [from = B::extents(x.value)](const H& g, const Cotangents<B>& grads) {
                             grads.add(0, B::reshape(g, from));
                         });
    }
    [[nodiscard]] static Handle permute(const Handle& x, const Extents& order) {
        return record<B>(B::permute(x.value, order), {&x}, [order](const H& g, const Cotangents<B>& grads) {
            Extents inverse = order;
            for (int axis = 0; axis < order.rank(); ++axis) {
                inverse[static_cast<int>(order[axis])] = axis;
            }
            grads.add(0, B::permute(g, inverse));
        });
    }
    [[nodiscard]] static Handle slice(const Handle& x, int axis, Index begin, Index end) {
        return record<B>(B::slice(x.value, axis, begin, end), {&x},
                         [axis, begin, end, from = B::extents(x.value)](const H& g, const Cotangents<B>& grads) {
                             grads.add_slice(0, from, axis, begin, end, g);
                         });
    }
    [[nodiscard]] static Handle expand(const Handle& x, const Extents& extents) {
        return record<B>(B::expand(x.value, extents), {&x},
                         [from = B::extents(x.value)](const H& g, const Cotangents<B>& grads) {
                             grads.add(0, detail::sum_to<B>(g, from));
                         });
    }
    [[nodiscard]] static Handle contiguous(const Handle& x) {
        return record<B>(B::contiguous(x.value), {&x}, [](const H& g, const Cotangents<B>& grads) { grads.add(0, g); });
    }
    [[nodiscard]] static Handle concat(std::span<const Handle> parts, int axis) {
        PoolVector<H> values;
        PoolVector<const Handle*> inputs;
        PoolVector<Index> lengths;
        for (const Handle& part : parts) {
            values.push_back(part.value);
            inputs.push_back(&part);
            lengths.push_back(B::extents(part.value)[axis]);
        }
        return record<B>(B::concat(std::span<const H>(values), axis), std::span<const Handle* const>(inputs),
                         [axis, lengths](const H& g, const Cotangents<B>& grads) {
                             Index begin = 0;
                             for (std::size_t i = 0; i < lengths.size(); ++i) {
                                 grads.add(i, B::slice(g, axis, begin, begin + lengths[i]));
                                 begin += lengths[i];
                             }
                         });
    }
    [[nodiscard]] static Handle gather_rows(const Handle& x, const Handle& rows) {
        return record<B>(B::gather_rows(x.value, rows.value), {&x},
                         [list = rows.value, count = B::extents(x.value)[0]](const H& g, const Cotangents<B>& grads) {
                             grads.add(0, B::scatter_add_rows(g, list, count));
                         });
    }
    [[nodiscard]] static Handle scatter_add_rows(const Handle& x, const Handle& rows, Index count) {
        return record<B>(
            B::scatter_add_rows(x.value, rows.value, count), {&x},
            [list = rows.value](const H& g, const Cotangents<B>& grads) { grads.add(0, B::gather_rows(g, list)); });
    }
};

}  // namespace flowfar::rules
