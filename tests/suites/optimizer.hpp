#pragma once

/// In-place updates of a backend: Adam against a plain loop in double, running averages, gradient accumulation.

#include "twin.hpp"

namespace flowfar::testing {

/// Adam with either kind of weight decay, written out from the papers.
struct AdamLoop {
    std::vector<double> p, m, v;

    void step(const std::vector<double>& gradient, const AdamOptions& o) {
        for (std::size_t i = 0; i < p.size(); ++i) {
            double g = gradient[i] * o.gradient_scale;
            if (!o.decoupled) {
                g += o.weight_decay * p[i];
            }
            m[i] = o.beta1 * m[i] + (1.0 - o.beta1) * g;
            v[i] = o.beta2 * v[i] + (1.0 - o.beta2) * g * g;
            const double first = m[i] / (1.0 - std::pow(o.beta1, static_cast<double>(o.step)));
            const double second = v[i] / (1.0 - std::pow(o.beta2, static_cast<double>(o.step)));
            if (o.decoupled) {
                p[i] -= o.learning_rate * o.weight_decay * p[i];
            }
            p[i] -= o.learning_rate * first / (std::sqrt(second) + o.epsilon);
        }
    }
};

template <class B>
void check_adam(DType dtype) {
    Maker<B> make(dtype, 701);
    for (const bool decoupled : {true, false}) {
        for (const double decay : {0.0, 0.1}) {
            for (const Index size : awkward_sizes) {
                AdamOptions options{.learning_rate = 0.01, .weight_decay = decay, .decoupled = decoupled};
                options.gradient_scale = 0.5;
                const auto parameter = make.uniform({size}).tested;
                const auto m = B::full({size}, dtype, 0.0);
                const auto v = B::full({size}, dtype, 0.0);
                AdamLoop loop{values_of<B>(parameter), std::vector<double>(static_cast<std::size_t>(size)),
                              std::vector<double>(static_cast<std::size_t>(size))};
                for (options.step = 1; options.step <= 5; ++options.step) {
                    const Twin<B> g = make.uniform({size, 2}).slice(1, 1, 2).reshape({size});
                    B::adam_step(parameter, g.tested, m, v, options);
                    loop.step(values_of<Reference>(g.exact), options);
                }
                INFO("size ", size, " decay ", decay, " decoupled ", decoupled, " seed ", make.seed());
                const double tolerance = approx::of(dtype);
                CHECK(difference_of(values_of<B>(parameter), loop.p, tolerance) == "");
                CHECK(difference_of(values_of<B>(m), loop.m, tolerance) == "");
                CHECK(difference_of(values_of<B>(v), loop.v, tolerance) == "");
            }
        }
    }
    const auto four = make.uniform({4}).tested;
    const auto three = make.uniform({3}).tested;
    CHECK_THROWS_AS(B::adam_step(four, three, four, four, {}), Error);
    CHECK_THROWS_AS(B::adam_step(four, four, three, four, {}), Error);
}

template <class B>
void check_lerp(DType dtype) {
    Maker<B> make(dtype, 702);
    for (const Index size : awkward_sizes) {
        for (const double weight : {0.0, 0.25, 1.0}) {
            const Twin<B> target = make.uniform({size}).copy();
            const Twin<B> source = make.uniform({2, size}).slice(0, 1, 2).reshape({size});
            B::lerp(target.tested, source.tested, weight);
            Reference::lerp(target.exact, source.exact, weight);
            check_handles<B>("lerp", {target.tested}, {target.exact}, dtype, approx::of(dtype), make.seed());
        }
    }
}

/// Work on many tensors: enough for several tables of a backend that has such, of sizes around its blocks.
template <class B>
void check_many(DType dtype) {
    Maker<B> make(dtype, 704);
    std::vector<Twin<B>> targets;
    std::vector<Twin<B>> sources;
    for (Index i = 0; i < 300; ++i) {
        const Index size = i % 50 == 7 ? 4096 * (i / 50) + i % 3 : (i * 37) % 60;
        const Index begin = i % 3;  // not always aligned to what a kernel may read at once
        targets.push_back(make.uniform({size + 2}).slice(0, begin, begin + size));
        sources.push_back(make.uniform({2, size}).slice(0, 1, 2).reshape({size}));
    }
    const auto tested = [](const std::vector<Twin<B>>& twins) {
        std::vector<typename B::Handle> out;
        for (const Twin<B>& twin : twins) {
            out.push_back(twin.tested);
        }
        return out;
    };
    const auto exact = [](const std::vector<Twin<B>>& twins) {
        std::vector<Handle> out;
        for (const Twin<B>& twin : twins) {
            out.push_back(twin.exact);
        }
        return out;
    };
    const double tolerance = approx::of(dtype);
    const auto sums = B::square_sums(tested(sources));
    check_handles<B>("square_sums", {sums}, {Reference::square_sums(exact(sources))}, DType::f64, tolerance,
                     make.seed());
    CHECK(values_of<B>(B::square_sums({})).empty());

    B::lerp_each(tested(targets), tested(sources), 0.25);
    Reference::lerp_each(exact(targets), exact(sources), 0.25);
    check_handles<B>("lerp_each", tested(targets), exact(targets), dtype, tolerance, make.seed());

    std::vector<double> numbers(targets.size());
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = 0.5 + 0.01 * static_cast<double>(i);
    }
    const Extents count{static_cast<Index>(numbers.size())};
    B::multiply_each(tested(targets), B::from_host(numbers.data(), count, DType::f64));
    Reference::multiply_each(exact(targets), Reference::from_host(numbers.data(), count, DType::f64));
    check_handles<B>("multiply_each", tested(targets), exact(targets), dtype, tolerance, make.seed());
}

template <class B>
void check_add_into(DType dtype) {
    Maker<B> make(dtype, 703);
    const auto check = [&](const char* what, const Twin<B>& whole, const Twin<B>& part, const Twin<B>& source) {
        B::add_into(part.tested, source.tested);
        Reference::add_into(part.exact, source.exact);
        check_handles<B>(what, {whole.tested}, {whole.exact}, dtype, 4.0 * approx::of(dtype), make.seed());
    };
    for (const Index size : awkward_sizes) {
        const Twin<B> wide = make.uniform({size + 2}, 0.5, 1.0);
        check("add with sentinels", wide, wide.slice(0, 1, size + 1), make.uniform({size}, 0.5, 1.0));
    }
    const auto cube = [&] { return make.uniform({5, 7, 9}, 0.5, 1.0); };
    Twin<B> x = cube();
    check("add to a slice", x, x.slice(1, 2, 4), make.uniform({5, 2, 9}));
    x = cube();
    check("add to a transposed view", x, x.permute({2, 0, 1}).slice(0, 2, 6), make.uniform({4, 5, 7}));
    x = cube();
    check("add a broadcast row", x, x.slice(0, 1, 5), make.uniform({1, 9}));
    x = cube();
    check("add a scalar to a column", x, x.slice(2, 8, 9), make.uniform({}));
    CHECK_THROWS_AS(B::add_into(x.tested, make.uniform({5, 7, 8}).tested), Error);
}

}  // namespace flowfar::testing
