#pragma once

// Command-line options of programs that compute on the CPU: how many threads, and how precise products are.

#include <cstdint>
#include <cstdio>
#include <string>

#include "flowfar/backend/cpu/cpu.hpp"

#include "common/cli/cli.hpp"

namespace flowfar::program {

/// While it lives, products of its thread are as precise as asked. What int8 cannot do is done in bf16.
struct ProductPrecision {
    Bf16Products rounded;
    Int8Products quantized;

    explicit ProductPrecision(const std::string& precision)
        : rounded(precision != "f32"), quantized(precision == "int8") {}
};

struct CpuArguments {
    int threads = 0;
    std::string precision = "f32";

    /// Sets the number of threads and, while the result lives, this thread's precision.
    [[nodiscard]] ProductPrecision apply() const {
        set_threads();
        if (precision == "int8" && !Cpu::has_int8_products()) {
            std::fprintf(stderr, "this CPU has no products of bytes: computing in %s\n",
                         Cpu::has_bf16_products() ? "bf16" : "f32");
        } else if (precision != "f32" && !Cpu::has_bf16_products()) {
            std::fputs("this CPU has no bf16 products: computing in f32\n", stderr);
        }
        return ProductPrecision(precision);
    }
    void set_threads() const {
        if (threads > 0) {
            Cpu::set_threads(threads);
        }
    }
};

/// Whether a program only runs models, or also trains them, for which 8 bits are too few.
enum class Use : std::uint8_t { inference, training };

inline void add_cpu_options(Spec& spec, CpuArguments& a, Use use) {
    spec.option("threads", a.threads, "threads of the computation on the CPU; 0: one per processor").range(0, 1024);
    if (use == Use::training) {
        spec.option("precision", a.precision,
                    "type of the operands of matrix products; bf16 is faster where there is hardware")
            .choices({"f32", "bf16"});
    } else {
        spec.option("precision", a.precision,
                    "type of the operands of matrix products; bf16 is faster where there is hardware, and int8, with "
                    "quantized weights on the CPU, faster still")
            .choices({"f32", "bf16", "int8"});
    }
}

}  // namespace flowfar::program
