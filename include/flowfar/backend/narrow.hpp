#pragma once

#include "flowfar/core/handle.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// Results of an operation that computed in f32 for bf16 operands, rounded to bf16 by B.
template <class B>
struct Narrow {
    [[nodiscard]] static Handle of(const Handle& x) { return B::cast_defined(x, DType::bf16); }
    [[nodiscard]] static NormGradients<Handle> of(const NormGradients<Handle>& d) {
        return {of(d.input), of(d.scale), of(d.shift)};
    }
    [[nodiscard]] static AttentionResult<Handle> of(const AttentionResult<Handle>& y) {
        return {of(y.output), y.log_sum_exp};
    }
    [[nodiscard]] static AttentionGradients<Handle> of(const AttentionGradients<Handle>& d) {
        return {of(d.query), of(d.key), of(d.value)};
    }
};

}  // namespace flowfar
