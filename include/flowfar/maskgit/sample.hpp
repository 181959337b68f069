#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/derived/classes.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/maskgit/config.hpp"
#include "flowfar/quantize/tokens.hpp"

namespace flowfar {

/// How labels become tokens. What is absent is as the configuration says (`MaskGitSampling`).
struct MaskGitSampleOptions {
    std::optional<int> steps = {};        ///< at most the number of positions
    std::optional<double> guidance = {};  ///< l = l_null + g (l_class − l_null); 1 switches it off
    std::optional<MaskGitGuidance> guidance_schedule = {};
    std::optional<double> guidance_power = {};
    std::optional<double> temperature = {};  ///< above 0
    std::optional<double> choice_temperature = {};
    std::uint64_t seed = 0;
    std::uint64_t first_sample = 0;  ///< number of the first sample in the stream of `seed`
};

/// What a callback sees after each step.
struct MaskGitStep {
    int step;  ///< 1 … steps
    int steps;
    double guidance;
    std::span<const float> logits;         ///< [batch, positions, codewords] with classes, then as many without, if any
    std::span<const double> confidence;    ///< [batch, positions]; ∞ for those that were known
    std::span<const std::uint8_t> hidden;  ///< [batch, positions], 1 where the next step draws again
    const Tokens& tokens;                  ///< the result if sampling stopped here
};

/// Factor of the guidance at step s of S (see MaskGitGuidance).
[[nodiscard]] inline double guidance_at(MaskGitGuidance schedule, double g, double power, int step, int steps) {
    const double done = static_cast<double>(step) / steps;
    switch (schedule) {
        case MaskGitGuidance::linear:
            return 1.0 + (g - 1.0) * done;
        case MaskGitGuidance::cosine:
            return 1.0 + (g - 1.0) * (1.0 - std::cos(cx::pi * std::pow(done, power))) / 2.0;
        case MaskGitGuidance::constant:
            break;
    }
    return g;
}

/// The random numbers of sampling as a function of (seed, sample, step): a sample does not depend on its batch.
struct MaskGitDraws {
    std::uint64_t seed;
    std::uint64_t first_sample;
    Index batch;
    Index positions;

    /// Uniform draws [batch, positions] that choose the codewords of a step, and those that choose its positions.
    [[nodiscard]] std::vector<double> codewords(int step) const { return draw("codewords", step); }
    [[nodiscard]] std::vector<double> choices(int step) const { return draw("choices", step); }

   private:
    [[nodiscard]] std::vector<double> draw(std::string_view what, int step) const {
        Random random(fold(fold(seed, what), static_cast<std::uint64_t>(step)),
                      first_sample * static_cast<std::uint64_t>(positions));
        std::vector<double> out(static_cast<std::size_t>(batch * positions));
        std::ranges::generate(out, [&] { return random.uniform(); });
        return out;
    }
};

/// Generates tokens with a MaskGit: all positions are hidden at first; every step draws the hidden ones and keeps those
/// of the highest confidence, with noise that fades. Probabilities are computed in double on the host, so that tokens
/// do not depend on the device but through the logits. The model must outlive the sampler.
template <class Model>
class MaskGitSampler {
    using C = typename Model::Config;
    static constexpr Index positions = C::positions;
    static constexpr Index codewords = C::codewords;

   public:
    /// Throws `Error` for impossible options, before any work is done.
    MaskGitSampler(const Model& model, const MaskGitSampleOptions& options) : model_(&model), options_(options) {
        constexpr MaskGitSampling defaults = C::sampling;
        settings_ = {options.steps.value_or(defaults.steps),
                     options.guidance.value_or(defaults.guidance),
                     options.guidance_schedule.value_or(defaults.guidance_schedule),
                     options.guidance_power.value_or(defaults.guidance_power),
                     options.temperature.value_or(defaults.temperature),
                     options.choice_temperature.value_or(defaults.choice_temperature)};
        const MaskGitSampling& s = settings_;
        require(s.steps >= 1 && s.steps <= positions, C::name, ": ", s.steps, " sampling steps, expected 1 to ",
                positions, ", the number of codewords: every step fills one or more");
        require(std::isfinite(s.guidance), C::name, ": guidance ", s.guidance);
        require(std::isfinite(s.guidance_power) && s.guidance_power > 0.0, C::name, ": guidance power ",
                s.guidance_power, ", expected a positive number");
        require(std::isfinite(s.temperature) && s.temperature > 0.0, C::name, ": temperature ", s.temperature,
                ", expected a positive number");
        require(std::isfinite(s.choice_temperature) && s.choice_temperature >= 0.0, C::name, ": choice temperature ",
                s.choice_temperature, ", expected 0 or more");
    }

    /// One set of tokens per label.
    [[nodiscard]] Tokens operator()(const std::vector<Index>& labels,
                                    const typename Model::Callback& callback = {}) const {
        return run(labels,
                   MaskGitDraws{options_.seed, options_.first_sample, static_cast<Index>(labels.size()), positions},
                   callback);
    }

