#pragma once

/// The state of a training run in one safetensors file: model, averages, optimizer, and facts such as the step.

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/optim/adam.hpp"
#include "flowfar/optim/ema.hpp"
#include "flowfar/optim/fixed_norm.hpp"

namespace flowfar::io {

/// The parts of a training run that a checkpoint holds beside the model; absent ones are skipped.
template <class A>
struct TrainParts {
    std::vector<ParameterRef<A>> parameters;
    Adam<A>* adam = nullptr;
    Ema<A>* ema = nullptr;
    FixedNorms<A>* norms = nullptr;
};

/// Named numbers and texts of a run: step, data position, seed, configuration.
using TrainFacts = std::map<std::string, std::string>;

/// Writes everything that a run needs to continue to one safetensors file, atomically: `model.NAME`, `ema.NAME`,
/// `adam.first.NAME`, `adam.second.NAME`, `adam.steps` [parameters], `norms` [weights]; facts as metadata.
template <class A>
void save_train_state(const Path& path, const TrainParts<A>& parts, const TrainFacts& facts) {
    using B = Plain<A>;
    StateWriter<B> writer;
    for (const auto& p : parts.parameters) {
        writer.add("model." + p.name, p.value());
    }
    if (parts.ema != nullptr) {
        for (const auto& slot : parts.ema->slots()) {
            writer.add("ema." + slot.parameter.name, slot.average);
        }
    }
    if (parts.adam != nullptr) {
        std::vector<Index> steps;
        for (const auto& slot : parts.adam->slots()) {
            steps.push_back(slot.steps);
            if (slot.first.defined()) {
                writer.add("adam.first." + slot.parameter.name, slot.first);
                writer.add("adam.second." + slot.parameter.name, slot.second);
            }
        }
        writer.add("adam.steps", B::from_host(steps.data(), {static_cast<Index>(steps.size())}, DType::i64));
    }
    if (parts.norms != nullptr) {
        std::vector<double> norms;
        for (const auto& slot : parts.norms->slots()) {
            norms.push_back(slot.norm);
        }
        writer.add("norms", B::from_host(norms.data(), {static_cast<Index>(norms.size())}, DType::f64));
    }
    writer.write(path, facts);
}

namespace detail {

/// More steps than any run takes; counting on from there cannot overflow.
inline constexpr std::int64_t step_limit = std::int64_t{1} << 53;

template <class B>
[[nodiscard]] typename B::Handle read_tensor(const SafetensorsFile& file, const std::string& name,
                                             const Extents& extents, DType dtype) {
    const TensorView view = file.at(name);
    Extents found;
    require(view.shape.size() <= static_cast<std::size_t>(max_rank), file.path().string(), ": ", name,
            ": too many axes");
    for (const Index extent : view.shape) {
        found.push_back(extent);
    }
    require(found == extents && view.dtype == dtype, file.path().string(), ": ", name, ": expected ", extents, " of ",
            name_of(dtype), ", found ", found, " of ", name_of(view.dtype));
    return B::from_host(view.bytes.data(), extents, dtype);
}

/// Throws `Error` unless all elements are finite and at least `lowest`.
inline void check_moments(const TensorView& view, double lowest) {
    const std::vector<double> moments = values<double>(view);
    for (std::size_t i = 0; i < moments.size(); ++i) {
        require(std::isfinite(moments[i]) && moments[i] >= lowest, view.label, ": element ", i, " is ", moments[i],
                ", expected a finite number", lowest == 0.0 ? " of at least 0" : "");
    }
}

}  // namespace detail

/// Restores what `save_train_state` wrote and returns its facts. Names, extents and the ranges of norms, steps and
/// moments are checked as they are read; an error leaves the run unusable, so load before training.
template <class A>
TrainFacts load_train_state(const SafetensorsFile& file, const TrainParts<A>& parts) {
    using B = Plain<A>;
    const Path& path = file.path();
    for (const auto& p : parts.parameters) {
        p.clear_gradient();
        // In place: optimizer and average refer to the same storage.
        B::assign(p.value(), detail::read_tensor<B>(file, "model." + p.name, p.extents(), p.dtype()));
    }
    if (parts.ema != nullptr) {
        for (const auto& slot : parts.ema->slots()) {
            const auto& p = slot.parameter;
            B::assign(slot.average, detail::read_tensor<B>(file, "ema." + p.name, p.extents(), p.dtype()));
        }
    }
    if (parts.adam != nullptr) {
        auto& slots = parts.adam->slots();
        const auto steps = values<Index>(file.at("adam.steps"));
        require(steps.size() == slots.size(), path.string(), ": adam.steps: expected ", slots.size(),
                " entries, found ", steps.size());
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const auto& p = slots[i].parameter;
            require(steps[i] >= 0 && steps[i] < detail::step_limit, path.string(), ": adam.steps: ", steps[i],
                    " steps of ", p.name);
            slots[i].steps = steps[i];
            slots[i].first = {};
            slots[i].second = {};
            if (file.contains("adam.first." + p.name)) {
                slots[i].first = detail::read_tensor<B>(file, "adam.first." + p.name, p.extents(), p.dtype());
                slots[i].second = detail::read_tensor<B>(file, "adam.second." + p.name, p.extents(), p.dtype());
                detail::check_moments(file.at("adam.first." + p.name), std::numeric_limits<double>::lowest());
                detail::check_moments(file.at("adam.second." + p.name), 0.0);
            }
        }
    }
    if (parts.norms != nullptr) {
        auto& slots = parts.norms->slots();
        const auto norms = values<double>(file.at("norms"));
        require(norms.size() == slots.size(), path.string(), ": norms: expected ", slots.size(), " entries, found ",
                norms.size());
        for (std::size_t i = 0; i < slots.size(); ++i) {
            require(std::isfinite(norms[i]) && norms[i] >= 0, path.string(), ": norms: found ", norms[i]);
            slots[i].norm = norms[i];
        }
    }
    return file.metadata();
}
template <class A>
TrainFacts load_train_state(const Path& path, const TrainParts<A>& parts) {
    return load_train_state(SafetensorsFile(path), parts);
}

