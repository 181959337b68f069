#pragma once

// What stands in for large files when the code of the documents is compiled and run: the names of published
// configurations mean small ones with the same sizes of pictures, codes and latents, and files of the names that the
// documents read hold random weights and a drawn photo.

#include <flowfar/cpu.hpp>
#include <flowfar/far.hpp>
#include <flowfar/flowmo.hpp>
#include <flowfar/io.hpp>

#include "../support/byte_vocabulary.hpp"

namespace flowfar {

/// 256 × 256 pixels to 256 tokens of 18 bits, as FlowMoLo.
struct StandInLo : FlowMoLo {
    static constexpr Index patch = 32;
    static constexpr MmditConfig encoder{32, 2, 1, {4, 6, 6}};
    static constexpr MmditConfig decoder{32, 2, 1, {4, 6, 6}};
};
/// Latents [16, 16, 16] of 1000 classes, as FarB.
struct StandInB : FarB {
    static constexpr Index patch = 4;
    static constexpr Index buffer = 2;
    static constexpr Index hidden = 32;
    static constexpr Index heads = 2;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 1;
    static constexpr Index head_width = 32;
    static constexpr Index head_depth = 1;
    static constexpr FarSampling sampling{.diffusion_steps = 4};
};
/// StandInLo's tokens of 1000 classes, as MaskGit172M.
struct StandInGit : MaskGit172M {
    static constexpr Index hidden = 32;
    static constexpr Index heads = 2;
    static constexpr Index depth = 1;
    static constexpr MaskGitSampling sampling{.steps = 4};
};
/// 16 channels at a sixteenth of the size, as Kl16.
struct StandInKl16 : Kl16 {
    static constexpr Index width = 8;
    static constexpr std::array<Index, 5> multipliers{1, 1, 1, 1, 1};
    static constexpr Index blocks = 1;
    static constexpr Index groups = 4;
};
/// Latents as FarB's, contexts as FarText256's.
struct StandInText : FarText256 {
    static constexpr Index patch = 4;
    static constexpr Index hidden = 32;
    static constexpr Index heads = 1;
    static constexpr Index head_size = 16;
    static constexpr Index context_width = 16;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 1;
    static constexpr Index head_width = 32;
    static constexpr Index head_depth = 1;
    static constexpr FarSampling sampling{.diffusion_steps = 4, .filter_first = true};
};
/// The published vocabulary.
struct StandInQwen : Qwen1B5 {
    static constexpr Index hidden = 16;
    static constexpr Index layers = 1;
    static constexpr Index heads = 2;
    static constexpr Index key_heads = 1;
    static constexpr Index mlp = 16;
};

}  // namespace flowfar

#define FlowMoLo StandInLo
#define FarB StandInB
#define Kl16 StandInKl16
#define FarText256 StandInText
#define Qwen1B5 StandInQwen
#define MaskGit172M StandInGit

/// Writes the files that the documents read into the current folder.
inline void make_stand_ins() {
    namespace ff = flowfar;
    ff::Image photo = ff::make_image(300, 400);
    for (std::size_t i = 0; i < photo.pixels.size(); ++i) {
        photo.pixels[i] = static_cast<std::uint8_t>(i * 7 % 251);
    }
    ff::io::write_image("photo.jpg", photo);
    const auto flowmo = ff::FlowMo<ff::FlowMoLo, ff::Cpu>::random(1);
    ff::io::save_torch_parameters(flowmo, "flowmo_lo.pth", ff::DType::f32, "model_ema_state_dict");
    ff::save(ff::MaskGit<ff::MaskGit172M, ff::Cpu>::random(6), "tokens_lo.safetensors");
    const auto far = ff::Far<ff::FarB, ff::Cpu>::random(2);
    ff::io::save_torch_parameters(far, "checkpoint-last.pth", ff::DType::f32, "model_ema");
    const auto vae = ff::Vae<ff::Kl16, ff::Cpu>::random(3);
    ff::io::save_torch_parameters(vae, "kl16.ckpt", ff::DType::f32, "model");
    const auto painter = ff::FarText<ff::FarText256, ff::Cpu>::random(4);
    ff::io::save_torch_parameters(painter, "far_t2i.pth", ff::DType::f32, "model_ema");
    std::filesystem::create_directories("Qwen2-1.5B");
    const auto reader = ff::Qwen2<ff::Qwen1B5, ff::Cpu>::random(5);
    ff::save(reader, "Qwen2-1.5B/model.safetensors", ff::DType::bf16);
    const std::string symbols = ff::testing::byte_vocabulary();
    ff::io::write_atomically("Qwen2-1.5B/vocab.json", std::as_bytes(std::span(symbols)));
    ff::io::write_atomically("Qwen2-1.5B/merges.txt", std::span<const std::byte>());
}
