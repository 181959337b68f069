#pragma once

#include <cstdint>

#include "flowfar/diffusion/time_schedule.hpp"

namespace flowfar {

/// What a sampling callback sees after each step; the references are valid during the call.
template <class Images>
struct FlowMoStep {
    int step;  ///< 1 … steps
    int steps;
    double time;             ///< t after the step
    const Images& state;     ///< z_t, noisy
    const Images& estimate;  ///< the clean image that the step's velocity implies
};

/// How tokens become an image.
struct FlowMoDecodeOptions {
    int steps = 25;
    double power = 0.25;    ///< schedule t = (k/N)^(1/power); 1 gives even steps
    double guidance = 1.5;  ///< v = v_null + guidance (v_cond − v_null); 1 switches it off
    GuidanceInterval interval = GuidanceInterval::from_sigma(0.17, 1.02);
    std::uint64_t seed = 0;
};

}  // namespace flowfar
