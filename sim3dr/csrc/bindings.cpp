// The Python bindings. They check shapes, index ranges and options; sim3dr/_arrays.py converts dtypes before. Errors
// name the argument. All code below the bindings works on plain pointers, without the GIL.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "draw.h"

namespace py = pybind11;

namespace sim3dr {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Indices = py::array_t<std::int32_t, py::array::c_style>;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
using Triple = std::array<double, 3>;

std::string shape_of(const py::array& a) {
    std::string text = "(";
    for (py::ssize_t k = 0; k < a.ndim(); ++k) text += (k ? ", " : "") + std::to_string(a.shape(k));
    return text + (a.ndim() == 1 ? ",)" : ")");
}

// rows < 0 allows any number
void require_shape(const py::array& a, const char* name, py::ssize_t rows, py::ssize_t columns) {
    if (a.ndim() == 2 && a.shape(1) == columns && (rows < 0 || a.shape(0) == rows)) return;
    const std::string expected = (rows < 0 ? std::string("N") : std::to_string(rows)) + ", " + std::to_string(columns);
    throw py::value_error(std::string(name) + " must have the shape (" + expected + "), got " + shape_of(a));
}

void require_indices(const Indices& triangles, py::ssize_t vertex_count) {
    const std::int32_t* index = triangles.data();
    const py::ssize_t count = triangles.size();
    if (vertex_count <= std::numeric_limits<std::int32_t>::max()) {  // one fast pass over all of them
        std::uint32_t largest = 0;                                   // negative ones become very large
        for (py::ssize_t i = 0; i < count; ++i) largest = std::max(largest, static_cast<std::uint32_t>(index[i]));
        if (count == 0 || largest < static_cast<std::uint32_t>(vertex_count)) return;
    }
    for (py::ssize_t i = 0; i < count; ++i) {
        if (index[i] >= 0 && index[i] < vertex_count) continue;
        throw py::value_error("triangles[" + std::to_string(i / 3) + "] names vertex " + std::to_string(index[i]) +
                              ", but there are " + std::to_string(vertex_count) + " vertices");
    }
}

// A mesh to draw; keeps the arrays it was made of alive
class Mesh {
public:
    Mesh(Floats vertices, Indices triangles, std::optional<Floats> colors, std::optional<Floats> uv,
         std::optional<Bytes> texture, std::optional<Floats> unprojected, float opacity)
        : vertices_(std::move(vertices)),
          triangles_(std::move(triangles)),
          colors_(std::move(colors)),
          uv_(std::move(uv)),
          texture_(std::move(texture)),
          unprojected_(std::move(unprojected)) {
        require_shape(vertices_, "vertices", -1, 3);
        require_shape(triangles_, "triangles", -1, 3);
        require_indices(triangles_, vertices_.shape(0));
        if (!(opacity >= 0.0f && opacity <= 1.0f)) throw py::value_error("opacity must be from 0 to 1");
        surface_.opacity = opacity;
        surface_.vertices = vertices_.data();
        surface_.vertex_count = static_cast<std::size_t>(vertices_.shape(0));
        surface_.triangles = triangles_.data();
        surface_.triangle_count = static_cast<std::size_t>(triangles_.shape(0));
        if (unprojected_) {
            require_shape(*unprojected_, "unprojected", vertices_.shape(0), 3);
            surface_.unprojected = unprojected_->data();
        }
        if (texture_) set_texture();
        if (colors_) surface_.colors = colors_->data();
    }

    // Returns the surface after checking that it fits an image with this many channels
    const Surface& surface(py::ssize_t channels) const {
        if (colors_) require_shape(*colors_, "colors", vertices_.shape(0), channels);
        if (texture_ && texture_->shape(2) != channels)
            throw py::value_error("texture must have the " + std::to_string(channels) + " channels of the image, got " +
                                  shape_of(*texture_));
        return surface_;
    }

private:
    void set_texture() {
        if (!uv_) throw py::value_error("texture needs uv, the place of each vertex in it");
        require_shape(*uv_, "uv", vertices_.shape(0), 2);
        if (texture_->ndim() != 3 || texture_->size() == 0 ||
            std::max(texture_->shape(0), texture_->shape(1)) > kMaxCoordinate)
            throw py::value_error("texture must have the shape (H, W, C), none of them 0 and at most " +
                                  std::to_string(kMaxCoordinate) + ", got " + shape_of(*texture_));
        surface_.uv = uv_->data();
        surface_.texture = {texture_->data(), static_cast<int>(texture_->shape(0)),
                            static_cast<int>(texture_->shape(1)), static_cast<int>(texture_->shape(2))};
    }

    Floats vertices_;
    Indices triangles_;
    std::optional<Floats> colors_, uv_;
    std::optional<Bytes> texture_;
    std::optional<Floats> unprojected_;
    Surface surface_;
};

int require_threads(int threads) {
    constexpr int most = 256;
    if (threads < 1 || threads > most)
        throw py::value_error("threads must be from 1 to " + std::to_string(most) + ", got " + std::to_string(threads));
    return threads;
}

Light make_light(const Triple& ambient, const Triple& directional, const Triple& specular, double exponent,
                 const Triple& position, const Triple& viewer) {
    Light light{};
    for (std::size_t k = 0; k < 3; ++k) {
        light.ambient[k] = static_cast<float>(ambient[k]);
        light.directional[k] = static_cast<float>(directional[k]);
        light.specular[k] = static_cast<float>(specular[k]);
    }
    light.exponent = exponent;
    const auto place = [](const Triple& p) {
        return Vec3<float>{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2])};
    };
    light.position = place(position);
    light.viewer = place(viewer);
    return light;
}

