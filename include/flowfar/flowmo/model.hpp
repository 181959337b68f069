#pragma once

#include <array>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/flowmo/config.hpp"
#include "flowfar/flowmo/mmdit.hpp"
#include "flowfar/flowmo/sample.hpp"
#include "flowfar/quantize/quantizer.hpp"
#include "flowfar/quantize/tokens.hpp"

namespace flowfar {

/// FlowMo (arXiv 2503.11056): a transformer diffusion autoencoder. Configuration C (flowmo/config.hpp), backend B,
/// element type T. Images are [batch, 3, height, width] in [−1, 1]. Inference on a const model from several threads is
/// safe on the CPU. Parameters are unset until `initialize` or a loader fills them.
///
///     using Model = flowfar::FlowMo<flowfar::FlowMoLo, flowfar::Cpu>;
///     const auto model = flowfar::load<Model>("flowmo_lo.pth");                                    // flowfar/io.hpp
///     const flowfar::Tokens tokens = model.encode(flowfar::io::read_image("photo.jpg", {.size = 256}));
///     flowfar::io::write_image("again.png", model.decode(tokens, {.steps = 25, .seed = 7}));
template <class C, class B, class T>
class FlowMo {
   public:
    using Config = CheckedFlowMoConfig<C>;
    using Backend = B;
    using Element = T;
    using Images = Tensor<B, Shape<dyn, 3, C::image_height, C::image_width>, T>;
    using Codes = Tensor<B, Shape<dyn, C::code_length, C::context_dim>, T>;
    using Encoded = Tensor<B, Shape<dyn, C::code_length, Config::code_width>, T>;
    using CodeInputs = Tensor<B, Shape<dyn, C::code_length, C::context_dim + 1>, T>;
    using Times = Tensor<B, Shape<dyn>, T>;
    using Quantizer = typename Config::Quantizer;
    static_assert(flowfar::Quantizer<Quantizer, Encoded>,
                  "FlowMo: the quantizer lacks something (quantize/quantizer.hpp)");
    using Encoder = Mmdit<B, C::encoder.hidden, C::encoder.heads, C::encoder.mlp_width(), Config::patch_dim,
                          Config::code_width, Config::code_width, T>;
    using Decoder = Mmdit<B, C::decoder.hidden, C::decoder.heads, C::decoder.mlp_width(), Config::patch_dim,
                          C::context_dim + 1, C::context_dim + 1, T>;
    using Step = FlowMoStep<Images>;
    /// Called after each sampling step; returning false stops with the current estimate.
    using Callback = std::function<bool(const Step&)>;

    /// The rotary angles of both transformers for one image size.
    struct Geometry {
        Index height = 0;
        Index width = 0;
        typename Encoder::Table encoder;
        typename Decoder::Table decoder;
    };

    Encoder encoder{C::encoder.depth};
    Decoder decoder{C::decoder.depth};
    bool checkpoint_blocks = false;  ///< training: recompute blocks in the backward pass to save memory

