#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// Distributions of the training time t ∈ (0, 1). Each is a policy type with `draw(Random&)`; `TimeDistribution` is the
/// run-time twin.
struct UniformTime {
    static double draw(Random& random) { return random.uniform(); }
};
/// σ(N(0, 1)) (Esser et al. 2024).
struct LogitNormalTime {
    static double draw(Random& random) { return 1.0 / (1.0 + std::exp(-random.normal())); }
};
/// The thick-tailed logit-normal of arXiv 2503.11056, section 3.2: logit-normal with probability 0.9, else uniform.
struct ThickTailedTime {
    static constexpr double uniform_share = 0.1;
    static double draw(Random& random) {
        const double logit_normal = LogitNormalTime::draw(random);
        const bool uniform = random.uniform() > 1.0 - uniform_share;
        const double other = random.uniform();
        return uniform ? other : logit_normal;
    }
};

enum class TimeDistribution : std::uint8_t { thick_tailed, logit_normal, uniform };

[[nodiscard]] inline TimeDistribution time_distribution(std::string_view name) {
    if (name == "thick_tailed") {
        return TimeDistribution::thick_tailed;
    }
    if (name == "logit_normal") {
        return TimeDistribution::logit_normal;
    }
    require(name == "uniform", "time distribution: expected thick_tailed, logit_normal or uniform, found ", name);
    return TimeDistribution::uniform;
}

[[nodiscard]] inline double draw_time(TimeDistribution distribution, Random& random) {
    switch (distribution) {
        case TimeDistribution::uniform:
            return UniformTime::draw(random);
        case TimeDistribution::logit_normal:
            return LogitNormalTime::draw(random);
        default:
            return ThickTailedTime::draw(random);
    }
}

template <class Distribution>
    requires requires(Random& random) { Distribution::draw(random); }
[[nodiscard]] double draw_time(Distribution /*policy*/, Random& random) {
    return Distribution::draw(random);
}

namespace rectified_flow {

namespace detail {

/// [batch] as a view that broadcasts against a tensor of X's rank.
template <AnyTensor X, AnyTensor V>
[[nodiscard]] auto per_sample(const V& t) {
    static_assert(X::Shape::rank == 4, "rectified_flow: images are [batch, channels, height, width]");
    return reshape<dyn, 1, 1, 1>(t, t.extent(0));
}

}  // namespace detail

/// z_t = (1 − t) x + t ε: x and noise [batch, channels, height, width], t [batch].
template <AnyTensor X, AnyTensor V>
[[nodiscard]] X interpolate(const X& x, const X& noise, const V& t) {
    const auto s = detail::per_sample<X>(t);
    return x * (1.0 - s) + noise * s;
}

/// The clean image that a velocity v at z_t implies: z_t − t v.
template <AnyTensor X, AnyTensor V>
[[nodiscard]] X predict(const X& z, const X& velocity, const V& t) {
    return z - velocity * detail::per_sample<X>(t);
}

/// One Euler step towards the data: z − v · step. The step is a number, or a tensor that broadcasts against z.
template <AnyTensor X, class Step>
[[nodiscard]] X euler(const X& z, const X& velocity, const Step& step) {
    return z - velocity * step;
}

/// Mean squared error of the velocity against ε − x.
template <AnyTensor X>
[[nodiscard]] auto loss(const X& x, const X& noise, const X& velocity) {
    return mean(square(noise - velocity - x));
}

}  // namespace rectified_flow

}  // namespace flowfar
