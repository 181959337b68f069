#pragma once

/// `Cuda`'s memory, transfers, random numbers and row selection, and cuda::Graph.

#include "flowfar/backend/cuda/kernels/elementwise/copy.cuh"
#include "flowfar/backend/cuda/kernels/rows/index.cuh"
#include "flowfar/backend/cuda/kernels/rows/random.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"
#include "flowfar/backend/cuda/runtime/graph.cuh"

namespace flowfar {

bool Cuda::available() {
    return cuda::available();
}
void Cuda::set_stream(CUstream_st* stream) {
    cuda::detail::chosen_stream() = stream;
}
CUstream_st* Cuda::stream() {
    return cuda::current_stream();
}
void Cuda::synchronize() {
    cuda::synchronize();
}

cuda::MemoryUse Cuda::memory_use() {
    const cuda::Memory& memory = cuda::Memory::instance();
    return {memory.held(), memory.peak(), memory.cap()};
}
void Cuda::set_memory_limit(std::size_t bytes) {
    cuda::Memory::instance().set_cap(bytes);
}
void Cuda::reset_high_water() {
    cuda::Memory::instance().reset_peak();
}

Handle Cuda::empty(const Extents& extents, DType dtype) {
    return cuda::empty(extents, dtype);
}
Handle Cuda::full(const Extents& extents, DType dtype, double value) {
    const Handle out = empty(extents, dtype);
    cuda::Copy::fill(out, value);
    return out;
}
Handle Cuda::from_host(const void* data, const Extents& extents, DType dtype) {
    const std::size_t bytes = static_cast<std::size_t>(extents.count()) * size_of(dtype);
    const Handle out{contiguous_layout(extents), dtype, cuda::upload(data, bytes)};
    return dtype == DType::i64 && out.count() > 0 ? cuda::remember(out, static_cast<const Index*>(data)) : out;
}
void Cuda::to_host(const Handle& h, void* data) {
    cuda::Copy::to_host(contiguous(h), data);
}
std::shared_ptr<const cuda::Fetched> Cuda::fetch(const Handle& h) {
    // A replay would write where the host no longer looks.
    require(cuda::Recording::current() == nullptr, "cuda graph: fetch cannot be recorded; fetch after the replay");
    const Handle dense = contiguous(h);
    const std::byte* const from = dense.storage.get() + dense.layout.offset * Index(size_of(dense.dtype));
    return std::make_shared<cuda::FetchedBlock>(from, static_cast<std::size_t>(h.count()) * size_of(h.dtype));
}
Handle Cuda::cast(const Handle& h, DType dtype) {
    if (h.dtype == dtype) {
        return h;
    }
    const Handle out = empty(h.extents(), dtype);
    assign(out, h);
    return out;
}
Handle Cuda::contiguous(const Handle& h) {
    return cuda::contiguous(h);
}
void Cuda::assign(const Handle& target, const Handle& source) {
    cuda::forget(target);
    cuda::Copy::assign(target, source);
}

Handle Cuda::uniform(const Extents& extents, DType dtype, std::uint64_t seed, std::uint64_t offset) {
    const Handle out = empty(extents, dtype);
    cuda::fill_random<cuda::Distribution::uniform>(out, seed, offset);
    return out;
}
Handle Cuda::normal(const Extents& extents, DType dtype, std::uint64_t seed, std::uint64_t offset) {
    const Handle out = empty(extents, dtype);
    cuda::fill_random<cuda::Distribution::normal>(out, seed, offset);
    return out;
}

Handle Cuda::gather_rows(const Handle& x, const Handle& rows) {
    static_cast<void>(cuda::listed_rows(rows, x.extents()[0], "gather_rows"));
    Extents extents = x.extents();
    extents[0] = rows.count();
    const Handle out = empty(extents, x.dtype);
    cuda::Rows::gather(out, contiguous(x), contiguous(rows));
    return out;
}
Handle Cuda::scatter_add_rows(const Handle& x, const Handle& rows, Index count) {
    const std::vector<Index> list = cuda::listed_rows(rows, count, "scatter_add_rows");
    Extents extents = x.extents();
    extents[0] = count;
    const Handle out = empty(extents, x.dtype);
    cuda::Rows::scatter_add(out, contiguous(x), list);
    return out;
}

}  // namespace flowfar
