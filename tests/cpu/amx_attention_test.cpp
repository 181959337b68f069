// Attention on tile registers, with the tile instructions computed in C++ on whatever CPU this is, and with the
// instructions themselves where the CPU has them.
#include "flowfar/backend/cpu/kernels/attention/amx_attention.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"

#include "approx.hpp"
#include "emulated_tiles.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

using namespace flowfar;
using namespace flowfar::testing;
using cpu::bf16_product::AmxTiles;

namespace {

struct Operands {
    Handle q;
    Handle k;
    Handle v;
    double scale;
    MaskKind mask;

    /// Of numbers that bf16 represents; queries and keys are `spread` times as large.
    static Operands make(Index queries, Index keys, Index depth, MaskKind mask, float spread = 1.0F) {
        const auto draw = [](const Extents& extents, std::uint64_t seed, float by) {
            const Handle x = Cpu::normal(extents, DType::f32, seed, 0);
            for (Index i = 0; i < x.count(); ++i) {
                float& value = x.data<float>()[i];
                value = static_cast<float>(bf16(value * by));
            }
            return x;
        };
        return {draw({1, 2, queries, depth}, 1, spread), draw({1, 2, keys, depth}, 2, spread),
                draw({1, 2, keys, depth}, 3, 1.0F), 1.0 / std::sqrt(static_cast<double>(depth)), mask};
    }
    [[nodiscard]] Index queries() const { return q.extents()[2]; }
    [[nodiscard]] Index keys() const { return k.extents()[2]; }
    [[nodiscard]] Index depth() const { return q.extents()[3]; }
};

struct Result {
    std::vector<float> output;
    std::vector<float> log_sum_exp;

    [[nodiscard]] bool equals(const Result& other) const {
        return output.size() == other.output.size() &&
               std::memcmp(output.data(), other.output.data(), output.size() * sizeof(float)) == 0 &&
               std::memcmp(log_sum_exp.data(), other.log_sum_exp.data(), log_sum_exp.size() * sizeof(float)) == 0;
    }
};

template <class Tiles>
Result compute(const Operands& o) {
    const Handle out = Cpu::empty(o.q.extents(), DType::f32);
    Result y;
    y.log_sum_exp.resize(static_cast<std::size_t>(out.count() / o.depth()));
    const int threads = Cpu::threads();
    Cpu::set_threads(1);  // emulated registers are the process's
    cpu::AmxAttention<Tiles>(o.q, o.k, o.v, AttentionShape::of(o.q, o.k, o.v, o.mask), o.scale)
        .forward(out, y.log_sum_exp.data());
    Cpu::set_threads(threads);
    y.output.assign(out.data<float>(), out.data<float>() + out.count());
    return y;
}

/// In double, with the operands as they are.
void check(const Result& found, const Operands& o) {
    const auto depth = static_cast<std::size_t>(o.depth());
    std::vector<double> output;
    std::vector<double> log_sum_exp;
    for (Index row = 0; row < 2 * o.queries(); ++row) {
        const Index head = row / o.queries();
        const float* const q = o.q.data<float>() + row * o.depth();
        const float* const k = o.k.data<float>() + head * o.keys() * o.depth();
        const float* const v = o.v.data<float>() + head * o.keys() * o.depth();
        const Index seen = o.mask == MaskKind::full
                               ? o.keys()
                               : std::clamp<Index>(row % o.queries() + o.keys() - o.queries() + 1, 0, o.keys());
        std::vector<double> logit(static_cast<std::size_t>(seen));
        double peak = -std::numeric_limits<double>::infinity();
        for (Index j = 0; j < seen; ++j) {
            double& sum = logit[static_cast<std::size_t>(j)];
            for (Index d = 0; d < o.depth(); ++d) {
                sum += o.scale * static_cast<double>(q[d]) * static_cast<double>(k[j * o.depth() + d]);
            }
            peak = std::max(peak, sum);
        }
        std::vector<double> sums(depth);
        double total = 0.0;
        for (Index j = 0; j < seen; ++j) {
            const double weight = std::exp(logit[static_cast<std::size_t>(j)] - peak);
            total += weight;
            for (std::size_t d = 0; d < depth; ++d) {
                sums[d] += weight * static_cast<double>(v[j * o.depth() + static_cast<Index>(d)]);
            }
        }
        for (const double sum : sums) {
            output.push_back(seen == 0 ? 0.0 : sum / total);
        }
        log_sum_exp.push_back(peak + std::log(total));
    }
    const auto widened = [](const std::vector<float>& x) { return std::vector<double>(x.begin(), x.end()); };
    CHECK(difference_of(widened(found.output), output, approx::bf16) == "");
    CHECK(difference_of(widened(found.log_sum_exp), log_sum_exp, 5e-6) == "");
}

/// Checks emulated and, where there are any, real tiles, whose bits must be equal.
void check(const Operands& o) {
    const Result emulated = compute<EmulatedTiles>(o);
    check(emulated, o);
    if (AmxTiles::available()) {
        CHECK(compute<AmxTiles>(o).equals(emulated));
    }
}

bool absent() {
    if (!cpu::has_avx512_bf16()) {
        MESSAGE("this CPU cannot pack bf16 operands: attention on tiles was not run");
    } else if (!AmxTiles::available()) {
        MESSAGE("this CPU has no tile registers: their instructions themselves were not run");
    }
    return !cpu::has_avx512_bf16();
}

}  // namespace

