#pragma once

/// Work on many tensors in one kernel: a table of them is the kernel's argument.

#include "flowfar/backend/cuda/runtime/launch.cuh"

namespace flowfar::cuda {

inline constexpr Index table_chunk = 4096;        ///< elements that one block works on
inline constexpr std::size_t table_bytes = 3840;  ///< a kernel's arguments may have 4,096 bytes

/// `Entry` says what a kernel needs to know of one tensor of at most 2^31 elements. Block b works on tensor i with
/// first[i] <= b < first[i + 1].
template <class Entry>
struct TensorTable {
    static constexpr int capacity = static_cast<int>(table_bytes / (sizeof(Entry) + 2 * sizeof(std::uint32_t)));

    Entry entry[capacity];
    std::uint32_t count[capacity];  ///< elements
    std::uint32_t first[capacity + 1];
    int tensors = 0;
};

/// The elements [begin, end) of a tensor that a block works on.
struct TablePart {
    int tensor;
    std::uint32_t begin;
    std::uint32_t end;
};

template <class Entry>
[[nodiscard]] __device__ __forceinline__ TablePart table_part(const TensorTable<Entry>& table, std::uint32_t block) {
    int tensor = 0;
    for (int above = table.tensors; above - tensor > 1;) {
        const int middle = (tensor + above) / 2;
        (table.first[middle] <= block ? tensor : above) = middle;
    }
    constexpr auto chunk = static_cast<std::uint32_t>(table_chunk);
    const std::uint32_t begin = (block - table.first[tensor]) * chunk;
    const std::uint32_t count = table.count[tensor];
    return {tensor, begin, count - begin > chunk ? begin + chunk : count};
}

/// Collects tensors and calls `run(table, blocks)` for each full table and, when flushed, for the rest.
template <class Entry, class Run>
class TableFiller {
   public:
    explicit TableFiller(Run run) : run_(std::move(run)) { table_.first[0] = 0; }

    void add(const Entry& entry, Index count) {
        const int i = table_.tensors++;
        table_.entry[i] = entry;
        table_.count[i] = static_cast<std::uint32_t>(count);
        table_.first[i + 1] = table_.first[i] + blocks_for(count, table_chunk);
        if (table_.tensors == table_.capacity) {
            flush();
        }
    }
    void flush() {
        if (table_.tensors > 0) {
            run_(table_, table_.first[table_.tensors]);
        }
        table_.tensors = 0;
    }

   private:
    Run run_;
    TensorTable<Entry> table_;
};

template <class Entry, class Run>
[[nodiscard]] TableFiller<Entry, Run> table_filler(Run run) {
    return TableFiller<Entry, Run>(std::move(run));
}

}  // namespace flowfar::cuda
