// Vertices on the sub-pixel grid, three-vectors, and the division of work among threads.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

namespace sim3dr {

constexpr int kSubpixel = 256;                    // grid steps per pixel
constexpr std::int32_t kMaxCoordinate = 1 << 20;  // pixels; see Edge in raster.h for why there is a limit
constexpr std::int32_t kMaxFixed = kMaxCoordinate * kSubpixel;
constexpr std::int32_t kUnusable = std::numeric_limits<std::int32_t>::min();

// A vertex on the sub-pixel grid. x is kUnusable where a coordinate is NaN, infinite or beyond kMaxCoordinate.
struct Vertex {
    std::int32_t x, y;
    float z;
};

inline Vertex snap(const float* xyz) {
    const double x = static_cast<double>(xyz[0]) * kSubpixel, y = static_cast<double>(xyz[1]) * kSubpixel;
    // Written so that NaN fails
    if (!(std::fabs(x) <= kMaxFixed && std::fabs(y) <= kMaxFixed && std::isfinite(xyz[2]))) return {kUnusable, 0, 0.0f};
    // The bias makes the sum positive, where the cast to an integer rounds down: floor(x + 0.5) without a call.
    constexpr std::int32_t bias = 2 * kMaxFixed;
    return {static_cast<std::int32_t>(x + (bias + 0.5)) - bias, static_cast<std::int32_t>(y + (bias + 0.5)) - bias,
            xyz[2]};
}

// By value, unlike std::min, so that compilers avoid a branch: which of three corners is least is unpredictable
inline std::int32_t least(std::int32_t a, std::int32_t b, std::int32_t c) {
    const std::int32_t ab = b < a ? b : a;
    return c < ab ? c : ab;
}
inline std::int32_t greatest(std::int32_t a, std::int32_t b, std::int32_t c) {
    const std::int32_t ab = b > a ? b : a;
    return c > ab ? c : ab;
}

template <class Real>
struct Vec3 {
    Real x, y, z;
};
template <class Real>
Vec3<Real> operator+(const Vec3<Real>& a, const Vec3<Real>& b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class Real>
Vec3<Real> operator-(const Vec3<Real>& a, const Vec3<Real>& b) {
    return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class Real>
Vec3<Real> operator*(Real s, const Vec3<Real>& a) {
    return {s * a.x, s * a.y, s * a.z};
}
template <class Real>
Real dot(const Vec3<Real>& a, const Vec3<Real>& b) {
    return a.x * b.x + a.y * b.y + a.z * b.z;
}
template <class Real>
Vec3<Real> cross(const Vec3<Real>& a, const Vec3<Real>& b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
template <class Real>
Real length(const Vec3<Real>& a) {
    return std::sqrt(dot(a, a));
}
template <class Real>
Vec3<Real> load(const float* p) {
    return {static_cast<Real>(p[0]), static_cast<Real>(p[1]), static_cast<Real>(p[2])};
}

// An array whose elements are not initialized
template <class T>
using Buffer = std::unique_ptr<T[]>;

template <class T>
Buffer<T> make_buffer(std::size_t count) {
    return Buffer<T>(new T[count]);
}

// Runs work(0) ... work(count - 1), each on its own thread, the first on this one. If the system refuses a thread, this
// one does its work. The first exception is rethrown when all are done.
template <class Work>
void in_parallel(int count, const Work& work) {
    if (count == 1) return work(0);
    std::vector<std::exception_ptr> failures(static_cast<std::size_t>(count));
    const auto guarded = [&](int k) {
        try {
            work(k);
        } catch (...) {
            failures[static_cast<std::size_t>(k)] = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    threads.reserve(static_cast<std::size_t>(count));
    int started = 1;
    try {
        for (; started < count; ++started) threads.emplace_back(guarded, started);
    } catch (const std::system_error&) {
    }
    guarded(0);
    for (int k = started; k < count; ++k) guarded(k);
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

// The index at which part k begins when `count` elements are divided into `parts`
inline std::size_t part_begin(std::size_t count, int k, int parts) {
    return count * static_cast<std::size_t>(k) / static_cast<std::size_t>(parts);
}

}  // namespace sim3dr
