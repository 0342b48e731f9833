// The compiled core of sim3dr: z-buffered rasterisation, vertex normals and lighting of triangle meshes.
//
// Conventions (sim3dr/renderer.py states them for users): x right, y down, z towards the viewer, in pixels; the centre
// of the pixel in column i and row j lies at (i, j). "Clockwise" is meant as seen on the screen.
//
// Exactness. Vertices are snapped to a grid of 1/256 pixel before anything else, and coverage is decided by edge
// functions in 64-bit integers. Nothing is rounded after the snap, so that two triangles that share an edge agree on
// every pixel of it: the top-left rule gives a pixel centre that lies on the edge to exactly one of them.
//
// Safety. The functions bound at the end of this file check shapes and index ranges themselves; sim3dr/renderer.py has
// the dtypes converted before. Below them everything works on plain pointers, without the GIL.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Rasterisation

constexpr int kSubpixel = 256;                    // grid steps per pixel
constexpr std::int32_t kMaxCoordinate = 1 << 20;  // pixels; see Edge for why there is a limit
constexpr std::int32_t kMaxFixed = kMaxCoordinate * kSubpixel;
constexpr std::int32_t kUnusable = std::numeric_limits<std::int32_t>::min();

// A vertex on the sub-pixel grid. x is kUnusable where a coordinate is NaN, infinite or beyond kMaxCoordinate.
struct Vertex {
    std::int32_t x, y;
    float z;
};

bool snap(float pixels, std::int32_t& fixed) {
    const double scaled = static_cast<double>(pixels) * kSubpixel;
    if (!(scaled >= -kMaxFixed && scaled <= kMaxFixed)) return false;  // written so that NaN fails
    // The bias makes the sum positive, where the cast to an integer rounds down: floor(scaled + 0.5) without a call.
    constexpr std::int32_t bias = 2 * kMaxFixed;
    fixed = static_cast<std::int32_t>(scaled + (bias + 0.5)) - bias;
    return true;
}

std::vector<Vertex> snap_vertices(const float* xyz, std::size_t count) {
    std::vector<Vertex> out(count);
    for (std::size_t i = 0; i < count; ++i, xyz += 3) {
        Vertex& v = out[i];
        v.z = xyz[2];
        if (!snap(xyz[0], v.x) || !snap(xyz[1], v.y) || !std::isfinite(v.z)) v.x = kUnusable;
    }
    return out;
}

// The edge a -> b of a clockwise triangle as the function of the pixel that is >= 0 inside, the top-left rule
// included. Coordinates are at most 2^28 (kMaxFixed), so differences are at most 2^29, products 2^58, and a value
// anywhere in an image of up to kMaxCoordinate pixels stays well inside 64 bits.
struct Edge {
    std::int64_t step_x, step_y;  // change of the value from one pixel to the next
    std::int64_t value;           // at the pixel where the walk begins
    std::int64_t bias;            // 0 for top and left edges, 1 for the others: a centre on those is outside

    Edge(const Vertex& a, const Vertex& b, int x, int y) {
        const std::int64_t dx = static_cast<std::int64_t>(b.x) - a.x;
        const std::int64_t dy = static_cast<std::int64_t>(b.y) - a.y;
        const std::int64_t from_a_x = static_cast<std::int64_t>(x) * kSubpixel - a.x;
        const std::int64_t from_a_y = static_cast<std::int64_t>(y) * kSubpixel - a.y;
        const bool top_left = dy < 0 || (dy == 0 && dx > 0);
        bias = top_left ? 0 : 1;
        value = dx * from_a_y - dy * from_a_x - bias;
        step_x = -dy * kSubpixel;
        step_y = dx * kSubpixel;
    }
};

struct Span {
    int first, last;  // pixels from the left end of the row; empty where first > last
};

// Rows of at most this many pixels are walked, wider ones solved for their ends: three divisions cost about as much
// as walking over this many pixels.
constexpr int kWalk = 32;

