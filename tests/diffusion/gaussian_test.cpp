#include "flowfar/diffusion/gaussian.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/diffusion/respacing.hpp"
#include "flowfar/io/tensors/safetensors.hpp"

#include "folders.hpp"

using flowfar::Cosine;
using flowfar::Ddpm;
using flowfar::DdpmSchedule;
using flowfar::Index;
using flowfar::LinearBetas;
using flowfar::Spaced;
using flowfar::spaced_steps;

namespace {

using Cosine1000 = Ddpm<1000, Cosine>;

// Usable at compile time.
static_assert(Cosine1000::betas[999] == 0.999);
static_assert(Cosine1000::alphas_cumprod_prev[0] == 1.0);
static_assert(Cosine1000::posterior_variance[0] == 0.0);
static_assert(Cosine1000::posterior_mean_coef1[0] == 1.0);
static_assert(Cosine1000::posterior_mean_coef2[0] == 0.0);
static_assert(Cosine1000::posterior_log_variance_clipped[0] == Cosine1000::posterior_log_variance_clipped[1]);
static_assert(Spaced<Cosine1000, 10>::timestep_map[9] == 999);
static_assert(Ddpm<1>::posterior_log_variance_clipped[0] < 0);

const flowfar::io::SafetensorsFile& golden() {
    static const flowfar::io::SafetensorsFile file(flowfar::testing::source_folder().string() +
                                                   "/tests/golden/ddpm.safetensors");
    return file;
}

double worst_relative(const std::vector<double>& want, const std::vector<double>& got) {
    REQUIRE(want.size() == got.size());
    double worst = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
        const double scale = std::fabs(want[i]);
        const double difference = std::fabs(want[i] - got[i]);
        worst = std::fmax(worst, scale > 0 ? difference / scale : difference);
    }
    return worst;
}

template <class Table>
std::vector<double> to_vector(const Table& table) {
    return {table.begin(), table.end()};
}

template <class Process>
void check_twin(const DdpmSchedule& twin) {
    CHECK(twin.steps() == Process::steps);
    CHECK(twin.timestep_map == std::vector<Index>(Process::timestep_map.begin(), Process::timestep_map.end()));
    CHECK(twin.betas == to_vector(Process::betas));
    CHECK(twin.log_betas == to_vector(Process::log_betas));
    CHECK(twin.alphas_cumprod == to_vector(Process::alphas_cumprod));
    CHECK(twin.alphas_cumprod_prev == to_vector(Process::alphas_cumprod_prev));
    CHECK(twin.sqrt_alphas_cumprod == to_vector(Process::sqrt_alphas_cumprod));
    CHECK(twin.sqrt_one_minus_alphas_cumprod == to_vector(Process::sqrt_one_minus_alphas_cumprod));
    CHECK(twin.sqrt_recip_alphas_cumprod == to_vector(Process::sqrt_recip_alphas_cumprod));
    CHECK(twin.sqrt_recipm1_alphas_cumprod == to_vector(Process::sqrt_recipm1_alphas_cumprod));
    CHECK(twin.posterior_variance == to_vector(Process::posterior_variance));
    CHECK(twin.posterior_log_variance_clipped == to_vector(Process::posterior_log_variance_clipped));
    CHECK(twin.posterior_mean_coef1 == to_vector(Process::posterior_mean_coef1));
    CHECK(twin.posterior_mean_coef2 == to_vector(Process::posterior_mean_coef2));
}

}  // namespace

TEST_CASE("compile-time tables equal the published ones") {
    const auto check = [](const char* name, const auto& table) {
        CAPTURE(name);
        const auto want = flowfar::io::values<double>(golden().at(name));
        CHECK(worst_relative(want, to_vector(table)) < 1e-10);
    };
    check("cosine1000.betas", Cosine1000::betas);
    check("cosine1000.alphas_cumprod", Cosine1000::alphas_cumprod);
    check("cosine1000.alphas_cumprod_prev", Cosine1000::alphas_cumprod_prev);
    check("cosine1000.posterior_variance", Cosine1000::posterior_variance);
    check("cosine1000.posterior_log_variance_clipped", Cosine1000::posterior_log_variance_clipped);
    check("cosine1000.posterior_mean_coef1", Cosine1000::posterior_mean_coef1);
    check("cosine1000.posterior_mean_coef2", Cosine1000::posterior_mean_coef2);
    check("cosine1000.sqrt_recip_alphas_cumprod", Cosine1000::sqrt_recip_alphas_cumprod);
    check("cosine1000.sqrt_recipm1_alphas_cumprod", Cosine1000::sqrt_recipm1_alphas_cumprod);
    check("linear1000.betas", Ddpm<1000, LinearBetas>::betas);
}

TEST_CASE("tables that are not recorded follow their formulas") {
    for (std::size_t t = 0; t < 1000; ++t) {
        const double a = Cosine1000::alphas_cumprod[t];
        REQUIRE(Cosine1000::sqrt_alphas_cumprod[t] == doctest::Approx(std::sqrt(a)).epsilon(1e-15));
        REQUIRE(Cosine1000::sqrt_one_minus_alphas_cumprod[t] == doctest::Approx(std::sqrt(1 - a)).epsilon(1e-15));
        REQUIRE(Cosine1000::log_betas[t] == doctest::Approx(std::log(Cosine1000::betas[t])).epsilon(1e-15));
    }
    CHECK(Ddpm<500, LinearBetas>::betas[0] == doctest::Approx(0.0002));
    CHECK(Ddpm<500, LinearBetas>::betas[499] == doctest::Approx(0.04));
}

