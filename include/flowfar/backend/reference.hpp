#pragma once

#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

#include "flowfar/backend/composite.hpp"
#include "flowfar/backend/concept.hpp"
#include "flowfar/backend/host_memory.hpp"
#include "flowfar/backend/rows.hpp"
#include "flowfar/backend/views.hpp"
#include "flowfar/core/shapes/reduce_shape.hpp"

namespace flowfar {

/// The naive backend: every operation is a plain loop over doubles, whatever the element type. It is the oracle that
/// the tests hold other backends against, and the place to read what an operation means.
struct Reference : Views<Reference>, HostMemory<Reference>, Composite<Reference, Handle> {
    using Handle = flowfar::Handle;

    [[nodiscard]] static std::string_view name() { return "reference"; }
    [[nodiscard]] static bool available() { return true; }

    static std::shared_ptr<std::byte> allocate(std::size_t bytes) {
        return {static_cast<std::byte*>(::operator new(bytes, std::align_val_t{64})),
                [](std::byte* p) { ::operator delete(p, std::align_val_t{64}); }};
    }
    template <class F>
    static void parallel(Index count, Index /*grain*/, F&& f) {
        f(Index{0}, count);
    }

    /// Copies source, broadcast and converted, into the elements of target.
    static void assign(const Handle& target, const Handle& source) {
        const Layout to = with_row_axis(target.layout);
        const Layout from = with_row_axis(expanded(source.layout, target.extents()));
        const Index length = to.extents.back();
        visit_dtype(target.dtype, [&]<class To>() {
            visit_dtype(source.dtype, [&]<class From>() {
                for_each_row<2>(to.extents, {&to, &from}, 0, row_count(to.extents), [&](Index, const auto& offset) {
                    for (Index i = 0; i < length; ++i) {
                        target.data<To>()[offset[0] + i * to.stride(to.rank() - 1)] =
                            convert<To>(source.data<From>()[offset[1] + i * from.stride(from.rank() - 1)]);
                    }
                });
            });
        });
    }

    [[nodiscard]] static Handle unary(Unary op, const Handle& x) {
        std::vector<double> v = values(x);
        visit_unary(op.op, [&]<UnaryOp Op>() {
            for (double& value : v) {
                value = UnaryFunctor<Op>::forward(value, op.a, op.b);
            }
        });
        return make(v, x.extents(), x.dtype);
    }
    [[nodiscard]] static Handle unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g) {
        const std::vector<double> xs = x.defined() ? values(x) : std::vector<double>(std::size_t(g.count()));
        const std::vector<double> ys = y.defined() ? values(y) : std::vector<double>(std::size_t(g.count()));
        std::vector<double> gs = values(g);
        visit_unary(op.op, [&]<UnaryOp Op>() {
            for (std::size_t i = 0; i < gs.size(); ++i) {
                gs[i] = UnaryFunctor<Op>::backward(xs[i], ys[i], gs[i], op.a, op.b);
            }
        });
        return make(gs, g.extents(), g.dtype);
    }
    [[nodiscard]] static Handle binary(BinaryOp op, const Handle& a, const Handle& b) {
        const Extents extents = broadcast(a.extents(), b.extents(), "binary");
        std::vector<double> left = values(expand(a, extents));
        const std::vector<double> right = values(expand(b, extents));
        visit_binary(op, [&]<BinaryOp Op>() {
            for (std::size_t i = 0; i < left.size(); ++i) {
                left[i] = BinaryFunctor<Op>::forward(left[i], right[i]);
            }
        });
        return make(left, extents, a.dtype);
    }
    /// dL/da or dL/db of y = op(a, b) in y's extents: not yet summed over broadcast axes.
    [[nodiscard]] static Handle binary_backward(BinaryOp op, Operand operand, const Handle& a, const Handle& b,
                                                const Handle& y, const Handle& g) {
        const std::vector<double> left = values(expand(a, g.extents()));
        const std::vector<double> right = values(expand(b, g.extents()));
        const std::vector<double> result = values(y);
        std::vector<double> out = values(g);
        visit_binary(op, [&]<BinaryOp Op>() {
            for (std::size_t i = 0; i < out.size(); ++i) {
                out[i] = operand == Operand::first ? BinaryFunctor<Op>::grad_a(left[i], right[i], result[i], out[i])
                                                   : BinaryFunctor<Op>::grad_b(left[i], right[i], result[i], out[i]);
            }
        });
        return make(out, g.extents(), g.dtype);
    }
    [[nodiscard]] static Handle where(const Handle& condition, const Handle& a, const Handle& b) {
        const Extents extents = broadcast(condition.extents(), broadcast(a.extents(), b.extents(), "where"), "where");
        const std::vector<double> chosen = values(expand(condition, extents));
        std::vector<double> left = values(expand(a, extents));
        const std::vector<double> right = values(expand(b, extents));
        for (std::size_t i = 0; i < left.size(); ++i) {
            left[i] = chosen[i] != 0.0 ? left[i] : right[i];
        }
        return make(left, extents, a.dtype);
    }

