/// Parameter counts of the published FlowMo models.

#include <doctest/doctest.h>
#include <fstream>
#include <string>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/flowmo/model.hpp"

using namespace flowfar;

namespace {

/// The ablation models (arXiv 2503.11056): patches of 8, decoders of several widths. The size rule needs even widths
/// for its rotary axes; how a head is split among the axes does not change the count.
template <Index Width>
struct Ablation : FlowMoLo {
    static constexpr std::string_view name = "Ablation";
    static constexpr Index patch = 8;
    static constexpr MmditConfig decoder{
        192 * Width, 12, 16, {2 * Width + 2 * (Width % 2), 7 * Width - Width % 2, 7 * Width - Width % 2}};
};

/// Resident memory of this process in bytes.
double resident() {
    std::ifstream stream("/proc/self/statm");
    double pages = 0;
    stream >> pages >> pages;
    return 4096.0 * pages;
}

struct Size {
    Index encoder;
    Index decoder;
};

/// Counts without touching the parameters' memory.
template <class C>
Size size_of_model() {
    const double before = resident();
    const FlowMo<C, Cpu> model;
    const Size size{parameter_count(model.encoder), parameter_count(model.decoder)};
    CHECK(parameter_count(model) == size.encoder + size.decoder);
    // Four bytes per parameter would be touched memory; sanitizers need an eighth of that for their own notes.
    CHECK(resident() - before < static_cast<double>(size.encoder + size.decoder));
    return size;
}

/// In millions, to the published digit.
std::string millions(Index count) {
    const Index tenths = (count + 50000) / 100000;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
}

}  // namespace

TEST_CASE("Lo and Hi have the published sizes") {
    const Size lo = size_of_model<FlowMoLo>();
    CHECK(millions(lo.encoder) == "173.3");
    CHECK(millions(lo.decoder) == "772.1");
    CHECK(lo.encoder + lo.decoder == 945'374'085);
    const Size hi = size_of_model<FlowMoHi>();
    CHECK(hi.encoder + hi.decoder == 945'520'081);
}

TEST_CASE("the ablation models have the published sizes") {
    const auto total = [](const Size& size) { return millions(size.encoder + size.decoder); };
    CHECK(total(size_of_model<Ablation<2>>()) == "259.7");
    CHECK(total(size_of_model<Ablation<3>>()) == "367.0");
    CHECK(total(size_of_model<Ablation<4>>()) == "517.1");
    CHECK(total(size_of_model<Ablation<5>>()) == "710.1");
    const Size small = size_of_model<FlowMoSmall>();
    CHECK(total(small) == "517.1");
}
