// Intermediate data of surfaces and of the picture during drawing.

#pragma once

#include "shaders.h"

namespace sim3dr {

// The part of the picture that is drawn into, in samples, divided into strips of `rows`
struct Region {
    int x0, x1, y0, y1;  // x1 and y1 are the last
    int rows, strips;
    bool empty() const { return x0 > x1 || y0 > y1; }
    std::ptrdiff_t stride() const { return x1 - x0 + 1; }
};

// The triangles of a part of a mesh that may contain a sample, by strip and then by orientation, clockwise first; each
// list is in the order of the mesh.
struct Bins {
    std::vector<std::size_t> begin;  // of strip s and orientation c at 2 s + c, and the end of the last
    Buffer<std::int32_t> triangles;
    double depth[2] = {0.0, 0.0};  // sums over the triangles of each orientation
    std::size_t count[2] = {0, 0};
};

// A surface and the data that is computed before it is drawn
struct Work {
    const Surface* surface = nullptr;
    std::int32_t first_id = 0;  // of its first triangle in the index buffer
    Buffer<Vertex> snapped;
    LightFrame frame;
    Buffer<float> normals, light;
    std::vector<Bins> bins;  // one for each thread's part of the triangles
};

// Bounds in grid steps
struct Box {
    std::int32_t left = kMaxFixed, right = -kMaxFixed, top = kMaxFixed, bottom = -kMaxFixed;
    void add(const Vertex& v) {
        left = std::min(left, v.x);
        right = std::max(right, v.x);
        top = std::min(top, v.y);
        bottom = std::max(bottom, v.y);
    }
    void add(const Box& b) {
        left = std::min(left, b.left);
        right = std::max(right, b.right);
        top = std::min(top, b.top);
        bottom = std::max(bottom, b.bottom);
    }
};

}  // namespace sim3dr
