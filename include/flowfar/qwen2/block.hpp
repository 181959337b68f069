#pragma once

#include <cmath>
#include <string_view>

#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/nn/norm.hpp"
#include "flowfar/nn/rope.hpp"
#include "flowfar/qwen2/config.hpp"

namespace flowfar {

/// What all blocks of a run share: the angles of the positions, and which tokens are keys (all, if undefined), those
/// before the run included.
template <class C, class B, class T>
struct Qwen2Surroundings {
    RopeTable<B, CheckedQwen2Config<C>::head_size, T> positions;
    KeyMask<B> keys;
};

/// A block of Qwen2: x += Attn(RMS(x)), x += SwiGLU(RMS(x)). Several heads of queries share one of keys and values
/// (Ainslie et al. 2023), and rotary embeddings turn the halves of a head against each other.
template <class C, class B, class T = float>
struct Qwen2Block {
    using Backend = B;
    using Config = CheckedQwen2Config<C>;
    static constexpr Index hidden = C::hidden;
    static constexpr Index size = Config::head_size;
    using Sequence = Tensor<B, Shape<dyn, dyn, hidden>, T>;  // [batch, tokens, hidden]

    /// What later tokens see of earlier ones, [batch, key heads, tokens, head size].
    struct Keys {
        Tensor<B, Shape<dyn, C::key_heads, dyn, size>, T> key;
        Tensor<B, Shape<dyn, C::key_heads, dyn, size>, T> value;
    };

    RmsNorm<B, hidden, T> input_norm;
    Linear<B, hidden, C::heads * size, T> query;
    Linear<B, hidden, C::key_heads * size, T> key;
    Linear<B, hidden, C::key_heads * size, T> value;
    Linear<B, C::heads * size, hidden, T> out = without_bias<Linear<B, C::heads * size, hidden, T>>();
    RmsNorm<B, hidden, T> attention_norm;
    Linear<B, hidden, C::mlp, T> gate = without_bias<Linear<B, hidden, C::mlp, T>>();
    Linear<B, hidden, C::mlp, T> up = without_bias<Linear<B, hidden, C::mlp, T>>();
    Linear<B, C::mlp, hidden, T> down = without_bias<Linear<B, C::mlp, hidden, T>>();

    [[nodiscard]] Sequence operator()(const Sequence& x, const Qwen2Surroundings<C, B, T>& around) const {
        Keys none;
        return (*this)(x, around, none);
    }
    /// `keys` are those of the tokens before x, undefined for none; x's own are added.
    [[nodiscard]] Sequence operator()(const Sequence& x, const Qwen2Surroundings<C, B, T>& around, Keys& keys) const {
        const Tensor<B, Shape<hidden>, T> always;  // a gate of 1
        const Sequence normed = rms_norm(x, input_norm.scale, C::epsilon);
        const auto turn = [&](const auto& heads) {
            return rope_halves(heads, around.positions.cos, around.positions.sin);
        };
        const auto queries = turn(heads_of<C::heads>(query(normed)));
        const Keys own{turn(heads_of<C::key_heads>(key(normed))), heads_of<C::key_heads>(value(normed))};
        keys = keys.key.defined() ? Keys{concat<2>(keys.key, own.key), concat<2>(keys.value, own.value)} : own;
        const double scale = 1.0 / std::sqrt(static_cast<double>(size));
        const auto attended = attention(queries, keys.key, keys.value, scale, MaskKind::causal, around.keys);
        const Sequence y = out.add(x, always, merge_heads(attended));
        const Sequence again = rms_norm(y, attention_norm.scale, C::epsilon);
        return down.add(y, always, gate(again, Activation::silu) * up(again));
    }

    /// Weights N(0, 0.02²), biases 0, norms 1: the published initialization.
    void initialize(std::uint64_t seed) {
        visit(*this, [&](std::string_view name, auto& parameter) {
            if constexpr (std::remove_cvref_t<decltype(parameter)>::Shape::rank == 2) {
                init::normal(parameter, 0.02, fold(seed, name));
            } else {
                init::constant(parameter, name.ends_with("bias") ? 0.0 : 1.0);
            }
        });
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("self_attn.q_proj.weight", self.query.weight);
        v("self_attn.q_proj.bias", self.query.bias);
        v("self_attn.k_proj.weight", self.key.weight);
        v("self_attn.k_proj.bias", self.key.bias);
        v("self_attn.v_proj.weight", self.value.weight);
        v("self_attn.v_proj.bias", self.value.bias);
        v("self_attn.o_proj.weight", self.out.weight);
        v("mlp.gate_proj.weight", self.gate.weight);
        v("mlp.up_proj.weight", self.up.weight);
        v("mlp.down_proj.weight", self.down.weight);
        v("input_layernorm.weight", self.input_norm.scale);
        v("post_attention_layernorm.weight", self.attention_norm.scale);
    }
};

}  // namespace flowfar
