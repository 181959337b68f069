#pragma once

#include <span>
#include <string_view>

#include "flowfar/core/derived/classes.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/nn/init.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar {

/// Throws `Error` for a label that is neither one of `classes` classes nor `no_class`; `name` is the configuration's.
inline void check_label(std::string_view name, Index label, Index classes) {
    require(label == no_class || (label >= 0 && label < classes), name, ": label ", label, ", expected 0 to ",
            classes - 1, " or ", no_class, " for no class");
}

/// A learned vector per class, and one for no class.
template <class C, class B, class T>
struct ClassEmbedding {
    using Vectors = Tensor<B, Shape<dyn, C::hidden>, T>;
    using Null = Tensor<B, Shape<1, C::hidden>, T>;
    using Table = Tensor<B, Shape<C::classes, C::hidden>, T>;
    Null null = make_parameter<Null>();
    Table table = make_parameter<Table>();

    /// One vector per label, [batch, hidden]: the class's, or the null condition's for `no_class`.
    [[nodiscard]] Vectors operator()(std::span<const Index> labels) const {
        using Integers = Tensor<B, Shape<dyn>, Index>;
        PoolVector<Index> rows;
        PoolVector<T> keep;
        for (const Index label : labels) {
            check_label(C::name, label, C::classes);
            rows.push_back(label == no_class ? 0 : label);
            keep.push_back(label == no_class ? T(0) : T(1));
        }
        const auto batch = static_cast<Index>(labels.size());
        const auto kept = Tensor<B, Shape<dyn, 1>, T>::from_host(keep, {batch, 1});
        return gather_rows(table, Integers::from_host(rows, {batch})) * kept + null * (1.0 - kept);
    }
    void initialize(std::uint64_t seed) {
        init::normal(null, 0.02, fold(seed, "fake_latent"));
        init::normal(table, 0.02, fold(seed, "class_emb"));
    }
};

}  // namespace flowfar
