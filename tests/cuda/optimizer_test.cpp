#include "suites/optimizer.hpp"

#include <cmath>

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: Adam and AdamW") {
    check_adam<Cuda>(DType::f32);
    check_adam<Cuda>(DType::f64);
}
TEST_CASE("cuda: running averages") {
    check_lerp<Cuda>(DType::f32);
    check_lerp<Cuda>(DType::f64);
}
TEST_CASE("cuda: addition in place") {
    check_add_into<Cuda>(DType::f32);
    check_add_into<Cuda>(DType::f64);
    check_add_into<Cuda>(DType::bf16);
}
TEST_CASE("cuda: in-place updates convert what they read and refuse what they cannot update") {
    const Handle wide = Cuda::full({5}, DType::f32, 1.0);
    const Handle narrow = Cuda::full({5}, DType::bf16, 0.5);
    Cuda::add_into(wide, narrow);
    CHECK((values_of<Cuda>(wide) == std::vector<double>(5, 1.5)));
    Cuda::lerp(wide, narrow, 0.5);
    CHECK((values_of<Cuda>(wide) == std::vector<double>(5, 1.0)));
    CHECK_THROWS_AS(Cuda::lerp(narrow, wide, 0.5), Error);
    CHECK_THROWS_AS(Cuda::adam_step(narrow, narrow, narrow, narrow, {}), Error);
    CHECK_THROWS_AS(Cuda::adam_step(wide, wide, narrow, wide, {}), Error);
    const Handle strided = Cuda::slice(Cuda::full({5, 2}, DType::f32, 0.0), 1, 0, 1);
    const Handle column = Cuda::full({5, 1}, DType::f32, 0.0);
    CHECK_THROWS_AS(Cuda::adam_step(column, column, strided, column, {}), Error);
    CHECK_THROWS_AS(Cuda::lerp(strided, column, 0.5), Error);
}
TEST_CASE("cuda: gradients in bf16 move parameters in f32") {
    Maker<Cuda> make(DType::f32, 711);
    for (const Index size : {1, 33, 1000}) {
        const auto p = make.uniform({size}).tested;
        const auto q = Cuda::cast(Cuda::cast(p, DType::f64), DType::f32);
        const Handle g = Cuda::cast(make.uniform({size}).tested, DType::bf16);
        const auto zeros = [&] { return Cuda::full({size}, DType::f32, 0.0); };
        Cuda::adam_step(p, g, zeros(), zeros(), {});
        Cuda::adam_step(q, Cuda::cast(g, DType::f32), zeros(), zeros(), {});
        CHECK((values_of<Cuda>(p) == values_of<Cuda>(q)));
    }
}
TEST_CASE("cuda: steps of many tensors at once have the bits of single steps") {
    Maker<Cuda> make(DType::f32, 712);
    std::vector<AdamTarget<Handle>> together;
    std::vector<AdamTarget<Handle>> alone;
    for (Index i = 0; i < 90; ++i) {
        const Index size = i % 9 == 0 ? 0 : i % 7 == 0 ? 4096 * (i / 7) : (i * 37) % 500;
        const DType dtype = i % 5 == 0 ? DType::bf16 : i % 11 == 0 ? DType::f64 : DType::f32;
        const DType own = i % 11 == 0 ? DType::f64 : DType::f32;
        // A parameter that begins in the middle of a pack of 16 bytes.
        const Handle p = Cuda::cast(make.uniform({size + 1}).slice(0, i % 2, size + i % 2).tested, own);
        const Handle g = Cuda::cast(make.uniform({size}).tested, dtype);
        const auto copy = [&](const Handle& h) {
            const Handle out = Cuda::empty(h.extents(), h.dtype);
            Cuda::assign(out, h);
            return out;
        };
        const auto zeros = [&] { return Cuda::full({size}, own, 0.0); };
        const AdamOptions options{.learning_rate = 0.01 * static_cast<double>(1 + i),
                                  .weight_decay = i % 3 == 0 ? 0.0 : 0.3,
                                  .decoupled = i % 4 != 0,
                                  .step = 1 + i};
        together.push_back({copy(p), g, zeros(), zeros(), options});
        alone.push_back({p, g, zeros(), zeros(), options});
    }
    Cuda::adam_steps(together);
    for (std::size_t i = 0; i < alone.size(); ++i) {
        const AdamTarget<Handle>& t = alone[i];
        Cuda::adam_step(t.parameter, t.gradient, t.first, t.second, t.options);
        INFO("tensor ", i);
        CHECK((values_of<Cuda>(t.parameter) == values_of<Cuda>(together[i].parameter)));
        CHECK((values_of<Cuda>(t.second) == values_of<Cuda>(together[i].second)));
    }
}
TEST_CASE("cuda: work on many tensors") {
    check_many<Cuda>(DType::f32);
    check_many<Cuda>(DType::f64);
    Maker<Cuda> make(DType::bf16, 714);
    const Twin<Cuda> narrow = make.uniform({5000});
    check_handles<Cuda>("square_sums", {Cuda::square_sums({&narrow.tested, 1})},
                        {Reference::square_sums({&narrow.exact, 1})}, DType::f64, approx::f32, make.seed());
    const Handle one = Cuda::full({2}, DType::f32, 1.0);
    CHECK_THROWS_AS(Cuda::multiply_each({&one, 1}, Cuda::full({2}, DType::f64, 1.0)), Error);
    CHECK_THROWS_AS(static_cast<void>(Cuda::square_sums(std::vector<Handle>{Cuda::full({2}, DType::i64, 1.0)})), Error);
}
TEST_CASE("cuda: gradients are limited to a norm that the device knows; if it is not finite, nothing changes") {
    for (const DType dtype : {DType::f32, DType::f64}) {
        Maker<Cuda> make(dtype, 713);
        for (const double norm : {0.5, 8.0, std::nan(""), HUGE_VAL}) {
            for (const double maximum : {0.0, 2.0}) {
                const auto p = make.uniform({100}).tested;
                const auto q = Cuda::cast(Cuda::cast(p, DType::bf16), dtype);
                Cuda::assign(q, p);
                const auto g = make.uniform({100}).tested;
                const auto before = values_of<Cuda>(p);
                const auto zeros = [&] { return Cuda::full({100}, dtype, 0.0); };
                const Handle m = zeros();
                AdamTarget<Handle> target{p, g, m, zeros(), {.epsilon = 1.0}};
                Cuda::adam_steps({&target, 1}, {Cuda::full({}, DType::f64, norm), maximum});
                if (std::isfinite(norm)) {
                    target.options.gradient_scale = maximum > 0.0 ? clip_factor(norm, maximum) : 1.0;
                    Cuda::adam_step(q, g, zeros(), zeros(), target.options);
                    CHECK((values_of<Cuda>(p) == values_of<Cuda>(q)));
                    CHECK((values_of<Cuda>(p) != before));
                } else {
                    CHECK((values_of<Cuda>(p) == before));
                    CHECK((values_of<Cuda>(m) == std::vector<double>(100)));
                }
            }
        }
    }
    const Handle one = Cuda::full({1}, DType::f32, 1.0);
    const AdamTarget<Handle> target{one, one, one, one, {}};
    CHECK_THROWS_AS(Cuda::adam_steps({&target, 1}, {one, 1.0}), Error);
}
