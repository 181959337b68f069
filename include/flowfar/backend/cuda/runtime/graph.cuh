#pragma once

/// The definitions of cuda::Graph.

#include <optional>

#include "flowfar/backend/cuda/runtime/graph.hpp"
#include "flowfar/backend/cuda/runtime/transfer.cuh"

namespace flowfar::cuda {

/// What a graph owns. While it is recorded, its arena serves the thread, and the thread's work goes to a stream of its
/// own: whatever other threads queue meanwhile is not recorded.
class Graph::State {
   public:
    State() {
        recording_.side = side_.get();
        static_cast<void>(current_device());  // an idle stream was taken without it
        check(cudaEventCreateWithFlags(&replayed_, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    }
    ~State() {
        // A destructor has nobody to tell of errors, and after main the runtime may be gone. Memory goes back to the
        // streams where it was taken, which know nothing of a replay on another: that must be over.
        static_cast<void>(cudaEventSynchronize(replayed_));
        static_cast<void>(cudaEventDestroy(replayed_));
        if (executable_ != nullptr) {
            static_cast<void>(cudaGraphExecDestroy(executable_));
        }
        recording_.blocks.clear();
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void warm_up() {
        require(executable_ == nullptr, "cuda graph: recorded twice");
        require(Recording::current() == nullptr, "cuda graph: recorded while another is");
        arena_scope_.emplace(arena_);
    }
    void begin() {
        recording_.home = current_stream();
        captured_.emplace();
        recording_.captured = captured_->get();
        // Relaxed: this thread goes on allocating and waiting on the side stream.
        check(cudaStreamBeginCapture(recording_.captured, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
        capturing_ = true;
        stream_scope_.emplace(recording_.captured);
        Recording::current() = &recording_;
    }
    void end() {
        const cudaGraph_t graph = stop();
        require(graph != nullptr, "cuda graph: the work cannot be recorded; it must not wait for the device");
        const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
        static_cast<void>(cudaGraphDestroy(graph));
        check(status, "cudaGraphInstantiate");
    }
    void abandon() {
        if (const cudaGraph_t graph = stop()) {
            static_cast<void>(cudaGraphDestroy(graph));
        }
        cudaGetLastError();
    }
    void replay() const {
        require(executable_ != nullptr, "cuda graph: nothing was recorded");
        const cudaStream_t stream = current_stream();
        check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch");
        check(cudaEventRecord(replayed_, stream), "cudaEventRecord");
    }

   private:
    /// Ends a recording that may be under way; null if it failed or there is none.
    cudaGraph_t stop() {
        cudaGraph_t graph = nullptr;
        if (capturing_ && cudaStreamEndCapture(recording_.captured, &graph) != cudaSuccess) {
            graph = nullptr;
        }
        capturing_ = false;
        stream_scope_.reset();
        Recording::current() = nullptr;
        arena_scope_.reset();
        captured_.reset();
        return graph;
    }

    Arena arena_;
    PrivateStream side_;
    Recording recording_;
    std::optional<PrivateStream> captured_;
    std::optional<StreamScope> stream_scope_;
    std::optional<Arena::Scope> arena_scope_;
    cudaEvent_t replayed_ = nullptr;
    cudaGraphExec_t executable_ = nullptr;
    bool capturing_ = false;
};

Graph::Graph() : state_(std::make_shared<State>()) {}
void Graph::warm_up() {
    state_->warm_up();
}
void Graph::begin() {
    state_->begin();
}
void Graph::end() {
    state_->end();
}
void Graph::abandon() {
    state_->abandon();
}
void Graph::replay() const {
    state_->replay();
}

}  // namespace flowfar::cuda
