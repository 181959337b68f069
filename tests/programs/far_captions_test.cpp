// far_train on images with captions, and far_generate with what it made, as a user meets them.

#include <algorithm>
#include <csignal>
#include <doctest/doctest.h>
#include <optional>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/load.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/qwen2/model.hpp"

#include "../io/io_support.hpp"
#include "../io/tar_builder.hpp"
#include "byte_vocabulary.hpp"
#include "common/files/folder_lock.hpp"
#include "common/text/far_text_configs.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"
#include "training_log.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// Photos with captions as a tar and as a folder, and a random language model.
struct Pairs {
    TempDir folder;

    Pairs() {
        TarBuilder tar;
        fs::create_directories(folder / "photos");
        std::string lines;
        for (int i = 0; i < 7; ++i) {
            const std::string name = text("photo", i);
            const std::string caption = text(i % 2 == 0 ? "a wave of " : "", i, " colors");
            const fs::path file = folder / "photos" / (name + ".png");
            io::write_png(file, wave_image(16, 16, static_cast<std::uint64_t>(i)));
            tar.add(name + ".png", io::read_text(file));
            tar.add(name + ".txt", caption);
            lines += text(name, ".png\t", caption, "\n");
        }
        put_file(folder / "photos/captions.txt", lines);
        put_file(folder / "photos.tar", tar.finish());
        fs::create_directories(folder / "language");
        save(Qwen2<program::FarTextNano::Reader, Cpu>::random(2), folder / "language/model.safetensors", DType::bf16);
        put_file(folder / "language/vocab.json", byte_vocabulary());
        put_file(folder / "language/merges.txt", "");
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
    [[nodiscard]] Words words(const std::string& data, const std::string& out) const {
        return {"--captions",
                "--config",
                "FarTextNano",
                "--data",
                at(data),
                "--out",
                at(out),
                "--language",
                at("language"),
                "--train-steps",
                "14",
                "--batch",
                "2",
                "--save-every",
                "5",
                "--seed",
                "7",
                "--log-every",
                "1",
                "--validation",
                "3",
                "--multiplier",
                "1",
                "--evaluate-every",
                "7",
                "--threads",
                "2"};
    }
    [[nodiscard]] Outcome train(const std::string& data, const std::string& out, const Words& more = {}) const {
        return run("far_train", words(data, out) + more);
    }
    /// All bytes of a run's tensors.
    [[nodiscard]] std::string tensors(const std::string& out) const {
        const io::SafetensorsFile file(folder / out / "model.safetensors");
        std::string bytes;
        for (const std::string& name : file.names()) {
            const auto part = file.at(name).bytes;
            bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
        }
        return bytes;
    }
};

const Pairs& pairs() {
    static const Pairs made;
    return made;
}

}  // namespace

TEST_CASE("far_train --captions: from a tar or a folder, with and without caches, killed and continued: one model") {
    const Pairs& p = pairs();
    const Outcome plain = p.train("photos.tar", "plain");
    CAPTURE(plain.err);
    REQUIRE(plain.code == 0);
    CHECK(contains(plain.out, "7 images, each with a label of its own"));
    const auto expected = lines_of(p.at("plain"));
    REQUIRE(expected.size() == 14 + 2);
    CHECK(expected.back()["validation_loss"].get<double>() > 0.0);
    CHECK(io::read_image(p.at("plain/samples.png")).height > 64);
    const auto metadata = io::SafetensorsFile(p.at("plain/model.safetensors")).metadata();
    CHECK(metadata.at("configuration") == "FarTextNano");
    CHECK_FALSE(metadata.contains("classes"));

    const Words caches{"--cache-text", p.at("features"), "--cache-latents", p.at("latents.safetensors")};
    const Words resumed = p.words("photos", "broken") + caches + Words{"--resume"};
    for (const int after : {2, 8}) {
        Process process("far_train", resumed);
        if (process.reaches([&] { return last_step(p.at("broken")) >= after; })) {
            process.signal(SIGKILL);
            static_cast<void>(process.finish());
        }
    }
    const Outcome ended = run("far_train", resumed);
    CAPTURE(ended.err);
    REQUIRE(ended.code == 0);
    CHECK(fs::exists(p.at("features/features_00000.safetensors")));
    CHECK(lines_of(p.at("broken")) == expected);
    CHECK(p.tensors("broken") == p.tensors("plain"));

    // The other kind of labels: numbers of captions are no classes.
    const Outcome classes = run("far_train", {"--config", "FarNano", "--data", p.at("photos"), "--out", p.at("classes"),
                                              "--validation", "3", "--seed", "7", "--train-steps", "1", "--batch", "2",
                                              "--cache-latents", p.at("latents.safetensors")});
    CHECK(classes.code == 1);
    CHECK(contains(classes.err, ", labels of captions, expected 7 images"));

    const Outcome generated =
        run("far_generate", {"--model", p.at("plain/model.safetensors"), "--language", p.at("language"), "--prompt",
                             "a wave of colors", "--count", "2", "--steps", "2", "--folder", p.at("images")});
    CAPTURE(generated.err);
    CHECK(generated.code == 0);
    CHECK(fs::exists(p.at("images/class_0/1.png")));
}

