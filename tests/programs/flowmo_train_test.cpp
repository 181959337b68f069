// flowmo_train as a user meets it: results, refusals, and runs that are killed and continued.

#include <csignal>
#include <doctest/doctest.h>

#include "flowfar/io/images/image.hpp"
#include "flowfar/io/tensors/safetensors.hpp"

#include "folders.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"
#include "training_log.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

constexpr int steps = 80;
constexpr int save_every = 10;

std::vector<std::string> options(const fs::path& data, const fs::path& out) {
    return {"--config",     "FlowMoNano", "--data",           data.string(),
            "--out",        out.string(), "--train-steps",    text(steps),
            "--batch",      "6",          "--save-every",     text(save_every),
            "--log-every",  "1",          "--validation",     "3",
            "--lr",         "1e-3",       "--ema-every",      "3",
            "--perceptual", "gradient",   "--evaluate-every", "40",
            "--accumulate", "2",          "--seed",           "7",
            "--warmup",     "5",          "--threads",        "2",
            "--decay",      "cosine",     "--freeze-after",   "60"};
}

std::string bytes_of(const fs::path& path) {
    return io::read_text(path);
}

}  // namespace

TEST_CASE("killed runs continue to the same losses and the same model") {
    const TempDir folder;
    write_photos(folder / "photos", 17);
    const fs::path whole = folder / "whole";
    const fs::path broken = folder / "broken";
    const Outcome first = run("flowmo_train", options(folder / "photos", whole));
    CAPTURE(first.err);
    REQUIRE(first.code == 0);
    CHECK(first.out.find("unreadable files skipped: 1") != std::string::npos);
    const auto expected = lines_of(whole);
    REQUIRE(expected.size() == steps + 2);  // and two validations
    CHECK(expected.back()["event"] == "validation");
    CHECK(expected.back()["raw_psnr"].get<double>() > 0.0);
    CHECK(expected.back()["raw_psnr"] != expected.back()["psnr"]);
    CHECK(io::read_image(whole / "samples.png").height > 64);
    CHECK(io::read_image(whole / "loss.png").height > 64);
    const io::SafetensorsFile model(whole / "model.safetensors");
    CHECK(model.metadata().at("configuration") == "FlowMoNano");
    CHECK(model.at("decoder.img_in.weight").dtype == DType::bf16);

    // Killed before the first save, amid training and around saves; each time resumed with the same command.
    const auto resumed = options(folder / "photos", broken) + std::vector<std::string>{"--resume"};
    int kills = 0;
    for (const int after : {3, 14, 20, 30, 47, 61}) {
        Process process("flowmo_train", resumed);
        if (process.reaches([&] { return last_step(broken) >= after; })) {
            process.signal(SIGKILL);
            kills += process.finish().code == 128 + SIGKILL ? 1 : 0;
        }
    }
    CHECK(kills >= 3);  // a slow test may find a run that ended first
    const Outcome last = run("flowmo_train", resumed);
    CAPTURE(last.err);
    REQUIRE(last.code == 0);
    const auto found = lines_of(broken);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(found[i] == expected[i]);
    }
    CHECK(bytes_of(broken / "model.safetensors") == bytes_of(whole / "model.safetensors"));
    CHECK(bytes_of(broken / "state.safetensors") == bytes_of(whole / "state.safetensors"));
}

