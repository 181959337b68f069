// far_train, far_generate and frequency_pyramid as a user meets them.

#include <algorithm>
#include <csignal>
#include <doctest/doctest.h>

#include "flowfar/cpu.hpp"
#include "flowfar/far.hpp"
#include "flowfar/io.hpp"

#include "folders.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"
#include "training_log.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words options(const fs::path& data, const fs::path& out) {
    return {"--config",
            "FarNano",
            "--data",
            data.string(),
            "--out",
            out.string(),
            "--train-steps",
            "40",
            "--batch",
            "6",
            "--save-every",
            "10",
            "--lr",
            "1e-3",
            "--seed",
            "7",
            "--log-every",
            "1",
            "--validation",
            "3",
            "--decay",
            "cosine",
            "--warmup",
            "5",
            "--level-per-sample",
            "--evaluate-every",
            "20",
            "--threads",
            "2"};
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Photos in two classes and a model trained on them, made once.
struct Fixture {
    TempDir folder;
    fs::path photos = folder / "photos";
    fs::path run = folder / "run";
    std::string model = (folder / "run/model.safetensors").string();

    Fixture() {
        write_photos(photos / "cats", 7);
        write_photos(photos / "dogs", 8);
        const Outcome made = testing::run("far_train", options(photos, run));
        require(made.code == 0, "the test's model: ", made.err);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
};

const Fixture& fixture() {
    static const Fixture made;
    return made;
}

}  // namespace

TEST_CASE("far_train: killed runs continue to the same losses and the same model") {
    const Fixture& f = fixture();
    const auto expected = lines_of(f.run);
    REQUIRE(expected.size() == 40 + 2);
    CHECK(expected.back()["event"] == "validation");
    CHECK(expected.back()["validation_loss"].get<double>() > 0.0);
    CHECK(io::read_image(f.run / "samples.png").height > 64);
    CHECK(io::read_image(f.run / "loss.png").height > 64);
    const io::SafetensorsFile model(f.model);
    CHECK(model.metadata().at("configuration") == "FarNano");
    CHECK(model.metadata().at("classes") == "cats\ndogs");
    CHECK(model.metadata().at("masked") == "0");

    const fs::path broken = f.folder / "broken";
    const Words resumed = options(f.photos, broken) + Words{"--resume"};
    int kills = 0;
    for (const int after : {3, 14, 30}) {
        Process process("far_train", resumed);
        if (process.reaches([&] { return last_step(broken) >= after; })) {
            process.signal(SIGKILL);
            kills += process.finish().code == 128 + SIGKILL ? 1 : 0;
        }
    }
    CHECK(kills >= 1);  // a slow test may find a run that ended first
    REQUIRE(testing::run("far_train", resumed).code == 0);
    CHECK(lines_of(broken) == expected);
    CHECK(io::read_text(broken / "model.safetensors") == io::read_text(f.model));
}

TEST_CASE("far_train: latents from a cache train the same model") {
    const Fixture& f = fixture();
    // Photos of exactly the model's size: cropping in the middle and at random are then the same.
    for (const char* name : {"x/a.png", "x/b.png", "x/c.png", "y/d.png", "y/e.png"}) {
        fs::create_directories((f.folder / "small" / name).parent_path());
        io::write_png(f.folder / "small" / name, wave_image(16, 16, fold(3, std::string_view(name)) % 97));
    }
    const auto train = [&](const std::string& out, const Words& more) {
        Words words = options(f.folder / "small", f.at(out));
        *(std::ranges::find(words, "--train-steps") + 1) = "12";
        *(std::ranges::find(words, "--validation") + 1) = "1";
        return testing::run("far_train", words + more);
    };
    const Words cached = {"--cache-latents", f.at("cache.safetensors")};
    REQUIRE(train("plain", {}).code == 0);
    REQUIRE(train("cached", cached).code == 0);
    REQUIRE(train("again", cached).code == 0);  // from the file
    CHECK(lines_of(f.at("cached")) == lines_of(f.at("plain")));
    CHECK(lines_of(f.at("again")) == lines_of(f.at("plain")));
    const Outcome other = train("other", cached + Words{"--resize", "20"});
    CHECK(other.code == 1);
    CHECK(has(other.err, "cache.safetensors: made of "));
}

