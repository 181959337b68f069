#pragma once

/// Which kernels serve bf16 attention, and the comparison that the warpgroup engine must pass first.

#include <array>
#include <atomic>
#include <cmath>

#include "flowfar/backend/cuda/kernel_choice.hpp"
#include "flowfar/backend/cuda/kernels/attention/attention_hopper.cuh"

namespace flowfar::cuda {

/// The program's choice, and what is known of the warpgroup engine. Thread-safe.
class AttentionChoice {
   public:
    static AttentionChoice& instance() {
        static AttentionChoice choice;
        return choice;
    }

    void choose(AttentionKernels kernels) { chosen_ = kernels; }
    [[nodiscard]] AttentionKernels chosen() const { return chosen_; }

    /// What serves heads of `width` channels.
    [[nodiscard]] AttentionKernels kernels_for(Index width) {
        return chosen_ == AttentionKernels::warpgroups && warpgroup_attention_runs(width) && agrees(width)
                   ? AttentionKernels::warpgroups
                   : AttentionKernels::portable;
    }
    /// Has the first use compared again.
    void forget() {
        const std::lock_guard lock(mutex_);
        known_ = {};
    }

   private:
    enum class Known : std::uint8_t { nothing, right, wrong };

    [[nodiscard]] bool agrees(Index width) {
        const std::lock_guard lock(mutex_);
        Known& known = known_[static_cast<std::size_t>(hopper::padded_depth(width) / 32)];
        if (known == Known::nothing) {
            if (Recording::current() != nullptr) {
                return false;  // nothing can be waited for now
            }
            known = compare(hopper::padded_depth(width)) ? Known::right : Known::wrong;
        }
        return known == Known::right;
    }

    static constexpr int heads = 2;
    static constexpr int queries = 200;  ///< one and a half blocks
    static constexpr int keys = 330;     ///< two and a half tiles, so that stages are used again

    /// Both engines on the same numbers, with and without a mask. Waits for the device; the memory is its own, so that
    /// graphs do not take part.
    [[nodiscard]] static bool compare(int width) {
        const auto query_elements = static_cast<std::size_t>(heads * queries * width);
        const auto key_elements = static_cast<std::size_t>(heads * keys * width);
        const auto query = drawn(query_elements, 1);
        const auto key = drawn(key_elements, 2);
        const auto value = drawn(key_elements, 3);
        for (const bool causal : {false, true}) {
            AttentionForward<bf16> arguments{};
            arguments.query = rows<const bf16>(query, queries, width);
            arguments.key = rows<const bf16>(key, keys, width);
            arguments.value = rows<const bf16>(value, keys, width);
            arguments.heads = heads;
            arguments.queries = queries;
            arguments.keys = keys;
            arguments.width = width;
            arguments.scale = 2.0F / std::sqrt(static_cast<float>(width));
            arguments.causal = causal;
            std::array<std::vector<float>, 2> found;
            for (const bool warpgroups : {false, true}) {
                const auto output = Memory::instance().allocate(query_elements * sizeof(bf16));
                const auto logs = Memory::instance().allocate(heads * queries * sizeof(float));
                check(cudaMemsetAsync(output.get(), 0xFF, query_elements * sizeof(bf16), current_stream()), "memset");
                arguments.output = rows<bf16>(output, queries, width);
                arguments.log_sum_exp = reinterpret_cast<float*>(logs.get());
                warpgroups ? launch_attention_hopper(arguments, 1) : launch_attention(arguments, 1);
                std::vector<bf16> elements(query_elements);
                found[warpgroups].resize(heads * queries);
                fetch(elements.data(), output.get(), query_elements * sizeof(bf16));
                fetch(found[warpgroups].data(), logs.get(), heads * queries * sizeof(float));
                for (const bf16 element : elements) {
                    found[warpgroups].push_back(static_cast<float>(element));
                }
            }
            for (std::size_t i = 0; i < found[0].size(); ++i) {
                // Logarithms around 6, summed in f32; then means of numbers in [-1, 1] over 131 keys or more, below
                // 0.26 and rounded to bf16, whose units are up to 0.002 there. A key too many or too few changes both
                // by 0.016 or more somewhere. NaN differs.
                const float most = i < heads * queries ? 1e-3F : 3e-3F;
                if (!(std::fabs(found[0][i] - found[1][i]) <= most)) {
                    return false;
                }
            }
        }
        return true;
    }
    template <class T>
    [[nodiscard]] static HeadRows<T> rows(const std::shared_ptr<std::byte>& block, Index tokens, Index width) {
        return {reinterpret_cast<bf16*>(block.get()), heads * tokens * width, tokens * width, width};
    }
    /// Numbers in [-1, 1).
    [[nodiscard]] static std::shared_ptr<std::byte> drawn(std::size_t count, std::uint32_t seed) {
        std::vector<bf16> numbers(count);
        for (bf16& number : numbers) {
            seed = seed * 1664525U + 1013904223U;
            number = bf16(static_cast<float>(seed >> 8U) * 0x1p-23F - 1.0F);
        }
        std::shared_ptr<std::byte> block = Memory::instance().allocate(count * sizeof(bf16));
        check(cudaMemcpyAsync(block.get(), numbers.data(), count * sizeof(bf16), cudaMemcpyHostToDevice,
                              current_stream()),
              "attention's comparison");
        synchronize();
        return block;
    }
    static void fetch(void* to, const void* from, std::size_t bytes) {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, current_stream()), "attention's comparison");
        synchronize();
    }

    std::atomic<AttentionKernels> chosen_ = AttentionKernels::portable;
    std::mutex mutex_;
    std::array<Known, 5> known_{};  ///< by head size in units of 32
};

}  // namespace flowfar::cuda
