#pragma once

#include <array>
#include <cstdint>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/core/handle.hpp"

namespace flowfar::cpu {

/// Copies between views of any element types.
struct Copy {
    /// Copies source, broadcast and converted, into the elements of target.
    static void assign(const Handle& target, const Handle& source) {
        if (source.dtype == target.dtype) {
            switch (size_of(source.dtype)) {  // equal types are copied as bits
                case 1:
                    return run<std::uint8_t, std::uint8_t>(target, source);
                case 2:
                    return run<std::uint16_t, std::uint16_t>(target, source);
                case 4:
                    return run<std::uint32_t, std::uint32_t>(target, source);
                default:
                    return run<std::uint64_t, std::uint64_t>(target, source);
            }
        }
        visit_float(target.dtype, "cast", [&]<class To>() {
            visit_float(source.dtype, "cast", [&]<class From>() { run<To, From>(target, source); });
        });
    }

   private:
    template <class To, class From>
    static void run(const Handle& target, const Handle& source) {
        Layout to = with_row_axis(target.layout);
        Layout from = with_row_axis(expanded(source.layout, target.extents()));
        merge_axes<2>({&to, &from});
        const int inner = to.rank() - 1;
        const Index length = to.extents[inner];
        const Index ts = to.stride(inner);
        const Index fs = from.stride(inner);
        To* const out = target.data<To>();
        const From* const in = source.data<From>();
        if (to.rank() == 1) {
            parallel_for(length, elementwise_grain,
                         [&](Index begin, Index end) { row(out + begin * ts, ts, in + begin * fs, fs, end - begin); });
        } else {
            parallel_rows<2>(to.extents, {&to, &from},
                             [&](const auto& offset) { row(out + offset[0], ts, in + offset[1], fs, length); });
        }
    }
    template <class To, class From>
    static void row(To* out, Index ts, const From* in, Index fs, Index count) {
        if (ts == 1 && fs == 1) {
            with_instructions([=]() __attribute__((always_inline)) {
                for (Index i = 0; i < count; ++i) {
                    out[i] = convert<To>(in[i]);
                }
            });
        } else {
            for (Index i = 0; i < count; ++i) {
                out[i * ts] = convert<To>(in[i * fs]);
            }
        }
    }
};

}  // namespace flowfar::cpu