TEST_CASE("Ctrl-C saves the step at hand") {
    const TempDir folder;
    write_photos(folder / "photos", 9);
    const fs::path out = folder / "run";
    // Saves only where the test asks for them.
    std::vector<std::string> arguments = options(folder / "photos", out) + std::vector<std::string>{"--resume"};
    *(std::ranges::find(arguments, "--save-every") + 1) = "0";
    *(std::ranges::find(arguments, "--train-steps") + 1) = "5000";
    Process process("flowmo_train", arguments);
    REQUIRE(process.reaches([&] { return last_step(out) >= 4; }));
    process.signal(SIGINT);
    process.signal(SIGTERM);  // what follows within a second is the same wish
    const Outcome stopped = process.finish();
    CAPTURE(stopped.err);
    CHECK(stopped.err.find("stopping after this step, again to abandon") != std::string::npos);
    CHECK(io::read_image(out / "samples.png").height > 16);
    CHECK(io::read_image(out / "loss.png").height > 64);
    // Two threads may take the signals at once; either is the first then.
    CHECK((stopped.code == 128 + SIGINT || stopped.code == 128 + SIGTERM));
    CHECK(stopped.out.find("interrupted and saved at step ") != std::string::npos);
    const int step = last_step(out);
    CHECK(io::SafetensorsFile(out / "state.safetensors").metadata().at("step") == text(step));
    CHECK(fs::exists(out / "model.safetensors"));

    Process again("flowmo_train", arguments);
    REQUIRE(again.reaches([&] { return last_step(out) >= step + 2; }));
    again.signal(SIGINT);
    const Outcome continued = again.finish();
    CHECK(continued.out.find(text("resumed at step ", step)) != std::string::npos);
    const auto lines = lines_of(out);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (lines[i]["event"] == "step" && i > 0 && lines[i - 1]["event"] == "step") {
            CHECK(lines[i]["step"].get<int>() == lines[i - 1]["step"].get<int>() + 1);
        }
    }
}

TEST_CASE("a run is neither overwritten nor resumed with other options") {
    const TempDir folder;
    write_photos(folder / "photos", 9);
    std::vector<std::string> arguments = options(folder / "photos", folder / "run");
    *(std::ranges::find(arguments, "--train-steps") + 1) = "8";
    REQUIRE(run("flowmo_train", arguments).code == 0);
    const std::string state = bytes_of(folder / "run/state.safetensors");

    const Outcome twice = run("flowmo_train", arguments);
    CHECK(twice.code == 1);
    CHECK(twice.err.find("add --resume or choose another --out") != std::string::npos);

    const Outcome same = run("flowmo_train", arguments + std::vector<std::string>{"--resume"});
    CHECK(same.code == 0);

    *(std::ranges::find(arguments, "--lr") + 1) = "2e-3";
    *(std::ranges::find(arguments, "--batch") + 1) = "4";
    const Outcome other = run("flowmo_train", arguments + std::vector<std::string>{"--resume", "--no-flip"});
    CHECK(other.code == 1);
    for (const char* line :
         {"--lr: saved 0.001, now 0.002", "--batch: saved 6, now 4", "--flip: saved true, now false"}) {
        CAPTURE(line);
        CHECK(other.err.find(line) != std::string::npos);
    }
    CHECK(other.err.find("--seed") == std::string::npos);
    CHECK(bytes_of(folder / "run/state.safetensors") == state);

    // States of the last version: an option had another name, and the average began as published.
    const auto renamed = [&](const std::string& key, const std::string& before) {
        std::string bytes = bytes_of(folder / "run/state.safetensors");
        const std::size_t at = bytes.find(key);
        REQUIRE(at != bytes.npos);
        bytes.replace(at, key.size(), before + std::string(key.size() - before.size(), ' '));
        io::write_atomically(folder / "run/state.safetensors", std::as_bytes(std::span(bytes)));
    };
    renamed("\"option.train-steps\"", "\"option.steps\"");
    *(std::ranges::find(arguments, "--lr") + 1) = "1e-3";
    *(std::ranges::find(arguments, "--batch") + 1) = "6";
    const Outcome last_version = run("flowmo_train", arguments + std::vector<std::string>{"--resume"});
    CHECK_MESSAGE(last_version.code == 0, last_version.err);
    renamed("\"option.ema-start\"", "\"option.no\"");
    const Outcome published = run("flowmo_train", arguments + std::vector<std::string>{"--resume"});
    CHECK(published.code == 1);
    CHECK(published.err.find("--ema-start: saved published, now warm") != std::string::npos);
}

