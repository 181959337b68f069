#pragma once

// Command-line options of all programs that compute with a model: how many threads, and how precise products are.

#include <cstdio>
#include <string>

#include "flowfar/backend/cpu.hpp"

#include "cli.hpp"

namespace flowfar::program {

struct ComputeArguments {
    int threads = 0;
    std::string precision = "f32";

    /// Sets the number of threads; products of this thread are as precise as asked while the result lives.
    [[nodiscard]] Bf16Products apply() const {
        if (threads > 0) {
            Cpu::set_threads(threads);
        }
        if (precision == "bf16" && !Bf16Products::available()) {
            std::fputs("this CPU has no bf16 products: computing in f32\n", stderr);
        }
        return Bf16Products(precision == "bf16");
    }
};

inline void add_compute_options(Spec& spec, ComputeArguments& a) {
    spec.option("threads", a.threads, "of the computation; 0: one per processor").range(0, 1024);
    spec.option("precision", a.precision, "of the operands of matrix products; bf16 is faster where the CPU has it")
        .choices({"f32", "bf16"});
}

}  // namespace flowfar::program