TEST_CASE("attention on tiles: all depths, remainders and masks") {
    if (absent()) {
        return;
    }
    for (const Index depth : {1, 8, 32, 64, 72, 96, 128, 160}) {
        for (const Index queries : {1, 33, 70}) {
            for (const Index keys : {1, 31, 33, 200}) {
                for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
                    CAPTURE(depth);
                    CAPTURE(queries);
                    CAPTURE(keys);
                    check(Operands::make(queries, keys, depth, mask));
                }
            }
        }
    }
}

TEST_CASE("attention on tiles: heads that share keys give what repeated keys give") {
    if (absent()) {
        return;
    }
    Operands shared = Operands::make(33, 70, 64, MaskKind::causal);
    Operands repeated = shared;
    for (Handle Operands::* member : {&Operands::k, &Operands::v}) {
        const Handle one = Cpu::contiguous(Cpu::slice(shared.*member, 1, 0, 1));
        const std::array<Handle, 2> twice{one, one};
        shared.*member = one;
        repeated.*member = Cpu::concat(std::span<const Handle>(twice), 1);
    }
    CHECK(compute<EmulatedTiles>(shared).equals(compute<EmulatedTiles>(repeated)));
}

TEST_CASE("attention on tiles: more keys than stay in the cache at a time") {
    if (absent()) {
        return;
    }
    check(Operands::make(40, 1100, 96, MaskKind::full));
    check(Operands::make(1060, 1100, 32, MaskKind::causal));
    check(Operands::make(33, 1700, 160, MaskKind::full));
}

TEST_CASE("attention on tiles: the shift follows logits that rise by more than f32 exponentials can") {
    if (absent()) {
        return;
    }
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        for (const Index depth : {32, 96}) {
            check(Operands::make(200, 260, depth, mask, 12.0F));
            Operands o = Operands::make(40, 1300, depth, mask);
            for (Index j = 0; j < o.k.count(); ++j) {  // up to 1300 · 5 / sqrt(depth)
                const Index key = j / depth % o.keys();
                o.k.data<float>()[j] = j % depth == 0 ? static_cast<float>(bf16(static_cast<float>(key))) : 0.0F;
            }
            for (Index i = 0; i < o.q.count(); ++i) {
                o.q.data<float>()[i] = i % depth == 0 ? static_cast<float>(i / depth % 3) * 2.5F : 1.0F;
            }
            check(o);
        }
    }
}

TEST_CASE("attention on tiles: a negative scale") {
    if (absent()) {
        return;
    }
    Operands o = Operands::make(50, 150, 64, MaskKind::full, 3.0F);
    o.scale = -o.scale;
    check(o);
}

TEST_CASE("attention on tiles: a query's result does not depend on the other queries") {
    if (absent()) {
        return;
    }
    const Operands all = Operands::make(70, 400, 64, MaskKind::full, 8.0F);
    const Result together = compute<EmulatedTiles>(all);
    for (const Index row : {0, 33, 69}) {
        Operands one = all;
        one.q = Cpu::contiguous(Cpu::slice(all.q, 2, row, row + 1));
        const Result alone = compute<EmulatedTiles>(one);
        for (Index head = 0; head < 2; ++head) {
            CHECK(alone.log_sum_exp[static_cast<std::size_t>(head)] ==
                  together.log_sum_exp[static_cast<std::size_t>(head * 70 + row)]);
            CHECK(std::equal(alone.output.begin() + head * 64, alone.output.begin() + (head + 1) * 64,
                             together.output.begin() + (head * 70 + row) * 64));
        }
    }
}

TEST_CASE("attention on tiles: NaN and infinity reach the queries that see them, and no others") {
    if (absent()) {
        return;
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinite = std::numeric_limits<float>::infinity();
    for (const float bad : {nan, infinite}) {
        for (const Index key : {3, 40, 190}) {
            CAPTURE(bad);
            CAPTURE(key);
            Operands o = Operands::make(200, 200, 64, MaskKind::causal);
            for (Index head = 0; head < 2; ++head) {
                float* const row = o.k.data<float>() + (head * 200 + key) * 64;
                std::fill_n(row, 64, 0.0F);
                row[0] = bad;
                for (Index i = 0; i < 200; ++i) {  // logits of infinity, not of minus infinity, which weigh nothing
                    float& q = o.q.data<float>()[(head * 200 + i) * 64];
                    q = std::fabs(q) + 1.0F;
                }
            }
            const Result y = compute<EmulatedTiles>(o);
            for (Index row = 0; row < 400; ++row) {
                const bool clean = row % 200 < key;
                const float x = y.output[static_cast<std::size_t>(row * 64)];
                if (std::isfinite(x) != clean) {
                    CAPTURE(row);
                    CHECK(std::isfinite(x) == clean);
                }
            }
            CHECK(std::isfinite(y.output[static_cast<std::size_t>((key - 1) * 64)]));
            CHECK_FALSE(std::isfinite(y.output[static_cast<std::size_t>(key * 64)]));
        }
    }
}

TEST_CASE("attention on tiles: products and memory traffic are what the blocking promises") {
    if (absent()) {
        return;
    }
    const Operands o = Operands::make(64, 960, 96, MaskKind::full, 0.1F);
    EmulatedTiles::counts = {};
    static_cast<void>(compute<EmulatedTiles>(o));
    const Index chunks = 2 * 2 * 30;  // heads, panels, chunks of keys
    CHECK(EmulatedTiles::counts.products == chunks * 2 * 3 * 4);
    CHECK(EmulatedTiles::counts.loads_once == chunks * 2 * 3 * 2);            // keys and values
    CHECK(EmulatedTiles::counts.stores == chunks * (4 + 4));                  // scores; sums of a unit of 3 chunks
    CHECK(EmulatedTiles::counts.loads == chunks * (2 * 3 * 2 + 4) - 4 * 12);  // operands; sums but the first
}

#endif
