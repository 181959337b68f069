// expect: attention: the operands live on different backends
#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/ops.hpp"

using namespace flowfar;
using Query = Tensor<Reference, Shape<1, 2, dyn, 8>>;
#ifdef FLOWFAR_FIXED
using Key = Query;
#else
using Key = Tensor<Cpu, Shape<1, 2, dyn, 8>>;
#endif

int main() {
    const auto q = Query::zeros({1, 2, 3, 8});
    const auto k = Key::zeros({1, 2, 5, 8});
    return static_cast<int>(attention(q, k, k, 1.0).extent(0));
}
