#include "shaders.h"

namespace sim3dr {

namespace {

// Samples a texture bilinearly; (0, 0) is its lower left corner and (1, 1) the upper right, and it repeats outside.
// Writes channel k, from 0 to 1, to out[k].
class Sampler {
public:
    Sampler(const Texture& texture, float u, float v) : texture_(texture) {
        place(u, texture.width, left_, right_, across_);
        place(1.0f - v, texture.height, top_, bottom_, down_);
    }

    float operator()(int k) const {
        const float upper = at(top_, left_, k) * (1.0f - across_) + at(top_, right_, k) * across_;
        const float lower = at(bottom_, left_, k) * (1.0f - across_) + at(bottom_, right_, k) * across_;
        return (upper * (1.0f - down_) + lower * down_) / 255.0f;
    }

private:
    // The two texels whose centers enclose `place`, and the weight of the second
    static void place(float place, int size, int& low, int& high, float& weight) {
        float turn = place - std::floor(place);
        if (!(turn >= 0.0f && turn < 1.0f)) turn = 0.0f;  // not a number, or rounded up to 1
        const float texel = turn * static_cast<float>(size) - 0.5f;
        const float below = std::floor(texel);
        weight = texel - below;
        low = (static_cast<int>(below) + size) % size;
        high = (low + 1) % size;
    }

    float at(int row, int column, int k) const {
        return texture_.texels[(static_cast<std::ptrdiff_t>(row) * texture_.width + column) * texture_.channels + k];
    }

    const Texture& texture_;
    int left_ = 0, right_ = 0, top_ = 0, bottom_ = 0;
    float across_ = 0.0f, down_ = 0.0f;
};

}  // namespace

void SurfaceShader::begin_triangle(const std::int32_t* corners, std::int32_t i0, std::int32_t i1, std::int32_t i2) {
    corners_ = corners;
    index_[0] = i0;
    index_[1] = i1;
    index_[2] = i2;
    triangle_lit_ = false;
}

// Lights the triangle at its center, with the normal of its plane
void SurfaceShader::light_triangle() {
    const float* lit = surface_.lit();
    const Vec3<double> p = load<double>(lit + 3 * static_cast<std::ptrdiff_t>(corners_[0]));
    const Vec3<double> q = load<double>(lit + 3 * static_cast<std::ptrdiff_t>(corners_[1]));
    const Vec3<double> r = load<double>(lit + 3 * static_cast<std::ptrdiff_t>(corners_[2]));
    const Vec3<double> normal = cross(q - p, r - p), center = (1.0 / 3.0) * (p + q + r);
    const double size = length(normal);
    const double scale = size > 0.0 ? 1.0 / size : 0.0;
    const Vec3<double> placed = frame_.scale * (center - frame_.center), unit = scale * normal;
    light_at(*light_, {static_cast<float>(placed.x), static_cast<float>(placed.y), static_cast<float>(placed.z)},
             {static_cast<float>(unit.x), static_cast<float>(unit.y), static_cast<float>(unit.z)}, triangle_light_);
}

void SurfaceShader::light_sample(const float* f, float* light) const {
    const float* lit = surface_.lit();
    Vec3<float> p{0.0f, 0.0f, 0.0f};
    for (int k = 0; k < 3; ++k) p = p + f[k] * frame_.place(row(lit, k, 3));
    Vec3<float> normal = mix(normals_, f);
    const float size = length(normal);
    if (size > 0.0f) normal = (1.0f / size) * normal;
    light_at(*light_, p, normal, light);
}

void SurfaceShader::write(std::uint8_t* pixel, float f1, float f2, float z) {
    if (surface_.unprojected)
        undo_perspective(z, row(surface_.vertices, 1, 3)[2], row(surface_.vertices, 2, 3)[2], f1, f2);
    const float f[3] = {1.0f - f1 - f2, f1, f2};

    float light[3] = {1.0f, 1.0f, 1.0f};
    if (light_ && shading_ == Shading::flat) {
        if (!triangle_lit_) light_triangle();
        triangle_lit_ = true;
        std::copy(triangle_light_, triangle_light_ + 3, light);
    } else if (light_ && shading_ == Shading::phong) {
        light_sample(f, light);
    } else if (light_) {
        for (int k = 0; k < 3; ++k) light[k] = mix(vertex_light_, 3, k, f);
    }

    if (surface_.texture.texels) {
        const Sampler texel(surface_.texture, mix(surface_.uv, 2, 0, f), mix(surface_.uv, 2, 1, f));
        for (int k = 0; k < channels_; ++k) pixel[k] = to_byte(texel(k) * (light_ ? light[k] : 1.0f));
        return;
    }
    for (int k = 0; k < channels_; ++k) {
        const float color = surface_.colors ? mix(surface_.colors, channels_, k, f) : 1.0f;
        pixel[k] = to_byte(color * (light_ ? light[k] : 1.0f));
    }
}

}  // namespace sim3dr
