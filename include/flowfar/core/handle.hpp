#pragma once

#include <memory>

#include "flowfar/core/layout.hpp"

namespace flowfar {

/// The untyped tensor of all plain backends: a layout over shared storage. Copying it shares the elements.
/// A default-constructed handle is undefined and stands for an absent optional operand.
struct Handle {
    Layout layout;
    DType dtype = DType::f32;
    std::shared_ptr<std::byte> storage;

    [[nodiscard]] bool defined() const { return storage != nullptr; }
    [[nodiscard]] const Extents& extents() const { return layout.extents; }
    [[nodiscard]] int rank() const { return layout.rank(); }
    [[nodiscard]] Index count() const { return layout.count(); }

    /// First element of the view. Valid on the side (host or device) where the backend allocated.
    template <class T>
    [[nodiscard]] T* data() const {
        return reinterpret_cast<T*>(storage.get()) + layout.offset;
    }
    /// These elements under another layout; nothing is copied.
    [[nodiscard]] Handle with(const Layout& other) const { return {other, dtype, storage}; }
};

}  // namespace flowfar