TEST_CASE("two runs do not share a folder, and a lock left behind refuses nobody") {
    const TempDir folder;
    write_photos(folder / "photos", 9);
    std::vector<std::string> arguments = options(folder / "photos", folder / "run");
    *(std::ranges::find(arguments, "--train-steps") + 1) = "100000";
    {
        Process first("flowmo_train", arguments);
        REQUIRE(first.reaches([&] { return fs::exists(folder / "run/state.safetensors"); }));
        const Outcome second = run("flowmo_train", arguments + std::vector<std::string>{"--resume"});
        CHECK(second.code == 1);
        CHECK_MESSAGE(second.err.find("another run writes here (process ") != std::string::npos, second.err);
    }  // killed
    CHECK(fs::exists(folder / "run/lock"));
    *(std::ranges::find(arguments, "--train-steps") + 1) = "8";
    const Outcome third = run("flowmo_train", arguments);
    CHECK_MESSAGE(third.err.find("add --resume") != std::string::npos, third.err);  // not the lock
    CHECK_FALSE(fs::exists(folder / "run/lock"));
}

TEST_CASE("--init starts from a model file") {
    const TempDir folder;
    write_photos(folder / "photos", 9);
    std::vector<std::string> arguments = options(folder / "photos", folder / "a");
    *(std::ranges::find(arguments, "--train-steps") + 1) = "6";
    REQUIRE(run("flowmo_train", arguments + std::vector<std::string>{"--export-dtype", "f32"}).code == 0);
    *(std::ranges::find(arguments, "--out") + 1) = (folder / "b").string();
    const Outcome with =
        run("flowmo_train", arguments + std::vector<std::string>{"--init", folder / "a/model.safetensors"});
    CAPTURE(with.err);
    CHECK(with.code == 0);
    CHECK(lines_of(folder / "b").front()["loss"] != lines_of(folder / "a").front()["loss"]);
    *(std::ranges::find(arguments, "--out") + 1) = (folder / "c").string();
    const Outcome foreign = run(
        "flowmo_train", arguments + std::vector<std::string>{"--init", flowfar::testing::source_folder().string() +
                                                                           "/examples/models/far_tiny.safetensors"});
    CHECK(foreign.code == 1);
    CHECK(foreign.err.find("the tensors do not fit the model") != std::string::npos);
}

TEST_CASE("names of bytes that are no UTF-8 go through training, resuming and --init") {
    const TempDir folder;
    const fs::path photos = folder / "photos\xe9";
    write_photos(photos, 5);
    fs::rename(photos / "even/0.png", photos / "even/caf\xe9.png");
    std::vector<std::string> arguments = options(photos, folder / "run\xff");
    *(std::ranges::find(arguments, "--decay") + 1) = "constant";
    *(std::ranges::find(arguments, "--train-steps") + 1) = "2";
    const Outcome first = run("flowmo_train", arguments);
    CHECK_MESSAGE(first.code == 0, first.err);
    *(std::ranges::find(arguments, "--train-steps") + 1) = "4";
    const Outcome resumed = run("flowmo_train", arguments + std::vector<std::string>{"--resume"});
    REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
    CHECK(lines_of(folder / "run\xff").back()["step"] == 4);
    const fs::path model = folder / "m\xc3.safetensors";
    fs::copy_file(folder / "run\xff/model.safetensors", model);
    *(std::ranges::find(arguments, "--out") + 1) = (folder / "second").string();
    const Outcome second = run("flowmo_train", arguments + std::vector<std::string>{"--init", model.string()});
    CHECK_MESSAGE(second.code == 0, second.err);
}