/// A whole number among the facts; throws if it is missing or malformed.
[[nodiscard]] inline std::int64_t fact_number(const TrainFacts& facts, const std::string& name, const Path& path) {
    const auto found = facts.find(name);
    require(found != facts.end(), path.string(), ": the training state lacks \"", name, "\"");
    const std::string& word = found->second;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    require(error == std::errc() && end == word.data() + word.size(), path.string(), ": ", name, " is \"", word,
            "\", expected a whole number");
    return value;
}

namespace detail {

template <class T>
[[nodiscard]] auto train_parts(T& trainer) {
    TrainParts<typename T::A> parts{parameters(trainer.model()), &trainer.adam(), nullptr, nullptr};
    parts.ema = trainer.ema() ? &*trainer.ema() : nullptr;
    parts.norms = trainer.norms() ? &*trainer.norms() : nullptr;
    return parts;
}

}  // namespace detail

}  // namespace flowfar::io

namespace flowfar {

/// Writes all that a trainer needs to continue, its step included, to one file, atomically; `load_training` puts it
/// into a trainer of the same options, which goes on as the first would have.
///
///     save_training(trainer, "run.safetensors");
///     …
///     FlowMoTrainer<FlowMoTiny, Cpu> trainer(options, [](auto& model) { model.initialize(1); });
///     load_training(trainer, "run.safetensors");
template <class T>
void save_training(T& trainer, const io::Path& path) {
    io::save_train_state(path, io::detail::train_parts(trainer), {{"step", std::to_string(trainer.step_count())}});
}
template <class T>
void load_training(T& trainer, const io::Path& path) {
    const io::TrainFacts facts = io::load_train_state(path, io::detail::train_parts(trainer));
    trainer.set_step_count(io::fact_number(facts, "step", path));
}

}  // namespace flowfar
