// Rasterizes a triangle: coverage, depth, and a call of the shader for each visible sample.
//
// Exactness: vertices are snapped to a grid of 1/256 pixel first, and integer edge functions decide coverage. Nothing
// is rounded after snapping, so two triangles that share an edge agree on every sample: the top-left rule assigns a
// sample on the edge to exactly one of them.
//
// "Clockwise" means as seen on the screen, where x points right and y down.

#pragma once

#include "geometry.h"
#include "vector.h"

namespace sim3dr {

// Positions of samples: sample k of a row or column is at the grid coordinate k * step + origin. A single sample is at
// the pixel's center; four by four are spread evenly over the pixel.
template <int Samples>
struct Grid;
template <>
struct Grid<1> {
    static constexpr int shift = 8, step = kSubpixel, origin = 0;
};
template <>
struct Grid<4> {
    static constexpr int shift = 6, step = kSubpixel / 4, origin = -(kSubpixel - step) / 2;
};

// The first sample at or after, and the last at or before, a grid coordinate. The shift rounds down.
template <int Samples>
int first_sample(std::int32_t v) {
    return (v - Grid<Samples>::origin + Grid<Samples>::step - 1) >> Grid<Samples>::shift;
}
template <int Samples>
int last_sample(std::int32_t v) {
    return (v - Grid<Samples>::origin) >> Grid<Samples>::shift;
}

// A part of the picture that is drawn at once, in samples, with its buffers, which begin at the sample (x0, y0) and
// have rows of `stride` samples
struct Strip {
    int x0, x1, y0, y1;  // x1 and y1 are the last
    std::ptrdiff_t stride;
    float* depth;
    std::int32_t* index;  // of the visible triangle, -1 where this call has drawn none
    std::uint8_t* color;  // `bytes` per sample, of which the first `channels` are used
    int channels, bytes;
};

// The least depth in each tile of 4 by 4 samples of a strip: triangles behind it everywhere need not be drawn
class Tiles {
public:
    explicit Tiles(const Strip& strip)
        : x0_(strip.x0), y0_(strip.y0), columns_(((strip.x1 - strip.x0) >> kShift) + 1) {
        const int width = strip.x1 - strip.x0 + 1, height = strip.y1 - strip.y0 + 1;
        const int rows = ((height - 1) >> kShift) + 1;
        least_.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns_));
        std::vector<float> low(static_cast<std::size_t>(columns_) << kShift);  // of each column of samples
        for (int row = 0; row < rows; ++row) {
            std::fill(low.begin(), low.end(), std::numeric_limits<float>::infinity());
            const int end = std::min(height, (row + 1) << kShift);
            for (int y = row << kShift; y < end; ++y) {
                const float* depth = strip.depth + y * strip.stride;
                float* const out = low.data();
                for (int x = 0; x < width; ++x) out[x] = depth[x] < out[x] ? depth[x] : out[x];
            }
            float* least = least_.data() + static_cast<std::ptrdiff_t>(row) * columns_;
            for (int k = 0; k < columns_; ++k) {
                const float* in = low.data() + (static_cast<std::ptrdiff_t>(k) << kShift);
                least[k] = *std::min_element(in, in + (1 << kShift));
            }
        }
    }

    // Whether all samples in the rectangle have a greater depth than z; false if it is too large to check
    bool hide(float z, int x_first, int x_last, int y_first, int y_last) {
        const int left = (x_first - x0_) >> kShift, right = (x_last - x0_) >> kShift;
        if (right - left > kMost || y_last - y_first > kMost << kShift) return false;
        const float* end = row(y_last) + columns_;
        for (const float* least = row(y_first); least < end; least += columns_)
            for (int k = left; k <= right; ++k)
                if (!(z < least[k])) return false;
        return true;
    }

private:
    static constexpr int kShift = 2, kMost = 5;
    float* row(int y) { return least_.data() + static_cast<std::ptrdiff_t>((y - y0_) >> kShift) * columns_; }

    int x0_, y0_, columns_;
    std::vector<float> least_;
};

// The edge a -> b of a clockwise triangle as a function of the sample that is >= 0 inside, including the top-left
// rule. Coordinates are at most 2^28 (kMaxFixed), so differences are at most 2^29, products 2^58, and a value
// anywhere in an image of up to kMaxCoordinate pixels stays well inside 64 bits. In triangles below kSmall in both
// directions differences are below 2^14 + 2^8, and a value anywhere in their bounding box stays inside 32 bits.
template <class Int>
struct Edge {
    Int step_x, step_y;  // change of the value from one sample to the next
    Int value;           // at the first sample
    Int bias;            // 0 for top and left edges, 1 for the others: a center on those is outside

