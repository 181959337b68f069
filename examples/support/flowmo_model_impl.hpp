#pragma once

// Defines make_flowmo<C>(); included only by the units that examples/CMakeLists.txt generates per configuration.

#include <utility>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/flowmo.hpp"
#include "flowfar/io/token_file.hpp"

#include "flowmo_model.hpp"

namespace flowfar::program {

template <class C>
class CpuFlowMo final : public AnyFlowMo {
   public:
    using Model = FlowMo<C, Cpu>;
    using Images = typename Model::Images;

    CpuFlowMo() {
        facts_ = {std::string(C::name),
                  static_cast<int>(C::image_height),
                  static_cast<int>(C::image_width),
                  Model::Config::image_tokens,
                  C::code_length,
                  Model::Config::codewords_per_token,
                  C::codebook_bits,
                  io::configuration_hash<C>(),
                  0};
        for (const auto& p : flowfar::parameters(model_)) {
            facts_.parameter_count += p.extents().count();
        }
    }
    void initialise(std::uint64_t seed) override { model_.initialise(seed); }
    void load(const io::Path& path) override { io::load_parameters(model_, path); }
    void save(const io::Path& path, DType dtype, std::map<std::string, std::string> metadata) override {
        metadata["format"] = "pt";
        metadata["configuration"] = C::name;
        io::save_parameters(model_, path, dtype, metadata);
    }
    std::vector<ParameterRef<Cpu>> parameters() override { return flowfar::parameters(model_); }

    Tokens encode(const std::vector<float>& images) const override {
        constexpr Index size = 3 * C::image_height * C::image_width;
        const auto batch = static_cast<Index>(images.size()) / size;
        return model_.encode(Images::from_host(images, {batch, 3, C::image_height, C::image_width}));
    }
    std::vector<float> decode(const Tokens& tokens, const FlowMoDecodeOptions& options,
                              const Callback& callback) const override {
        typename Model::Callback inner;
        if (callback) {
            inner = [&](const typename Model::Step& step) {
                callback({step.step, step.steps, step.time, [&step] { return step.estimate.to_host(); }});
                return true;
            };
        }
        return model_.decode(tokens, options, inner).to_host();
    }

   private:
    Model model_;
};

template <class C>
std::unique_ptr<AnyFlowMo> make_flowmo() {
    return std::make_unique<CpuFlowMo<C>>();
}

}  // namespace flowfar::program
