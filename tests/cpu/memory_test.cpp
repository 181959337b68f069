#include "suites/memory.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: conversions between all element types") {
    check_cast<Cpu>();
    check_cast<Reference>();
}
TEST_CASE("cpu: assignment into views") {
    check_assign<Cpu>(DType::f32);
    check_assign<Cpu>(DType::bf16);
    check_assign<Cpu>(DType::f64);
}
TEST_CASE("cpu: views") {
    check_views<Cpu>(DType::f32);
}
TEST_CASE("cpu: concatenation and row selection") {
    check_indexing<Cpu>(DType::f32);
    check_indexing<Cpu>(DType::bf16);
    check_indexing<Cpu>(DType::f64);
}
TEST_CASE("cpu: random numbers are the reference's, bit for bit, with any number of threads") {
    const int before = Cpu::threads();
    for (const int threads : {1, 2, 3}) {
        Cpu::set_threads(threads);
        check_random<Cpu>();
    }
    Cpu::set_threads(before);
}
TEST_CASE("cpu: the block cache gives memory back") {
    auto& cache = cpu::BlockCache::instance();
    cache.trim();
    CHECK(cache.held() == 0);
    static_cast<void>(Cpu::full({1000}, DType::f32, 1.0));
    CHECK(cache.held() >= 4000);
    const std::byte* block = nullptr;
    {
        const Handle h = Cpu::empty({1000}, DType::f32);
        block = h.storage.get();
        CHECK(cache.held() == 0);
    }
    CHECK(Cpu::empty({1000}, DType::f32).storage.get() == block);
    Cpu::set_cache_limit(0);
    CHECK(cache.held() == 0);
    static_cast<void>(Cpu::full({1000}, DType::f32, 1.0));
    CHECK(cache.held() == 0);
    Cpu::set_cache_limit(std::size_t{1} << 30);
}