TEST_CASE("far_train: masked models, and what it refuses") {
    const Fixture& f = fixture();
    Words words = options(f.photos, f.at("masked"));
    *(std::ranges::find(words, "--train-steps") + 1) = "8";
    const Outcome masked = testing::run("far_train", words + Words{"--masked", "--mask-policy", "linear"});
    CAPTURE(masked.err);
    CHECK(masked.code == 0);
    CHECK(io::SafetensorsFile(f.at("masked/model.safetensors")).metadata().at("masked") == "1");
    const Outcome generated =
        testing::run("far_generate", {"--model", f.at("masked/model.safetensors"), "--classes", "0", "--count", "1",
                                      "--steps", "2", "--out", f.at("masked.png")});
    CAPTURE(generated.err);
    CHECK(generated.code == 0);

    const Outcome resumed = testing::run("far_train", words + Words{"--resume"});
    CHECK(resumed.code == 1);
    CHECK(has(resumed.err, "--masked: saved true, now false"));

    for (int i = 0; i < 11; ++i) {
        write_photos(f.folder / "many" / text("class", i), 1);
    }
    const Outcome many = testing::run("far_train", options(f.folder / "many", f.at("refused")));
    CHECK(many.code == 1);
    CHECK(has(many.err, "11 classes, but FarNano knows 10"));
    const Outcome needless =
        testing::run("far_train", options(f.photos, f.at("refused")) + Words{"--tokenizer", f.model});
    CHECK(needless.code == 1);
    CHECK(has(needless.err, "generates pixels and needs no tokenizer"));
    CHECK(testing::run("far_train", {"--help"}).code == 0);
    CHECK(testing::run("far_train", {"--data", f.photos, "--out", f.at("refused"), "--label-drop", "2"}).code == 2);
}

namespace {

/// Pictures of two classes by the library's call without options; the program's, without options, must be the same.
template <class Config>
std::vector<Image> natural_pictures(const fs::path& file, Index other_class) {
    const auto model = load<Far<Config, Cpu>>(file);
    const auto latents = model.generate({1, other_class}, {.seed = 7});
    const std::vector<Image> expected = to_images(PixelTokenizer<Cpu, Config::side>().decode(latents));
    const TempDir folder;
    const std::string other = std::to_string(other_class);
    const Outcome made = testing::run(
        "far_generate", {"--model", file.string(), "--classes", "1," + other, "--count", "1", "--seed", "7", "--out",
                         (folder / "sheet.png").string(), "--folder", folder.path().string()});
    CAPTURE(made.err);
    REQUIRE(made.code == 0);
    std::vector<fs::path> written;
    for (const auto& entry : fs::recursive_directory_iterator(folder.path())) {
        if (entry.is_regular_file() && entry.path().parent_path() != folder.path()) {
            written.push_back(entry.path());
        }
    }
    std::ranges::sort(written, {}, [](const fs::path& path) { return path.filename(); });
    REQUIRE(written.size() == 2);
    CHECK(io::read_image(written[0]) == expected[0]);
    CHECK(io::read_image(written[1]) == expected[1]);
    return expected;
}

}  // namespace

TEST_CASE("far_generate's pictures are those of the library's natural call") {
    natural_pictures<FarNano>(fixture().model, 0);
    if (!program_has("far_generate", "FarTiny")) {
        return;  // a sanitizer build
    }
    for (const Image& image :
         natural_pictures<FarTiny>(source_folder() / "examples" / "models" / "far_tiny.safetensors", 7)) {
        // not the saturated noise that a model without a limit runs away to
        const auto extremes = std::ranges::count_if(image.pixels, [](int value) { return value == 0 || value == 255; });
        CHECK(extremes < std::ssize(image.pixels) / 10);
    }
}

