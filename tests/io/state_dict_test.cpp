#include "flowfar/checkpoints/state_dict.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <map>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/mapped.hpp"
#include "flowfar/nn/linear.hpp"

#include "io_support.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Pair {
    using Backend = Cpu;
    Linear<Cpu, 3, 2> first;
    Linear<Cpu, 2, 4> second;

    explicit Pair(std::uint64_t seed) {
        first.initialize(fold(seed, "first"));
        second.initialize(fold(seed, "second"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("first", self.first);
        v("second", self.second);
    }
};

using Values = std::map<std::string, std::vector<float>>;

Values values_of(const Pair& model) {
    Values out;
    for (const auto& p : parameters(model)) {
        out[p.name].resize(static_cast<std::size_t>(p.count()));
        Cpu::to_host(p.value(), out[p.name].data());
    }
    return out;
}

/// A tensor 0, 1, 2, … for a file made by hand.
Cpu::Handle counting(const Extents& extents, DType dtype = DType::f32) {
    std::vector<float> data;
    for (Index i = 0; i < extents.count(); ++i) {
        data.push_back(static_cast<float>(i));
    }
    return Cpu::cast(Cpu::from_host(data.data(), extents, DType::f32), dtype);
}

}  // namespace

TEST_CASE("parameters come back exactly in f32, with metadata") {
    const TempDir folder;
    Pair model(1);
    io::save_parameters(model, folder / "m.safetensors", DType::f32, {{"configuration", "Pair"}});
    Pair other(2);
    REQUIRE(values_of(other) != values_of(model));
    io::load_parameters(other, folder / "m.safetensors");
    CHECK(values_of(other) == values_of(model));
    const io::SafetensorsFile file(folder / "m.safetensors");
    CHECK(file.metadata().at("configuration") == "Pair");
    CHECK(file.at("second.weight").shape == std::vector<Index>{4, 2});
}

TEST_CASE("bf16 rounds once, to nearest even") {
    const TempDir folder;
    Pair model(3);
    const float ties[] = {1.00390625F, 1.01171875F, -1.00390625F, 3.0F};  // halfway between bf16 numbers
    Cpu::assign(model.second.bias.handle(), Cpu::from_host(ties, {4}, DType::f32));
    io::save_parameters(model, folder / "m.safetensors", DType::bf16);
    Pair other(4);
    io::load_parameters(other, folder / "m.safetensors");
    Values expected = values_of(model);
    for (auto& [name, values] : expected) {
        for (float& value : values) {
            value = static_cast<float>(bf16(value));
        }
    }
    CHECK(values_of(other) == expected);
    CHECK(values_of(other).at("second.bias") == std::vector<float>{1.0F, 1.015625F, -1.0F, 3.0F});
    // What bf16 holds comes back unchanged however often it is written.
    io::save_parameters(other, folder / "again.safetensors", DType::bf16);
    Pair third(5);
    io::load_parameters(third, folder / "again.safetensors");
    CHECK(values_of(third) == expected);
    CHECK(std::filesystem::file_size(folder / "again.safetensors") ==
          std::filesystem::file_size(folder / "m.safetensors"));
}

TEST_CASE("one report names all that does not fit, and the model stays as it was") {
    const TempDir folder;
    io::StateWriter<Cpu> writer;
    writer.add("first.weight", counting({2, 3}));      // fits
    writer.add("first.bias", counting({3}));           // wrong extents
    writer.add("second.weight", counting({4, 2, 1}));  // wrong rank
    writer.add("second.extra", counting({1}));         // unknown
    writer.add("third.weight", counting({2, 2}));      // unknown
    writer.write(folder / "m.safetensors", {});
    Pair model(6);
    const Values before = values_of(model);
    const std::string message = error_text([&] { io::load_parameters(model, folder / "m.safetensors"); });
    CAPTURE(message);
    CHECK(contains(message, "m.safetensors"));
    CHECK(contains(message, "mismatched first.bias: expected [2] of floats, found [3] of"));
    CHECK(contains(message, "mismatched second.weight"));
    CHECK(contains(message, "missing second.bias [4]"));
    CHECK(contains(message, "unexpected second.extra"));
    CHECK(contains(message, "unexpected third.weight"));
    CHECK_FALSE(contains(message, "first.weight"));
    CHECK(values_of(model) == before);
}

TEST_CASE("whole numbers are no weights") {
    const TempDir folder;
    Pair model(7);
    io::StateWriter<Cpu> writer;
    for (const auto& p : parameters(model)) {
        if (p.name != "second.bias") {
            writer.add(p.name, p.value());
        }
    }
    const std::vector<Index> numbers(4);
    writer.add("second.bias", Cpu::from_host(numbers.data(), {4}, DType::i64));
    writer.write(folder / "m.safetensors", {});
    const Values before = values_of(model);
    const std::string message = error_text([&] { io::load_parameters(model, folder / "m.safetensors"); });
    CAPTURE(message);
    CHECK(contains(message, "mismatched second.bias: expected [4] of floats, found [4] of"));
    CHECK(values_of(model) == before);
}

