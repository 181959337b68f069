// Models over Cuda and their training compile without any CUDA header.
#include <doctest/doctest.h>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/train.hpp"

#if defined(CUDA_EMULATION) || defined(CUDART_VERSION) || defined(__CUDACC__)
#error "flowfar/backend/cuda/cuda.hpp includes a CUDA header"
#endif

using namespace flowfar;

static_assert(PlainBackend<Cuda> && Backend<Autodiff<Cuda>>);

namespace {

/// What a program calls; compiled here, run by flowmo_test.cpp for a smaller model.
template <class Model>
void reconstruct() {
    Model model;
    model.initialize(1);
    static_cast<void>(model.decode(model.encode(Model::Images::zeros({1, 3, 256, 256})), {.guidance = 1.5}));
}
void train() {
    using Lo = FlowMoTrainer<FlowMoLo, Cuda>;
    Lo trainer({}, [](auto& model) { model.initialize(1); });
    static_cast<void>(trainer.step(Lo::Images::zeros({1, 3, 256, 256})));
}

}  // namespace

TEST_CASE("FlowMoLo over Cuda and Autodiff<Cuda> instantiates with a host compiler") {
    static volatile bool wanted = false;  // a compiler must not leave out what is not called
    if (wanted) {
        reconstruct<FlowMo<FlowMoLo, Cuda>>();
        train();
    }
    CHECK(Cuda::name() == "cuda");
}