    /// With random numbers of one's own: `draws.codewords(step)` and `draws.choices(step)` give uniform numbers
    /// [batch, positions].
    template <class Draws>
    [[nodiscard]] Tokens run(const std::vector<Index>& labels, const Draws& draws,
                             const typename Model::Callback& callback = {}) const {
        const auto batch = static_cast<Index>(labels.size());
        require(batch >= 1, C::name, ": no labels");
        const MaskGitSampling& s = settings_;
        const bool guided = s.guidance != 1.0;
        std::vector<Index> seen = labels;
        seen.resize(labels.size() * (guided ? 2 : 1), no_class);
        Tokens tokens{batch, C::tokens, C::groups, C::Codebook::bits, {}};
        tokens.indices.assign(static_cast<std::size_t>(batch * positions), 0);
        std::vector<std::uint8_t> hidden(tokens.indices.size(), 1);
        std::vector<double> confidence(hidden.size());
        std::vector<double> probabilities;
        Index current = positions;
        for (int step = 0; step < s.steps; ++step) {
            const double g = guidance_at(s.guidance_schedule, s.guidance, s.guidance_power, step, s.steps);
            const std::vector<float> logits = logits_of(tokens, hidden, seen, guided);
            const std::vector<double> u = draws.codewords(step);
            const std::vector<double> choice = draws.choices(step);
            const double noise = s.choice_temperature * (1.0 - static_cast<double>(step + 1) / s.steps);
            for (std::size_t i = 0; i < hidden.size(); ++i) {
                if (hidden[i] == 0) {
                    confidence[i] = std::numeric_limits<double>::infinity();
                    continue;
                }
                const auto [index, log_p] = draw(logits, i, hidden.size(), guided ? g : 1.0, u[i], probabilities);
                tokens.indices[i] = index;
                const double clamped = std::clamp(choice[i], 0x1p-24, 1.0 - 0x1p-24);
                confidence[i] = log_p - noise * std::log(-std::log(clamped));
            }
            current = hidden_after(positions, current, step, s.steps);
            for (Index sample = 0; sample < batch; ++sample) {
                hide_least(confidence, hidden, sample, current);
            }
            if (callback && !callback({step + 1, s.steps, g, logits, confidence, hidden, tokens})) {
                break;
            }
        }
        return tokens;
    }

    [[nodiscard]] const MaskGitSampling& settings() const { return settings_; }

   private:
    [[nodiscard]] std::vector<float> logits_of(const Tokens& tokens, const std::vector<std::uint8_t>& hidden,
                                               const std::vector<Index>& labels, bool twice) const {
        auto x = Model::inputs(tokens, hidden);
        if (twice) {
            x = concat<0>(x, x);
        }
        auto found = model_->logits(x, labels).to_host();
        if constexpr (std::is_same_v<typename Model::Element, float>) {
            return found;
        } else {
            std::vector<float> out;
            out.reserve(found.size());
            for (const auto& value : found) {
                out.push_back(convert<float>(value));
            }
            return out;
        }
    }

    struct Drawn {
        std::uint32_t index;
        double log_p;
    };
    /// The codeword at flat position i of `count`: the number of cumulative probabilities up to u.
    [[nodiscard]] Drawn draw(const std::vector<float>& logits, std::size_t i, std::size_t count, double g, double u,
                             std::vector<double>& p) const {
        constexpr auto size = static_cast<std::size_t>(codewords);
        const float* const with = logits.data() + i * size;
        const float* const without = logits.size() > count * size ? with + count * size : nullptr;
        p.resize(size);
        double peak = -std::numeric_limits<double>::infinity();
        for (std::size_t k = 0; k < size; ++k) {
            const auto c = static_cast<double>(with[k]);
            const double l =
                without == nullptr ? c : static_cast<double>(without[k]) + g * (c - static_cast<double>(without[k]));
            require(std::isfinite(l), C::name, ": logit ", k, " of position ", i, " is ", l,
                    "; are the weights whole?");
            p[k] = l / settings_.temperature;
            peak = std::max(peak, p[k]);
        }
        double total = 0.0;
        for (double& value : p) {
            value = std::exp(value - peak);
            total += value;
        }
        double sum = 0.0;
        std::size_t index = 0;
        for (; index + 1 < size; ++index) {
            sum += p[index] / total;
            if (sum > u) {
                break;
            }
        }
        return {static_cast<std::uint32_t>(index), std::log(p[index] / total)};
    }

    /// Hides the `count` positions of a sample with the lowest confidence; of equal ones the first.
    static void hide_least(const std::vector<double>& confidence, std::vector<std::uint8_t>& hidden, Index sample,
                           Index count) {
        const auto first = static_cast<std::size_t>(sample * positions);
        std::vector<std::size_t> order(static_cast<std::size_t>(positions));
        std::iota(order.begin(), order.end(), first);
        const auto earlier = [&](std::size_t i, std::size_t j) {
            return confidence[i] != confidence[j] ? confidence[i] < confidence[j] : i < j;
        };
        std::ranges::nth_element(order, order.begin() + count, earlier);
        std::fill_n(hidden.begin() + sample * positions, positions, std::uint8_t{0});
        for (Index i = 0; i < count; ++i) {
            hidden[order[static_cast<std::size_t>(i)]] = 1;
        }
    }

    const Model* model_;
    MaskGitSampleOptions options_;
    MaskGitSampling settings_;
};

}  // namespace flowfar
