#pragma once

#include <utility>

#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/mlp.hpp"
#include "flowfar/nn/modulation.hpp"
#include "flowfar/nn/norm.hpp"
#include "flowfar/nn/rope.hpp"

namespace flowfar {

/// Which streams of a block or of the whole transformer somebody reads; the rest is not computed.
struct Streams {
    bool image = true;
    bool code = true;
};

/// Attention weights of one stream; members carry the checkpoint's names.
template <class B, Index Hidden, Index HeadCount, class T>
struct StreamAttention {
    using Backend = B;
    static constexpr Index head_size = Hidden / HeadCount;

    Linear<B, Hidden, 3 * Hidden, T> qkv;
    RmsNorm<B, head_size, T> query_norm;
    RmsNorm<B, head_size, T> key_norm;
    Linear<B, Hidden, Hidden, T> proj;

    void initialize(std::uint64_t seed) {
        qkv.initialize(fold(seed, "qkv"));
        query_norm.initialize(0);
        key_norm.initialize(0);
        proj.initialize(fold(seed, "proj"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("qkv", self.qkv);
        v("norm.query_norm", self.query_norm);
        v("norm.key_norm", self.key_norm);
        v("proj", self.proj);
    }
};

/// One stream of the double-stream block: modulation, attention weights, MLP.
template <class B, Index Hidden, Index HeadCount, class T, Index Inner = 4 * Hidden>
struct Stream {
    using Backend = B;
    using Sequence = Tensor<B, Shape<dyn, dyn, Hidden>, T>;  // [batch, tokens, hidden]
    using Vector = Tensor<B, Shape<dyn, Hidden>, T>;         // [batch, hidden]
    using Chunks = std::array<Vector, 6>;                    // shift, scale, gate; shift, scale, gate

    Modulation<B, Hidden, 6, T> mod;
    StreamAttention<B, Hidden, HeadCount, T> attn;
    Mlp<B, Hidden, Inner, Activation::gelu_tanh, T> mlp;

    /// Modulation vectors, or none without a time vector: shift 0, scale 0, gate 1.
    [[nodiscard]] Chunks modulation(const Vector& vec) const { return vec.defined() ? mod(vec) : Chunks{}; }

    [[nodiscard]] static auto normalize(const Sequence& x, const Vector& shift, const Vector& scale) {
        return layer_norm_packed(x, scale, shift, {.plus_one = shift.defined()});
    }
    /// Normalized queries and keys and plain values of this stream, before rotation.
    [[nodiscard]] auto heads(const Sequence& x, const Chunks& m) const {
        auto h = split_heads<HeadCount>(attn.qkv(normalize(x, m[0], m[1])));
        h.query = attn.query_norm(h.query);
        h.key = attn.key_norm(h.key);
        return h;
    }
    /// The stream after attention: residual projection, then residual MLP.
    [[nodiscard]] Sequence finish(const Sequence& x, const Sequence& attended, const Chunks& m) const {
        const Sequence y = attn.proj.add(x, m[2], attended);
        return mlp.add(y, m[5], normalize(y, m[3], m[4]));
    }

    void initialize(std::uint64_t seed) {
        mod.lin.initialize(fold(seed, "mod"));
        for (const Index gate : {Index{2}, Index{5}}) {  // a fresh block is the identity
            zero_rows(mod.lin.weight, gate);
            zero_rows(mod.lin.bias, gate);
        }
        attn.initialize(fold(seed, "attn"));
        mlp.initialize(fold(seed, "mlp"));
    }

   private:
    template <class P>
    static void zero_rows(const P& parameter, Index chunk) {
        using Pl = Plain<B>;
        const auto rows = Pl::slice(value_of<B>(parameter.handle()), 0, chunk * Hidden, (chunk + 1) * Hidden);
        Pl::assign(rows, Pl::full({}, dtype_of<T>, 0.0));
    }
};

/// The double-stream block of an MMDiT (Esser et al. 2024): image and code tokens have their own weights and attend
/// jointly, code tokens first. Softmax scale is 8 / head size (muP).
template <class B, Index Hidden, Index HeadCount, class T, Index Inner = 4 * Hidden>
struct DoubleBlock {
    using Backend = B;
    using Side = Stream<B, Hidden, HeadCount, T, Inner>;
    using Sequence = typename Side::Sequence;
    using Vector = typename Side::Vector;
    using Table = RopeTable<B, Hidden / HeadCount, T>;

    Side image;
    Side code;

    /// image [batch, Lx, hidden], code [batch, Lc, hidden], vec [batch, hidden] or absent; the table holds the angles
    /// of the code tokens, then of the image tokens. A stream that is not wanted comes back unchanged.
    [[nodiscard]] std::pair<Sequence, Sequence> operator()(const Sequence& image_in, const Sequence& code_in,
                                                           const Vector& vec, const Table& table,
                                                           Streams want = {}) const {
        return modulated(image_in, code_in, image.modulation(vec), code.modulation(vec), table, want);
    }
    /// Applies the block with given modulation vectors, [batch, hidden] each.
    [[nodiscard]] std::pair<Sequence, Sequence> modulated(const Sequence& image_in, const Sequence& code_in,
                                                          const typename Side::Chunks& mi,
                                                          const typename Side::Chunks& mc, const Table& table,
                                                          Streams want) const {
        constexpr double scale = 8.0 / static_cast<double>(Hidden / HeadCount);
        const Index codes = code_in.extent(1);
        const Index all = codes + image_in.extent(1);
        if constexpr (joins_heads<B> && Hidden / HeadCount <= 256) {
            const auto normalized = [](const Sequence& x, const typename Side::Chunks& m) {
                return Sequence(Side::normalize(x, m[0], m[1]).handle());
            };
            const auto h =
                joint_heads<HeadCount>(code.attn, normalized(code_in, mc), image.attn, normalized(image_in, mi), table);
            const Index begin = want.code ? 0 : codes;
            const Index end = want.image ? all : codes;
            const auto y = merge_heads(attention(slice<2>(h.query, begin, end), h.key, h.value, scale));
            return {want.image ? image.finish(image_in, slice<1>(y, codes - begin, all - begin), mi) : image_in,
                    want.code ? code.finish(code_in, slice<1>(y, 0, codes), mc) : code_in};
        }
        const auto hi = image.heads(image_in, mi);
        const auto hc = code.heads(code_in, mc);
        const auto keys = rope(concat<2>(hc.key, hi.key), table.cos, table.sin);
        const auto values = concat<2>(hc.value, hi.value);
        const auto attend = [&](const auto& queries, Index begin, Index end) {
            const auto turned = rope(queries, slice<0>(table.cos, begin, end), slice<0>(table.sin, begin, end));
            return merge_heads(attention(turned, keys, values, scale));
        };
        if (want.image && want.code) {
            const auto y = attend(concat<2>(hc.query, hi.query), 0, all);
            return {image.finish(image_in, slice<1>(y, codes, all), mi),
                    code.finish(code_in, slice<1>(y, 0, codes), mc)};
        }
        return {want.image ? image.finish(image_in, attend(hi.query, codes, all), mi) : image_in,
                want.code ? code.finish(code_in, attend(hc.query, 0, codes), mc) : code_in};
    }

    void initialize(std::uint64_t seed) {
        image.initialize(fold(seed, "img"));
        code.initialize(fold(seed, "txt"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("img_mod", self.image.mod);
        v("img_attn", self.image.attn);
        v("img_mlp", self.image.mlp);
        v("txt_mod", self.code.mod);
        v("txt_attn", self.code.attn);
        v("txt_mlp", self.code.mlp);
    }
};

}  // namespace flowfar
