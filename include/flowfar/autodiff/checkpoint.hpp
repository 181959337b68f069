#pragma once

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// Runs `f(inputs) -> outputs` (vectors of handles of Autodiff<B>) without keeping its interior: backward runs f again
/// (Chen et al. 2016). f must be a pure function of its inputs and of parameters that outlive the graph; random numbers
/// are counter-based, so f draws the same ones again.
template <PlainBackend B, class F>
PoolVector<Tracked<B>> checkpoint_handles(F f, const PoolVector<Tracked<B>>& inputs) {
    using H = typename B::Handle;
    struct State {
        PoolVector<H> values;
        PoolVector<bool> tracked;
        PoolVector<H> gradients;  // of the outputs, collected before the hub runs
    };
    auto state = std::allocate_shared<State>(PoolAllocator<State>());
    PoolVector<const Tracked<B>*> parents;
    for (const Tracked<B>& input : inputs) {
        state->values.push_back(input.value);
        state->tracked.push_back(input.node != nullptr);
        parents.push_back(&input);
    }
    // The first run records a graph of the interior and drops it on return: its peak is the peak of one recomputation.
    const auto rerun = [f, state] {
        PoolVector<Tracked<B>> leaves;
        for (std::size_t i = 0; i < state->values.size(); ++i) {
            leaves.push_back(state->tracked[i] ? Autodiff<B>::leaf(state->values[i])
                                               : Autodiff<B>::constant(state->values[i]));
        }
        return std::pair{f(std::as_const(leaves)), leaves};
    };
    PoolVector<Tracked<B>> outputs = rerun().first;
    state->gradients.resize(outputs.size());

    // Parameters inside f are leaves that the interior graph knows; a leaf without consumers keeps the hub recorded
    // even if no input is tracked.
    const Tracked<B> anchor = Autodiff<B>::leaf(H{});
    parents.push_back(&anchor);
    const Tracked<B> hub = record<B>(H{}, std::span<const Tracked<B>* const>(parents),
                                     [rerun, state](const H&, const Cotangents<B>& grads) {
                                         const auto [results, leaves] = rerun();
                                         PoolVector<Root<B>> roots;
                                         for (std::size_t i = 0; i < results.size(); ++i) {
                                             if (state->gradients[i].defined() && results[i].node != nullptr) {
                                                 roots.push_back({results[i].node, state->gradients[i]});
                                             }
                                         }
                                         propagate<B>(std::span<const Root<B>>(roots));
                                         for (std::size_t i = 0; i < leaves.size(); ++i) {
                                             if (leaves[i].node != nullptr && leaves[i].node->gradient.defined()) {
                                                 grads.add(i, leaves[i].node->gradient);
                                             }
                                         }
                                     });
    PoolVector<Tracked<B>> results;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        if (outputs[i].node == nullptr) {
            results.push_back(outputs[i]);
            continue;
        }
        results.push_back(record<B>(outputs[i].value, {&hub}, [state, i](const H& g, const Cotangents<B>& grads) {
            state->gradients[i] = g;
            grads.touch(0);
        }));
    }
    return results;
}

}  // namespace flowfar