TEST_CASE("other float types are converted, and a prefix selects a part of the file") {
    const TempDir folder;
    io::StateWriter<Cpu> writer;
    writer.add("half.first.weight", counting({2, 3}), DType::f64);
    writer.add("half.first.bias", counting({2}), DType::bf16);
    writer.add("half.second.weight", counting({4, 2}));
    writer.add("half.second.bias", counting({4}));
    writer.add("step", counting({1}));  // outside the prefix: not our business
    writer.write(folder / "m.safetensors", {});
    Pair model(8);
    io::load_parameters(model, folder / "m.safetensors", "half.");
    CHECK(values_of(model).at("first.weight") == std::vector<float>{0, 1, 2, 3, 4, 5});
    CHECK(values_of(model).at("first.bias") == std::vector<float>{0, 1});
    CHECK(values_of(model).at("second.bias") == std::vector<float>{0, 1, 2, 3});
    Pair found(8);
    io::load_parameters(found, folder / "m.safetensors");  // the only root that has every parameter
    CHECK(values_of(found) == values_of(model));

    for (const char* name : {"other.first.weight", "other.first.bias", "other.second.weight", "other.second.bias"}) {
        writer.add(name, std::string_view(name).ends_with("first.weight")    ? counting({2, 3})
                         : std::string_view(name).ends_with("second.weight") ? counting({4, 2})
                         : std::string_view(name).ends_with("first.bias")    ? counting({2})
                                                                             : counting({4}));
    }
    writer.write(folder / "two.safetensors", {});
    const std::string message = error_text([&] { io::load_parameters(model, folder / "two.safetensors"); });
    CHECK(contains(message, "missing first.weight"));
    CHECK(contains(message, "unexpected half.first.weight"));
    CHECK(contains(message, "unexpected step"));
}

TEST_CASE("shared parameters lie in the file's mapping; changes stay with the process") {
    const TempDir folder;
    const io::Path path = folder / "m.safetensors";
    Pair model(1);
    io::save_parameters(model, path, DType::f32, {});
    Pair other(2);
    const Index values = 3 * 2 + 2 + 2 * 4 + 4;
    CHECK(io::map_parameters(other, path) == static_cast<std::uint64_t>(values) * sizeof(float));
    CHECK(values_of(other) == values_of(model));
    const auto first_weight = [](const Pair& m) { return m.first.weight.handle(); };
    Pair third(3);
    io::map_parameters(third, path);
    Cpu::add_into(first_weight(other), first_weight(model));
    CHECK(values_of(other) != values_of(model));
    CHECK(values_of(third) == values_of(model));  // another mapping: not the other's copy
    Pair fourth(4);
    io::load_parameters(fourth, path);
    CHECK(values_of(fourth) == values_of(model));
    std::filesystem::remove(path);  // the mapping keeps what it needs
    CHECK(values_of(third) == values_of(model));
    const auto x = Tensor<Cpu, Shape<dyn, 3>>::normal({5, 3}, 1);
    CHECK(third.first(x).to_host() == model.first(x).to_host());
}

TEST_CASE("weights are shared where format and backend permit it, else loaded") {
    const TempDir folder;
    Pair model(1);
    io::save_parameters(model, folder / "m.safetensors", DType::f32, {});
    io::StateWriter<Cpu> writer;
    for_each_parameter(model, [&](const auto& p) { writer.add(p.name, p.value()); });
    writer.write_torch(folder / "m.pth");
    for (const char* name : {"m.safetensors", "m.pth"}) {
        Pair other(2);
        bool loaded = false;
        io::map_or_load_parameters(other, folder / name, [&](std::uint64_t, std::uint64_t) { loaded = true; });
        CHECK(loaded == (std::string(name) == "m.pth"));
        CHECK(values_of(other) == values_of(model));
    }
    CHECK_THROWS_AS(io::map_or_load_parameters(model, folder / "none.safetensors"), Error);

    // `load_parameters` takes the averaged weights, if there are any.
    Pair average(3);
    for_each_parameter(average, [&](const auto& p) { writer.add("ema." + p.name, p.value()); });
    writer.write(folder / "both.safetensors", {});
    for (const bool share : {false, true}) {
        Pair other(2);
        if (share) {
            io::map_or_load_parameters(other, folder / "both.safetensors");
        } else {
            io::load_parameters(other, folder / "both.safetensors");
        }
        CHECK(values_of(other) == values_of(average));
    }
}

TEST_CASE("what cannot be shared is loaded, and what does not fit refused") {
    const TempDir folder;
    const io::Path path = folder / "m.safetensors";
    Pair model(1);
    io::save_parameters(model, path, DType::bf16, {});
    Pair shared(2);
    Pair loaded(2);
    CHECK(io::map_parameters(shared, path) == 0);
    io::load_parameters(loaded, path);
    CHECK(values_of(shared) == values_of(loaded));
    const Values before = values_of(shared);
    CHECK_THROWS_WITH_AS(io::map_parameters(shared, path, "nothing."),
                         doctest::Contains("missing nothing.first.weight"), Error);
    CHECK(values_of(shared) == before);
}