    Edge(const Vertex& a, const Vertex& b, std::int32_t x, std::int32_t y, int step) {
        const Int dx = static_cast<Int>(b.x) - a.x, dy = static_cast<Int>(b.y) - a.y;
        bias = 1 - static_cast<Int>((dy < 0) | ((dy == 0) & (dx > 0)));
        value = dx * (static_cast<Int>(y) - a.y) - dy * (static_cast<Int>(x) - a.x) - bias;
        step_x = -dy * step;
        step_y = dx * step;
    }
};

constexpr std::int32_t kSmall = 1 << 14;

struct Span {
    int first, end;  // samples from the left end of the row; empty where first >= end
};

// For sets of eight samples of a row, the bits of the index: the first sample, and the one after the last
struct Runs {
    std::int8_t first[256], end[256];
};
constexpr Runs make_runs() {
    Runs runs{};
    for (int set = 1; set < 256; ++set) {
        int first = 0, end = 8;
        while (!(set >> first & 1)) ++first;
        while (!(set >> (end - 1) & 1)) --end;
        runs.first[set] = static_cast<std::int8_t>(first);
        runs.end[set] = static_cast<std::int8_t>(end);
    }
    return runs;
}
inline constexpr Runs kRuns = make_runs();

// Iterates over the rows of a triangle. In each row, inside() returns the samples 0 ... width - 1 in which all three
// edge functions are >= 0: one run, because triangles are convex. There is one class for each type of Edge.
template <class Int>
class Rows;

// Small triangles: eight samples at a time
template <>
class Rows<std::int32_t> {
public:
    Rows(const Edge<std::int32_t>* edges, int width) : width_(width) {
        for (int k = 0; k < 3; ++k) {
            value_[k] = iota4(edges[k].value, edges[k].step_x);
            step_4_[k] = broadcast(4 * edges[k].step_x);
            step_y_[k] = broadcast(edges[k].step_y);
        }
    }

    Span inside() const {
        Int4 a = value_[0], b = value_[1], c = value_[2];
        for (int i = 0;;) {
            unsigned set = not_negative(a | b | c);
            const auto next = [&] {
                a = a + step_4_[0];
                b = b + step_4_[1];
                c = c + step_4_[2];
            };
            if (i + 4 < width_) {
                next();
                set |= not_negative(a | b | c) << 4;
            }
            const int first = i + kRuns.first[set];
            int end = i + kRuns.end[set];
            i += 8;
            if (i >= width_) return {first, std::min(end, width_)};
            next();
            if (set == 0) continue;
            for (; end == i && i < width_; i += 4, next()) end += kRuns.end[not_negative(a | b | c)];
            return {first, std::min(end, width_)};
        }
    }

    void advance() {
        for (int k = 0; k < 3; ++k) value_[k] = value_[k] + step_y_[k];
    }

private:
    int width_;
    Int4 value_[3], step_4_[3], step_y_[3];
};

// Large triangles: solve for the ends of the run, as they have few rows for their size
template <>
class Rows<std::int64_t> {
public:
    Rows(const Edge<std::int64_t>* edges, int width) : width_(width), edges_{edges[0], edges[1], edges[2]} {}

    Span inside() const {
        std::int64_t first = 0, last = width_ - 1;
        for (const Edge<std::int64_t>& e : edges_) {
            if (e.step_x > 0) {
                if (e.value < 0) first = std::max(first, (-e.value + e.step_x - 1) / e.step_x);
            } else if (e.value < 0) {
                return {0, 0};
            } else if (e.step_x < 0) {
                last = std::min(last, e.value / -e.step_x);
            }
        }
        return {static_cast<int>(std::min<std::int64_t>(first, width_)), static_cast<int>(last) + 1};
    }

    void advance() {
        for (Edge<std::int64_t>& e : edges_) e.value += e.step_y;
    }

private:
    int width_;
    Edge<std::int64_t> edges_[3];
};

// Twice the area of the triangle, positive if it is clockwise
inline std::int64_t twice_area(const Vertex& a, const Vertex& b, const Vertex& c) {
    return (static_cast<std::int64_t>(b.x) - a.x) * (static_cast<std::int64_t>(c.y) - a.y) -
           (static_cast<std::int64_t>(c.x) - a.x) * (static_cast<std::int64_t>(b.y) - a.y);
}