TEST_CASE("far_generate: images depend on the seed and their number alone") {
    const Fixture& f = fixture();
    const auto generate = [&](const std::string& folder, const Words& more) {
        const Outcome made =
            testing::run("far_generate", Words{"--model", f.model, "--steps", "3", "--classes", "1,0", "--out",
                                               f.at(folder + ".png"), "--folder", f.at(folder)} +
                                             more);
        CAPTURE(made.err);
        CHECK(made.code == 0);
    };
    generate("g1", {"--count", "3", "--progressive", f.at("levels.png")});
    generate("g2", {"--count", "3", "--threads", "1"});
    generate("g3", {"--count", "3", "--seed", "1"});
    CHECK(io::read_image(f.at("g1.png")).width > 3 * 64);
    CHECK(io::read_image(f.at("levels.png")).height > 6 * 64);
    for (const char* name : {"class_1/0.png", "class_1/2.png", "class_0/4.png"}) {
        const Image image = io::read_image(fs::path(f.at("g1")) / name);
        CHECK(image.height == 16);
        CHECK(image == io::read_image(fs::path(f.at("g2")) / name));
        CHECK_FALSE(image == io::read_image(fs::path(f.at("g3")) / name));
    }
}

TEST_CASE("far_generate: images are written as they are made, and a repeated command makes those that lack") {
    const Fixture& f = fixture();
    const Words words{"--model",   f.model, "--steps", "2",    "--ar-steps", "1",
                      "--classes", "0,1",   "--count", "3000", "--folder",   f.at("many")};
    {
        Process made("far_generate", words);
        CHECK(made.reaches([&] { return fs::exists(f.at("many") + "/class_0/70.png"); }));
        const Outcome second = testing::run("far_generate", words);
        CHECK(second.code == 1);
        CHECK_MESSAGE(has(second.err, "another run writes here (process "), second.err);
        made.signal(SIGINT);
        const Outcome stopped = made.finish();
        CHECK(stopped.code == 130);
        CHECK(has(stopped.out, "the same command makes the others"));
    }
    CHECK(fs::exists(f.at("many") + "/class_0/0.png"));
    CHECK_FALSE(fs::exists(f.at("many") + "/class_1/5999.png"));
    CHECK_FALSE(fs::exists(f.at("many") + "/lock"));
    CHECK_FALSE(fs::exists("far.png"));

    const Words few{"--model", f.model, "--steps", "2", "--ar-steps", "1", "--classes", "0,1", "--count", "4"};
    CHECK(testing::run("far_generate", few + Words{"--folder", f.at("few")}).code == 0);
    const Image kept = io::read_image(f.at("few") + "/class_1/6.png");
    fs::remove(f.at("few") + "/class_1/6.png");
    io::write_png(f.at("few") + "/class_0/0.png", make_image(1, 1));
    const Outcome again = testing::run("far_generate", few + Words{"--folder", f.at("few")});
    CHECK(again.code == 0);
    CHECK(has(again.out, "1 images made"));
    CHECK(has(again.out, "7 were there"));
    CHECK(io::read_image(f.at("few") + "/class_1/6.png") == kept);
    CHECK(io::read_image(f.at("few") + "/class_0/0.png").height == 1);
    // A sheet of what was there and what was not is the sheet of all.
    CHECK(testing::run("far_generate", few + Words{"--out", f.at("all.png")}).code == 0);
    for (const char* lacking : {"/class_0/0.png", "/class_1/6.png"}) {
        fs::remove(f.at("few") + lacking);
    }
    const Outcome partly =
        testing::run("far_generate", few + Words{"--folder", f.at("few"), "--out", f.at("again.png")});
    CHECK(has(partly.out, "again.png: 2 images in "));
    CHECK(has(partly.out, ", and 6 that were there\n"));
    CHECK(io::read_image(f.at("again.png")) == io::read_image(f.at("all.png")));
    const Outcome other = testing::run("far_generate", few + Words{"--folder", f.at("few"), "--seed", "9"});
    CHECK(other.code == 1);
    CHECK(has(other.err, "made with other options: seed was 0, now 9"));
}

