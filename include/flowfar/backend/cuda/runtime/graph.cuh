#pragma once

/// The definitions of cuda::Graph.

#include <optional>

#include "flowfar/backend/cuda/runtime/graph.hpp"
#include "flowfar/backend/cuda/runtime/transfer.cuh"

namespace flowfar::cuda {

/// What a graph owns. While it is recorded, its arena serves the thread.
class Graph::State {
   public:
    State() { check(cudaStreamCreateWithFlags(&uploads_.side, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
    ~State() {
        // A destructor has nobody to tell of errors, and after main the runtime may be gone.
        if (executable_ != nullptr) {
            static_cast<void>(cudaGraphExecDestroy(executable_));
        }
        uploads_.blocks.clear();
        static_cast<void>(cudaStreamDestroy(uploads_.side));
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    void warm_up() {
        require(executable_ == nullptr, "cuda graph: recorded twice");
        arena_scope_.emplace(arena_);
    }
    void begin() {
        // Relaxed: other threads and the side stream may go on allocating and waiting.
        check(cudaStreamBeginCapture(current_stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
        capturing_ = true;
        GraphUploads::current() = &uploads_;
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
        check(cudaGraphLaunch(executable_, current_stream()), "cudaGraphLaunch");
    }

   private:
    /// Ends a recording that may be under way; null if it failed or there is none.
    cudaGraph_t stop() {
        cudaGraph_t graph = nullptr;
        if (capturing_ && cudaStreamEndCapture(current_stream(), &graph) != cudaSuccess) {
            graph = nullptr;
        }
        capturing_ = false;
        GraphUploads::current() = nullptr;
        arena_scope_.reset();
        return graph;
    }

    Arena arena_;
    GraphUploads uploads_;
    std::optional<Arena::Scope> arena_scope_;
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
