#pragma once

// A test card drawn by code, so that every program has an image to work on: a shaded scene with soft shadows above,
// color bars, gradients, a zone plate and lettering below. It is bold enough to survive 32 × 32 pixels.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "common/cli/text.hpp"
#include "common/draw/canvas.hpp"

namespace flowfar::program {

namespace detail {

/// Linear light, 0…1 per channel.
struct Light {
    double r = 0, g = 0, b = 0;

    friend Light operator+(Light a, Light b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
    friend Light operator*(Light a, double s) { return {a.r * s, a.g * s, a.b * s}; }
};
inline Light mix(Light a, Light b, double t) {
    return a * (1 - t) + b * t;
}

inline double smooth_step(double low, double high, double x) {
    const double t = std::clamp((x - low) / (high - low), 0.0, 1.0);
    return t * t * (3 - 2 * t);
}
inline double srgb_of(double linear) {
    const double x = std::clamp(linear, 0.0, 1.0);
    return x <= 0.0031308 ? 12.92 * x : 1.055 * std::pow(x, 1 / 2.4) - 0.055;
}
inline double linear_of(double srgb) {
    return srgb <= 0.04045 ? srgb / 12.92 : std::pow((srgb + 0.055) / 1.055, 2.4);
}
inline std::uint8_t byte_of(double linear) {
    return static_cast<std::uint8_t>(std::lround(255 * srgb_of(linear)));
}

struct Vector {
    double x, y, z;

