// Vertex normals and the Phong reflection of one light; sim3dr/lighting.py states the formula.

#pragma once

#include "geometry.h"

namespace sim3dr {

struct Light {
    float ambient[3], directional[3], specular[3];  // color times intensity
    double exponent;
    Vec3<float> position, viewer;  // where the bounding box is centered and its longest side is 2
};

// The map from a mesh's own frame to the one in which lights are placed: p -> scale * (p - center). It ignores vertices
// that are not finite.
struct LightFrame {
    Vec3<double> center{0.0, 0.0, 0.0};
    double scale = 1.0;

    LightFrame() = default;
    LightFrame(const float* vertices, std::size_t count);

    Vec3<float> place(const float* p) const {
        return {static_cast<float>((static_cast<double>(p[0]) - center.x) * scale),
                static_cast<float>((static_cast<double>(p[1]) - center.y) * scale),
                static_cast<float>((static_cast<double>(p[2]) - center.z) * scale)};
    }
};

struct Reflection {
    float cosine, glance;  // max(n.l, 0), and max(r.v, 0) where n.l > 0; both 0 where they are NaN
};

// `normal` is a unit vector or zero
inline Reflection reflect(const Light& light, const Vec3<float>& p, const Vec3<float>& normal) {
    const Vec3<float> to_light = light.position - p, to_viewer = light.viewer - p;
    const float squared = dot(to_light, to_light), viewer_squared = dot(to_viewer, to_viewer);
    const float cosine = dot(normal, to_light) / std::sqrt(squared);
    // r.v = 2 (n.l)(n.v) - l.v, with the lengths factored out
    const float glance = (2.0f * cosine * dot(normal, to_viewer) - dot(to_light, to_viewer) / std::sqrt(squared)) /
                         std::sqrt(viewer_squared);
    const bool lit = cosine > 0.0f;
    return {lit ? cosine : 0.0f, lit && glance > 0.0f ? glance : 0.0f};
}

// Raises `count` values to the exponent, in place; zero stays zero whatever the exponent
void raise(float* glance, std::size_t count, double exponent);

inline float clip(float value) { return value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f; }  // NaN becomes 0

inline void light_at(const Light& light, const Vec3<float>& p, const Vec3<float>& normal, float* out) {
    Reflection r = reflect(light, p, normal);
    raise(&r.glance, 1, light.exponent);
    for (int k = 0; k < 3; ++k)
        out[k] = clip(light.ambient[k] + light.directional[k] * r.cosine + light.specular[k] * r.glance);
}

// Computes the light (N, 3) at the vertices first ... last - 1
void light_vertices(const Light& light, const LightFrame& frame, const float* vertices, const float* normals,
                    std::size_t first, std::size_t last, float* out);

// Computes unit normals (N, 3): the normals of the triangles around each vertex, weighted by area
void vertex_normals(const float* vertices, std::size_t vertex_count, const std::int32_t* triangles,
                    std::size_t triangle_count, int threads, float* normals);

}  // namespace sim3dr
