#include "suites/pool.hpp"

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("gradients of pooling") {
    for (const PoolOptions& options : pool_cases) {
        const Extents extents{2, 2, 5, 4};
        check_gradient(pool_name(extents, options), [&](const auto& v) { return Tape::pool2d(v[0], options); },
                       {random_handle(extents, 98)});
    }
}
