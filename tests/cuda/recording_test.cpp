// What happens around a recording: other threads, frees, unfinished replays; several devices; the limit of memory.
#include <functional>
#include <optional>
#include <thread>

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/runtime/graph.hpp"

#include "lazily.hpp"
#include "twin.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

Handle squared(const Handle& x) {
    return Cuda::unary({UnaryOp::square}, x);
}
Handle twos(Index count = 4) {
    return Cuda::full({count}, DType::f32, 2.0);
}
std::vector<double> all(double value, std::size_t count = 4) {
    return std::vector<double>(count, value);
}
/// Runs `work` on a thread of its own; what it throws is thrown here.
void on_thread(const std::function<void()>& work) {
    std::exception_ptr thrown;
    std::thread([&] {
        try {
            work();
        } catch (...) {
            thrown = std::current_exception();
        }
    }).join();
    if (thrown) {
        std::rethrow_exception(thrown);
    }
}

}  // namespace

TEST_CASE("cuda: what another thread does while a graph is recorded is not recorded") {
    const Handle x = twos();
    const Handle counter = Cuda::full({4}, DType::f32, 0.0);
    cuda::Graph graph;
    const Handle y = graph.record([&] {
        on_thread([&] {
            Cuda::add_into(counter, Cuda::full({4}, DType::f32, 1.0));
            CHECK((values_of<Cuda>(squared(twos())) == all(4.0)));  // waits
        });
        return squared(x);
    });
    graph.replay();
    CHECK((values_of<Cuda>(y) == all(4.0)));
    CHECK((values_of<Cuda>(counter) == all(2.0)));  // of the two runs, not of the replay
}

TEST_CASE("cuda: a tensor that dies while it is recorded lives as long as the graph") {
    const std::size_t before = Cuda::memory_use().used;
    {
        cuda::Graph graph;
        const Handle x = Cuda::full({1000}, DType::f32, 3.0);
        int run = 0;
        std::optional<Handle> own = Cuda::full({1000}, DType::f32, 5.0);
        const Handle y = graph.record([&] {
            const Handle sum = Cuda::binary(BinaryOp::add, *own, x);
            if (++run == 2) {
                own.reset();  // its last owner
            }
            return sum;
        });
        const Handle other = Cuda::full({1000}, DType::f32, -1.0);  // would get the memory
        graph.replay();
        CHECK((values_of<Cuda>(y) == all(8.0, 1000)));
    }
    CHECK(Cuda::memory_use().used == before);
}

TEST_CASE("cuda: a recorded run that needs more memory than the first is refused") {
    const Handle x = twos(8);
    cuda::Graph graph;
    Index count = 4;
    const auto grows = [&] { return squared(Cuda::slice(x, 0, 0, std::exchange(count, 8))); };
    CHECK_THROWS_WITH_AS(static_cast<void>(graph.record(grows)),
                         "cuda graph: the recorded run asks for 32 bytes that the run before it did not ask for",
                         Error);
    CHECK((values_of<Cuda>(squared(x)) == all(4.0, 8)));
}

TEST_CASE("cuda: a graph that is recorded records no other") {
    cuda::Graph outer;
    CHECK_THROWS_WITH_AS(static_cast<void>(outer.record([] {
                             cuda::Graph inner;
                             return cuda::Recording::current() == nullptr ? twos()
                                                                          : inner.record([] { return twos(); });
                         })),
                         "cuda graph: recorded while another is", Error);
    CHECK((values_of<Cuda>(squared(twos())) == all(4.0)));
}

TEST_CASE("cuda: fetch is refused while a graph is recorded, and works afterwards") {
    const Handle x = twos();
    cuda::Graph graph;
    const auto fetches = [&] {
        if (cuda::Recording::current() != nullptr) {
            static_cast<void>(Cuda::fetch(x));
        }
        return squared(x);
    };
    CHECK_THROWS_WITH_AS(static_cast<void>(graph.record(fetches)),
                         "cuda graph: fetch cannot be recorded; fetch after the replay", Error);
    CHECK(static_cast<const float*>(Cuda::fetch(x)->wait())[3] == 2.0F);
}

