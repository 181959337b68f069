// Training logs: the JSON that programs read back.

#include <sstream>
#include <string>

#include "../../examples/programs/common/cli/jsonl.hpp"
#include "fuzz_target.hpp"

namespace flowfar::fuzz {

void run(Bytes bytes) {
    const std::string characters(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    only_errors([&] {
        std::istringstream file(characters);
        const auto lines = program::parse_jsonl(file, input_name);
        static_cast<void>(program::curve_of(lines, "step", "loss"));
        std::istringstream kept(program::kept_lines(lines, 20));
        expect(program::parse_jsonl(kept, input_name).size() <= lines.size(), "no more lines than before");
    });
}

}  // namespace flowfar::fuzz