// Draws the samples of a clockwise triangle within x_first ... x_last and y_first ... y_last, the limits of its
// bounding box. The shader is passed by value, so compilers keep it in registers: writes to pixels can't alias it.
template <int Samples, class Int, class Shader>
void walk(const Strip& strip, const Vertex& v0, const Vertex& v1, const Vertex& v2, std::int64_t area, int x_first,
          int x_last, int y_first, int y_last, std::int32_t id, Shader shader) {
    constexpr int step = Grid<Samples>::step, origin = Grid<Samples>::origin;
    const std::int32_t x = x_first * step + origin, y = y_first * step + origin;
    // Edge k is opposite vertex k, so its value divided by the area is the barycentric weight of that vertex.
    const Edge<Int> edges[3] = {{v1, v2, x, y, step}, {v2, v0, x, y, step}, {v0, v1, x, y, step}};
    Rows<Int> rows(edges, x_last - x_first + 1);
    const double per_area = 1.0 / static_cast<double>(area);
    const double z0 = v0.z, dz1 = static_cast<double>(v1.z) - z0, dz2 = static_cast<double>(v2.z) - z0;
    const double step_1 = static_cast<double>(edges[1].step_x) * per_area;
    const double step_2 = static_cast<double>(edges[2].step_x) * per_area;
    const double step_z = step_1 * dz1 + step_2 * dz2;
    const std::ptrdiff_t bytes = strip.bytes;
    Int value_1 = edges[1].value + edges[1].bias, value_2 = edges[2].value + edges[2].bias;

    std::ptrdiff_t begin = (y_first - strip.y0) * strip.stride + (x_first - strip.x0);
    for (int row = y_first; row <= y_last; ++row, rows.advance(), begin += strip.stride,
             value_1 += edges[1].step_y, value_2 += edges[2].step_y) {
        const Span span = rows.inside();
        if (span.first >= span.end) continue;
        // Weights and depth are exact at the first sample and grow linearly along the row
        const Int first = span.first;
        double w1 = static_cast<double>(value_1 + first * edges[1].step_x) * per_area;
        double w2 = static_cast<double>(value_2 + first * edges[2].step_x) * per_area;
        double exact_z = z0 + w1 * dz1 + w2 * dz2;
        shader.begin_row(static_cast<float>(w1), static_cast<float>(w2), static_cast<float>(step_1),
                     static_cast<float>(step_2));
        float* const depth = strip.depth + begin;
        std::int32_t* const index = strip.index + begin;
        std::uint8_t* const color = strip.color + begin * bytes;
        for (int i = span.first; i < span.end;
             ++i, w1 += step_1, w2 += step_2, exact_z += step_z, shader.advance()) {
            const float z = static_cast<float>(exact_z);
            // Of equal depths the earlier triangle is visible, whatever the order of drawing
            if (!(z >= depth[i]) || (z == depth[i] && id >= index[i])) continue;
            depth[i] = z;
            index[i] = id;
            shader.write(color + i * bytes, static_cast<float>(w1), static_cast<float>(w2), z);
        }
    }
}

// Draws the part of a triangle in the strip, unless `tiles`, if given, hide it. `id` is written to the index buffer and
// must not be negative.
template <int Samples, class Shader>
void draw_triangle(const Strip& strip, const Vertex* vertices, const std::int32_t* corners, Tiles* tiles,
                   std::int32_t id, Shader& shader) {
    std::int32_t i0 = corners[0], i1 = corners[1], i2 = corners[2];
    const Vertex v0 = vertices[i0];
    Vertex v1 = vertices[i1], v2 = vertices[i2];
    const std::int32_t left = least(v0.x, v1.x, v2.x), right = greatest(v0.x, v1.x, v2.x);
    const std::int32_t top = least(v0.y, v1.y, v2.y), bottom = greatest(v0.y, v1.y, v2.y);
    const int x_first = std::max(first_sample<Samples>(left), strip.x0);
    const int x_last = std::min(last_sample<Samples>(right), strip.x1);
    const int y_first = std::max(first_sample<Samples>(top), strip.y0);
    const int y_last = std::min(last_sample<Samples>(bottom), strip.y1);
    if (x_first > x_last || y_first > y_last) return;
    if (tiles && tiles->hide(std::max(v0.z, std::max(v1.z, v2.z)), x_first, x_last, y_first, y_last)) return;
    std::int64_t area = twice_area(v0, v1, v2);
    if (area < 0) {
        std::swap(i1, i2);
        std::swap(v1, v2);
        area = -area;
    }
    shader.begin_triangle(corners, i0, i1, i2);
    if (right - left < kSmall && bottom - top < kSmall)
        walk<Samples, std::int32_t>(strip, v0, v1, v2, area, x_first, x_last, y_first, y_last, id, shader);
    else
        walk<Samples, std::int64_t>(strip, v0, v1, v2, area, x_first, x_last, y_first, y_last, id, shader);
}

}  // namespace sim3dr