TEST_CASE("compile-time processes and their run-time twins agree bit for bit") {
    const DdpmSchedule cosine = DdpmSchedule::from_curve<Cosine>(1000);
    check_twin<Cosine1000>(cosine);
    check_twin<Cosine1000>(DdpmSchedule(Cosine1000{}));
    check_twin<Ddpm<50, LinearBetas>>(DdpmSchedule::from_curve<LinearBetas>(50));
    check_twin<Spaced<Cosine1000, 100>>(flowfar::respace(cosine, "100"));
    check_twin<Spaced<Cosine1000, 10, 15, 20>>(flowfar::respace(cosine, "10,15,20"));
    check_twin<Spaced<Spaced<Cosine1000, 100>, 7>>(flowfar::respace(flowfar::respace(cosine, "100"), "7"));
}

TEST_CASE("kept steps equal the published ones") {
    for (const std::string name : {"100", "50", "25", "10", "ddim50", "ddim25", "10,15,20"}) {
        CAPTURE(name);
        const auto want = flowfar::io::values<Index>(golden().at("respace." + name + ".timestep_map"));
        CHECK(spaced_steps(1000, name) == want);
    }
    CHECK(spaced_steps(1000, {10, 15, 20}) == spaced_steps(1000, "10,15,20"));
    CHECK(spaced_steps(10, {1}) == std::vector<Index>{0});
    CHECK(spaced_steps(10, {1, 1, 1}) == std::vector<Index>{0, 4, 7});  // sections of 4, 3 and 3 steps
    CHECK(spaced_steps(6, {3}) == std::vector<Index>{0, 2, 5});         // 2.5 rounds to even
    CHECK(spaced_steps(4, "") == std::vector<Index>{0, 1, 2, 3});
    CHECK(spaced_steps(10, "ddim4") == std::vector<Index>{0, 3, 6, 9});
}

TEST_CASE("tables of respaced processes equal the published ones") {
    const DdpmSchedule base(Cosine1000{});
    for (const std::string name : {"100", "50", "25", "10", "ddim50", "ddim25", "10,15,20"}) {
        const DdpmSchedule few = flowfar::respace(base, name);
        const auto check = [&](const char* table, const std::vector<double>& found) {
            CAPTURE(name);
            CAPTURE(table);
            const auto want = flowfar::io::values<double>(golden().at("respace." + name + "." + table));
            REQUIRE(found.size() == want.size());
            CHECK(worst_relative(want, found) < 1e-10);
        };
        check("betas", few.betas);
        check("alphas_cumprod", few.alphas_cumprod);
        check("alphas_cumprod_prev", few.alphas_cumprod_prev);
        check("posterior_variance", few.posterior_variance);
        check("posterior_log_variance_clipped", few.posterior_log_variance_clipped);
        check("posterior_mean_coef1", few.posterior_mean_coef1);
        check("posterior_mean_coef2", few.posterior_mean_coef2);
    }
}

TEST_CASE("a respaced process keeps the cumulative products of its steps") {
    const DdpmSchedule base(Cosine1000{});
    const DdpmSchedule few = flowfar::respace(base, "ddim25");
    REQUIRE(few.steps() == 25);
    for (std::size_t i = 0; i < 25; ++i) {
        const auto step = static_cast<std::size_t>(few.timestep_map[i]);
        CHECK(few.alphas_cumprod[i] == doctest::Approx(base.alphas_cumprod[step]).epsilon(1e-12));
    }
}

TEST_CASE("impossible requests are refused") {
    CHECK_THROWS_WITH_AS((void)spaced_steps(1000, "ddim999"),
                         "spaced_steps: no integer stride gives exactly 999 of 1000 steps", flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "1001"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "0"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "-5"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "10,,20"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "10,"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "ten"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "10 "), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "ddim"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "ddim0"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(1000, "99999999999999999999"), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(2, {1, 1, 1}), flowfar::Error);
    CHECK_THROWS_AS((void)spaced_steps(0, "1"), flowfar::Error);
    const DdpmSchedule base = DdpmSchedule::from_curve<Cosine>(10);
    CHECK_THROWS_AS((void)flowfar::respace(base, std::vector<Index>{}), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::respace(base, std::vector<Index>{3, 3}), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::respace(base, std::vector<Index>{-1}), flowfar::Error);
    CHECK_THROWS_AS((void)flowfar::respace(base, std::vector<Index>{10}), flowfar::Error);
    CHECK_THROWS_AS((void)DdpmSchedule::from_curve<Cosine>(0), flowfar::Error);
    CHECK_THROWS_AS(DdpmSchedule({0.1, 1.0}, {0, 1}), flowfar::Error);
    CHECK_THROWS_AS(DdpmSchedule({0.1, std::nan("")}, {0, 1}), flowfar::Error);
    CHECK_THROWS_AS(DdpmSchedule({0.1, 0.2}, {0}), flowfar::Error);
    CHECK_THROWS_AS(DdpmSchedule({}, {}), flowfar::Error);
}
