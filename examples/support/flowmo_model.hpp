#pragma once

// FlowMo models behind one run-time interface, so that a program is compiled once and not once per configuration.

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/io/file.hpp"
#include "flowfar/io/safetensors.hpp"
#include "flowfar/nn/parameter.hpp"

#include "config_tables.hpp"

namespace flowfar::program {

/// What a program must know about a configuration.
struct FlowMoFacts {
    std::string name;
    int height = 0, width = 0;  // of one image
    Index image_tokens = 0;     // patches per image
    Index code_length = 0, per_token = 0, bits = 0;
    std::uint64_t hash = 0;  // as in token files
    Index parameter_count = 0;

    [[nodiscard]] Index bits_per_image() const { return code_length * per_token * bits; }
};

/// A sampling step as a callback sees it: the clean images that it implies, [batch, 3, height, width].
struct FlowMoEstimate {
    int step = 0, steps = 0;
    double time = 0;
    std::function<std::vector<float>()> images;
};

/// A FlowMo on the CPU whose configuration is chosen at run time. Images are planes [batch, 3, height, width] in
/// [-1, 1] of exactly the configuration's size.
class AnyFlowMo {
   public:
    using Callback = std::function<void(const FlowMoEstimate&)>;

    AnyFlowMo() = default;
    AnyFlowMo(const AnyFlowMo&) = delete;
    AnyFlowMo& operator=(const AnyFlowMo&) = delete;
    virtual ~AnyFlowMo() = default;

    [[nodiscard]] const FlowMoFacts& facts() const { return facts_; }
    virtual void initialise(std::uint64_t seed) = 0;
    virtual void load(const io::Path& path) = 0;
    virtual void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata = {}) = 0;
    [[nodiscard]] virtual std::vector<ParameterRef<Cpu>> parameters() = 0;
    [[nodiscard]] virtual Tokens encode(const std::vector<float>& images) const = 0;
    [[nodiscard]] virtual std::vector<float> decode(const Tokens& tokens, const FlowMoDecodeOptions& options,
                                                    const Callback& callback = {}) const = 0;

   protected:
    FlowMoFacts facts_;
};

/// A model without values. Defined once per configuration, see flowmo_model_impl.hpp.
template <class C>
[[nodiscard]] std::unique_ptr<AnyFlowMo> make_flowmo();

/// A model of the configuration of this name, without values.
[[nodiscard]] inline std::unique_ptr<AnyFlowMo> make_flowmo(std::string_view name) {
    std::unique_ptr<AnyFlowMo> model;
    FlowMoConfigs::visit(name, [&]<class C>() { model = make_flowmo<C>(); });
    return model;
}

/// Reads a model file; its metadata names the configuration.
[[nodiscard]] inline std::unique_ptr<AnyFlowMo> load_flowmo(const io::Path& path) {
    const auto metadata = io::SafetensorsFile(path).metadata();
    const auto name = metadata.find("configuration");
    require(name != metadata.end(), path.string(),
            ": the metadata lacks \"configuration\"; not written by flowmo_train?");
    auto model = make_flowmo(name->second);
    model->load(path);
    return model;
}

}  // namespace flowfar::program
