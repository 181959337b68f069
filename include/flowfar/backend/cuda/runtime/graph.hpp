#pragma once

#include <memory>
#include <utility>

namespace flowfar::cuda {

/// A CUDA graph: work that was queued once and is queued again by one call, which costs the host next to nothing.
///
///     Graph graph;
///     const auto v = graph.record([&] { return model.velocity(z, code, t); });
///     for (…) {
///         Cuda::assign(z.handle(), …);  // new operands in the old places
///         graph.replay();               // v has new elements
///     }
///
/// Tensors that the work makes live in memory of the graph, and their results stay valid as long as it; what it makes
/// from host memory or from scalars is frozen in. The work must not wait for the device (`to_host`) and must allocate
/// the same in every run; nor can it be told to `fetch`. What other threads queue meanwhile is not recorded. Replays go
/// to the stream on which the graph was recorded, whose workspace for matrix products they use. This header needs no
/// CUDA headers.
class Graph {
   public:
    Graph();

    /// Runs `work` once, then records it; gives the tensors of the recorded run, whose elements the first replay
    /// computes. Throws Error if the work cannot be recorded.
    template <class Work>
    auto record(Work&& work) {
        warm_up();
        try {
            static_cast<void>(work());  // chooses algorithms and makes the blocks that the recorded run finds
            begin();
            auto result = work();
            end();
            return result;
        } catch (...) {
            abandon();
            throw;
        }
    }
    /// Queues the recorded work on the current stream.
    void replay() const;

   private:
    class State;

    void warm_up();
    void begin();
    void end();
    void abandon();

    std::shared_ptr<State> state_;
};

}  // namespace flowfar::cuda
