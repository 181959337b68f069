#pragma once

/// Loads weights that others trained: tensors that our network does not have are skipped by name, batch norms become
/// part of the convolutions before them, and the errors say where such files are found.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"
#include "flowfar/io/tensors/weights.hpp"
#include "flowfar/perceptual/published.hpp"

namespace flowfar::io {

/// A file of torchvision's names as a network without batch norms sees it: for a convolution "….conv1" followed by
/// "….bn1" ("….conv" by "….bn", "….downsample.0" by "….downsample.1") there are weight and bias of both as one. `File`
/// is SafetensorsFile, TorchCheckpoint or like them; it must outlive this object, which one thread may use at a time.
template <class File>
class FoldedWeights {
   public:
    FoldedWeights(const File& file, const PublishedWeights& published) : file_(file), epsilon_(published.norm_epsilon) {
        std::set<std::string> norms;
        const auto skipped = [&](const std::string& name) {
            return !published.skipped.empty() && name.starts_with(published.skipped);
        };
        for (const std::string& name : file.names()) {
            const std::string layer = layer_of(name, ".weight");
            const std::string norm = norm_of(layer);
            if (epsilon_ > 0.0 && !skipped(name) && !norm.empty() && file.contains(norm + ".running_mean")) {
                norms_[layer] = norm;
                norms.insert(norm);
            }
        }
        for (const std::string& name : file.names()) {
            if (skipped(name) || name.ends_with(".num_batches_tracked") ||
                norms.contains(name.substr(0, name.rfind('.')))) {
                continue;
            }
            names_.push_back(name);
            const std::string layer = layer_of(name, ".weight");
            if (norms_.contains(layer) && !file.contains(layer + ".bias")) {
                names_.push_back(layer + ".bias");
            }
        }
        known_ = {names_.begin(), names_.end()};
    }

    /// Reads all norms and throws `Error` if one of them cannot be folded.
    void check() const {
        for (const auto& [layer, norm] : norms_) {
            const std::vector<Index> shape = info(layer + ".weight").shape;
            require(!shape.empty(), path().string(), ": tensor \"", layer, ".weight\" is a single number");
            static_cast<void>(shifts(layer, norm, shape[0]));
        }
    }

    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
    [[nodiscard]] bool contains(const std::string& name) const { return known_.contains(name); }
    [[nodiscard]] Path path() const { return file_.path(); }

    [[nodiscard]] TensorInfo info(const std::string& name) const { return detail::info_of(file_, source(name)); }
    /// The view is valid until the next call.
    [[nodiscard]] TensorView at(const std::string& name) const {
        for (const std::string_view part : {".weight", ".bias"}) {
            const auto found = norms_.find(layer_of(name, part));
            if (found != norms_.end()) {
                return part == ".weight" ? folded_weight(found->first, found->second)
                                         : folded_bias(found->first, found->second);
            }
        }
        return stored(name);
    }