// The pixels 0 ... width - 1 of a row in which all three edge functions are >= 0: one run, as triangles are convex.
Span covered(const Edge (&edges)[3], int width) {
    if (width > kWalk) {
        std::int64_t first = 0, last = width - 1;
        for (const Edge& e : edges) {
            if (e.step_x > 0) {
                if (e.value < 0) first = std::max(first, (-e.value + e.step_x - 1) / e.step_x);
            } else if (e.value < 0) {
                return {0, -1};
            } else if (e.step_x < 0) {
                last = std::min(last, e.value / -e.step_x);
            }
        }
        return {static_cast<int>(std::min<std::int64_t>(first, width)), static_cast<int>(last)};
    }
    std::int64_t a = edges[0].value, b = edges[1].value, c = edges[2].value;
    const auto advance = [&] { a += edges[0].step_x, b += edges[1].step_x, c += edges[2].step_x; };
    int x = 0;
    for (; x < width && (a | b | c) < 0; ++x) advance();  // the sign bit of the union: any of them negative
    const int first = x;
    for (; x < width && (a | b | c) >= 0; ++x) advance();
    return {first, x - 1};
}

std::uint8_t to_byte(float value) {
    const float clipped = value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;  // NaN becomes 0
    return static_cast<std::uint8_t>(clipped * 255.0f + 0.5f);
}

// What is drawn on. Row strides may be negative, which is how a picture is drawn upside down.
struct Target {
    std::uint8_t* image;
    float* depth;
    std::ptrdiff_t image_stride, depth_stride;  // elements from one row to the next
    int height, width, channels;
};

// Channels is the number of channels where it is known when compiling, 0 where it is target.channels.
template <int Channels>
void draw_triangle(const Target& target, const Vertex* vertices, const float* colors, const std::int32_t* corners) {
    std::int32_t i0 = corners[0], i1 = corners[1], i2 = corners[2];
    if (vertices[i0].x == kUnusable || vertices[i1].x == kUnusable || vertices[i2].x == kUnusable) return;

    // First the test that most triangles of a fine mesh fail: does the bounding box hold a pixel centre at all?
    const auto [x_low, x_high] = std::minmax({vertices[i0].x, vertices[i1].x, vertices[i2].x});
    const auto [y_low, y_high] = std::minmax({vertices[i0].y, vertices[i1].y, vertices[i2].y});
    const auto first_centre = [](std::int32_t v) { return v > 0 ? (v + kSubpixel - 1) / kSubpixel : 0; };
    const auto last_centre = [](std::int32_t v) { return v >= 0 ? v / kSubpixel : -1; };
    const int x_first = first_centre(x_low), x_last = std::min(last_centre(x_high), target.width - 1);
    const int y_first = first_centre(y_low), y_last = std::min(last_centre(y_high), target.height - 1);
    if (x_first > x_last || y_first > y_last) return;

    const auto twice_area = [&] {
        const Vertex &a = vertices[i0], &b = vertices[i1], &c = vertices[i2];
        return (static_cast<std::int64_t>(b.x) - a.x) * (static_cast<std::int64_t>(c.y) - a.y) -
               (static_cast<std::int64_t>(c.x) - a.x) * (static_cast<std::int64_t>(b.y) - a.y);
    };
    std::int64_t area = twice_area();
    if (area == 0) return;
    if (area < 0) {  // both sides of a triangle are drawn
        std::swap(i1, i2);
        area = -area;
    }
    const Vertex &v0 = vertices[i0], &v1 = vertices[i1], &v2 = vertices[i2];
    // Edge k lies opposite vertex k, so that its value over the area is the barycentric weight of that vertex.
    Edge edges[3] = {{v1, v2, x_first, y_first}, {v2, v0, x_first, y_first}, {v0, v1, x_first, y_first}};
    const int width = x_last - x_first + 1;

    const int channels = Channels ? Channels : target.channels;
    const float* c0 = colors + static_cast<std::ptrdiff_t>(i0) * channels;
    const float* c1 = colors + static_cast<std::ptrdiff_t>(i1) * channels;
    const float* c2 = colors + static_cast<std::ptrdiff_t>(i2) * channels;
    const double per_area = 1.0 / static_cast<double>(area);
    const double z0 = v0.z, dz1 = v1.z - z0, dz2 = v2.z - z0;

    for (int y = y_first; y <= y_last; ++y) {
        const Span span = covered(edges, width);
        float* depth = target.depth + y * target.depth_stride + x_first;
        std::uint8_t* image = target.image + y * target.image_stride + static_cast<std::ptrdiff_t>(x_first) * channels;
        for (int x = span.first; x <= span.last; ++x) {
            const double w1 = static_cast<double>(edges[1].value + edges[1].bias + x * edges[1].step_x) * per_area;
            const double w2 = static_cast<double>(edges[2].value + edges[2].bias + x * edges[2].step_x) * per_area;
            const float z = static_cast<float>(z0 + w1 * dz1 + w2 * dz2);
            if (!(z > depth[x])) continue;
            depth[x] = z;
            const float f1 = static_cast<float>(w1), f2 = static_cast<float>(w2), f0 = 1.0f - f1 - f2;
            std::uint8_t* pixel = image + static_cast<std::ptrdiff_t>(x) * channels;
            for (int k = 0; k < channels; ++k) pixel[k] = to_byte(f0 * c0[k] + f1 * c1[k] + f2 * c2[k]);
        }
        for (Edge& e : edges) e.value += e.step_y;
    }
}