    friend Vector operator+(Vector a, Vector b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
    friend Vector operator-(Vector a, Vector b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
    friend Vector operator*(Vector a, double s) { return {a.x * s, a.y * s, a.z * s}; }
};
inline double dot(Vector a, Vector b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
inline Vector normalized(Vector a) {
    return a * (1 / std::sqrt(dot(a, a)));
}

struct Sphere {
    Vector center;
    double radius;
    Light albedo;
};

/// Balls on a wooden table before an evening sky; the camera sits at the origin and looks along +z.
class Scene {
   public:
    /// Light through the picture's point (u, v), each 0…1, v downwards.
    [[nodiscard]] static Light at(double u, double v) {
        return trace({0, 0, 0}, normalized({(u - 0.5) * 1.5, (0.36 - v) * 1.5 * height, 1.55}), 0);
    }
    /// Height of the picture for width 1.
    static constexpr double height = 0.64;

   private:
    static constexpr double table = -0.62;
    static constexpr std::array<Sphere, 4> spheres = {{{{-0.62, table + 0.50, 2.75}, 0.50, {0.66, 0.045, 0.03}},
                                                       {{0.42, table + 0.40, 2.45}, 0.40, {0.025, 0.16, 0.58}},
                                                       {{1.14, table + 0.30, 3.10}, 0.30, {0.86, 0.50, 0.03}},
                                                       {{-0.06, table + 0.19, 2.02}, 0.19, {0.05, 0.38, 0.09}}}};
    static Vector sun() { return normalized({-0.55, 0.78, -0.42}); }

    static Light sky(Vector ray) {
        const double up = std::clamp(ray.y * 1.9 + 0.12, 0.0, 1.0);
        return mix({0.98, 0.74, 0.50}, {0.13, 0.32, 0.66}, std::pow(up, 0.55));
    }

    /// Grain of the table: stretched sines, bent by one another.
    static Light wood(double x, double z) {
        const double bend = 0.35 * std::sin(1.3 * x + 0.7) + 0.12 * std::sin(3.1 * x + 1.9 * z);
        const double rings = 0.5 + 0.5 * std::sin(17 * (z + bend));
        const double fiber = 0.5 + 0.5 * std::sin(61 * z + 9 * bend + 2.3 * std::sin(5 * x));
        return mix({0.42, 0.235, 0.115}, {0.24, 0.115, 0.05}, 0.65 * rings + 0.2 * fiber);
    }

    /// Distance to the sphere along a unit ray, negative if it misses.
    static double hit(const Sphere& sphere, Vector from, Vector ray) {
        const Vector to = sphere.center - from;
        const double along = dot(to, ray);
        const double beside = dot(to, to) - along * along;
        const double inside = sphere.radius * sphere.radius - beside;
        return inside < 0 ? -1 : along - std::sqrt(inside);
    }

    /// Share of the sun that reaches `from`: 0 within a sphere's shadow, rising over a soft edge.
    static double sunlight(Vector from) {
        double open = 1;
        for (const Sphere& sphere : spheres) {
            const Vector to = sphere.center - from;
            const double along = dot(to, sun());
            if (along > 1e-6) {
                const double beside = std::sqrt(std::max(0.0, dot(to, to) - along * along));
                const double edge = 0.10 * along + 0.01;
                open = std::min(open, smooth_step(sphere.radius - edge, sphere.radius + edge, beside));
            }
        }
        return open;
    }

    /// Share of the sky that `from` sees past the spheres.
    static double openness(Vector from, Vector normal) {
        double open = 1;
        for (const Sphere& sphere : spheres) {
            const Vector to = sphere.center - from;
            const double square = dot(to, to);
            const double facing = std::max(0.0, dot(normal, to) / std::sqrt(square));
            open *= 1 - std::min(1.0, facing * sphere.radius * sphere.radius / square);
        }
        return open;
    }

    static Light shade(Vector point, Vector normal, Light albedo, double self_shadow) {
        const double direct = std::max(0.0, dot(normal, sun())) * self_shadow;
        const double ambient = (0.5 + 0.5 * normal.y) * openness(point, normal);
        const double bounce = (0.5 - 0.5 * normal.y) * 0.35;
        const Light light =
            Light{1.28, 1.13, 0.92} * direct + Light{0.30, 0.38, 0.52} * ambient + Light{0.40, 0.24, 0.13} * bounce;
        return {albedo.r * light.r, albedo.g * light.g, albedo.b * light.b};
    }

    static Light trace(Vector from, Vector ray, int depth) {
        const Sphere* nearest = nullptr;
        double distance = 1e9;
        for (const Sphere& sphere : spheres) {
            const double t = hit(sphere, from, ray);
            if (t > 1e-6 && t < distance) {
                distance = t, nearest = &sphere;
            }
        }
        if (nearest != nullptr) {
            const Vector point = from + ray * distance;
            const Vector normal = normalized(point - nearest->center);
            Light light = shade(point, normal, nearest->albedo, smooth_step(-0.02, 0.12, dot(normal, sun())));
            const Vector mirrored = ray - normal * (2 * dot(ray, normal));
            const double grazing = std::pow(1 - std::clamp(-dot(ray, normal), 0.0, 1.0), 5);
            if (depth < 2) {
                light = mix(light, trace(point + normal * 1e-4, mirrored, depth + 1), 0.05 + 0.75 * grazing);
            }
            return light + Light{1, 0.95, 0.85} * (0.9 * std::pow(std::max(0.0, dot(mirrored, sun())), 60));
        }
        const double reach = ray.y < -1e-6 ? (table - from.y) / ray.y : 1e9;
        const Light above = sky(ray);
        if (reach > 60) {
            return above;
        }
        const Vector point = from + ray * reach;
        const Light board = shade(point, {0, 1, 0}, wood(point.x, point.z), sunlight(point));
        return mix(board, sky({ray.x, 0, ray.z}), smooth_step(3.2, 11, reach));
    }
};

/// The lower part, (u, v) in 0…1 across its full width and height: bars, ramps, and the zone plate at the right.
inline Light card_pattern(double u, double v, double aspect) {
    constexpr double plate = 0.30;  // share of the width
    if (u > 1 - plate) {
        const double x = (u - (1 - plate / 2)) * aspect, y = v - 0.5;
        const double phase = 36 * (x * x + y * y) * 3.14159265358979323846;
        const double value = 0.5 + 0.5 * std::cos(phase);
        return {value, value, value};
    }
    const double across = u / (1 - plate);
    if (v < 0.40) {
        constexpr std::array<Light, 8> bars = {{{0.95, 0.95, 0.95},
                                                {0.88, 0.80, 0.04},
                                                {0.05, 0.68, 0.76},
                                                {0.07, 0.58, 0.11},
                                                {0.70, 0.06, 0.55},
                                                {0.75, 0.05, 0.05},
                                                {0.04, 0.08, 0.62},
                                                {0.01, 0.01, 0.012}}};
        return bars[static_cast<std::size_t>(std::clamp(across * 8, 0.0, 7.0))];
    }
    if (v < 0.52) {
        const double gray = linear_of(across);
        return {gray, gray, gray};
    }
    if (v < 0.64) {  // the hues once around
        const auto wave = [&](double shift) {
            return linear_of(std::clamp(2 - std::abs(std::fmod(across * 6 + shift, 6.0) - 3), 0.0, 1.0) * 0.92);
        };
        return {1 - wave(0), wave(1), wave(5)};
    }
    return {0.012, 0.016, 0.030};  // ground of the lettering
}

}  // namespace detail

/// The card at any size of 8 to 4096 pixels a side. Each pixel is the average light of many points, so lines too fine
/// for the size turn gray instead of into false patterns. One size always gives one picture.
[[nodiscard]] inline Image draw_test_card(int height = 256, int width = 256) {
    require(std::min(height, width) >= 8 && std::max(height, width) <= 4096,
            "test card: expected 8 to 4096 pixels a side, found ", height, " x ", width);
    const int fine = std::max(2, 512 / std::max(height, width));  // points per pixel, along each axis
    const int rows = height * fine, columns = width * fine;
    const int horizon = static_cast<int>(std::lround(detail::Scene::height * rows));
    Canvas lettering(rows, columns, black);
    const double room = 0.36 * (rows - horizon);  // height of the band for the name
    const double size = std::min(room * 0.52, columns * 0.070);
    if (size >= 4) {
        TextStyle style{.size = size, .color = white, .align = Align::center, .bold = true};
        draw_text(lettering, static_cast<int>(0.35 * columns), static_cast<int>(rows - room / 2 + size / 2), "flowfar",
                  style);
    }
    Image card = make_image(height, width);
    std::size_t out = 0;
    for (int row = 0; row < height; ++row) {
        for (int column = 0; column < width; ++column) {
            detail::Light sum;
            for (int y = row * fine; y < (row + 1) * fine; ++y) {
                for (int x = column * fine; x < (column + 1) * fine; ++x) {
                    const double u = (x + 0.5) / columns;
                    if (y < horizon) {
                        sum = sum + detail::Scene::at(u, (y + 0.5) / horizon);
                        continue;
                    }
                    const double below = rows - horizon;
                    const double ink = lettering.at(y, x).red / 255.0;
                    sum = sum + detail::mix(detail::card_pattern(u, (y + 0.5 - horizon) / below, columns / below),
                                            {0.93, 0.94, 0.96}, ink);
                }
            }
            sum = sum * (1.0 / (fine * fine));
            card.pixels[out++] = detail::byte_of(sum.r);
            card.pixels[out++] = detail::byte_of(sum.g);
            card.pixels[out++] = detail::byte_of(sum.b);
        }
    }
    return card;
}

}  // namespace flowfar::program