   private:
    /// "a.conv" for "a.conv.weight"; nothing for names that end otherwise.
    [[nodiscard]] static std::string layer_of(const std::string& name, std::string_view ending) {
        return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : std::string();
    }
    /// The batch norm that follows a convolution in torchvision's networks, or nothing.
    [[nodiscard]] static std::string norm_of(const std::string& layer) {
        constexpr std::string_view adapter = "downsample.0";
        if (layer.ends_with(adapter)) {
            return layer.substr(0, layer.size() - 1) + "1";
        }
        const std::size_t at = layer.rfind("conv");
        return at == std::string::npos ? std::string() : layer.substr(0, at) + "bn" + layer.substr(at + 4);
    }
    [[nodiscard]] TensorView stored(const std::string& name) const { return detail::view_of(file_, name, scratch_); }
    /// What to read for a tensor's extents.
    [[nodiscard]] std::string source(const std::string& name) const {
        const auto found = norms_.find(layer_of(name, ".bias"));
        return found == norms_.end() ? name : found->second + ".bias";
    }
    /// One number per output channel.
    [[nodiscard]] std::vector<double> vector(const std::string& name, Index count) const {
        const TensorView view = stored(name);
        require(view.shape == std::vector<Index>{count}, view.label, ": expected [", count, "], found ",
                shape_text(view.shape));
        std::vector<double> out = values<double>(view);
        for (std::size_t i = 0; i < out.size(); ++i) {
            require(std::isfinite(out[i]), view.label, ": element ", i, " is ", out[i], ", expected a finite number");
        }
        return out;
    }
    /// What the norm multiplies each channel by.
    [[nodiscard]] std::vector<double> scales(const std::string& norm, Index count) const {
        std::vector<double> out = vector(norm + ".weight", count);
        const std::vector<double> variance = vector(norm + ".running_var", count);
        for (std::size_t i = 0; i < out.size(); ++i) {
            require(variance[i] >= 0.0, path().string(), ": tensor \"", norm, ".running_var\": element ", i, " is ",
                    variance[i], "; a variance is not negative");
            out[i] /= std::sqrt(variance[i] + epsilon_);
        }
        return out;
    }
    /// The bias of both layers as one.
    [[nodiscard]] std::vector<double> shifts(const std::string& layer, const std::string& norm, Index count) const {
        std::vector<double> out = vector(norm + ".bias", count);
        const std::vector<double> mean = vector(norm + ".running_mean", count);
        const std::vector<double> scale = scales(norm, count);
        const std::vector<double> own =
            file_.contains(layer + ".bias") ? vector(layer + ".bias", count) : std::vector<double>(scale.size());
        for (std::size_t i = 0; i < out.size(); ++i) {
            out[i] += (own[i] - mean[i]) * scale[i];
        }
        return out;
    }
    [[nodiscard]] TensorView folded_weight(const std::string& layer, const std::string& norm) const {
        TensorView view = stored(layer + ".weight");
        folded_ = values<double>(view);
        const std::vector<double> scale = scales(norm, view.shape[0]);
        const std::size_t row = folded_.size() / std::max<std::size_t>(scale.size(), 1);
        for (std::size_t i = 0; i < folded_.size(); ++i) {
            folded_[i] *= scale[i / row];
        }
        return as_view(std::move(view.shape), std::move(view.label));
    }
    [[nodiscard]] TensorView folded_bias(const std::string& layer, const std::string& norm) const {
        const TensorView bias = stored(norm + ".bias");
        std::vector<Index> shape = bias.shape;
        std::string label = bias.label;
        folded_ = shifts(layer, norm, shape[0]);
        return as_view(std::move(shape), std::move(label));
    }
    [[nodiscard]] TensorView as_view(std::vector<Index> shape, std::string label) const {
        return {DType::f64, std::move(shape), std::as_bytes(std::span<const double>(folded_)), std::move(label)};
    }

    const File& file_;
    double epsilon_;
    std::map<std::string, std::string> norms_;  ///< convolution → batch norm
    std::vector<std::string> names_;
    std::set<std::string> known_;
    mutable std::vector<double> folded_;  ///< not rounded before the network asks for it
    mutable Scratch scratch_;
};

namespace detail {

/// Runs `load` and adds to its errors where the weights should come from.
template <class Network, class F>
void explained(F&& load) {
    try {
        load();
    } catch (const Error& error) {
        fail(error.what(), "\nThese weights usually come from ", Network::published.where);
    }
}
template <class Network, class File>
void load_folded(Network& network, const File& file) {
    const FoldedWeights<File> weights(file, Network::published);
    check_parameters(parameters(network), weights, "");  // the norms, which a file may have many of, are read only then
    weights.check();
    load_parameters(network, weights);
}

}  // namespace detail

/// Loads a frozen network (Vgg16, LpipsWeights, ResNet50, FidInception, …) from an open file. Throws `Error` with all
/// names that are missing, unexpected or of other extents, and where the file should come from; then nothing has been
/// changed.
template <class Network, class File>
    requires requires(const File& f) { f.names(); }
void load_published(Network& network, const File& file) {
    detail::explained<Network>([&] { detail::load_folded(network, file); });
}
/// Loads from a file of any known format: PyTorch's (.pth) or safetensors (see `WeightsFile`).
template <class Network>
void load_published(Network& network, const Path& path) {
    detail::explained<Network>([&] {
        const WeightsFile file(path);
        detail::load_folded(network, Weights::find(file, parameter_names(network)));
    });
}

}  // namespace flowfar::io
