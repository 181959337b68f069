#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <unordered_set>
#include <utility>

#include "flowfar/backend/concept.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

template <PlainBackend B>
struct Node;

/// What a rule receives: the places where the gradients of the operation's inputs go.
template <PlainBackend B>
class Cotangents {
   public:
    using H = typename B::Handle;
    explicit Cotangents(Node<B>& node) : node_(node) {}

    /// True if input i is tracked; gradients of others need not be computed.
    [[nodiscard]] bool wants(std::size_t i) const { return node_.parents[i] != nullptr; }
    /// Adds g to the gradient of input i, if tracked.
    void add(std::size_t i, const H& g) const {
        if (wants(i)) {
            node_.parents[i]->accumulate(g);
        }
    }
    /// Adds g to the elements [begin, end) of one axis of the gradient of input i.
    void add_slice(std::size_t i, const Extents& extents, int axis, Index begin, Index end, const H& g) const {
        if (wants(i)) {
            B::add_into(B::slice(node_.parents[i]->owned_gradient(extents, B::dtype(g)), axis, begin, end), g);
        }
    }
    /// Marks input i as reached although its gradient travels elsewhere (checkpoint's hub).
    void touch(std::size_t i) const { node_.parents[i]->touched = true; }

   private:
    Node<B>& node_;
};

/// How an operation turns the gradient of its output into gradients of its inputs. A rule captures values, never
/// tracked handles, so graphs have no cycles and releasing one never recurses through rules.
template <PlainBackend B>
struct Rule : Pooled {
    Rule() = default;
    Rule(const Rule&) = delete;
    Rule& operator=(const Rule&) = delete;
    virtual ~Rule() = default;
    virtual void apply(const typename B::Handle& gradient, const Cotangents<B>& inputs) = 0;
};

/// A recorded operation (with a rule) or a leaf (without one: a parameter or a differentiable input).
template <PlainBackend B>
struct Node {
    using H = typename B::Handle;

    using Parents = PoolVector<std::shared_ptr<Node>>;

    Parents parents;  ///< one per input; null for constants
    std::unique_ptr<Rule<B>> rule;
    std::uint64_t order = 0;  ///< 1 + the largest order of the parents: backward walks by descending order
    bool leaf = false;
    bool touched = false;  ///< a gradient has arrived
    H gradient;

    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    /// Releases the ancestors with a loop: a chain of 100,000 operations would overflow the stack otherwise.
    ~Node() {
        Parents pending = std::move(parents);
        while (!pending.empty()) {
            const std::shared_ptr<Node> node = std::move(pending.back());
            pending.pop_back();
            if (node != nullptr && node.use_count() == 1) {
                std::move(node->parents.begin(), node->parents.end(), std::back_inserter(pending));
                node->parents.clear();
            }
        }
    }

    void accumulate(const H& g) {
        touched = true;
        if (!gradient.defined()) {
            gradient = leaf ? B::contiguous(g) : g;
            owned_ = false;  // g may be shared with other nodes
        } else if (!owned_) {
            gradient = B::binary(BinaryOp::add, gradient, g);
            owned_ = true;
        } else {
            B::add_into(gradient, g);
        }
    }
    /// The gradient, zeros at first, in storage of its own, so that it can be added to in place.
    const H& owned_gradient(const Extents& extents, DType dtype) {
        touched = true;
        if (!gradient.defined()) {
            gradient = B::full(extents, dtype, 0.0);
        } else if (!owned_) {
            const H copy = B::empty(extents, dtype);
            B::assign(copy, gradient);
            gradient = copy;
        }
        owned_ = true;
        return gradient;
    }
    [[nodiscard]] H take_gradient() {
        touched = false;
        owned_ = false;
        return std::exchange(gradient, H{});
    }

   private:
    bool owned_ = false;
};

/// An output and the gradient to start from.
template <PlainBackend B>
struct Root {
    std::shared_ptr<Node<B>> node;
    typename B::Handle gradient;
};

/// Propagates the roots' gradients to the leaves, where they add up. Consumes the graph: interior gradients and the
/// values that rules had saved are released on the way.
template <PlainBackend B>
void propagate(std::span<const Root<B>> roots) {
    PoolVector<Node<B>*> nodes;
    std::unordered_set<Node<B>*, std::hash<Node<B>*>, std::equal_to<>, PoolAllocator<Node<B>*>> seen;
    const auto visit = [&](Node<B>* node) {
        if (node != nullptr && seen.insert(node).second) {
            nodes.push_back(node);
        }
    };
    for (const Root<B>& root : roots) {
        require(root.node != nullptr, "backward: the tensor does not depend on anything that requires a gradient");
        visit(root.node.get());
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        require(nodes[i]->leaf || nodes[i]->rule != nullptr,
                "backward: this graph has been used already; compute the loss again");
        for (const auto& parent : nodes[i]->parents) {
            visit(parent.get());
        }
    }
    for (const Root<B>& root : roots) {
        root.node->accumulate(root.gradient);
    }
    // Ties keep the order of discovery, so that sums are the same in every run. (std::stable_sort of libstdc++ 12 calls
    // a deprecated function, about which clang warns.)
    PoolVector<std::size_t> sorted(nodes.size());
    std::iota(sorted.begin(), sorted.end(), std::size_t{0});
    std::sort(sorted.begin(), sorted.end(), [&nodes](std::size_t a, std::size_t b) {
        return nodes[a]->order != nodes[b]->order ? nodes[a]->order > nodes[b]->order : a < b;
    });
    for (const std::size_t position : sorted) {
        Node<B>* const node = nodes[position];
        if (node->leaf) {
            continue;
        }
        const std::unique_ptr<Rule<B>> rule = std::move(node->rule);
        if (node->touched) {
            const auto gradient = node->take_gradient();
            rule->apply(gradient, Cotangents<B>(*node));
        }
    }
}

}  // namespace flowfar
