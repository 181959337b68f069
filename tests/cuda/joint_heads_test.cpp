// Heads of two sequences, projected into one tensor, normalized and turned there, against the operations one by one.
#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/flowmo/double_block.hpp"

#include "twin.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Source {
    Twin<Cuda> x;
    Twin<Cuda> weight;
    Twin<Cuda> bias;
    Twin<Cuda> query_gain;
    Twin<Cuda> key_gain;
};

/// The definition, in double.
JointHeads<Handle> expected_heads(const std::vector<Source>& sources, const Handle& cos, const Handle& sin,
                                  Index heads) {
    std::array<std::vector<Handle>, 3> parts;
    for (const Source& source : sources) {
        const Extents& e = source.x.exact.extents();
        const Index depth = source.query_gain.exact.count();
        const Handle packed = Reference::reshape(
            Reference::gemm(source.x.exact, Reference::permute(source.weight.exact, {1, 0}), source.bias.exact, {}),
            {e[0], e[1], 3, heads, depth});
        for (std::size_t i = 0; i < 3; ++i) {
            const auto at = static_cast<Index>(i);
            const Handle part = Reference::permute(
                Reference::reshape(Reference::slice(packed, 2, at, at + 1), {e[0], e[1], heads, depth}), {0, 2, 1, 3});
            const Handle gain = i == 0 ? source.query_gain.exact : source.key_gain.exact;
            parts[i].push_back(i == 2 ? part : Reference::rms_norm(part, gain, {}));
        }
    }
    const auto joined = [&](std::size_t i) { return Reference::concat(parts[i], 2); };
    return {Reference::rope(joined(0), cos, sin, Rotation::forward),
            Reference::rope(joined(1), cos, sin, Rotation::forward), joined(2)};
}

/// A copy of x that begins at position `offset` of longer memory.
Handle moved(const Handle& x, Index offset) {
    const Handle out = Cuda::slice(Cuda::full({offset + x.count()}, x.dtype, 0.0), 0, offset, offset + x.count());
    Cuda::assign(out, x);
    return out;
}

/// Gains begin at position `offset` of their memory.
void check_heads(DType dtype, Index batch, const std::vector<Index>& tokens, Index heads, Index depth, bool biased,
                 Index offset = 0) {
    Maker<Cuda> make(dtype, 541);
    std::vector<Source> sources;
    std::vector<HeadSource<Handle>> operands;
    Index all = 0;
    for (const Index count : tokens) {
        const Index width = heads * depth;
        sources.push_back({make.uniform({batch, count, width}), make.uniform({3 * width, width}),
                           biased ? make.uniform({3 * width}) : Twin<Cuda>{}, make.uniform({depth}, 0.5, 1.5),
                           make.uniform({depth}, 0.5, 1.5)});
        const Source& s = sources.back();
        operands.push_back({s.x.tested, s.weight.tested, s.bias.tested, moved(s.query_gain.tested, offset),
                            moved(s.key_gain.tested, offset)});
        all += count;
    }
    const auto cos = make.uniform({all, depth / 2});
    const auto sin = make.uniform({all, depth / 2});
    const auto found = Cuda::joint_heads(operands, cos.tested, sin.tested, heads);
    const auto expected = expected_heads(sources, cos.exact, sin.exact, heads);
    check_handles<Cuda>(text("joint heads, batch ", batch, ", ", heads, " heads of ", depth),
                        {found.query, found.key, found.value}, {expected.query, expected.key, expected.value}, dtype,
                        8.0 * approx::of(dtype, heads * depth), make.seed());
}

}  // namespace

TEST_CASE("cuda: heads of several sequences in one tensor") {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        check_heads(dtype, 1, {3, 5}, 2, 8, true);
        check_heads(dtype, 2, {3, 5}, 2, 6, true);  // pairs do not fill packs
        check_heads(dtype, 2, {70, 9}, 2, 16, false);
        check_heads(dtype, 1, {4}, 1, 2, true);
        check_heads(dtype, 1, {3, 5}, 2, 8, true, 1);
        check_heads(dtype, 1, {3, 5}, 2, 8, true, 2);
    }
    check_heads(DType::bf16, 2, {2, 3}, 1, 96, true);
    check_heads(DType::f32, 1, {1, 2}, 1, 256, false);
}

TEST_CASE("cuda: joint heads refuse operands that do not fit") {
    const Handle x = Cuda::full({1, 2, 8}, DType::f32, 1.0);
    const Handle w = Cuda::full({24, 8}, DType::f32, 1.0);
    const Handle gain = Cuda::full({4}, DType::f32, 1.0);
    const Handle angles = Cuda::full({2, 2}, DType::f32, 1.0);
    const HeadSource<Handle> good{x, w, Handle{}, gain, gain};
    const auto call = [&](const HeadSource<Handle>& source, const Handle& cos, Index heads) {
        static_cast<void>(Cuda::joint_heads(std::span<const HeadSource<Handle>>(&source, 1), cos, angles, heads));
    };
    call(good, angles, 2);
    CHECK_THROWS_WITH_AS(call(good, angles, 3), doctest::Contains("joint_heads"), Error);
    CHECK_THROWS_WITH_AS(call(good, Cuda::full({3, 2}, DType::f32, 1.0), 2), doctest::Contains("tables"), Error);
    HeadSource<Handle> mixed = good;
    mixed.weight = Cuda::cast(w, DType::bf16);
    CHECK_THROWS_WITH_AS(call(mixed, angles, 2), doctest::Contains("different element types"), Error);
}
