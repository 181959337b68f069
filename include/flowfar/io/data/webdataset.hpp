#pragma once

/// The class labels of WebDataset shards: tar archives in which files of one sample have one name but for the ending,
/// as 000017.jpg and 000017.cls.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/io/data/tar.hpp"

namespace flowfar::io {

struct ShardLabels {
    std::map<std::string, Index> of_key;
    std::vector<std::string> class_names;  ///< by label
};

/// The name of a sample: the path up to the first dot of the file's name.
[[nodiscard]] std::string shard_key(std::string_view name);

/// The labels of a shard; nothing for an archive without any. A label is the text of KEY.cls, or the member "label",
/// "class" or "cls" of KEY.json. Numbers are labels as they stand, whether or not all occur; other texts are names of
/// classes, numbered in their order. Throws `Error` for labels of both kinds, negative ones and ones above 2^20.
[[nodiscard]] std::optional<ShardLabels> shard_labels(const TarFile& archive);

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/io/data/webdataset.ipp"
#endif
