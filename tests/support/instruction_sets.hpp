#pragma once

/// Runs a check with the kernels of every instruction set there is.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/runtime/instruction_set.hpp"

namespace flowfar::testing {

/// Calls `check()` for each instruction set that this CPU has and that is not narrower than what the program is
/// compiled for.
template <class F>
void for_all_instruction_sets(F&& check) {
    for (const cpu::InstructionSet set :
         {cpu::InstructionSet::portable, cpu::InstructionSet::avx2, cpu::InstructionSet::avx512}) {
        const cpu::NarrowerInstructions only(set);
        if (cpu::instruction_set() == set) {
            CAPTURE(static_cast<int>(set));
            check();
        }
    }
}

}  // namespace flowfar::testing