template <int Channels>
void draw_mesh(const Target& target, const Vertex* vertices, const float* colors, const std::int32_t* triangles,
               std::size_t count) {
    for (std::size_t t = 0; t < count; ++t) draw_triangle<Channels>(target, vertices, colors, triangles + 3 * t);
}

// ---------------------------------------------------------------------------------------------------------------------
// Normals and lighting, in double: the squares of the largest and smallest floats neither overflow nor vanish

using Vec3 = std::array<double, 3>;

Vec3 operator+(const Vec3& a, const Vec3& b) { return {a[0] + b[0], a[1] + b[1], a[2] + b[2]}; }
Vec3 operator-(const Vec3& a, const Vec3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
Vec3 operator*(double s, const Vec3& a) { return {s * a[0], s * a[1], s * a[2]}; }
double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Vec3 cross(const Vec3& a, const Vec3& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
Vec3 load(const float* p) { return {p[0], p[1], p[2]}; }
void store(float* p, const Vec3& a) {
    for (int k = 0; k < 3; ++k) p[k] = static_cast<float>(a[k]);
}

// a over its length; zero where it has none
Vec3 unit(const Vec3& a) {
    const double squared = dot(a, a);
    return squared > 0.0 ? (1.0 / std::sqrt(squared)) * a : Vec3{0.0, 0.0, 0.0};
}

void compute_normals(const float* vertices, std::size_t vertex_count, const std::int32_t* triangles,
                     std::size_t triangle_count, float* normals) {
    std::vector<Vec3> sums(vertex_count, Vec3{0.0, 0.0, 0.0});
    for (std::size_t t = 0; t < triangle_count; ++t) {
        const std::int32_t* corners = triangles + 3 * t;
        const Vec3 p = load(vertices + 3 * static_cast<std::ptrdiff_t>(corners[0]));
        const Vec3 to_q = load(vertices + 3 * static_cast<std::ptrdiff_t>(corners[1])) - p;
        const Vec3 to_r = load(vertices + 3 * static_cast<std::ptrdiff_t>(corners[2])) - p;
        const Vec3 normal = cross(to_q, to_r);  // twice the area long
        if (!std::isfinite(normal[0] + normal[1] + normal[2])) continue;
        for (int k = 0; k < 3; ++k) sums[corners[k]] = sums[corners[k]] + normal;
    }
    for (std::size_t i = 0; i < vertex_count; ++i) store(normals + 3 * i, unit(sums[i]));
}

struct Light {
    Vec3 ambient, directional, specular;  // colour times intensity
    double exponent;
    Vec3 light_position, view_position;  // where the mesh's bounding box is centred and its longest side is 2
};

// The map from pixels to the frame in which lights are placed: p -> scale * (p - centre). Vertices that are not finite
// have no say in it.
struct LightFrame {
    Vec3 centre{0.0, 0.0, 0.0};
    double scale = 1.0;

    LightFrame(const float* vertices, std::size_t count) {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        Vec3 low{infinity, infinity, infinity}, high{-infinity, -infinity, -infinity};
        for (std::size_t i = 0; i < count; ++i) {
            const Vec3 p = load(vertices + 3 * i);
            if (!std::isfinite(p[0] + p[1] + p[2])) continue;
            for (int k = 0; k < 3; ++k) {
                low[k] = std::min(low[k], p[k]);
                high[k] = std::max(high[k], p[k]);
            }
        }
        const Vec3 size = high - low;
        const double longest = std::max({size[0], size[1], size[2]});
        if (!(longest >= 0.0)) return;  // no finite vertex
        centre = 0.5 * (low + high);
        if (longest > 0.0) scale = 2.0 / longest;
    }
};

void compute_light(const float* vertices, const float* normals, std::size_t count, const Light& light, float* out) {
    const LightFrame frame(vertices, count);
    for (std::size_t i = 0; i < count; ++i) {
        const Vec3 p = frame.scale * (load(vertices + 3 * i) - frame.centre);
        const Vec3 normal = load(normals + 3 * i);
        const Vec3 to_light = unit(light.light_position - p);
        const double cosine = dot(normal, to_light);
        Vec3 sum = light.ambient;
        if (cosine > 0.0) {
            sum = sum + cosine * light.directional;
            const Vec3 reflected = 2.0 * cosine * normal - to_light;
            const double glance = dot(reflected, unit(light.view_position - p));
            if (glance > 0.0) sum = sum + std::pow(glance, light.exponent) * light.specular;
        }
        for (int k = 0; k < 3; ++k) sum[k] = std::min(std::max(sum[k], 0.0), 1.0);
        store(out + 3 * i, sum);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The functions that Python sees. Errors name the argument.

using Floats = py::array_t<float, py::array::c_style>;
using Indices = py::array_t<std::int32_t, py::array::c_style>;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

std::string shape_of(const py::array& a) {
    std::string text = "(";
    for (py::ssize_t k = 0; k < a.ndim(); ++k) text += (k ? ", " : "") + std::to_string(a.shape(k));
    return text + (a.ndim() == 1 ? ",)" : ")");
}

// rows < 0 stands for any number
void require_shape(const py::array& a, const char* name, py::ssize_t rows, py::ssize_t columns) {
    if (a.ndim() == 2 && a.shape(1) == columns && (rows < 0 || a.shape(0) == rows)) return;
    const std::string expected = (rows < 0 ? std::string("N") : std::to_string(rows)) + ", " + std::to_string(columns);
    throw py::value_error(std::string(name) + " must have the shape (" + expected + "), got " + shape_of(a));
}

void require_indices(const Indices& triangles, py::ssize_t vertex_count) {
    const std::int32_t* index = triangles.data();
    const py::ssize_t count = triangles.size();
    for (py::ssize_t i = 0; i < count; ++i) {
        if (index[i] >= 0 && index[i] < vertex_count) continue;
        throw py::value_error("triangles[" + std::to_string(i / 3) + "] names vertex " + std::to_string(index[i]) +
                              ", but there are " + std::to_string(vertex_count) + " vertices");
    }
}

void rasterize(Bytes image, Floats depth, const Floats& vertices, const Indices& triangles, const Floats& colors,
               bool reverse) {
    if (image.ndim() != 3) throw py::value_error("image must have the shape (H, W, C), got " + shape_of(image));
    const py::ssize_t height = image.shape(0), width = image.shape(1), channels = image.shape(2);
    if (std::max({height, width, channels}) > kMaxCoordinate)
        throw py::value_error("image must be at most " + std::to_string(kMaxCoordinate) + " in every direction, got " +
                              shape_of(image));
    require_shape(depth, "depth", height, width);
    require_shape(vertices, "vertices", -1, 3);
    require_shape(triangles, "triangles", -1, 3);
    require_shape(colors, "colors", vertices.shape(0), channels);
    require_indices(triangles, vertices.shape(0));

    Target target{};
    target.image = image.mutable_data();
    target.depth = depth.mutable_data();
    target.image_stride = width * channels;
    target.depth_stride = width;
    target.height = static_cast<int>(height);
    target.width = static_cast<int>(width);
    target.channels = static_cast<int>(channels);
    if (reverse && height > 0) {
        target.image += (height - 1) * target.image_stride;
        target.depth += (height - 1) * target.depth_stride;
        target.image_stride = -target.image_stride;
        target.depth_stride = -target.depth_stride;
    }
    const float* xyz = vertices.data();
    const float* color_data = colors.data();
    const std::int32_t* corners = triangles.data();
    const auto vertex_count = static_cast<std::size_t>(vertices.shape(0));
    const auto triangle_count = static_cast<std::size_t>(triangles.shape(0));

    const py::gil_scoped_release release;
    const std::vector<Vertex> snapped = snap_vertices(xyz, vertex_count);
    const auto draw = channels == 3 ? &draw_mesh<3> : &draw_mesh<0>;
    draw(target, snapped.data(), color_data, corners, triangle_count);
}

Floats vertex_normals(const Floats& vertices, const Indices& triangles) {
    require_shape(vertices, "vertices", -1, 3);
    require_shape(triangles, "triangles", -1, 3);
    require_indices(triangles, vertices.shape(0));
    Floats normals({vertices.shape(0), py::ssize_t{3}});
    const float* xyz = vertices.data();
    const std::int32_t* corners = triangles.data();
    float* out = normals.mutable_data();
    const auto vertex_count = static_cast<std::size_t>(vertices.shape(0));
    const auto triangle_count = static_cast<std::size_t>(triangles.shape(0));
    {
        const py::gil_scoped_release release;
        compute_normals(xyz, vertex_count, corners, triangle_count, out);
    }
    return normals;
}

Floats vertex_light(const Floats& vertices, const Floats& normals, const Vec3& ambient, const Vec3& directional,
                    const Vec3& specular, double exponent, const Vec3& light_position, const Vec3& view_position) {
    require_shape(vertices, "vertices", -1, 3);
    require_shape(normals, "normals", vertices.shape(0), 3);
    Floats light({vertices.shape(0), py::ssize_t{3}});
    const Light settings{ambient, directional, specular, exponent, light_position, view_position};
    const float *xyz = vertices.data(), *normal_data = normals.data();
    float* out = light.mutable_data();
    const auto count = static_cast<std::size_t>(vertices.shape(0));
    {
        const py::gil_scoped_release release;
        compute_light(xyz, normal_data, count, settings, out);
    }
    return light;
}

}  // namespace

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    m.doc() = "The compiled core of sim3dr; see sim3dr.renderer and sim3dr.lighting for what it computes.";
    m.def("rasterize", &rasterize, py::arg("image").noconvert(), py::arg("depth").noconvert(),
          py::arg("vertices").noconvert(), py::arg("triangles").noconvert(), py::arg("colors").noconvert(),
          py::arg("reverse"));
    m.def("vertex_normals", &vertex_normals, py::arg("vertices").noconvert(), py::arg("triangles").noconvert());
    m.def("vertex_light", &vertex_light, py::arg("vertices").noconvert(), py::arg("normals").noconvert(),
          py::arg("ambient"), py::arg("directional"), py::arg("specular"), py::arg("exponent"),
          py::arg("light_position"), py::arg("view_position"));
}
