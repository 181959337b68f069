#pragma once

// Sums over the tensors of a file, as a whole and by the parts of their names, for people to read.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

#include "common/cli/printable.hpp"

namespace flowfar::program {

/// "1.5 kB", "3.8 GB": powers of 1000.
[[nodiscard]] inline std::string format_bytes(std::uint64_t bytes) {
    constexpr std::array<const char*, 5> units{"B", "kB", "MB", "GB", "TB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1000;
        ++unit;
    }
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out.data();
}

/// Numbers of tensors, elements, bytes and element types.
class TensorSums {
   public:
    void add(const io::TensorInfo& info, const std::string& name) {
        ++tensors_;
        add(elements_, static_cast<std::uint64_t>(io::element_count(info.shape, name)));
        add(bytes_, info.size);
        ++types_[std::string(info.type)];
    }
    /// "2 tensors, 16 elements, 64 B; 2 F32".
    [[nodiscard]] std::string shown() const {
        std::string out =
            text(tensors_, tensors_ == 1 ? " tensor, " : " tensors, ", elements_, " elements, ", format_bytes(bytes_));
        for (const auto& [type, count] : types_) {
            out += text(type == types_.begin()->first ? "; " : ", ", count, " ", type);
        }
        return out;
    }

   private:
    /// Tensors may share their bytes, so that a small file can name any number of elements.
    static void add(std::uint64_t& sum, std::uint64_t more) {
        if (__builtin_add_overflow(sum, more, &sum)) {
            sum = std::numeric_limits<std::uint64_t>::max();
        }
    }

    std::uint64_t tensors_ = 0;
    std::uint64_t elements_ = 0;
    std::uint64_t bytes_ = 0;
    std::map<std::string, std::uint64_t> types_;
};

/// Sums for every part of the dotted names, down to `depth` levels.
class TensorTree {
   public:
    explicit TensorTree(int depth) : depth_(depth) {}

    void add(const io::TensorInfo& info, const std::string& name) {
        Node* node = &root_;
        std::size_t begin = 0;
        for (int level = 0; level < depth_ && begin <= name.size(); ++level) {
            const std::size_t end = std::min(name.find('.', begin), name.size());
            const auto [child, inserted] = node->children.try_emplace(name.substr(begin, end - begin));
            if (inserted) {
                node->order.push_back(child->first);
            }
            node = &child->second;
            node->sums.add(info, name);
            begin = end + 1;
        }
    }
    /// One line per part, in the order of the file, indented by its level; fit for a terminal.
    [[nodiscard]] std::string shown() const {
        std::string out;
        append(out, root_, 0);
        return out;
    }

   private:
    struct Node {
        TensorSums sums;
        std::map<std::string, Node> children;
        std::vector<std::string> order;
    };

    static void append(std::string& out, const Node& node, std::size_t level) {
        for (const std::string& name : node.order) {
            const Node& child = node.children.at(name);
            out += text(std::string(2 * level, ' '), printable(name), ": ", child.sums.shown(), '\n');
            append(out, child, level + 1);
        }
    }

    int depth_;
    Node root_;
};

}  // namespace flowfar::program
