#pragma once

/// Statistics of image features as .npz files, in the form that pytorch-fid, clean-fid and the ADM evaluator exchange.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/npz.hpp"
#include "flowfar/metrics/moments.hpp"

namespace flowfar::io {

/// What was computed over one set of images. Features have the key "" and are stored as "mu" and "sigma"; sFID's have
/// the key "_s" and are stored as "mu_s" and "sigma_s", as in the ADM evaluator's files.
struct ReferenceStatistics {
    std::map<std::string, metrics::FeatureStatistics> sets;
    std::string convention;  ///< see metrics/fid_convention.hpp; empty if the file does not say
};

// A compressed archive of a megabyte may hold a gigabyte of zeros, so the arrays are limited to what features need.
inline constexpr Index statistics_width_limit = 8192;  ///< features; Inception has 2048

namespace detail {

/// An array's values. Throws `Error` if one of them is not finite.
[[nodiscard]] inline std::vector<double> finite_values(const TensorView& view) {
    std::vector<double> out = values<double>(view);
    for (std::size_t i = 0; i < out.size(); ++i) {
        require(std::isfinite(out[i]), view.label, ": value ", i, " is not finite");
    }
    return out;
}

}  // namespace detail

/// Reads every pair "mu…", "sigma…" of a .npz file; other arrays are ignored. The number of images and the convention
/// are known only for files that `save_statistics` wrote. Throws `Error` if there is no pair, for extents that do not
/// fit, more than `width_limit` features, more values than two sets of so many have, and values that are not finite.
[[nodiscard]] inline ReferenceStatistics load_statistics(const NpzFile& file,
                                                         Index width_limit = statistics_width_limit) {
    const std::string where = file.path().string();
    Scratch scratch;
    const auto array = [&](const std::string& name, Index values) {
        constexpr std::uint64_t header = std::uint64_t{1} << 16;
        return file.at(name, scratch, static_cast<std::uint64_t>(values) * sizeof(double) + header);
    };
    ReferenceStatistics out;
    Index total = 0;
    if (file.contains("convention")) {
        const std::vector<std::uint8_t> letters = values<std::uint8_t>(array("convention", 1));
        out.convention.assign(letters.begin(), letters.end());
    }
    for (const std::string& name : file.names()) {
        if (!name.starts_with("mu") || !file.contains("sigma" + name.substr(2))) {
            continue;
        }
        const std::string key = name.substr(2);
        const TensorView mean = array(name, width_limit);
        require(mean.shape.size() == 1, mean.label, ": expected extents [width], found ", shape_text(mean.shape));
        const Index width = mean.shape[0];
        require(width > 0 && width <= width_limit, mean.label, ": ", width, " features, expected 1 to ", width_limit);
        total += width * width;
        require(total <= 2 * width_limit * width_limit, where, ": more than ", 2 * width_limit * width_limit,
                " values in all sets of statistics");
        metrics::FeatureStatistics& set = out.sets[key];
        set.mean = detail::finite_values(mean);
        const TensorView covariance = array("sigma" + key, width * width);
        require(covariance.shape == std::vector<Index>{width, width}, covariance.label, ": expected extents ",
                shape_text({width, width}), ", found ", shape_text(covariance.shape));
        set.covariance = detail::finite_values(covariance);
        if (file.contains("count")) {
            const TensorView count = array("count", 1);
            require(element_count(count.shape, count.label) == 1, count.label, ": expected one number, found extents ",
                    shape_text(count.shape));
            set.count = values<Index>(count)[0];
        }
    }
    require(!out.sets.empty(), where, ": expected arrays \"mu\" and \"sigma\"");
    return out;
}
[[nodiscard]] inline ReferenceStatistics load_statistics(const Path& path) {
    return load_statistics(NpzFile(path));
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
