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

    [[nodiscard]] const H& value() const { return value_of<B>(*handle); }
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
        if (member.defined()) {
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

/// A parameter with unset elements; a leaf on a backend with tape. Extents must be static.
template <AnyTensor P>
[[nodiscard]] P make_parameter() {
    using B = typename P::Backend;
    Extents extents;
    for (const Index extent : P::Shape::extents) {
        extents.push_back(extent);
    }
    const auto value = Plain<B>::empty(extents, dtype_of<typename P::Element>);
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
            *p.handle = B::constant(p.value());
        }
    });
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

}  // namespace flowfar
