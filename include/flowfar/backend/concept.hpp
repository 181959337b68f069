#pragma once

#include <concepts>
#include <span>

#include "flowfar/core/layout.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// What a backend is: an empty struct of static functions over one cheap, copyable, untyped handle.
///
/// Conventions: results are new unless nothing would change (cast, contiguous, views), and contiguous
/// but for views and attention, which may return its heads in token order; operands may have any strides and
/// broadcast like NumPy where two meet; an undefined handle stands for an absent optional operand; shapes are
/// checked by the typed shell (core/ops.hpp), so a backend checks only what would make it read out of bounds.
template <class B>
concept Backend = std::default_initializable<typename B::Handle> && std::copyable<typename B::Handle> &&
                  requires(const typename B::Handle& h, const Extents& e, const void* from, void* to) {
                      { B::name() } -> std::convertible_to<std::string_view>;
                      { B::extents(h) } -> std::convertible_to<Extents>;
                      { B::dtype(h) } -> std::same_as<DType>;
                      // memory
                      { B::empty(e, DType::f32) } -> std::same_as<typename B::Handle>;
                      { B::full(e, DType::f32, 0.0) } -> std::same_as<typename B::Handle>;
                      { B::from_host(from, e, DType::f32) } -> std::same_as<typename B::Handle>;
                      { B::to_host(h, to) };
                      { B::cast(h, DType::f32) } -> std::same_as<typename B::Handle>;
                      { B::contiguous(h) } -> std::same_as<typename B::Handle>;
                      { B::synchronize() };
                      // random
                      { B::uniform(e, DType::f32, 0U, 0U) } -> std::same_as<typename B::Handle>;
                      { B::normal(e, DType::f32, 0U, 0U) } -> std::same_as<typename B::Handle>;
                      // views
                      { B::reshape(h, e) } -> std::same_as<typename B::Handle>;
                      { B::permute(h, e) } -> std::same_as<typename B::Handle>;
                      { B::slice(h, 0, Index{0}, Index{1}) } -> std::same_as<typename B::Handle>;
                      { B::expand(h, e) } -> std::same_as<typename B::Handle>;
                      // elementwise and reductions
                      { B::unary(Unary{}, h) } -> std::same_as<typename B::Handle>;
                      { B::binary(BinaryOp::add, h, h) } -> std::same_as<typename B::Handle>;
                      { B::where(h, h, h) } -> std::same_as<typename B::Handle>;
                      { B::reduce(ReduceOp::sum, h, Axes{}, ReducedAxes::keep) } -> std::same_as<typename B::Handle>;
                      { B::softmax(h) } -> std::same_as<typename B::Handle>;
                      { B::log_softmax(h) } -> std::same_as<typename B::Handle>;
                      // linear algebra, indexing
                      { B::gemm(h, h, h, GemmOptions{}) } -> std::same_as<typename B::Handle>;
                      { B::concat(std::span<const typename B::Handle>{}, 0) } -> std::same_as<typename B::Handle>;
                      { B::gather_rows(h, h) } -> std::same_as<typename B::Handle>;
                      { B::scatter_add_rows(h, h, Index{1}) } -> std::same_as<typename B::Handle>;
                      // fused
                      { B::multiply_add(h, h, h, FactorKind::plain) } -> std::same_as<typename B::Handle>;
                      { B::layer_norm(h, h, h, NormOptions{}) } -> std::same_as<typename B::Handle>;
                      { B::rms_norm(h, h, NormOptions{}) } -> std::same_as<typename B::Handle>;
                      { B::gemm_add(h, h, h, h, h, GemmOptions{}) } -> std::same_as<typename B::Handle>;
                      { B::modulated_layer_norm(h, h, h, h, h, NormOptions{}) } -> std::same_as<typename B::Handle>;
                      { B::rope(h, h, h, Rotation::forward) } -> std::same_as<typename B::Handle>;
                      { B::attention(h, h, h, 1.0, MaskKind::full, h) };
                      // images
                      { B::conv2d(h, h, h, ConvOptions{}) } -> std::same_as<typename B::Handle>;
                      { B::group_norm(h, h, h, Index{1}, 1e-6) } -> std::same_as<typename B::Handle>;
                      { B::upsample_nearest2(h) } -> std::same_as<typename B::Handle>;
                      { B::pool2d(h, PoolOptions{}) } -> std::same_as<typename B::Handle>;
                  };

/// A backend that computes directly (not the autodiff decorator): it also has the in-place operations and `_backward`s.
template <class B>
concept PlainBackend = Backend<B> && requires(typename B::Handle& target, const typename B::Handle& h) {
    { B::assign(h, h) };
    { B::add_into(h, h) };
    { B::lerp(h, h, 0.5) };
    { B::adam_step(h, h, h, h, AdamOptions{}) };
    { B::adam_steps(std::span<const AdamTarget<typename B::Handle>>{}) };
    { B::lerp_each(std::span<const typename B::Handle>{}, std::span<const typename B::Handle>{}, 0.5) };
    { B::square_sums(std::span<const typename B::Handle>{}) } -> std::same_as<typename B::Handle>;
    { B::multiply_each(std::span<const typename B::Handle>{}, h) };
    { B::unary_backward(Unary{}, h, h, h) } -> std::same_as<typename B::Handle>;
    { B::binary_backward(BinaryOp::add, Operand::first, h, h, h, h) } -> std::same_as<typename B::Handle>;
    { B::softmax_backward(h, h) } -> std::same_as<typename B::Handle>;
    { B::log_softmax_backward(h, h) } -> std::same_as<typename B::Handle>;
    { B::layer_norm_backward(h, h, h, h, NormOptions{}) } -> std::same_as<NormGradients<typename B::Handle>>;
    { B::rms_norm_backward(h, h, h, NormOptions{}) } -> std::same_as<NormGradients<typename B::Handle>>;
    { B::conv2d_backward_input(h, h, Extents{}, ConvOptions{}) } -> std::same_as<typename B::Handle>;
    { B::conv2d_backward_weight(h, h, Extents{}, ConvOptions{}) } -> std::same_as<typename B::Handle>;
    { B::group_norm_backward(h, h, h, Index{1}, 1e-6) } -> std::same_as<NormGradients<typename B::Handle>>;
    { B::upsample_nearest2_backward(h) } -> std::same_as<typename B::Handle>;
    { B::pool2d_backward(h, h, Extents{}, PoolOptions{}) } -> std::same_as<typename B::Handle>;
};

/// A backend whose operations return before they are done: its `fetch` brings results to the host without waiting.
template <class B>
concept RunsAhead = requires(const typename B::Handle& h) { B::fetch(h); };

}  // namespace flowfar
