#pragma once

#include <cmath>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cpu {

/// In-place updates of contiguous parameters.
namespace updates {

inline void lerp(float* target, const float* source, Index count, double weight) {
    const auto w = static_cast<float>(weight);
    parallel_elements(count, [=](Index i) {
        const float old = target[i];
        target[i] = old + w * (source[i] - old);
    });
}

inline void adam(float* p, const float* g, float* m, float* v, Index count, const AdamOptions& o) {
    const auto step = static_cast<double>(o.step);
    const auto rate = static_cast<float>(o.learning_rate / (1.0 - std::pow(o.beta1, step)));
    const auto root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(o.beta2, step)));
    const auto keep = static_cast<float>(o.decoupled ? 1.0 - o.learning_rate * o.weight_decay : 1.0);
    const auto coupled = static_cast<float>(o.decoupled ? 0.0 : o.weight_decay);
    const auto scale = static_cast<float>(o.gradient_scale);
    const auto b1 = static_cast<float>(1.0 - o.beta1);
    const auto b2 = static_cast<float>(1.0 - o.beta2);
    const auto epsilon = static_cast<float>(o.epsilon);
    parallel_elements(count, [=](Index i) {
        const float old = p[i];
        const float gradient = g[i] * scale + coupled * old;
        const float first = m[i] + b1 * (gradient - m[i]);
        const float second = v[i] + b2 * (gradient * gradient - v[i]);
        m[i] = first;
        v[i] = second;
        p[i] = old * keep - rate * first / (std::sqrt(second) * root + epsilon);
    });
}

}  // namespace updates

}  // namespace flowfar::cpu