void draw_meshes(Bytes image, std::optional<Floats> depth, std::optional<Indices> index,
                 const std::vector<std::shared_ptr<Mesh>>& meshes, const Light* light, Shading shading, bool cull,
                 bool antialias, bool reverse, int threads) {
    if (image.ndim() != 3) throw py::value_error("image must have the shape (H, W, C), got " + shape_of(image));
    const py::ssize_t height = image.shape(0), width = image.shape(1), channels = image.shape(2);
    if (std::max({height, width, channels}) > kMaxCoordinate)
        throw py::value_error("image must be at most " + std::to_string(kMaxCoordinate) + " in every direction, got " +
                              shape_of(image));
    if (depth) require_shape(*depth, "depth", height, width);
    if (index) require_shape(*index, "index", height, width);
    if (antialias && (depth || index))
        throw py::value_error("depth and index have one value per pixel, which pixels drawn with antialias do not have");
    if (light && channels != 3) throw py::value_error("lit meshes need an image of 3 channels, got " + shape_of(image));
    std::vector<Surface> surfaces;
    std::size_t triangle_count = 0;
    for (const auto& mesh : meshes) {
        surfaces.push_back(mesh->surface(channels));
        triangle_count += surfaces.back().triangle_count;
    }
    if (triangle_count > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
        throw py::value_error("the meshes have more triangles than 32 bits can count");
    Picture picture{};
    picture.image = image.mutable_data();
    picture.depth = depth ? depth->mutable_data() : nullptr;
    picture.index = index ? index->mutable_data() : nullptr;
    picture.height = static_cast<int>(height);
    picture.width = static_cast<int>(width);
    picture.channels = static_cast<int>(channels);
    picture.upside_down = reverse;
    const Options options{light, shading, cull, antialias, require_threads(threads)};
    const py::gil_scoped_release release;
    draw(picture, surfaces, options);
}

Floats compute_normals(const Floats& vertices, const Indices& triangles, int threads) {
    require_shape(vertices, "vertices", -1, 3);
    require_shape(triangles, "triangles", -1, 3);
    require_indices(triangles, vertices.shape(0));
    require_threads(threads);
    Floats normals({vertices.shape(0), py::ssize_t{3}});
    const float* xyz = vertices.data();
    const std::int32_t* corners = triangles.data();
    float* out = normals.mutable_data();
    const auto vertex_count = static_cast<std::size_t>(vertices.shape(0));
    const auto triangle_count = static_cast<std::size_t>(triangles.shape(0));
    {
        const py::gil_scoped_release release;
        vertex_normals(xyz, vertex_count, corners, triangle_count, threads, out);
    }
    return normals;
}

Floats compute_light(const Light& light, const Floats& vertices, const Floats& normals) {
    require_shape(vertices, "vertices", -1, 3);
    require_shape(normals, "normals", vertices.shape(0), 3);
    Floats out({vertices.shape(0), py::ssize_t{3}});
    const float *xyz = vertices.data(), *normal_data = normals.data();
    float* data = out.mutable_data();
    const auto count = static_cast<std::size_t>(vertices.shape(0));
    {
        const py::gil_scoped_release release;
        light_vertices(light, LightFrame(xyz, count), xyz, normal_data, 0, count, data);
    }
    return out;
}

}  // namespace
}  // namespace sim3dr

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
    using namespace sim3dr;
    m.doc() = "The compiled core of sim3dr; see sim3dr.renderer and sim3dr.lighting for what it computes.";
    py::enum_<Shading>(m, "Shading")
        .value("flat", Shading::flat)
        .value("gouraud", Shading::gouraud)
        .value("phong", Shading::phong);
    py::class_<Light>(m, "Light")
        .def(py::init(&make_light), py::arg("ambient"), py::arg("directional"), py::arg("specular"),
             py::arg("exponent"), py::arg("position"), py::arg("viewer"));
    py::class_<Mesh, std::shared_ptr<Mesh>>(m, "Mesh")
        .def(py::init<Floats, Indices, std::optional<Floats>, std::optional<Floats>, std::optional<Bytes>,
                      std::optional<Floats>, float>(),
             py::arg("vertices").noconvert(), py::arg("triangles").noconvert(), py::arg("colors").noconvert(),
             py::arg("uv").noconvert(), py::arg("texture").noconvert(), py::arg("unprojected").noconvert(),
             py::arg("opacity"));
    m.def("draw", &draw_meshes, py::arg("image").noconvert(), py::arg("depth").noconvert(),
          py::arg("index").noconvert(), py::arg("meshes"), py::arg("light"), py::arg("shading"), py::arg("cull"),
          py::arg("antialias"), py::arg("reverse"), py::arg("threads"));
    m.def("vertex_normals", &compute_normals, py::arg("vertices").noconvert(), py::arg("triangles").noconvert(),
          py::arg("threads"));
    m.def("vertex_light", &compute_light, py::arg("light"), py::arg("vertices").noconvert(),
          py::arg("normals").noconvert());
}
