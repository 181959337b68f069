#pragma once

/// Graphs: captured work that can run again. As on a device, what a launch was given by value is frozen in.

#include "runtime.hpp"

using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2
};
enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone = 0,
    cudaStreamCaptureStatusActive = 1,
    cudaStreamCaptureStatusInvalidated = 2
};
struct cudaGraphExecUpdateResultInfo {
    int result;
};

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
    if (stream == nullptr || stream->capture != nullptr) {
        return cuda_emulation::device().set(cudaErrorStreamCaptureUnsupported);
    }
    stream->capture = new CUgraph_st;
    return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    *graph = std::exchange(stream->capture, nullptr);
    if (*graph != nullptr && (*graph)->invalid) {
        delete std::exchange(*graph, nullptr);
    }
    return cuda_emulation::result(*graph != nullptr, cudaErrorStreamCaptureInvalidated);
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    *status =
        stream != nullptr && stream->capture != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                        unsigned long long /*flags*/ = 0) {
    *executable = new CUgraphExec_st{graph->work};
    return cudaSuccess;
}
inline cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph,
                                       cudaGraphExecUpdateResultInfo* info) {
    info->result = executable->work.size() == graph->work.size() ? 0 : 1;
    if (info->result == 0) {
        executable->work = graph->work;
    }
    return cuda_emulation::result(info->result == 0, cudaErrorGraphExecUpdateFailure);
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    ++cuda_emulation::device().counters.graph_launches;
    for (const auto& step : executable->work) {
        cuda_emulation::device().submit(stream, step);
    }
    return cudaSuccess;
}
/// Waits for nothing: what was launched goes on.
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