    FlowMo() {
        if constexpr (C::image_height != dyn && C::image_width != dyn) {
            fixed_ = make_geometry(C::image_height, C::image_width);
        }
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static FlowMo random(std::uint64_t seed) {
        FlowMo model;
        model.initialize(seed);
        return model;
    }
    /// Fills all parameters as a fresh PyTorch model would (with this library's random numbers).
    void initialize(std::uint64_t seed) {
        encoder.initialize(fold(seed, "encoder"));
        decoder.initialize(fold(seed, "decoder"));
    }

    /// Angles for images of this size, in pixels; both divisible by the patch.
    [[nodiscard]] Geometry geometry(Index height, Index width) const {
        return fixed_ && fixed_->height == height && fixed_->width == width ? *fixed_ : make_geometry(height, width);
    }

    /// Images → the encoder's output, before quantization.
    [[nodiscard]] Encoded encode_continuous(const Images& images) const {
        return encode_observed(images, [](Index, const auto&, const auto&) {});
    }
    /// `encode_continuous` with a look at the streams between blocks (see Mmdit::run).
    template <class Observer>
    [[nodiscard]] Encoded encode_observed(const Images& images, Observer&& observe) const {
        const Geometry angles = geometry(images.extent(2), images.extent(3));
        const auto blank = Encoded::zeros(images.extent(0));
        const typename Encoder::Options options{{.image = false, .code = true}, checkpoint_blocks};
        return encoder.run(patchify(images), blank, {}, angles.encoder, options, observe).code;
    }
    /// Images → quantized codes, whatever the quantizer; with a seed as in training, which KL makes a sample.
    [[nodiscard]] Codes encode_code(const Images& images, std::optional<std::uint64_t> seed = {}) const {
        const Encoded code = encode_continuous(images);
        return seed ? Codes(Quantizer::quantize(code, *seed)) : Codes(Quantizer::quantize(code));
    }
    /// Images → tokens.
    [[nodiscard]] Tokens encode(const Images& images) const {
        static_assert(DiscreteQuantizer<Quantizer>, "FlowMo::encode: this quantizer has no tokens; use encode_code");
        return Quantizer::tokens(encode_continuous(images));
    }
    [[nodiscard]] Tokens encode(std::span<const Image> images) const {
        for (const Image& image : images) {
            require((C::image_height == dyn || image.height == C::image_height) &&
                        (C::image_width == dyn || image.width == C::image_width),
                    C::name, ": expected images of ", C::image_height, " x ", C::image_width, " pixels, found ",
                    image.height, " x ", image.width);
        }
        return encode(to_tensor<Images>(images));
    }
    [[nodiscard]] Tokens encode(const Image& image) const { return encode(std::span<const Image>(&image, 1)); }

    /// A quantized code and the mask channel of ones that tells it from the null code.
    [[nodiscard]] static CodeInputs with_mask(const Codes& code) {
        using Mask = Tensor<B, Shape<dyn, C::code_length, 1>, T>;
        return concat<2>(code, Mask::full(1.0, code.extent(0)));
    }
    /// The absent condition of guidance: zeros, mask channel included.
    [[nodiscard]] static CodeInputs null_code(Index batch) { return CodeInputs::zeros(batch); }
    /// The quantized code of tokens. Throws `Error` for tokens of other sizes and for indices outside the codebook.
    [[nodiscard]] static Codes code_of(const Tokens& tokens) {
        static_assert(DiscreteQuantizer<Quantizer>, "FlowMo::code_of: this quantizer has no tokens");
        constexpr Index bits = Config::codewords_per_token * Config::codebook_bits;
        require(tokens.length == C::code_length && tokens.context_dim() == bits, C::name, ": expected ", C::code_length,
                " tokens of ", bits, " bits, found ", tokens.length, " of ", tokens.context_dim());
        Quantizer::Codebook::check(tokens, C::name);
        return Codes::from_host(Quantizer::template code<T>(tokens), {tokens.batch, C::code_length, C::context_dim});
    }

    /// The velocity field: noisy images z, code with mask channel, times [batch] in [0, 1].
    [[nodiscard]] Images velocity(const Images& z, const CodeInputs& code, const Times& t) const {
        return velocity(z, code, t, geometry(z.extent(2), z.extent(3)));
    }
    [[nodiscard]] Images velocity(const Images& z, const CodeInputs& code, const Times& t,
                                  const Geometry& angles) const {
        const typename Decoder::Options options{{.image = true, .code = false}, checkpoint_blocks};
        const auto out = decoder(patchify(z), code, decoder.time_vector(t), angles.decoder, options);
        return unpatchify(out.image, z.extent(2), z.extent(3));
    }
    using Modulations = typename Decoder::Modulations;
    /// What the decoder needs to know of times [n]: [n, width]. A row serves any batch whose images have one time.
    [[nodiscard]] Modulations modulations(const Times& t) const { return decoder.modulations(decoder.time_vector(t)); }
    /// The velocity field at one time for the whole batch, by its row of `modulations`, [1, width].
    [[nodiscard]] Images velocity_at(const Images& z, const CodeInputs& code, const Modulations& time,
                                     const Geometry& angles) const {
        return unpatchify(decoder.run_modulated(patchify(z), code, time, angles.decoder), z.extent(2), z.extent(3));
    }

    /// Tokens → images [batch, 3, height, width] in [−1, 1], in the configuration's size or in a given one. Image i
    /// starts from the part of the noise stream of `options.seed` that begins at i · 3 · height · width. On Autodiff<B>
    /// the whole chain is recorded. `FlowMoSampler` takes schedules and noise of one's own.
    [[nodiscard]] Images decode(const Tokens& tokens, const FlowMoDecodeOptions& options = {},
                                const Callback& callback = {}) const {
        static_assert(C::image_height != dyn && C::image_width != dyn,
                      "FlowMo::decode: this configuration leaves the image size open; pass height and width");
        return decode(tokens, options, C::image_height, C::image_width, callback);
    }
    [[nodiscard]] Images decode(const Tokens& tokens, const FlowMoDecodeOptions& options, Index height, Index width,
                                const Callback& callback = {}) const {
        return decode_code(code_of(tokens), options, height, width, callback);
    }
    /// Quantized codes → images, whatever the quantizer: `decode` for codes of `encode_code`.
    [[nodiscard]] Images decode_code(const Codes& code, const FlowMoDecodeOptions& options, Index height, Index width,
                                     const Callback& callback = {}) const {
        const FlowMoSampler<FlowMo> sampler(*this, options);
        return sampler(code, Images::normal({code.extent(0), 3, height, width}, options.seed), callback);
    }
    [[nodiscard]] Images decode_code(const Codes& code, const FlowMoDecodeOptions& options = {},
                                     const Callback& callback = {}) const {
        static_assert(C::image_height != dyn && C::image_width != dyn,
                      "FlowMo::decode_code: this configuration leaves the image size open; pass height and width");
        return decode_code(code, options, C::image_height, C::image_width, callback);
    }

    /// [batch, 3, H, W] → [batch, (H/p)(W/p), 3p²]; within a patch: row, column, channel, channel fastest.
    [[nodiscard]] static typename Encoder::Patches patchify(const Images& images) {
        constexpr Index p = C::patch;
        const Index batch = images.extent(0);
        const Index rows = images.extent(2) / p;
        const Index columns = images.extent(3) / p;
        const auto six = reshape<dyn, 3, dyn, p, dyn, p>(images, batch, rows, columns);
        return reshape<dyn, dyn, Config::patch_dim>(permute<0, 2, 4, 3, 5, 1>(six), batch, rows * columns);
    }
    [[nodiscard]] static Images unpatchify(const typename Encoder::Patches& patches, Index height, Index width) {
        constexpr Index p = C::patch;
        const Index batch = patches.extent(0);
        const auto six = reshape<dyn, dyn, dyn, p, p, 3>(patches, batch, height / p, width / p);
        return reshape<dyn, 3, dyn, dyn>(permute<0, 5, 1, 3, 2, 4>(six), batch, height, width);
    }

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("encoder", self.encoder);
        v("decoder", self.decoder);
    }

   private:
    static Geometry make_geometry(Index height, Index width) {
        require(height >= C::patch && width >= C::patch && height % C::patch == 0 && width % C::patch == 0, C::name,
                ": image of ", height, " x ", width, " pixels; both must be multiples of the patch, ", C::patch);
        // Code token n sits at (n, n, n), the image token in row r and column c at (0, r, c).
        std::vector<std::array<Index, 3>> ids;
        for (Index n = 0; n < C::code_length; ++n) {
            ids.push_back({n, n, n});
        }
        for (Index r = 0; r < height / C::patch; ++r) {
            for (Index c = 0; c < width / C::patch; ++c) {
                ids.push_back({0, r, c});
            }
        }
        const std::span<const std::array<Index, 3>> span(ids);
        return {height, width, rope_table<B, C::encoder.head_size(), T>(C::encoder.axes, span),
                rope_table<B, C::decoder.head_size(), T>(C::decoder.axes, span)};
    }

    std::optional<Geometry> fixed_;
};

}  // namespace flowfar
