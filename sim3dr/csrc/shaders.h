// Shaders: the color of a sample. The rasterizer calls begin_triangle for each triangle; begin_row for each of its
// rows, with the screen weights of the second and third vertex at the first sample and their steps along the row;
// advance between samples; and write for each visible sample.

#pragma once

#include "light.h"
#include "vector.h"

namespace sim3dr {

enum class Shading { flat, gouraud, phong };

struct Texture {
    const std::uint8_t* texels = nullptr;  // (height, width, channels)
    int height = 0, width = 0, channels = 0;
};

// A mesh as the shaders and the rasterizer need it. Pointers are null for missing data.
struct Surface {
    const float* vertices = nullptr;  // (N, 3), in pixels
    std::size_t vertex_count = 0;
    const std::int32_t* triangles = nullptr;  // (M, 3)
    std::size_t triangle_count = 0;
    const float* colors = nullptr;  // (N, channels)
    const float* uv = nullptr;      // (N, 2)
    Texture texture;
    const float* unprojected = nullptr;  // (N, 3), the lit positions; if given, z of the vertices is 1 / distance
    float opacity = 1.0f;

    const float* lit() const { return unprojected ? unprojected : vertices; }
};

inline std::uint8_t to_byte(float value) { return static_cast<std::uint8_t>(clip(value) * 255.0f + 0.5f); }

// Converts weights on the screen to weights on the surface before projection
inline void undo_perspective(float z, float z1, float z2, float& f1, float& f2) {
    if (!(z > 0.0f)) return;
    f1 *= z1 / z;
    f2 *= z2 / z;
}

// Interpolates colors, any number of channels
class ColorShader {
public:
    ColorShader(const float* colors, int channels, const float* vertices, bool perspective)
        : colors_(colors), channels_(channels), vertices_(perspective ? vertices : nullptr) {}

    void begin_triangle(const std::int32_t*, std::int32_t i0, std::int32_t i1, std::int32_t i2) {
        c0_ = colors_ + static_cast<std::ptrdiff_t>(i0) * channels_;
        c1_ = colors_ + static_cast<std::ptrdiff_t>(i1) * channels_;
        c2_ = colors_ + static_cast<std::ptrdiff_t>(i2) * channels_;
        if (!vertices_) return;
        z1_ = vertices_[3 * static_cast<std::ptrdiff_t>(i1) + 2];
        z2_ = vertices_[3 * static_cast<std::ptrdiff_t>(i2) + 2];
    }

    void begin_row(float, float, float, float) {}
    void advance() {}
    void write(std::uint8_t* pixel, float f1, float f2, float z) const {
        if (vertices_) undo_perspective(z, z1_, z2_, f1, f2);
        const float f0 = 1.0f - f1 - f2;
        for (int k = 0; k < channels_; ++k) pixel[k] = to_byte(f0 * c0_[k] + f1 * c1_[k] + f2 * c2_[k]);
    }

private:
    const float* colors_;
    int channels_;
    const float* vertices_;
    const float *c0_ = nullptr, *c1_ = nullptr, *c2_ = nullptr;
    float z1_ = 0.0f, z2_ = 0.0f;
};

// The same for three channels, in four bytes per sample, without perspective: the most frequent case
class ColorShader3 {
public:
    explicit ColorShader3(const float* colors) : colors_(colors) {}

    void begin_triangle(const std::int32_t*, std::int32_t i0, std::int32_t i1, std::int32_t i2) {
        base_ = 255.0f * load3(colors_ + 3 * static_cast<std::ptrdiff_t>(i0));
        along_1_ = 255.0f * load3(colors_ + 3 * static_cast<std::ptrdiff_t>(i1)) - base_;
        along_2_ = 255.0f * load3(colors_ + 3 * static_cast<std::ptrdiff_t>(i2)) - base_;
    }
    void begin_row(float f1, float f2, float step_1, float step_2) {
        now_ = base_ + f1 * along_1_ + f2 * along_2_;
        step_ = step_1 * along_1_ + step_2 * along_2_;
    }
    void advance() { now_ = now_ + step_; }
    void write(std::uint8_t* pixel, float, float, float) const { store_levels(pixel, now_); }

private:
    const float* colors_;
    Float4 base_{}, along_1_{}, along_2_{}, now_{}, step_{};
};

// Everything else: textures, and light per triangle or per sample
class SurfaceShader {
public:
    // Unlit if `light` is null. `normals` (N, 3) are for Phong, `vertex_light` (N, 3) for Gouraud shading.
    SurfaceShader(const Surface& surface, int channels, const Light* light, Shading shading, const LightFrame& frame,
                  const float* normals, const float* vertex_light)
        : surface_(surface),
          channels_(channels),
          light_(light),
          shading_(shading),
          frame_(frame),
          normals_(normals),
          vertex_light_(vertex_light) {}

    void begin_triangle(const std::int32_t* corners, std::int32_t i0, std::int32_t i1, std::int32_t i2);
    void begin_row(float, float, float, float) {}
    void advance() {}
    void write(std::uint8_t* pixel, float f1, float f2, float z);

private:
    const float* row(const float* data, int corner, int columns) const {
        return data + static_cast<std::ptrdiff_t>(index_[corner]) * columns;
    }
    float mix(const float* data, int columns, int k, const float* f) const {
        return f[0] * row(data, 0, columns)[k] + f[1] * row(data, 1, columns)[k] + f[2] * row(data, 2, columns)[k];
    }
    Vec3<float> mix(const float* data, const float* f) const {
        return {mix(data, 3, 0, f), mix(data, 3, 1, f), mix(data, 3, 2, f)};
    }
    void light_triangle();
    void light_sample(const float* f, float* light) const;

    const Surface& surface_;
    int channels_;
    const Light* light_;
    Shading shading_;
    LightFrame frame_;
    const float* normals_;
    const float* vertex_light_;

    const std::int32_t* corners_ = nullptr;  // in the order of the mesh
    std::int32_t index_[3] = {0, 0, 0};      // clockwise
    bool triangle_lit_ = false;
    float triangle_light_[3] = {1.0f, 1.0f, 1.0f};
};

}  // namespace sim3dr
