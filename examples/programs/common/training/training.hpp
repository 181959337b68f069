#pragma once

// A training run behind a run-time interface, whatever it trains: what FlowMo's and FAR's have in common.

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "flowfar/io/bytes/file.hpp"

namespace flowfar::program {

/// Which of a training run's weights: those that steps change, or their average, which is the result.
enum class Weights { raw, averaged };

class AnyTraining {
   public:
    AnyTraining() = default;
    AnyTraining(const AnyTraining&) = delete;
    AnyTraining& operator=(const AnyTraining&) = delete;
    virtual ~AnyTraining() = default;

    [[nodiscard]] virtual std::int64_t step_count() const = 0;
    /// Writes the training state atomically.
    virtual void save(const io::Path& path, std::map<std::string, std::string> facts) = 0;
    /// Restores the training state, except what the facts say beyond "step".
    virtual void load(const io::Path& path) = 0;
};

}  // namespace flowfar::program