TEST_CASE("far_train --captions: policies, and what it refuses") {
    const Pairs& p = pairs();
    Words few = p.words("photos", "released");
    *(std::ranges::find(few, "--train-steps") + 1) = "3";
    const Words released{"--no-drop-decoder", "--mask-policy", "linear", "--label-drop", "1"};
    REQUIRE(run("far_train", few + released).code == 0);
    const Outcome changed = run("far_train", few + Words{"--resume"});
    CHECK(changed.code == 1);
    CHECK(contains(changed.err, "--drop-decoder: saved false, now true"));
    CHECK(contains(changed.err, "--mask-policy: saved linear, now truncated_normal"));
    Words dropping = few + Words{"--mask-policy", "linear", "--label-drop", "1"};
    *(std::ranges::find(dropping, "--out") + 1) = p.at("dropping");
    REQUIRE(run("far_train", dropping).code == 0);
    CHECK(p.tensors("released") != p.tensors("dropping"));

    const auto refused = [&](const Words& words, int code, const std::string& message) {
        const Outcome outcome = run("far_train", words);
        CAPTURE(outcome.err);
        CHECK(outcome.code == code);
        CHECK(contains(outcome.err, message));
    };
    refused({"--data", p.at("photos"), "--out", p.at("none"), "--captions"}, 2,
            "--captions: expected --config of a model from text: FarTextNano");
    refused({"--data", p.at("photos"), "--out", p.at("none"), "--config", "FarTextNano"}, 2,
            "--config FarTextNano: expected --captions");
    refused(p.words("photos", "none") + Words{"--dropout", "0.1"}, 2, "--dropout: no option of models from text");
    refused(p.words("photos", "none") + Words{"--level-per-sample"}, 2,
            "--level-per-sample: no option of models from text");
    refused({"--data", p.at("photos"), "--out", p.at("none"), "--config", "FarNano", "--cache-text", "x"}, 2,
            "--cache-text: expected --captions beside it");
    Words mute = p.words("photos", "none");
    *(std::ranges::find(mute, "--language") + 1) = p.at("nowhere");
    refused(mute, 1, "nowhere: no such folder, expected a language model's");
    const std::string lines = io::read_text(p.at("photos/captions.txt"));
    put_file(p.at("photos/captions.txt"), "photo0.png\ta\xFF" + lines.substr(lines.find('\n')));
    refused(p.words("photos", "none"), 1, "photos: photo0.png: ");
    refused(p.words("photos", "none"), 1, "is not UTF-8");
    put_file(p.at("photos/captions.txt"), "photo0.png\tother" + lines.substr(lines.find('\n')));
    refused(p.words("photos", "none") + Words{"--cache-text", p.at("features")}, 1,
            "features_00000.safetensors: made with captions 7 captions, key ");
    put_file(p.at("photos/captions.txt"), lines);
    CHECK_FALSE(fs::exists(p.at("none/state.safetensors")));
    // A cache of other images is refused before the captions are read.
    const Words caches{"--cache-latents", p.at("few.safetensors"), "--cache-text"};
    Words cached = few + caches + Words{p.at("few_features")};
    *(std::ranges::find(cached, "--out") + 1) = p.at("cached");
    REQUIRE(run("far_train", cached).code == 0);
    Words fewer = p.words("photos", "none") + caches + Words{p.at("unread")};
    *(std::ranges::find(fewer, "--validation") + 1) = "2";
    refused(fewer, 1, "few.safetensors: made of 7 images");
    CHECK_FALSE(fs::exists(p.at("unread")));
}

TEST_CASE("far_train --captions waits for a run that reads the same captions, and takes what that one made") {
    const Pairs& p = pairs();
    fs::create_directories(p.at("shared"));
    std::optional<program::FileLock> other(std::in_place, p.at("shared/lock"));
    REQUIRE(other->held());
    Words words = p.words("photos", "waiting") + Words{"--cache-text", p.at("shared")};
    *(std::ranges::find(words, "--train-steps") + 1) = "1";
    Process process("far_train", words);
    CHECK(process.reaches([&] { return contains(process.errors(), "another run reads the captions (process "); }));
    CHECK_FALSE(fs::exists(p.at("shared/features_00000.safetensors")));
    other.reset();
    const Outcome ended = process.finish();
    CAPTURE(ended.err);
    CHECK(ended.code == 0);
    CHECK(fs::exists(p.at("shared/features_00000.safetensors")));
    CHECK_FALSE(fs::exists(p.at("shared/lock")));
}
