// Pickles: every value is described, from the first to the last and from the root down.

#include "flowfar/io/pickle/pickle.hpp"

#include "fuzz_target.hpp"

namespace flowfar::fuzz {

namespace {

/// Looks at a value and what it holds; the accessors of other kinds must refuse.
void inspect(const io::PickleValue& value, int depth) {
    static_cast<void>(io::to_string(value));
    using Kind = io::PickleKind;
    switch (value.kind()) {
        case Kind::tuple:
        case Kind::list:
        case Kind::set:
            for (std::size_t i = 0; i < value.size() && depth > 0; ++i) {
                inspect(value.item(i), depth - 1);
            }
            return;
        case Kind::object:
            static_cast<void>(io::to_string(value.callable()));
            static_cast<void>(io::to_string(value.args()));
            static_cast<void>(io::to_string(value.state()));
            [[fallthrough]];
        case Kind::dict:
            for (std::size_t i = 0; i < value.size() && depth > 0; ++i) {
                static_cast<void>(io::to_string(value.key(i)));
                inspect(value.value(i), depth - 1);
            }
            return;
        case Kind::persistent:
            static_cast<void>(io::to_string(value.id()));
            return;
        default:
            only_errors([&] { static_cast<void>(value.size()); });
            only_errors([&] { touch(std::as_bytes(std::span(value.text()))); });
    }
}

}  // namespace

void run(Bytes bytes) {
    only_errors([&] {
        const io::Pickle pickle(bytes, input_name);
        expect(pickle.size() <= bytes.size(), "a pickle inside its bytes");
        expect(pickle.value_count() <= bytes.size() + 16, "no more values than bytes");
        for (std::size_t i = 0; i < pickle.value_count(); ++i) {
            inspect(pickle.value(i), 1);
        }
        inspect(pickle.root(), 4);
    });
}

}  // namespace flowfar::fuzz
