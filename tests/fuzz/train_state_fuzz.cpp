// The training state of a tiny model: names, shapes and numbers of steps that do not fit it.

#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/checkpoints/train_state.hpp"
#include "flowfar/nn/linear.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    using A = Autodiff<Reference>;
    static Linear<A, 3, 2> model;
    static const auto all = parameters(model);
    static Adam<A> adam = [] {
        Adam<A> made;
        made.add_group(all, {});
        return made;
    }();
    static Ema<A> ema(all, 0.5);
    static FixedNorms<A> norms(all);
    const io::TrainParts<A> parts{all, &adam, &ema, &norms};
    only_errors([&] {
        const io::SafetensorsFile file(io::MappedFile::of_memory(input_name, bytes));
        const io::TrainFacts facts = io::load_train_state(file, parts);
        static_cast<void>(io::fact_number(facts, "step", input_name));
    });
}

}  // namespace flowfar::fuzz
