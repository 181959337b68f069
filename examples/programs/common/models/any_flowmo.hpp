#pragma once

// FlowMo models behind one run-time interface, so that a program is compiled once and not once per configuration.
// Programs include flowmo_model.hpp.

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/flowmo/sample_options.hpp"
#include "flowfar/flowmo/tile_grid.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/nn/parameter.hpp"
#include "flowfar/quantize/tokens.hpp"

#include "common/cli/device.hpp"

namespace flowfar::program {

/// What a program must know about a configuration.
struct FlowMoFacts {
    std::string name;
    int height = 0, width = 0;  // of one image
    Index image_tokens = 0;     // patches per image
    Index code_length = 0, per_token = 0, bits = 0;
    std::uint64_t hash = 0;  // as in token files
    Index parameter_count = 0;
    Index codewords = 0;  // indices are below this
    std::string levels;   // of a codeword's values (Codebook::levels_text)

    [[nodiscard]] Index bits_per_image() const { return code_length * per_token * bits; }
};

/// A sampling step as a callback sees it: the clean images that it implies, [batch, 3, height, width].
struct FlowMoEstimate {
    int step = 0, steps = 0;
    double time = 0;
    std::function<std::vector<float>()> images;
};

/// A FlowMo whose configuration and device are chosen at run time. Images are planes [batch, 3, height, width] in
/// [-1, 1] of exactly the configuration's size.
class AnyFlowMo {
   public:
    using Callback = std::function<void(const FlowMoEstimate&)>;

    AnyFlowMo() = default;
    AnyFlowMo(const AnyFlowMo&) = delete;
    AnyFlowMo& operator=(const AnyFlowMo&) = delete;
    virtual ~AnyFlowMo() = default;

    [[nodiscard]] const FlowMoFacts& facts() const { return facts_; }
    virtual void initialize(std::uint64_t seed) = 0;
    virtual void load(const io::Path& path) = 0;
    virtual void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata = {}) = 0;
    [[nodiscard]] virtual AnyParameters parameters() = 0;
    [[nodiscard]] virtual Tokens encode(const std::vector<float>& images) const = 0;
    [[nodiscard]] virtual std::vector<float> decode(const Tokens& tokens, const FlowMoDecodeOptions& options,
                                                    const Callback& callback = {}) const = 0;
    using PictureCallback = std::function<void(const TiledStep&)>;
    /// A picture of any size from the tokens of its tiles, `at_once` of them at a time.
    [[nodiscard]] virtual Image decode_picture(const Tokens& tokens, const TileGrid& tiles, Index at_once,
                                               const FlowMoDecodeOptions& options,
                                               const PictureCallback& callback = {}) const = 0;

   protected:
    FlowMoFacts facts_;
};

/// A model without values. Defined once per configuration, backend and element type, see flowmo_model_impl.hpp.
template <class C, class B, class T>
[[nodiscard]] std::unique_ptr<AnyFlowMo> make_flowmo();

}  // namespace flowfar::program