    [[nodiscard]] static Handle reduce(ReduceOp op, const Handle& x, Axes axes, ReducedAxes reduced) {
        const ReduceShape shape = ReduceShape::of(x.extents(), axes, reduced);
        const std::vector<double> v = values(shape.order.rank() == 0 ? x : permute(x, shape.order));
        std::vector<double> out(static_cast<std::size_t>(shape.outer * shape.inner));
        for (std::size_t i = 0; i < out.size(); ++i) {
            const Index from = static_cast<Index>(i) / shape.inner * shape.middle * shape.inner;
            double total = op == ReduceOp::max ? -std::numeric_limits<double>::infinity() : 0.0;
            for (Index m = 0; m < shape.middle; ++m) {
                const double value =
                    v[static_cast<std::size_t>(from + m * shape.inner + static_cast<Index>(i) % shape.inner)];
                total = op == ReduceOp::max           ? std::max(total, value)
                        : op == ReduceOp::sum_squares ? total + value * value
                                                      : total + value;
            }
            out[i] = op == ReduceOp::mean ? total / static_cast<double>(shape.middle) : total;
        }
        return make(out, shape.result, x.dtype);
    }
    /// Softmax over the last axis.
    [[nodiscard]] static Handle softmax(const Handle& x) {
        const Handle e = unary({UnaryOp::exp}, sub(x, last(ReduceOp::max, x)));
        return binary(BinaryOp::div, e, last(ReduceOp::sum, e));
    }
    /// Log-softmax over the last axis.
    [[nodiscard]] static Handle log_softmax(const Handle& x) {
        const Handle centered = sub(x, last(ReduceOp::max, x));
        return sub(centered, unary({UnaryOp::log}, last(ReduceOp::sum, unary({UnaryOp::exp}, centered))));
    }

    /// act(alpha · a b + bias): a [batch…, M, K], b [batch…, K, N] or [K, N], bias [N] or undefined.
    [[nodiscard]] static Handle gemm(const Handle& a, const Handle& b, const Handle& bias, GemmOptions options) {
        Extents extents = a.extents();
        const Index rows = extents[a.rank() - 2];
        const Index inner = extents.back();
        const Index columns = b.extents().back();
        require(b.extents()[b.rank() - 2] == inner, "gemm: ", a.extents(), " times ", b.extents());
        require(!bias.defined() || bias.count() == columns, "gemm: a bias of ", bias.extents(), " for ", columns,
                " columns");
        extents[a.rank() - 1] = columns;
        Extents b_extents = a.extents();
        b_extents[a.rank() - 2] = inner;
        b_extents[a.rank() - 1] = columns;
        const std::vector<double> left = values(a);
        const std::vector<double> right = values(expand(b, b_extents));
        const std::vector<double> offset = bias.defined() ? values(bias) : std::vector<double>();
        std::vector<double> out(static_cast<std::size_t>(extents.count()));
        Index batches = 1;
        for (int axis = 0; axis < a.rank() - 2; ++axis) {
            batches *= extents[axis];
        }
        for (Index batch = 0; batch < batches; ++batch) {
            for (Index i = 0; i < rows; ++i) {
                for (Index j = 0; j < columns; ++j) {
                    double sum = 0.0;
                    for (Index k = 0; k < inner; ++k) {
                        sum += left[static_cast<std::size_t>((batch * rows + i) * inner + k)] *
                               right[static_cast<std::size_t>((batch * inner + k) * columns + j)];
                    }
                    out[static_cast<std::size_t>((batch * rows + i) * columns + j)] =
                        options.alpha * sum + (offset.empty() ? 0.0 : offset[static_cast<std::size_t>(j)]);
                }
            }
        }
        const Handle y = make(out, extents, a.dtype);
        return options.activation == Activation::none ? y : unary({unary_of(options.activation)}, y);
    }

    [[nodiscard]] static Handle conv2d(const Handle& x, const Handle& weight, const Handle& bias,
                                       const ConvOptions& options) {
        const ConvShape s = ConvShape::of(x.extents(), weight.extents(), options);
        require(!bias.defined() || bias.count() == s.out, "conv2d: a bias of ", bias.extents(), " for ", s.out,
                " channels");
        const std::vector<double> input = values(x);
        const std::vector<double> kernel = values(weight);
        std::vector<double> out;
        for (Index n = 0; n < s.batch; ++n) {
            for (Index o = 0; o < s.out; ++o) {
                const double offset = bias.defined() ? values(bias)[static_cast<std::size_t>(o)] : 0.0;
                for (Index p = 0; p < s.pixels(); ++p) {
                    double sum = offset;
                    for (Index k = 0; k < s.in * s.taps(); ++k) {
                        const Index channel = k / s.taps();
                        const Index row =
                            p / s.out_width * options.stride + k % s.taps() / s.kernel_width - options.top;
                        const Index column = p % s.out_width * options.stride + k % s.kernel_width - options.left;
                        if (row >= 0 && row < s.height && column >= 0 && column < s.width) {
                            const Index at = ((n * s.in + channel) * s.height + row) * s.width + column;
                            sum += input[static_cast<std::size_t>(at)] *
                                   kernel[static_cast<std::size_t>(o * s.in * s.taps() + k)];
                        }
                    }
                    out.push_back(sum);
                }
            }
        }
        return make(out, s.output(), x.dtype);
    }

   private:
    /// All elements in row-major order as doubles.
    [[nodiscard]] static std::vector<double> values(const Handle& x) {
        const Handle wide = empty(x.extents(), DType::f64);
        assign(wide, x);
        return {wide.data<double>(), wide.data<double>() + wide.count()};
    }
    [[nodiscard]] static Handle make(const std::vector<double>& v, const Extents& extents, DType dtype) {
        return cast(from_host(v.data(), extents, DType::f64), dtype);
    }
};

static_assert(PlainBackend<Reference>);

}  // namespace flowfar
