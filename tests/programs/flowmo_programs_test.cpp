// flowmo_tokenize, flowmo_reconstruct, flowmo_demo and flowmo_baselines with a barely trained model.

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/io/images/image.hpp"
#include "flowfar/io/tensors/torch_writer.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "folders.hpp"
#include "legacy_checkpoint.hpp"
#include "photos.hpp"
#include "process.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace fs = std::filesystem;

namespace {

/// Photos and a model of 16 x 16 pixels, made once.
struct Fixture {
    TempDir folder;
    std::string photos = (folder / "photos").string();
    std::string model = (folder / "run/model.safetensors").string();
    std::string photo = (folder / "photo.png").string();

    Fixture() {
        write_photos(photos, 9);
        io::write_png(photo, wave_image(40, 55, 77));
        const Outcome made =
            testing::run("flowmo_train", {"--config", "FlowMoNano", "--data", photos, "--out", folder / "run",
                                          "--train-steps", "3", "--batch", "4", "--validation", "4"});
        require(made.code == 0, "the test's model: ", made.err);
    }
    [[nodiscard]] std::string at(const std::string& name) const { return (folder / name).string(); }
};

const Fixture& fixture() {
    static const Fixture made;
    return made;
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a photo becomes tokens and a photo again") {
    const Fixture& f = fixture();
    const Outcome tokenized =
        run("flowmo_tokenize", {f.photo, "-o", f.at("a.tokens"), "--model", f.model, "--check", "--steps", "3"});
    CAPTURE(tokenized.err);
    REQUIRE(tokenized.code == 0);
    CHECK(has(tokenized.out, "16 x 16 pixels, 1 tile: 18 payload bytes, 0.5625 bits per pixel"));
    CHECK(has(tokenized.out, "PSNR, SSIM: "));
    CHECK(has(tokenized.out, "encode "));
    CHECK(fs::file_size(f.at("a.tokens")) == 48 + 18 + 4);

    const std::vector<std::string> how = {"--model", f.model, "--steps", "3", "--seed", "5"};
    const Outcome from_tokens =
        run("flowmo_reconstruct", std::vector<std::string>{f.at("a.tokens"), "-o", f.at("a.png")} + how);
    const Outcome from_photo = run("flowmo_reconstruct", std::vector<std::string>{f.photo, "-o", f.at("b.png")} + how);
    CAPTURE(from_tokens.err);
    REQUIRE(from_tokens.code == 0);
    REQUIRE(from_photo.code == 0);
    CHECK_FALSE(has(from_tokens.out, "PSNR"));
    CHECK(has(from_photo.out, "PSNR, SSIM: "));
    CHECK(has(from_photo.out, "decode (3 steps) "));
    const Image a = io::read_image(f.at("a.png"));
    CHECK(a.height == 16);
    CHECK(a.width == 16);
    CHECK(a == io::read_image(f.at("b.png")));

    // The original beside the tokens gives equal numbers.
    const Outcome compared =
        run("flowmo_reconstruct",
            std::vector<std::string>{f.at("a.tokens"), "-o", f.at("c.png"), "--original", f.photo} + how);
    const auto quality = [](const std::string& text) {
        const std::size_t begin = text.find("PSNR, SSIM");
        return text.substr(begin, text.find('\n', begin) - begin);
    };
    CHECK(quality(compared.out) == quality(from_photo.out));

    // The extension chooses the format.
    const Outcome as_jpeg =
        run("flowmo_reconstruct", std::vector<std::string>{f.at("a.tokens"), "-o", f.at("a.JPG")} + how);
    CAPTURE(as_jpeg.err);
    REQUIRE(as_jpeg.code == 0);
    CHECK(io::read_text(f.at("a.JPG")).starts_with("\xFF\xD8\xFF"));
    CHECK(io::read_text(f.at("a.png")).starts_with("\x89PNG"));
    CHECK(io::read_image(f.at("a.JPG")) == io::decode_image(io::encode_jpeg(a, 95), "JPEG"));
    for (const char* name : {"a.gif", "a", "a.png.txt"}) {
        const Outcome other =
            run("flowmo_reconstruct", std::vector<std::string>{f.at("a.tokens"), "-o", f.at(name)} + how);
        CHECK(other.code == 2);
        CHECK(has(other.err, "expected a name that ends in .png, .jpg or .jpeg"));
        CHECK_FALSE(fs::exists(f.at(name)));
    }

    // Another seed starts from other noise, other sampling settings take another way.
    for (const std::vector<std::string>& other :
         {std::vector<std::string>{"--seed", "6", "--steps", "3"},
          {"--seed", "5", "--steps", "4"},
          {"--seed", "5", "--steps", "3", "--power", "1"},
          {"--seed", "5", "--steps", "3", "--guidance", "100", "--interval", "0,1000000"}}) {
        REQUIRE(run("flowmo_reconstruct",
                    std::vector<std::string>{f.at("a.tokens"), "-o", f.at("d.png"), "--model", f.model} + other)
                    .code == 0);
        CHECK(a != io::read_image(f.at("d.png")));
    }
}

TEST_CASE("a device that is not there is an error or, with auto, replaced by the CPU") {
    const Fixture& f = fixture();
    const auto reconstruct = [&](const std::string& device) {
        return run("flowmo_reconstruct",
                   {f.photo, "-o", f.at(device + ".png"), "--model", f.model, "--steps", "2", "--device", device});
    };
    const Outcome on_cpu = reconstruct("cpu");
    CAPTURE(on_cpu.err);
    CHECK(on_cpu.code == 0);
    CHECK_FALSE(has(on_cpu.err, "CUDA"));
    CHECK(reconstruct("auto").code == 0);
    const Outcome on_gpu = reconstruct("cuda");
    if (on_gpu.code != 0) {  // the program was built without CUDA, or this machine has no GPU
        CHECK(has(on_gpu.err, "--device cuda: this "));
        CHECK_FALSE(fs::exists(f.at("cuda.png")));
        CHECK(io::read_image(f.at("auto.png")) == io::read_image(f.at("cpu.png")));
    }
    CHECK(reconstruct("tpu").code == 2);
}

TEST_CASE("products in bf16 and int8 give nearly the same photo") {
    const Fixture& f = fixture();
    const auto reconstruct = [&](const std::string& precision, const std::string& out) {
        return run("flowmo_reconstruct",
                   {f.photo, "-o", out, "--model", f.model, "--steps", "3", "--precision", precision});
    };
    REQUIRE(reconstruct("f32", f.at("f32.png")).code == 0);
    const Outcome rounded = reconstruct("bf16", f.at("bf16.png"));
    REQUIRE(rounded.code == 0);
    CHECK(has(rounded.err, "this CPU has no bf16 products") != Cpu::has_bf16_products());
    const Outcome quantized = reconstruct("int8", f.at("int8.png"));
    REQUIRE(quantized.code == 0);
    CHECK(has(quantized.err, "this CPU has no products of bytes") != Cpu::has_int8_products());
    CHECK(reconstruct("int4", f.at("int4.png")).code == 2);
    const Image exact = io::read_image(f.at("f32.png"));
    const auto check_near = [&](const std::string& file, int most) {
        const Image found = io::read_image(f.at(file));
        REQUIRE(found.pixels.size() == exact.pixels.size());
        int largest = 0;
        for (std::size_t i = 0; i < exact.pixels.size(); ++i) {
            largest =
                std::max(largest, std::abs(static_cast<int>(exact.pixels[i]) - static_cast<int>(found.pixels[i])));
        }
        CHECK(largest <= most);
        MESSAGE(file, ": ", largest, " of 255");
    };
    check_near("bf16.png", 4);
    check_near("int8.png", 16);
}

TEST_CASE("photos of any size in tiles that overlap, and previews show the way") {
    const Fixture& f = fixture();
    const Outcome tokenized =
        run("flowmo_tokenize", {f.photo, "--out", f.at("t.tokens"), "--model", f.model, "--fit", "tile"});
    CAPTURE(tokenized.err);
    REQUIRE(tokenized.code == 0);
    CHECK(has(tokenized.out, "40 x 55 pixels, 15 tiles: 270 payload bytes"));
    CHECK_FALSE(has(tokenized.out, "PSNR"));
    const io::TokenFile tokens = io::read_tokens(f.at("t.tokens"));
    CHECK(tokens.height == 40);
    CHECK(tokens.width == 55);
    CHECK(tokens.tokens.batch == 15);
    CHECK(tokens.overlap == 4);

    const Outcome back =
        run("flowmo_reconstruct", {f.at("t.tokens"), "-o", f.at("t.png"), "--model", f.model, "--steps", "12",
                                   "--preview", f.at("preview.png"), "--original", f.photo});
    CAPTURE(back.err);
    REQUIRE(back.code == 0);
    CHECK(has(back.out, "PSNR, SSIM: "));
    const Image image = io::read_image(f.at("t.png"));
    CHECK(image.height == 40);
    CHECK(image.width == 55);
    const Image preview = io::read_image(f.at("preview.png"));
    CHECK(preview.width > 8 * 55);
    CHECK(preview.height < 300);
    REQUIRE(
        run("flowmo_reconstruct", {f.photo, "-o", f.at("u.png"), "--model", f.model, "--steps", "12", "--fit", "tile"})
            .code == 0);
    CHECK(io::read_image(f.at("u.png")) == image);

    REQUIRE(run("flowmo_tokenize",
                {f.photo, "-o", f.at("touching.tokens"), "--model", f.model, "--fit", "tile", "--overlap", "0"})
                .code == 0);
    CHECK(io::read_tokens(f.at("touching.tokens")).tokens.batch == 12);
    CHECK(io::read_tokens(f.at("touching.tokens")).overlap == 0);
    const Outcome all = run(
        "flowmo_tokenize", {f.photo, "-o", f.at("all.tokens"), "--model", f.model, "--fit", "tile", "--overlap", "16"});
    CHECK(all.code == 1);
    CHECK(has(all.err, "--overlap: expected less than the 16 pixels of a tile of FlowMoNano, found 16"));
    CHECK_FALSE(fs::exists(f.at("all.tokens")));
    for (const std::vector<std::string>& more : {std::vector<std::string>{"--overlap", "2"}, {"--fit", "tile"}}) {
        CHECK(run("flowmo_reconstruct",
                  std::vector<std::string>{f.at("t.tokens"), "-o", f.at("w.png"), "--model", f.model} + more)
                  .code == 2);
    }
    CHECK(run("flowmo_tokenize", {f.photo, "-o", f.at("w.tokens"), "--model", f.model, "--overlap", "2"}).code == 2);
    for (const std::string& read : {f.photo, f.model}) {
        const Outcome over = run("flowmo_tokenize", {f.photo, "-o", read, "--model", f.model});
        CHECK(over.code == 1);
        CHECK(has(over.err, "is the input, which it would replace"));
    }

    const Outcome wrong = run("flowmo_reconstruct", {f.at("t.tokens"), "-o", f.at("w.png"), "--model", f.model,
                                                     "--original", f.photo, "--fit", "crop"});
    CHECK(wrong.code == 1);
    CHECK(has(wrong.err, "40 x 55 pixels with --fit crop do not become the 40 x 55 of the tokens"));
    io::write_png(f.at("wide.png"), wave_image(16, 16, 5));  // one tile in both ways
    for (const char* fit : {"crop", "tile"}) {
        const std::vector<std::string> how = {"--model", f.model, "--steps", "2"};
        const Outcome made =
            run("flowmo_tokenize",
                std::vector<std::string>{f.at("wide.png"), "-o", f.at("w.tokens"), "--fit", fit, "--check"} + how);
        const Outcome again =
            run("flowmo_reconstruct",
                std::vector<std::string>{f.at("w.tokens"), "-o", f.at("w.png"), "--original", f.at("wide.png")} + how);
        const auto line = [](const std::string& out) {
            const std::size_t begin = out.find("PSNR, SSIM: ");
            return begin == out.npos ? "" : out.substr(begin, out.find('\n', begin) - begin);
        };
        CHECK_FALSE(line(made.out).empty());
        CHECK(line(made.out) == line(again.out));
    }
    io::write_png(f.at("small.png"), wave_image(12, 40, 1));
    const Outcome small =
        run("flowmo_tokenize", {f.at("small.png"), "-o", f.at("s.tokens"), "--model", f.model, "--fit", "tile"});
    CHECK(small.code == 0);
    CHECK(has(small.out, "12 x 40 pixels, 3 tiles"));
}

TEST_CASE("several photos go into a folder") {
    const Fixture& f = fixture();
    const std::string other = f.photos + "/odd/1.png";
    const Outcome both = run("flowmo_tokenize", {f.photo, other, "-o", f.at("many"), "--model", f.model});
    CAPTURE(both.err);
    CHECK(both.code == 0);
    CHECK(fs::exists(f.at("many/photo.tokens")));
    CHECK(fs::exists(f.at("many/1.tokens")));
    CHECK_FALSE(has(both.out, "PSNR"));
    const Outcome folder = run("flowmo_tokenize", {f.photos + "/odd", "-o", f.at("folder"), "--model", f.model});
    CHECK_MESSAGE(folder.code == 0, folder.err);
    const std::vector<std::string> how = {"--model", f.model, "--steps", "2"};
    const Outcome back = run("flowmo_reconstruct", std::vector<std::string>{f.at("folder"), "-o", f.at("back")} + how);
    CHECK_MESSAGE(back.code == 0, back.err);
    CHECK(run("flowmo_reconstruct", std::vector<std::string>{other, "-o", f.at("one.png")} + how).code == 0);
    CHECK(io::read_image(f.at("back/1.png")) == io::read_image(f.at("one.png")));
    CHECK(io::read_tokens(f.at("folder/1.tokens")).tokens.indices ==
          io::read_tokens(f.at("many/1.tokens")).tokens.indices);
    CHECK(run("flowmo_tokenize", {f.photo, f.photo, "-o", f.at("many"), "--model", f.model}).code == 2);
}

TEST_CASE("damaged and foreign files are refused, with nothing written") {
    const Fixture& f = fixture();
    REQUIRE(run("flowmo_tokenize", {f.photo, "-o", f.at("x.tokens"), "--model", f.model}).code == 0);
    const io::TokenFile good = io::read_tokens(f.at("x.tokens"));
    const auto refused = [&](const std::string& input, const std::string& reason) {
        CAPTURE(input);
        const Outcome outcome = run("flowmo_reconstruct", {input, "-o", f.at("never.png"), "--model", f.model});
        CAPTURE(outcome.err);
        CHECK(outcome.code == 1);
        CHECK(outcome.out.empty());
        CHECK(has(outcome.err, fs::path(input).filename().string()));
        CHECK(has(outcome.err, reason));
        CHECK_FALSE(fs::exists(f.at("never.png")));
    };
    std::vector<std::byte> bytes = io::pack_tokens(good);
    bytes[55] ^= std::byte{1};
    io::write_atomically(f.at("damaged.tokens"), bytes);
    refused(f.at("damaged.tokens"), "checksum mismatch");
    io::write_atomically(f.at("cut.tokens"), std::span(bytes).first(60));
    refused(f.at("cut.tokens"), "expected 18 payload bytes, found 8");
    io::write_atomically(f.at("text.tokens"), std::as_bytes(std::span("hello", 5)));
    refused(f.at("text.tokens"), "expected a flowfar token file, or a PNG or JPEG image");
    refused(f.at("missing.tokens"), "missing.tokens");
    io::TokenFile foreign = good;
    foreign.configuration ^= 1;
    io::write_tokens(f.at("foreign.tokens"), foreign);
    refused(f.at("foreign.tokens"), "another configuration than the model's, FlowMoNano");
    io::TokenFile lying = good;
    lying.width = 32;
    io::write_tokens(f.at("lying.tokens"), lying);
    refused(f.at("lying.tokens"), "1 tiles of 16 x 16 pixels do not make 16 x 32");

    const Outcome no_model = run("flowmo_tokenize", {f.photo, "-o", f.at("n.tokens"), "--model", f.photo});
    CHECK(no_model.code == 1);
    CHECK(has(no_model.err, "photo.png"));
    const Outcome state =
        run("flowmo_tokenize", {f.photo, "-o", f.at("n.tokens"), "--model", f.at("run/state.safetensors")});
    CHECK_MESSAGE(state.code == 0, state.err);  // its averaged weights
    CHECK(fs::exists(f.at("n.tokens")));
}

TEST_CASE("published-style weights: any format and wrapping, the configuration told by the tensors") {
    const Fixture& f = fixture();
    const io::WeightsFile ours(f.model);
    // names as given, in parts, with values scaled: only the averaged part holds the real ones
    const auto write = [&](const std::string& name, const std::vector<std::string>& parts, const std::string& prefix) {
        io::TorchWriter writer(f.at(name));
        for (const std::string& part : parts) {
            writer.select(part);
            for (const std::string& tensor : ours.names()) {
                writer.declare(prefix + tensor, DType::f32, ours.info(tensor).shape);
            }
        }
        io::Scratch scratch;
        for (const std::string& part : parts) {
            for (const std::string& tensor : ours.names()) {
                std::vector<float> values = io::values<float>(ours.at(tensor, scratch));
                for (float& value : values) {
                    value *= part == "model_state_dict" ? 0.5F : 1.0F;
                }
                writer.write_values<float>(prefix + tensor, values);
            }
        }
        writer.finish();
    };
    write("plain.pth", {""}, "");
    write("ema.pth", {"model_state_dict", "model_ema_state_dict"}, "");
    write("wrapped.pth", {"model_ema_state_dict"}, "module._orig_mod.");
    const auto converted = [&](const std::string& name, const std::string& type) {
        CHECK(run("checkpoint_tool", {"convert", f.at("plain.pth"), "-o", f.at(name), "--dtype", type}).code == 0);
    };
    std::vector<LegacyTensor> tensors;  // as PyTorch before 1.6 wrote it, from two processes
    for (const std::string& tensor : ours.names()) {
        io::Scratch scratch;
        const auto shape = ours.info(tensor).shape;
        tensors.push_back(
            {"module." + tensor, {shape.begin(), shape.end()}, io::values<float>(ours.at(tensor, scratch))});
    }
    const std::string legacy = legacy_checkpoint("model_ema_state_dict", tensors);
    io::write_atomically(f.at("legacy.pth"), std::as_bytes(std::span(legacy)));
    CHECK(io::WeightsFile(f.at("legacy.pth")).format() == "PyTorch (legacy)");
    converted("half.pth", "f16");
    converted("half.safetensors", "f16");
    converted("brief.pt", "bf16");
    const std::vector<std::string> how{"--steps", "2"};
    const auto reconstructed = [&](const std::string& model) {
        const Outcome made = run("flowmo_reconstruct",
                                 std::vector<std::string>{f.photo, "-o", f.at("again.png"), "--model", model} + how);
        CHECK_MESSAGE(made.code == 0, made.err);
        return io::read_image(f.at("again.png"));
    };
    const Image expected = reconstructed(f.model);
    for (const char* name : {"plain.pth", "ema.pth", "wrapped.pth", "legacy.pth", "brief.pt"}) {
        CAPTURE(name);
        CHECK(reconstructed(f.at(name)) == expected);
    }
    CHECK(reconstructed(f.at("half.pth")) == reconstructed(f.at("half.safetensors")));

    const Outcome named = run("flowmo_reconstruct", {f.photo, "-o", f.at("again.png"), "--model", f.at("plain.pth"),
                                                     "--config", "FlowMoNano", "--steps", "1"});
    CHECK(named.code == 0);
    if (program_has("flowmo_reconstruct", "FlowMoTiny")) {
        const Outcome other = run("flowmo_reconstruct", {f.photo, "-o", f.at("again.png"), "--model", f.at("plain.pth"),
                                                         "--config", "FlowMoTiny", "--steps", "1"});
        CHECK(other.code == 1);
        CHECK(has(other.err, "this model is FlowMoNano"));
    }
    const Outcome none =
        run("flowmo_reconstruct", {f.photo, "-o", f.at("again.png"), "--model",
                                   testing::source_folder().string() + "/examples/models/far_tiny.safetensors"});
    CHECK(none.code == 1);
    CHECK_MESSAGE(has(none.err, "far_tiny.safetensors: this is a FAR file, FlowMo expected"), none.err);
}

TEST_CASE("results go where they can: checked before the work") {
    const Fixture& f = fixture();
    const auto refused = [&](const std::string& out, const std::string& why) {
        const Outcome made = run("flowmo_reconstruct", {f.photo, "-o", out, "--model", f.at("no such model")});
        CHECK(made.code != 0);
        CHECK_MESSAGE(has(made.err, why), made.err);
    };
    refused(f.at("no/x.png"), "there is no folder ");
    refused("", "--out: expected something, found an empty word");
    const std::string before = io::read_text(f.photo);
    refused(f.photo, "photo.png: is the input, which it would replace");
    CHECK(io::read_text(f.photo) == before);
    fs::create_directory(f.at("folder"));  // takes the photo's name
    CHECK(run("flowmo_reconstruct", {f.photo, "-o", f.at("folder"), "--model", f.model, "--steps", "1"}).code == 0);
    CHECK(fs::is_regular_file(f.at("folder/photo.png")));
    fs::create_symlink("beyond.png", f.at("link.png"));  // leads to a file that does not exist yet
    CHECK(run("flowmo_reconstruct", {f.photo, "-o", f.at("link.png"), "--model", f.model, "--steps", "1"}).code == 0);
    CHECK(fs::is_symlink(f.at("link.png")));
    CHECK(fs::is_regular_file(f.at("beyond.png")));
    io::write_atomically(f.at("empty.png"), {});
    const Outcome empty = run("flowmo_reconstruct", {f.at("empty.png"), "-o", f.at("e.png"), "--model", f.model});
    CHECK(empty.code == 1);
    CHECK(has(empty.err, "found an empty file"));
    const Outcome folder = run("flowmo_tokenize", {f.photo, "-o", f.at("newdir/"), "--model", f.model});
    CHECK(folder.code == 0);
    CHECK(fs::exists(f.at("newdir/photo.tokens")));
}

TEST_CASE("the demonstration writes a contact sheet and token files") {
    const Fixture& f = fixture();
    const Outcome demo = run("flowmo_demo", {f.photo, "--model", f.model, "-o", f.at("demo"), "--size", "32"});
    CAPTURE(demo.err);
    REQUIRE(demo.code == 0);
    CHECK(has(demo.out, "test card"));
    CHECK(has(demo.out, "photo "));
    CHECK(has(demo.out, "25 steps"));
    CHECK(has(demo.out, "contact_sheet.png"));
    CHECK(io::read_image(f.at("demo/contact_sheet.png")).width > 4 * 32);
    CHECK(io::read_tokens(f.at("demo/0_test_card.tokens")).tokens.batch == 9);
    CHECK(io::read_tokens(f.at("demo/1_photo.tokens")).tokens.batch == 9);
}

TEST_CASE("baselines of the same bytes stand in one table") {
    const Fixture& f = fixture();
    const Outcome table = run("flowmo_baselines", {"--data", f.photos, "--model", f.model, "--resize", "20"});
    CAPTURE(table.err);
    REQUIRE(table.code == 0);
    CHECK(has(table.out, "of 16 x 16 pixels, at most 18 bytes each; guidance 1.5; "));
    CHECK(has(table.out, "| FlowMoNano, 1 step | 18 | 0.562 | "));
    CHECK(has(table.out, "| FlowMoNano, 25 steps | 18 | "));
    CHECK(has(table.out, "| JPEG | cannot: at least "));
    CHECK(has(table.out, "| bicubic thumbnail | 18 | "));
    const Outcome foreign = run("flowmo_baselines", {f.photos + "/odd", "--model", f.model});
    CHECK(foreign.code == 1);
    CHECK(has(foreign.err, "photos/odd: not the images that "));
    CHECK(has(foreign.err, "it had 10 images, key "));
    const Outcome unseen = run("flowmo_baselines", {f.photos + "/odd", "--model", f.model, "--unseen"});
    CHECK_MESSAGE(unseen.code == 0, unseen.err);
    CHECK(has(unseen.out, "4 images of 16 x 16 pixels"));
    const Outcome wide = run("flowmo_baselines", {"--data", f.photos, "--model", f.model, "--size", "24"});
    CHECK(wide.code == 1);
    CHECK(has(wide.err, "--size 24 is not a multiple"));
}

TEST_CASE("help and wrong usage") {
    const Fixture& f = fixture();
    for (const char* program : {"flowmo_tokenize", "flowmo_reconstruct", "flowmo_demo", "flowmo_baselines"}) {
        CAPTURE(program);
        const Outcome help = run(program, {"--help"});
        CHECK(help.code == 0);
        CHECK(help.err.empty());
        for (const char* option : {"--model", "--guidance", "--power", "--interval", "--seed", "--threads", "--help"}) {
            CAPTURE(option);
            CHECK(has(help.out, option));
        }
        const Outcome unknown = run(program, {"--nonsense"});
        CHECK(unknown.code == 2);
        CHECK(unknown.out.empty());
        CHECK(has(unknown.err, "unknown option --nonsense"));
    }
    CHECK(run("flowmo_tokenize", {"-o", "x", "--model", f.model}).code == 2);
    CHECK(run("flowmo_tokenize", {f.photo, "--model", f.model}).code == 2);
    CHECK(run("flowmo_reconstruct", {f.photo, "-o", "x.png"}).code == 2);
    CHECK(run("flowmo_reconstruct", {f.photo, "-o", "x.png", "--model", f.model, "--steps", "0"}).code == 2);
    CHECK(run("flowmo_reconstruct", {f.photo, "-o", "x.png", "--model", f.model, "--interval", "2,1"}).code == 2);
    CHECK(run("flowmo_reconstruct", {f.photo, "-o", "x.png", "--model", f.model, "--original", f.photo}).code == 2);
}
