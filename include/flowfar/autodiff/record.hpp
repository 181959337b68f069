#pragma once

#include <array>
#include <initializer_list>

#include "flowfar/autodiff/tape.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// The handle of `Autodiff<B>`: a value of B and, if it depends on a leaf, the node that produced it.
template <PlainBackend B>
struct Tracked {
    typename B::Handle value;
    std::shared_ptr<Node<B>> node;

    [[nodiscard]] bool defined() const { return value.defined(); }
};

/// `value` as the result of an operation on `inputs` (null pointers and undefined handles count as constants) whose
/// gradients `rule(gradient, cotangents)` computes. Nothing is recorded if no input is tracked.
template <PlainBackend B, class F>
Tracked<B> record(typename B::Handle value, std::span<const Tracked<B>* const> inputs, F rule) {
    struct RuleOf final : Rule<B> {
        explicit RuleOf(F f) : function(std::move(f)) {}
        void apply(const typename B::Handle& g, const Cotangents<B>& grads) override { function(g, grads); }
        F function;
    };
    std::uint64_t order = 0;
    bool tracked = false;
    for (const Tracked<B>* input : inputs) {
        if (input != nullptr && input->node != nullptr) {
            tracked = true;
            order = std::max(order, input->node->order + 1);
        }
    }
    if (!tracked) {
        return {std::move(value), nullptr};
    }
    auto node = std::allocate_shared<Node<B>>(PoolAllocator<Node<B>>());
    node->order = order;
    node->parents.reserve(inputs.size());
    for (const Tracked<B>* input : inputs) {
        node->parents.push_back(input == nullptr ? nullptr : input->node);
    }
    node->rule = std::make_unique<RuleOf>(std::move(rule));
    return {std::move(value), std::move(node)};
}

template <PlainBackend B, class F>
Tracked<B> record(typename B::Handle value, std::initializer_list<const Tracked<B>*> inputs, F rule) {
    return record<B>(std::move(value), std::span<const Tracked<B>* const>(inputs.begin(), inputs.size()),
                     std::move(rule));
}

namespace detail {

/// Sums g over the axes along which `extents` was broadcast to g's extents.
template <PlainBackend B>
typename B::Handle sum_to(const typename B::Handle& g, const Extents& extents) {
    const Extents from = B::extents(g);
    if (from == extents) {
        return g;
    }
    const int lead = from.rank() - extents.rank();
    Axes axes;
    for (int axis = 0; axis < from.rank(); ++axis) {
        if (axis < lead || (extents[axis - lead] == 1 && from[axis] != 1)) {
            axes = axes | Axes::only(axis);
        }
    }
    return B::reshape(axes.bits == 0 ? g : B::reduce(ReduceOp::sum, g, axes, ReducedAxes::keep), extents);
}

}  // namespace detail

}  // namespace flowfar
