#include "light.h"

#include <atomic>

namespace sim3dr {

namespace {

// Bounds within which products and squares of float normals neither overflow nor underflow
constexpr float kSmallest = 1e-15f, kLargest = 1e15f, kSmallestProduct = 1e-12f;

template <class Real>
Real extent(const Vec3<Real>& a) {
    return std::fabs(a.x) + std::fabs(a.y) + std::fabs(a.z);
}

// Whether floats are enough for a triangle with the edges a and b and the normal n
bool holds(const Vec3<float>& a, const Vec3<float>& b, const Vec3<float>& n) {
    const float size = extent(n);
    if (size >= kSmallest) return size <= kLargest;
    if (!(size <= kLargest)) return false;
    const float of_a = extent(a), of_b = extent(b);
    return of_a == 0.0f || of_b == 0.0f || (of_a * of_b >= kSmallestProduct && of_a * of_b <= kLargest);
}
bool holds(const Vec3<double>&, const Vec3<double>&, const Vec3<double>&) { return true; }

// Sums the normals at the vertices first ... last - 1 and makes them unit vectors. Returns false, with `normals`
// undefined, if Real cannot hold them. Each thread has a range of vertices and visits all triangles, so the order of
// the sum, and with it the last digit, does not depend on the number of threads.
template <class Real>
bool normals_of(const float* vertices, std::size_t first, std::size_t last, bool all, const std::int32_t* triangles,
                std::size_t triangle_count, float* normals) {
    std::vector<Vec3<Real>> sums(last - first, Vec3<Real>{0, 0, 0});
    const std::size_t count = last - first;
    for (std::size_t t = 0; t < triangle_count; ++t, triangles += 3) {
        const std::size_t i = static_cast<std::size_t>(triangles[0]), j = static_cast<std::size_t>(triangles[1]),
                          k = static_cast<std::size_t>(triangles[2]);
        if (!all && i - first >= count && j - first >= count && k - first >= count) continue;  // unsigned: below wraps
        const Vec3<Real> p = load<Real>(vertices + 3 * i);
        const Vec3<Real> a = load<Real>(vertices + 3 * j) - p, b = load<Real>(vertices + 3 * k) - p;
        const Vec3<Real> normal = cross(a, b);  // its length is twice the area
        if (!holds(a, b, normal)) {
            const Vec3<double> wide = load<double>(vertices + 3 * i) + load<double>(vertices + 3 * j) +
                                      load<double>(vertices + 3 * k);
            if (std::isfinite(wide.x + wide.y + wide.z)) return false;
            continue;
        }
        if (sizeof(Real) > sizeof(float) && !std::isfinite(normal.x + normal.y + normal.z)) continue;
        if (all || i - first < count) sums[i - first] = sums[i - first] + normal;
        if (all || j - first < count) sums[j - first] = sums[j - first] + normal;
        if (all || k - first < count) sums[k - first] = sums[k - first] + normal;
    }
    for (std::size_t i = 0; i < count; ++i) {
        const Real squared = dot(sums[i], sums[i]);
        const Real scale = squared > 0 ? 1 / std::sqrt(squared) : Real{0};
        float* out = normals + 3 * (first + i);
        out[0] = static_cast<float>(scale * sums[i].x);
        out[1] = static_cast<float>(scale * sums[i].y);
        out[2] = static_cast<float>(scale * sums[i].z);
    }
    return true;
}

}  // namespace

void vertex_normals(const float* vertices, std::size_t vertex_count, const std::int32_t* triangles,
                    std::size_t triangle_count, int threads, float* normals) {
    std::atomic<bool> held{true};
    const auto range = [&](int k, auto real) {
        const std::size_t first = part_begin(vertex_count, k, threads), last = part_begin(vertex_count, k + 1, threads);
        return normals_of<decltype(real)>(vertices, first, last, threads == 1, triangles, triangle_count, normals);
    };
    in_parallel(threads, [&](int k) {
        if (!range(k, float{})) held = false;
    });
    // Meshes or triangles of extreme size are rare: then compute all of it again in double
    if (!held) in_parallel(threads, [&](int k) { range(k, double{}); });
}

LightFrame::LightFrame(const float* vertices, std::size_t count) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    float low[3] = {infinity, infinity, infinity}, high[3] = {-infinity, -infinity, -infinity};
    for (std::size_t i = 0; i < count; ++i) {
        const float* p = vertices + 3 * i;
        if (!(std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]))) continue;
        for (int k = 0; k < 3; ++k) {
            low[k] = p[k] < low[k] ? p[k] : low[k];
            high[k] = p[k] > high[k] ? p[k] : high[k];
        }
    }
    if (!(low[0] <= high[0])) return;  // no finite vertex
    const Vec3<double> a = load<double>(low), b = load<double>(high);
    center = 0.5 * (a + b);
    const Vec3<double> size = b - a;
    const double longest = std::max(size.x, std::max(size.y, size.z));
    if (longest > 0.0) scale = 2.0 / longest;
}

void raise(float* glance, std::size_t count, double exponent) {
    constexpr double kMostMultiplied = 256.0;
    if (exponent >= 1.0 && exponent <= kMostMultiplied && exponent == std::floor(exponent)) {
        const auto whole = static_cast<unsigned>(exponent);
        for (std::size_t i = 0; i < count; ++i) {
            float base = glance[i], power = 1.0f;
            for (unsigned n = whole; n; n >>= 1) {
                if (n & 1) power *= base;
                base *= base;
            }
            glance[i] = power;
        }
    } else {
        const auto e = static_cast<float>(exponent);
        for (std::size_t i = 0; i < count; ++i) glance[i] = glance[i] > 0.0f ? std::pow(glance[i], e) : 0.0f;
    }
}

void light_vertices(const Light& light, const LightFrame& frame, const float* vertices, const float* normals,
                    std::size_t first, std::size_t last, float* out) {
    constexpr std::size_t kBlock = 128;
    float cosine[kBlock], glance[kBlock];
    for (std::size_t begin = first; begin < last; begin += kBlock) {
        const std::size_t count = std::min(kBlock, last - begin);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t at = 3 * (begin + i);
            const Reflection r = reflect(light, frame.place(vertices + at), load<float>(normals + at));
            cosine[i] = r.cosine;
            glance[i] = r.glance;
        }
        raise(glance, count, light.exponent);
        for (std::size_t i = 0; i < count; ++i)
            for (std::size_t k = 0; k < 3; ++k)
                out[3 * (begin + i) + k] =
                    clip(light.ambient[k] + light.directional[k] * cosine[i] + light.specular[k] * glance[i]);
    }
}

}  // namespace sim3dr
