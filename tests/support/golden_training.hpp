#pragma once

/// One recorded evaluation of FlowMo's training loss, and its gradients.

#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "flowfar/flowmo/loss.hpp"

#include "golden.hpp"
#include "golden/recordings.hpp"
#include "golden_backend.hpp"

namespace flowfar::testing {

/// The numbers that stood in for the reference's draws of times and of dropped codes.
struct RecordedDraws {
    std::vector<float> normal{-1.2F, 0.3F, 0.9F, -0.4F};    ///< nt
    std::vector<float> select{0.2F, 0.95F, 0.5F, 0.91F};    ///< u_select: above 0.9 t is replaced
    std::vector<float> replace{0.6F, 0.7F, 0.15F, 0.33F};   ///< u_replace
    std::vector<float> condition{0.05F, 0.5F, 0.9F, 0.2F};  ///< u_cfg: up to 0.1 the code is dropped

    /// Of a case; where it does not store them, they are the ones above, for up to 4 samples.
    explicit RecordedDraws(const Golden& golden) {
        for (const auto& [name, values] : {std::pair{"nt", &normal}, std::pair{"u_select", &select},
                                           std::pair{"u_replace", &replace}, std::pair{"u_cfg", &condition}}) {
            if (golden.has(name)) {
                *values = golden.values(name);
            }
        }
    }
    /// Times and kept codes of samples [begin, end).
    [[nodiscard]] FlowMoDraws<float> draws(Index begin, Index end) const {
        FlowMoDraws<float> out;
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
            out.times.push_back(select.at(i) > 0.9F ? replace.at(i) : 1.0F / (1.0F + std::exp(-normal.at(i))));
            out.keep.push_back(condition.at(i) > 0.1F ? 1.0F : 0.0F);
        }
        return out;
    }
};

/// Gradients by parameter name, as the reference has them: it computes one part that nobody reads, the queries of the
/// encoder's last image stream and of the decoder's last code stream, so their norm gains have gradients that are zero
/// throughout where our model has none. These are listed here as zeros.
template <class Model>
[[nodiscard]] std::map<std::string, HostTensor> reference_gradients(Model& model) {
    using C = typename Model::Config;
    const std::set<std::string> unread{
        text("encoder.double_blocks.", C::encoder.depth - 1, ".img_attn.norm.query_norm.scale"),
        text("decoder.double_blocks.", C::decoder.depth - 1, ".txt_attn.norm.query_norm.scale")};
    std::map<std::string, HostTensor> out;
    for_each_parameter(model, [&](const auto& p) {
        if (p.gradient().defined()) {
            require(!unread.contains(p.name), p.name, ": expected no gradient");
            out.emplace(p.name, host<Tested>(p.gradient()));
        } else if (unread.contains(p.name)) {
            out.emplace(p.name, HostTensor{p.extents(), std::vector<double>(static_cast<std::size_t>(p.count()), 0.0)});
        }
    });
    return out;
}

[[nodiscard]] inline double norm(const std::vector<double>& values) {
    double squares = 0;
    for (const double value : values) {
        squares += value * value;
    }
    return std::sqrt(squares);
}

/// The norm over all gradients.
[[nodiscard]] inline double norm(const std::map<std::string, HostTensor>& tensors) {
    std::vector<double> norms;
    for (const auto& [name, tensor] : tensors) {
        norms.push_back(norm(tensor.values));
    }
    return norm(norms);
}

/// Checks grad_l2, grad_sum and grad_probe, three numbers per entry of grad_names.
inline void check_gradient_statistics(const Golden& golden, const std::map<std::string, HostTensor>& gradients) {
    const std::vector<std::string> names = golden.names("grad_names");
    const std::vector<double> norms = golden.doubles("grad_l2");
    const std::vector<double> sums = golden.doubles("grad_sum");
    const std::vector<double> probes = golden.doubles("grad_probe");
    require(names.size() == gradients.size(), "expected ", names.size(), " gradients, found ", gradients.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
        const HostTensor& gradient = gradients.at(names[i]);
        const std::vector<float> weights = fill("probe." + names[i], gradient.values.size());
        double sum = 0;
        double probe = 0;
        for (std::size_t k = 0; k < weights.size(); ++k) {
            sum += gradient.values[k];
            probe += gradient.values[k] * static_cast<double>(weights[k]);
        }
        const double scale = norms[i] > 0 ? norms[i] : 1.0;  // some gradients are zero throughout
        check_error(names[i] + " norm", std::abs(norm(gradient.values) - norms[i]) / scale, 2e-5);
        check_error(names[i] + " sum", std::abs(sum - sums[i]) / scale, 2e-3);
        check_error(names[i] + " probe", std::abs(probe - probes[i]) / scale, 2e-4);
    }
}

}  // namespace flowfar::testing