TEST_CASE("stage 1b trains a model further, and patience ends it") {
    const TempDir folder;
    write_photos(folder / "photos", 9);
    std::vector<std::string> arguments = options(folder / "photos", folder / "a");
    *(std::ranges::find(arguments, "--train-steps") + 1) = "8";
    REQUIRE(run("flowmo_train", arguments).code == 0);
    *(std::ranges::find(arguments, "--out") + 1) = (folder / "b").string();
    *(std::ranges::find(arguments, "--train-steps") + 1) = "40";
    *(std::ranges::find(arguments, "--evaluate-every") + 1) = "2";
    *(std::ranges::find(arguments, "--decay") + 1) = "constant";
    *(std::ranges::find(arguments, "--lr") + 1) =
        "1e-30";  // changes nothing, so no validation is better than the first
    *(std::ranges::find(arguments, "--ema-every") + 1) = "0";
    const std::vector<std::string> more = {"--stage",    "1b", "--sample-steps",  "2",
                                           "--patience", "2",  "--no-fixed-norms"};
    const Outcome second =
        run("flowmo_train", arguments + more + std::vector<std::string>{"--init", folder / "a/model.safetensors"});
    CAPTURE(second.err);
    REQUIRE(second.code == 0);
    CHECK(second.err.find("no better validation in 2 of them: stopping") != std::string::npos);
    CHECK(lines_of(folder / "b").back()["step"].get<int>() < 40);
    CHECK(fs::exists(folder / "b/best.safetensors"));
    CHECK(fs::exists(folder / "b/model.safetensors"));
    CHECK(run("flowmo_train", arguments + more).code == 2);  // no --init
}

TEST_CASE("help and wrong usage") {
    const Outcome help = run("flowmo_train", {"--help"});
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    for (const char* option : {"--config",
                               "--data",
                               "--out",
                               "--train-steps",
                               "--batch",
                               "--lr",
                               "--warmup",
                               "--decay",
                               "--clip",
                               "--ema-decay",
                               "--ema-every",
                               "--seed",
                               "--threads",
                               "--accumulate",
                               "--freeze-after",
                               "--perceptual",
                               "--time-distribution",
                               "--code-dropout",
                               "--fixed-norms",
                               "--checkpoint-blocks",
                               "--validation",
                               "--evaluate-every",
                               "--save-every",
                               "--resume",
                               "--init",
                               "--stage",
                               "--patience",
                               "--export-dtype",
                               "FlowMoNano"}) {
        CAPTURE(option);
        CHECK(help.out.find(option) != std::string::npos);
    }
    const TempDir folder;
    write_photos(folder / "photos", 3);
    const std::string out = folder / "run";
    const std::vector<std::string> nano = {"--config", "FlowMoNano", "--out", out};
    const auto with = [&](const std::vector<std::string>& more) {
        return run("flowmo_train", nano + std::vector<std::string>{"--data", folder / "photos"} + more);
    };
    CHECK(run("flowmo_train", {}).code == 2);
    CHECK(run("flowmo_train", nano).code == 2);
    CHECK(run("flowmo_train", {"--config", "FlowMoNano", "--data", folder / "photos"}).code == 2);
    CHECK(run("flowmo_train", {"--config", "FlowMoHuge", "--data", folder / "photos", "--out", out}).code == 2);
    CHECK(with({"--train-steps", "0"}).code == 2);
    CHECK(with({"--accumulate", "3"}).code == 2);
    for (const char* batch : {"9223372036854775807", "9223372036854775808", "1048577", "0", "-1"}) {
        const Outcome many = with({"--batch", batch});
        CHECK(many.code == 2);
        CHECK_MESSAGE(many.err.find(std::string("--batch: ") + batch + " is out of range (allowed: 1 to 1048576)") !=
                          std::string::npos,
                      many.err);
    }
    const Outcome few = with({"--validation", "4"});
    CHECK(few.code == 1);
    CHECK(few.err.find("--validation 4 leaves none of the 4 images for training") != std::string::npos);
    const Outcome weights = with({"--validation", "1", "--perceptual", "resnet"});
    CHECK(weights.code == 1);
    CHECK(weights.err.find("needs --perceptual-files with ResNet-50's file, found 0 files") != std::string::npos);
    const Outcome small = with({"--validation", "1", "--resize", "12"});
    CHECK(small.code == 1);
    CHECK(small.err.find("crops of 16 pixels do not fit a short side of 12") != std::string::npos);
    const Outcome nowhere = run("flowmo_train", nano + std::vector<std::string>{"--data", folder / "nowhere"});
    CHECK(nowhere.code == 1);
    CHECK(nowhere.out.empty());
    CHECK(nowhere.err.find("nowhere") != std::string::npos);
}
