#include "suites/optimizer.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: Adam and AdamW") {
    check_adam<Cpu>(DType::f32);
    check_adam<Cpu>(DType::f64);
}
TEST_CASE("reference: Adam and AdamW") {
    check_adam<Reference>(DType::f64);
}
TEST_CASE("cpu: running averages") {
    check_lerp<Cpu>(DType::f32);
    check_lerp<Cpu>(DType::f64);
}
TEST_CASE("cpu: addition in place") {
    check_add_into<Cpu>(DType::f32);
    check_add_into<Cpu>(DType::f64);
    check_add_into<Cpu>(DType::bf16);
}
TEST_CASE("cpu: in-place updates convert what they read and refuse what they cannot update") {
    const Handle wide = Cpu::full({5}, DType::f32, 1.0);
    const Handle narrow = Cpu::full({5}, DType::bf16, 0.5);
    Cpu::add_into(wide, narrow);
    CHECK((values_of<Cpu>(wide) == std::vector<double>(5, 1.5)));
    Cpu::lerp(wide, narrow, 0.5);
    CHECK((values_of<Cpu>(wide) == std::vector<double>(5, 1.0)));
    CHECK_THROWS_AS(Cpu::lerp(narrow, wide, 0.5), Error);
    CHECK_THROWS_AS(Cpu::adam_step(narrow, narrow, narrow, narrow, {}), Error);
    CHECK_THROWS_AS(Cpu::adam_step(wide, wide, narrow, wide, {}), Error);
    const Handle strided = Cpu::slice(Cpu::full({5, 2}, DType::f32, 0.0), 1, 0, 1);
    const Handle column = Cpu::full({5, 1}, DType::f32, 0.0);
    CHECK_THROWS_AS(Cpu::adam_step(column, column, strided, column, {}), Error);
    CHECK_THROWS_AS(Cpu::lerp(strided, column, 0.5), Error);
}
TEST_CASE("cpu: work on many tensors") {
    check_many<Cpu>(DType::f32);
    check_many<Cpu>(DType::f64);
}
