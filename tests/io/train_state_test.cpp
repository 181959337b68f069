#include "flowfar/checkpoints/train_state.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <doctest/doctest.h>
#include <limits>
#include <string>
#include <vector>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/nn/linear.hpp"

#include "io_support.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Reference>;

/// A layer and its optimizer after one step.
struct Run {
    Linear<A, 3, 2> layer;
    Adam<A> adam;

    explicit Run(std::uint64_t seed) {
        layer.initialize(seed);
        adam.add_group(parameters(layer), {});
        const auto x = Tensor<A, Shape<1, 3>>::normal({1, 3}, seed);
        backward(sum(square(layer(x))));
        adam.step();
    }
    [[nodiscard]] io::TrainParts<A> parts() { return {parameters(layer), &adam, nullptr, nullptr}; }
};

Reference::Handle filled(const Extents& extents, float value) {
    const std::vector<float> values(static_cast<std::size_t>(extents.count()), value);
    return Reference::from_host(values.data(), extents, DType::f32);
}

}  // namespace

TEST_CASE("moments that no optimizer makes are refused by name") {
    const TempDir folder;
    const io::Path path = folder / "state.safetensors";
    for (const std::string which : {"first", "second"}) {
        for (const float value : {-1.0F, std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
            Run run(1);
            auto& slot = run.adam.slots()[0];
            (which == "first" ? slot.first : slot.second) = filled(slot.parameter.extents(), value);
            io::save_train_state<A>(path, run.parts(), {{"step", "1"}});
            Run other(2);
            const std::string message = error_text([&] { io::load_train_state<A>(path, other.parts()); });
            CAPTURE(value);
            if (which == "first" && value == -1.0F) {
                CHECK(message == "no error");
            } else {
                CAPTURE(message);
                CHECK(message.starts_with(path.string()));
                CHECK(contains(message, "adam." + which + "."));
                CHECK(contains(message, "element 0 is "));
                CHECK(contains(message, "expected a finite number"));
            }
        }
    }
}