TEST_CASE("far_generate: schedules, and what it refuses") {
    const Fixture& f = fixture();
    const auto generate = [&](const Words& more) {
        Words words = more + Words{"--count", "1"};
        for (const Words& standard :
             {Words{"--model", f.model}, Words{"--classes", "0"}, Words{"--out", f.at("s.png")}}) {
            if (std::ranges::find(more, standard[0]) == more.end()) {
                words = words + standard;
            }
        }
        return testing::run("far_generate", words);
    };
    for (const Words& good : std::vector<Words>{{"--levels", "0,4,9", "--steps", "2:3:4"},
                                                {"--ar-steps", "4", "--steps", "2-5"},
                                                {"--ar-steps", "1", "--steps", "ddim10"},
                                                {"--ar-steps", "2", "--steps", "4:6", "--solver", "dpm2m"},
                                                {"--ar-steps", "1", "--steps", "4", "--solver", "ddim"},
                                                {"--ar-steps", "16", "--steps", "1", "--no-filter"},
                                                {"--classes", "-1", "--steps", "2", "--guidance", "1"},
                                                {"--steps", "2", "--temperature-schedule", "constant"}}) {
        const Outcome made = generate(good);
        CAPTURE(made.err);
        CHECK(made.code == 0);
    }
    const auto refused = [&](const Words& bad, int code, const std::string& why) {
        const Outcome made = generate(bad);
        CAPTURE(made.err);
        CHECK(made.code == code);
        CHECK(has(made.err, why));
    };
    CHECK(generate({"--steps", "2", "--out", f.at("s.jpg")}).code == 0);  // what the name says
    CHECK(io::read_text(f.at("s.jpg")).starts_with("\xFF\xD8\xFF"));
    refused({"--out", f.at("s.png"), "--progressive", f.at("../") + f.folder.path().filename().string() + "/s.png"}, 2,
            "--out and --progressive are the same file, ");
    fs::create_directory(f.at("broken"));
    io::write_atomically(f.at("broken") + "/far_generate.json", std::as_bytes(std::span("{", 1)));
    refused({"--folder", f.at("broken")}, 1, "far_generate.json: damaged; choose another --folder");
    refused({"--out", f.at("s.webp")}, 2, "s.webp: expected a name that ends in .png, .jpg or .jpeg");
    refused({"--classes", "10"}, 1, "--classes: 10, expected 0 to 9 or -1 for no class");
    refused({"--levels", "0,5,5"}, 1, "levels: level 2 is 5, expected more than 5");
    refused({"--levels", "0,16"}, 1, "expected at most 15");
    refused({"--levels", "0,4", "--ar-steps", "2"}, 2, "exclude each other");
    refused({"--ar-steps", "17"}, 1, "expected 1 to 16 autoregressive steps, found 17");
    refused({"--steps", "1001"}, 1, "1001");
    refused({"--steps", "0"}, 2, "expected numbers of at least 1");
    refused({"--steps", "0-5"}, 2, "expected numbers of at least 1");
    refused({"--levels", "0,4", "--steps", "1:2:3"}, 1, "a list of 3 for 2 autoregressive steps");
    refused({"--guidance", "nan"}, 2, "--guidance");
    refused({"--model", f.at("none")}, 1, "none");
}

TEST_CASE("frequency_pyramid shows levels of a photo or of a test card") {
    const Fixture& f = fixture();
    const Outcome card = testing::run("frequency_pyramid", {"--out", f.at("p.png"), "--size", "32"});
    CAPTURE(card.err);
    CHECK(card.code == 0);
    CHECK(has(card.out, "7 levels of 32 x 32 pixels"));
    io::write_png(f.at("photo.png"), wave_image(40, 55, 77));
    const Outcome photo = testing::run("frequency_pyramid", {f.at("photo.png"), "--out", f.at("q.png"), "--levels",
                                                             "0,3,32", "--size", "32", "--filter", "fourier"});
    CHECK(photo.code == 0);
    CHECK(io::read_image(f.at("q.png")).height < io::read_image(f.at("p.png")).height);
    const Outcome bad = testing::run("frequency_pyramid", {"--levels", "4,2", "--out", f.at("r.png")});
    CHECK(bad.code == 1);
    CHECK(has(bad.err, "levels must increase"));
}
