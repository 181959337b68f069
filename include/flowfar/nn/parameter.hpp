#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// An untyped reference to one parameter of a model on backend B: what loaders, optimizers and summaries work with.
template <class B>
struct ParameterRef {
    using H = typename Plain<B>::Handle;

    std::string name;
    typename B::Handle* handle = nullptr;

    /// Its storage, which is made if no values were put there yet: for writing.
    [[nodiscard]] const H& value() const {
        if (!has_values()) {
            const H storage = Plain<B>::empty(extents(), dtype());
            if constexpr (is_autodiff<B>) {  // a leaf of its own: copies made before share the old one
                *handle = handle->node != nullptr ? B::leaf(storage) : B::constant(storage);
            } else {
                *handle = storage;
            }
        }
        return value_of<B>(*handle);
    }
    /// Whether it was initialized, loaded or replaced.
    [[nodiscard]] bool has_values() const { return handle->defined(); }
    [[nodiscard]] Extents extents() const { return B::extents(*handle); }
    [[nodiscard]] DType dtype() const { return B::dtype(*handle); }
    [[nodiscard]] Index count() const { return extents().count(); }

    /// Puts other storage of the same extents and element type in place; gradients collected so far are dropped.
    void replace(const H& value) const {
        require(Plain<B>::extents(value) == extents() && Plain<B>::dtype(value) == dtype(), "parameter ", name,
                ": expected extents ", extents(), " of ", name_of(dtype()), ", found ", Plain<B>::extents(value),
                " of ", name_of(Plain<B>::dtype(value)));
        if constexpr (is_autodiff<B>) {
            *handle = handle->node != nullptr ? B::leaf(value) : B::constant(value);
        } else {
            *handle = value;
        }
    }
    /// The collected gradient; undefined if none arrived.
    [[nodiscard]] H gradient() const
        requires is_autodiff<B>
    {
        return handle->node == nullptr ? H{} : handle->node->gradient;
    }
    void clear_gradient() const
        requires is_autodiff<B>
    {
        if (handle->node != nullptr) {
            static_cast<void>(handle->node->take_gradient());
        }
    }
};

namespace detail {

template <class Member, class F>
void visit_member(Member& member, const std::string& name, F& f) {
    using M = std::remove_const_t<Member>;
    if constexpr (is_tensor<M>) {
        if (!member.absent()) {
            using B = typename M::Backend;
            // Parameters are leaves of shared storage; a const model hands out references for reading.
            f(ParameterRef<B>{name, const_cast<typename B::Handle*>(&member.handle())});
        }
    } else if constexpr (requires { member.size(); }) {
        for (std::size_t i = 0; i < member.size(); ++i) {
            visit_member(member[i], text(name, ".", i), f);
        }
    } else {
        M::visit(member, [&](std::string_view child, auto& value) {
            visit_member(value, name.empty() ? std::string(child) : text(name, ".", child), f);
        });
    }
}

}  // namespace detail

/// Modules are values that hold their parameters by reference: a copy of a layer or model shares the weights with the
/// original, and `clone` makes one with weights of its own. What is initialized after it was copied is its own, too.

/// Calls `f(ParameterRef)` for every parameter of a module in declaration order, with its dotted PyTorch name. A module
/// names its members in a static `visit(Self&, V&&)` that calls `v("name", self.member)`.
template <class Module, class F>
void for_each_parameter(Module& module, F&& f, const std::string& prefix = "") {
    detail::visit_member(module, prefix, f);
}

/// All parameters of a module.
template <class Module>
[[nodiscard]] auto parameters(Module& module, const std::string& prefix = "") {
    using B = typename std::remove_const_t<Module>::Backend;
    std::vector<ParameterRef<B>> out;
    for_each_parameter(module, [&](ParameterRef<B> p) { out.push_back(std::move(p)); }, prefix);
    return out;
}

/// Number of scalars in all parameters of a module.
template <class Module>
[[nodiscard]] Index parameter_count(const Module& module) {
    Index total = 0;
    for_each_parameter(module, [&](const auto& p) { total += p.count(); });
    return total;
}

/// A parameter that awaits its values: it has extents but takes memory only when it is initialized or loaded, and
/// operations that read it before throw `Error`. A leaf on a backend with tape. Extents must be static.
///
///     Tensor<B, Shape<Width>, T> scale = make_parameter<Tensor<B, Shape<Width>, T>>();
template <AnyTensor P>
[[nodiscard]] P make_parameter() {
    using B = typename P::Backend;
    const Extents extents = extents_of<typename P::Shape>();
    typename Plain<B>::Handle value{contiguous_layout(extents), dtype_of<typename P::Element>, nullptr};
    if constexpr (P::Shape::rank == 0) {
        value = Plain<B>::empty(extents, dtype_of<typename P::Element>);
    }
    if constexpr (is_autodiff<B>) {
        return P(B::leaf(value));
    } else {
        return P(value);
    }
}

/// Makes the parameters of a module constants: nothing that is computed from them alone is recorded, and they get no
/// gradients.
template <class Module>
void freeze(Module& module) {
    for_each_parameter(module, [](const auto& p) {
        using B = typename std::remove_const_t<Module>::Backend;
        if constexpr (is_autodiff<B>) {
            *p.handle = B::constant(value_of<B>(*p.handle));
        }
    });
}

/// A model like this one with weights of its own. Plain copies share theirs: what trains one changes the other.
///
///     Network<Cpu> second = clone(first);
template <class Module>
[[nodiscard]] Module clone(const Module& module) {
    Module copy = module;
    for_each_parameter(copy, [](const auto& p) {
        if (p.has_values()) {
            using P = Plain<typename Module::Backend>;
            const auto fresh = P::empty(p.extents(), p.dtype());
            P::assign(fresh, p.value());
            p.replace(fresh);
        }
    });
    return copy;
}

/// Gives `source`'s parameter storage to `target`, a model of the same structure: both then share every weight.
template <class Target, class Source>
void share_parameters(Target& target, Source& source) {
    auto to = parameters(target);
    auto from = parameters(source);
    require(to.size() == from.size(), "share_parameters: models of different structure");
    for (std::size_t i = 0; i < to.size(); ++i) {
        to[i].replace(from[i].value());
    }
}

/// The model to use after training: `Inference` is the trained model's type on the plain backend. It shares the
/// weights, and follows them if training goes on.
///
///     Network<Autodiff<Cpu>> network;                     // trained
///     const auto ready = inference_model<Network<Cpu>>(network);
template <class Inference, class Trained>
[[nodiscard]] Inference inference_model(Trained& trained) {
    static_assert(std::is_same_v<typename Inference::Backend, Plain<typename Trained::Backend>>,
                  "inference_model: name the model's type on the backend without tape");
    Inference model;
    for_each_parameter(trained, [](const auto& p) {
        require(p.has_values(), "inference_model: parameter ", p.name,
                " has no values yet; initialize the model or load it");
    });
    share_parameters(model, trained);
    return model;
}

}  // namespace flowfar
