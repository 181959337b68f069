// flowmo_evaluate as a user meets it, with a barely trained model; its numbers against image_metrics and the library.

#include <cmath>
#include <csignal>
#include <cstring>
#include <doctest/doctest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/images/tiles.hpp"

#include "../../examples/programs/common/draw/extremes.hpp"
#include "../../examples/programs/common/measures/codebook_usage.hpp"
#include "../../examples/programs/common/measures/pair_measures.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// Photos in two folders, one file that is none, and a model of 16 x 16 pixels; made once.
struct Fixture {
    TempDir folder;
    std::string photos = (folder / "photos").string();
    std::string model = (folder / "run/model.safetensors").string();

    Fixture() {
        write_photos(photos, 9);
        const Outcome made =
            testing::run("flowmo_train", {"--config", "FlowMoNano", "--data", photos, "--out", folder / "run",
                                          "--train-steps", "3", "--batch", "4", "--validation", "4"});
        require(made.code == 0, "the test's model: ", made.err);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
    /// flowmo_evaluate with few steps.
    [[nodiscard]] Outcome evaluate(const std::string& images, const std::vector<std::string>& options = {}) const {
        return run("flowmo_evaluate", std::vector<std::string>{images, "--model", model, "--steps", "3"} + options);
    }
};

const Fixture& fixture() {
    static const Fixture made;
    return made;
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

json read_json(const std::string& path) {
    return json::parse(io::read_text(path));
}

std::vector<json> read_lines(const std::string& path) {
    std::vector<json> lines;
    const std::string all = io::read_text(path);
    for (std::size_t begin = 0; begin < all.size();) {
        const std::size_t end = all.find('\n', begin);
        lines.push_back(json::parse(all.substr(begin, end - begin)));
        begin = end + 1;
    }
    return lines;
}

Index files_in(const fs::path& folder) {
    return fs::exists(folder) ? std::distance(fs::directory_iterator(folder), fs::directory_iterator()) : 0;
}

/// A copy of a model whose first value of a bf16 tensor is NaN.
void poison(const std::string& model, const std::string& tensor, const std::string& copy) {
    std::string bytes = io::read_text(model);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    const json header = json::parse(bytes.substr(8, length));
    const std::size_t at = 8 + length + header.at(tensor).at("data_offsets").at(0).get<std::size_t>();
    const std::uint16_t nan = 0x7FC0;
    std::memcpy(bytes.data() + at, &nan, sizeof nan);
    io::write_atomically(copy, std::as_bytes(std::span(bytes)));
}

}  // namespace

TEST_CASE("numbers equal those of image_metrics on the saved images, and those of the token files") {
    const Fixture& f = fixture();
    const Outcome found = f.evaluate(f.photos, {"--json", f.at("a.json"), "--lines", f.at("a.jsonl"), "--out",
                                                f.at("saved"), "--sheet", f.at("a.png"), "--shown", "2"});
    CAPTURE(found.err);
    REQUIRE(found.code == 0);
    CHECK(has(found.out, "9 photos of "));
    CHECK(has(found.out, "18.0 bytes per photo, 0.5625 bits per pixel"));
    CHECK(has(found.out, "9 photos were of another size: the short side was resized to 16 pixels and the middle kept"));
    CHECK(has(found.out, "1 photos were skipped"));
    CHECK(has(found.err, "skipped even/broken.png: "));
    const json all = read_json(f.at("a.json"));
    CHECK(all["images"] == 9);
    CHECK(all["skipped"] == 1);
    CHECK(all["fitted"] == 9);
    CHECK(all["interrupted"] == false);
    CHECK(all["configuration"] == "FlowMoNano");
    CHECK(all["bytes"] == 9 * 18);
    CHECK(all["bits_per_pixel"] == 0.5625);
    CHECK(!all.contains("sets"));

    const Outcome metrics =
        run("image_metrics", {f.at("saved/original"), f.at("saved/reconstruction"), "--json", f.at("m.json")});
    REQUIRE(metrics.code == 0);
    CHECK(read_json(f.at("m.json"))["pairs"] == all["pairs"]);

    const std::vector<json> lines = read_lines(f.at("a.jsonl"));
    REQUIRE(lines.size() == 9);
    double psnr = 0;
    std::set<std::string> names;
    for (const json& line : lines) {
        psnr += line["psnr"].get<double>() / 9;
        names.insert(line["name"].get<std::string>());
        CHECK(line["height"] == 16);
        CHECK(line["width"] == 16);
        CHECK(line["bytes"] == 18);
        CHECK(line["ssim_uniform7"].get<double>() <= 1);
    }
    CHECK(names.size() == 9);
    CHECK(names.contains("odd/1.png"));
    CHECK(psnr == doctest::Approx(all["pairs"]["psnr"].get<double>()).epsilon(1e-12));
    const Image sheet = io::read_image(f.at("a.png"));
    CHECK(sheet.height > 2 * 160);
    CHECK(sheet.width > 4 * 160);

    // The codewords that flowmo_tokenize writes for the same photos; and the first photo, decoded by itself.
    program::CodebookUsage usage;
    std::string first;
    for (const fs::directory_entry& entry : fs::directory_iterator(f.at("saved/original"))) {
        const std::string name = entry.path().filename().string();
        REQUIRE(run("flowmo_tokenize", {entry.path().string(), "-o", f.at("one.tokens"), "--model", f.model}).code ==
                0);
        usage.add(io::read_tokens(f.at("one.tokens")).tokens);
        first = first.empty() || name < first ? name : first;
    }
    CHECK(all["codebook"]["codewords"] == usage.available());
    CHECK(all["codebook"]["used"] == usage.used());
    CHECK(all["codebook"]["seen"] == usage.seen());
    CHECK(all["codebook"]["entropy"].get<double>() == doctest::Approx(usage.entropy()).epsilon(1e-12));
    REQUIRE(first.starts_with("000000_"));
    REQUIRE(run("flowmo_reconstruct",
                {f.at("saved/original/" + first), "-o", f.at("first.png"), "--model", f.model, "--steps", "3"})
                .code == 0);
    CHECK(io::read_image(f.at("first.png")) == io::read_image(f.at("saved/reconstruction/" + first)));
}

TEST_CASE("the same again gives the same numbers, another seed others; --limit takes the first photos") {
    const Fixture& f = fixture();
    const auto pairs = [&](const std::vector<std::string>& options) {
        const Outcome found = f.evaluate(f.photos, std::vector<std::string>{"--json", f.at("b.json")} + options);
        REQUIRE_MESSAGE(found.code == 0, found.err);
        return read_json(f.at("b.json"))["pairs"];
    };
    const json once = pairs({});
    CHECK(pairs({}) == once);
    CHECK(pairs({"--seed", "4"}) != once);
    CHECK(pairs({"--count", "3"})["count"] == 3);
}

TEST_CASE("large photos go tile by tile, and those without a tile are skipped") {
    const Fixture& f = fixture();
    fs::create_directories(f.at("large"));
    io::write_png(f.at("large/0.png"), wave_image(40, 55, 3));
    io::write_png(f.at("large/1.png"), wave_image(16, 32, 4));
    io::write_png(f.at("large/2.png"), wave_image(12, 90, 5));
    const Outcome found = f.evaluate(
        f.at("large"), {"--fit", "tile", "--lines", f.at("t.jsonl"), "--out", f.at("tiles"), "--json", f.at("t.json")});
    CAPTURE(found.err);
    REQUIRE(found.code == 0);
    CHECK(has(found.err, "skipped 2.png: an image of 12 x 90 pixels holds no tile of 16 x 16"));
    CHECK(has(found.out, "1 photos were of another size: the middle that whole tiles cover was kept"));
    const std::vector<json> lines = read_lines(f.at("t.jsonl"));
    REQUIRE(lines.size() == 2);
    CHECK(lines[0]["height"] == 32);
    CHECK(lines[0]["width"] == 48);
    CHECK(lines[0]["bytes"] == 108);
    CHECK(lines[1]["bytes"] == 36);
    CHECK(read_json(f.at("t.json"))["bits_per_pixel"] == 0.5625);
    CHECK(io::read_image(f.at("tiles/original/000000_0.png")) ==
          io::crop_to_tiles(io::read_image(f.at("large/0.png")), 16, 16));
}

TEST_CASE("what cannot be evaluated is refused, and leaves nothing behind") {
    const Fixture& f = fixture();
    fs::create_directories(f.at("bad"));
    io::write_atomically(f.at("bad/0.png"), std::as_bytes(std::span("no picture", 10)));
    const std::string end_of_tar(1024, '\0');
    io::write_atomically(f.at("empty.tar"), std::as_bytes(std::span(end_of_tar)));
    const auto refused = [&](const std::string& images, const std::vector<std::string>& options, int code,
                             const std::string& part) {
        const Outcome found = f.evaluate(images, options + std::vector<std::string>{"--lines", f.at("none.jsonl")});
        CAPTURE(found.err);
        CHECK(found.code == code);
        CHECK(has(found.err, part));
        CHECK(!fs::exists(f.at("none.jsonl")));
    };
    refused(f.at("bad"), {}, 1, "none of the 1 photos could be read");
    refused(f.at("missing"), {}, 1, "missing");
    refused(f.at("empty.tar"), {}, 1, "no images");
    refused(f.photos, {"--json", f.at("no/where.json")}, 1, "there is no folder ");
    refused(f.photos, {"--json", f.photos}, 1, "is a folder");
    refused(f.photos, {"--sheet", f.at("sheet.jpg")}, 2, "ends in .png");
    refused(f.photos, {"--rank", "lpips"}, 2, "--lpips-network");
    refused(f.photos, {"--lpips-network", "vgg.pth"}, 2, "--lpips-weights");
    refused(f.photos, {"--inception", f.at("none.pth")}, 1, "pytorch-fid");
    refused(f.photos, {"--interval", "2,1"}, 2, "--interval");
    CHECK(run("flowmo_evaluate", {f.photos}).code == 2);
    CHECK(run("flowmo_evaluate", {f.photos, "--model", f.at("none.safetensors")}).code == 1);
    const Outcome help = run("flowmo_evaluate", {"--help"});
    CHECK(help.code == 0);
    for (const char* option : {"--lines", "--sheet", "--convention", "--fit", "--guidance", "--out"}) {
        CHECK(has(help.out, option));
    }
}

TEST_CASE("a model whose weights are not finite is an error, not a number") {
    const Fixture& f = fixture();
    poison(f.model, "decoder.final_layer_img.linear.bias", f.at("nan.safetensors"));
    const Outcome found = run("flowmo_evaluate",
                              {f.photos, "--model", f.at("nan.safetensors"), "--steps", "2", "--json", f.at("n.json")});
    CAPTURE(found.err);
    CHECK(found.code == 1);
    CHECK((has(found.err, "NaN") || has(found.err, "finite")));
    CHECK(!fs::exists(f.at("n.json")));
    poison(f.model, "encoder.final_layer_txt.linear.bias", f.at("nan.safetensors"));
    const Outcome encoder = run("flowmo_evaluate", {f.photos, "--model", f.at("nan.safetensors"), "--steps", "2"});
    CHECK(encoder.code == 1);
    CHECK_MESSAGE(has(encoder.err, "are the encoder's weights whole?"), encoder.err);
}

TEST_CASE("names of any bytes and of any length, and photos beside folders, are evaluated") {
    const Fixture& f = fixture();
    const fs::path photos = f.folder / "d\xe9";
    fs::create_directories(photos / "folder");
    const std::string length(247, 'n');
    io::write_png(photos / "caf\xe9.png", wave_image(16, 16, 1));
    io::write_png(photos / (length + ".png"), wave_image(16, 16, 2));
    io::write_png(photos / "folder/2.png", wave_image(16, 16, 3));
    const Outcome found = f.evaluate(photos.string(), {"--lines", f.at("l.jsonl"), "--json", f.at("l.json"), "--sheet",
                                                       f.at("l.png"), "--out", f.at("sv")});
    REQUIRE_MESSAGE(found.code == 0, found.err);
    const std::vector<json> lines = read_lines(f.at("l.jsonl"));
    REQUIRE(lines.size() == 3);
    CHECK(lines[0]["name"] == "caf\xEF\xBF\xBD.png");
    CHECK(lines[0]["name_escaped"] == "caf\\xE9.png");
    CHECK(!lines[1].contains("name_escaped"));
    CHECK(has(read_json(f.at("l.json"))["data_escaped"].get<std::string>(), "d\\xE9"));
    CHECK(files_in(f.at("sv/original")) == 3);
}

TEST_CASE("Ctrl-C ends with the numbers of what was done") {
    const Fixture& f = fixture();
    fs::create_directories(f.at("many"));
    for (int i = 0; i < 200; ++i) {
        io::write_png(f.at("many/" + std::to_string(1000 + i) + ".png"),
                      wave_image(16, 16, static_cast<std::uint64_t>(i)));
    }
    Process process("flowmo_evaluate", {f.at("many"), "--model", f.model, "--steps", "400", "--out", f.at("partly"),
                                        "--json", f.at("p.json"), "--lines", f.at("p.jsonl")});
    REQUIRE(process.reaches([&] { return files_in(f.at("partly/reconstruction")) >= 3; }));
    process.signal(SIGINT);
    const Outcome stopped = process.finish();
    CAPTURE(stopped.err);
    CHECK(stopped.code == 128 + SIGINT);
    CHECK(has(stopped.out, "interrupted after "));
    const json all = read_json(f.at("p.json"));
    CHECK(all["interrupted"] == true);
    CHECK(all["images"].get<int>() < 200);
    CHECK(read_lines(f.at("p.jsonl")).size() == all["images"].get<std::size_t>());
}

TEST_CASE("extremes keep the first of equals, and all while there are few") {
    program::Extremes<int> extremes(2);
    extremes.add(1, 0);
    CHECK(extremes.best().size() == 1);
    CHECK(extremes.worst().size() == 1);
    int item = 1;
    for (const double score : {3.0, 2.0, 3.0, 1.0, 0.5, std::numeric_limits<double>::infinity()}) {
        extremes.add(score, item++);
    }
    CHECK(extremes.best()[0].item == 6);
    CHECK(extremes.best()[1].item == 1);
    CHECK(extremes.worst()[0].item == 5);
    CHECK(extremes.worst()[1].item == 0);
}

TEST_CASE("codebook usage counts codewords and their entropy") {
    program::CodebookUsage usage;
    usage.add({1, 2, 2, 3, {0, 1, 2, 3}});
    CHECK(usage.entropy() == doctest::Approx(2));
    usage.add({1, 2, 2, 3, {0, 0, 0, 0}});
    CHECK(usage.used() == 4);
    CHECK(usage.available() == 8);
    CHECK(usage.seen() == 8);
    CHECK(usage.entropy() == doctest::Approx(-5.0 / 8 * std::log2(5.0 / 8) + 9.0 / 8));
    CHECK_THROWS_AS(usage.add({1, 1, 1, 4, {9}}), Error);
}