TEST_CASE("cuda: a staging block whose copy was recorded is not used again, and hinders nobody") {
    const cuda::PrivateStream stream;
    for (int i = 0; i < 5; ++i) {
        const auto block = cuda::Staging::instance().take(1000);
        cuda::check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "begin");
        cuda::check(cudaEventRecord(block->copied, stream.get()), "record");
        cudaGraph_t graph = nullptr;
        cuda::check(cudaStreamEndCapture(stream.get(), &graph), "end");
        cuda::check(cudaGraphDestroy(graph), "destroy");
    }
    const Handle x = twos();
    for (int i = 0; i < 6; ++i) {
        CHECK(static_cast<const float*>(Cuda::fetch(x)->wait())[0] == 2.0F);
    }
}

TEST_CASE("cuda: a graph that dies before its replay is done leaves it its memory") {
    const Handle x = twos(1000);
    const float three = 3.0F;
    std::optional<cuda::Graph> graph(std::in_place);
    const Handle y = graph->record([&] {
        const Handle factor = Cuda::from_host(&three, {}, DType::f32);
        return Cuda::binary(BinaryOp::mul, squared(x), factor);
    });
    {
        const Lazily lazily;
        newest_stream_first(true);
        graph->replay();
        lazily.go_on();
        graph.reset();
        const Handle other = Cuda::full({}, DType::f32, 100.0);
        CHECK((values_of<Cuda>(y) == all(12.0, 1000)));
        newest_stream_first(false);
    }
}

TEST_CASE("cuda: a thread whose current device is another works on the backend's") {
    const OtherDevice other;
    if (!other.there()) {
        return;
    }
    const Handle x = twos();
    on_thread([&] {
        REQUIRE(cudaSetDevice(1) == cudaSuccess);
        CHECK((values_of<Cuda>(squared(x)) == all(4.0)));
        const Handle own = squared(squared(x));
        REQUIRE(cudaSetDevice(1) == cudaSuccess);
        CHECK(static_cast<const float*>(Cuda::fetch(own)->wait())[0] == 16.0F);
        {
            const cuda::Graph idle;  // leaves its stream to the next
        }
        REQUIRE(cudaSetDevice(1) == cudaSuccess);
        cuda::Graph graph;
        REQUIRE(cudaSetDevice(1) == cudaSuccess);
        const cuda::Staging::Block block(100);
        CHECK(cudaEventRecord(block.copied, cuda::current_stream()) == cudaSuccess);
        const Handle y = graph.record([&] { return squared(x); });
        graph.replay();
        CHECK((values_of<Cuda>(y) == all(4.0)));
    });
}

TEST_CASE("cuda: the memory limit holds for what the pool takes of the device") {
    Cuda::synchronize();
    const std::size_t limit = Cuda::memory_use().limit;
    const Pieces pieces(std::size_t{2} << 20);
    std::vector<Handle> held;
    const std::size_t before = Cuda::memory_use().used;
    Cuda::set_memory_limit(before + (std::size_t{72} << 20));
    const auto fill = [&] {
        for (int i = 0; i < 100; ++i) {
            held.push_back(
                Cuda::empty({(Index{1} << 20) + 1}, DType::u8));  // two pieces of 1 MiB do not fit into 2 MiB
        }
    };
    if (pieces.known()) {
        CHECK_THROWS_WITH_AS(fill(), doctest::Contains("out of memory"), Error);
        CHECK(pieces.reserved() <= before + (std::size_t{72} << 20));
    }
    held.clear();
    Cuda::set_memory_limit(limit);
    CHECK(Cuda::memory_use().used == before);
    CHECK((values_of<Cuda>(squared(twos())) == all(4.0)));
}
