#pragma once

/// Statistics of image features as .npz files, in the form that pytorch-fid, clean-fid and the ADM evaluator exchange.

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/npz.hpp"
#include "flowfar/metrics/moments.hpp"

namespace flowfar::io {

/// What was computed over one set of images. Features have the key "" and are stored as "mu" and "sigma"; sFID's have
/// the key "_s" and are stored as "mu_s" and "sigma_s", as in the ADM evaluator's files.
struct ReferenceStatistics {
    std::map<std::string, metrics::FeatureStatistics> sets;
    std::string convention;  ///< see metrics/fid_convention.hpp; empty if the file does not say
};

/// Reads every pair "mu…", "sigma…" of a .npz file; other arrays are ignored. The number of images and the convention
/// are known only for files that `save_statistics` wrote. Throws `Error` if there is no pair, or extents do not fit.
[[nodiscard]] inline ReferenceStatistics load_statistics(const Path& path) {
    const NpzFile file(path);
    Scratch scratch;
    ReferenceStatistics out;
    if (file.contains("convention")) {
        const std::vector<std::uint8_t> letters = values<std::uint8_t>(file.at("convention", scratch));
        out.convention.assign(letters.begin(), letters.end());
    }
    for (const std::string& name : file.names()) {
        if (!name.starts_with("mu") || !file.contains("sigma" + name.substr(2))) {
            continue;
        }
        const std::string key = name.substr(2);
        const TensorView mean = file.at(name, scratch);
        require(mean.shape.size() == 1, mean.label, ": expected extents [width], found ", shape_text(mean.shape));
        const Index width = mean.shape[0];
        metrics::FeatureStatistics& set = out.sets[key];
        set.mean = values<double>(mean);
        const TensorView covariance = file.at("sigma" + key, scratch);
        require(covariance.shape == std::vector<Index>{width, width}, covariance.label, ": expected extents ",
                shape_text({width, width}), ", found ", shape_text(covariance.shape));
        set.covariance = values<double>(covariance);
        if (file.contains("count")) {
            const TensorView count = file.at("count", scratch);
            require(element_count(count.shape, count.label) == 1, count.label, ": expected one number, found extents ",
                    shape_text(count.shape));
            set.count = values<Index>(count)[0];
        }
    }
    require(!out.sets.empty(), path.string(), ": expected arrays \"mu\" and \"sigma\"");
    return out;
}

/// Writes statistics so that the programs named above read them too. All sets must be of as many images.
inline void save_statistics(const Path& path, const ReferenceStatistics& statistics) {
    require(!statistics.sets.empty(), path.string(), ": no statistics to write");
    const Index count = statistics.sets.begin()->second.count;
    NpzWriter file(path);
    for (const auto& [key, set] : statistics.sets) {
        require(set.count == count, path.string(), ": statistics of ", count, " and of ", set.count, " images");
        const Index width = set.width();
        require(set.covariance.size() == set.mean.size() * set.mean.size(), path.string(), ": a covariance of ",
                set.covariance.size(), " values for ", width, " features");
        file.add("mu" + key, std::span<const double>(set.mean), {width});
        file.add("sigma" + key, std::span<const double>(set.covariance), {width, width});
    }
    if (count > 0) {
        file.add("count", std::span<const Index>(&count, 1), {});
    }
    const std::vector<std::uint8_t> letters(statistics.convention.begin(), statistics.convention.end());
    if (!letters.empty()) {
        file.add("convention", std::span<const std::uint8_t>(letters), {static_cast<Index>(letters.size())});
    }
    file.finish();
}

}  // namespace flowfar::io
