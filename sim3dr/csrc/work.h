// What is kept of surfaces and of the picture while they are drawn.

#pragma once

#include "shaders.h"

namespace sim3dr {

// The part of the picture that is drawn into, in samples, cut into strips of `rows`
struct Region {
    int x0, x1, y0, y1;  // x1 and y1 are the last
    int rows, strips;
    bool empty() const { return x0 > x1 || y0 > y1; }
    std::ptrdiff_t stride() const { return x1 - x0 + 1; }
};

// The triangles of a part of a mesh that may hold a sample, by strip and in it by sense, clockwise first; in each the
// order is that of the mesh.
struct Bins {
    std::vector<std::size_t> begin;  // of strip s and sense c at 2 s + c, and the end of the last
    Buffer<std::int32_t> triangles;
    double depth[2] = {0.0, 0.0};  // sums over the triangles of each sense
    std::size_t count[2] = {0, 0};
};

// A surface with what is computed of it before it is drawn
struct Work {
    const Surface* surface = nullptr;
    std::int32_t first_id = 0;  // of its triangles in the index buffer
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
