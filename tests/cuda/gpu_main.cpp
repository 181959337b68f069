#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <iostream>

#include "flowfar/backend/cuda/cuda.hpp"

#include "golden.hpp"

/// The main function of tests on a real device. Without one it says so, and CTest shows the test as skipped.
int main(int argc, char** argv) {
    if (!flowfar::Cuda::available()) {
        std::cout << "skipped: no CUDA device\n";
        return 77;
    }
    doctest::Context context(argc, argv);
    const int status = context.run();
    return status == 0 && flowfar::testing::Golden::all_missing() ? 77 : status;
}
