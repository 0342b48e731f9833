// Draws surfaces into a picture: lights them, sorts their triangles into strips of rows, and draws strip by strip.

#pragma once

#include "shaders.h"

namespace sim3dr {

struct Picture {
    std::uint8_t* image;  // (height, width, channels), contiguous
    float* depth;         // (height, width), or null
    std::int32_t* index;  // (height, width), or null
    int height, width, channels;
    bool upside_down;  // row y of the drawing goes to row height - 1 - y
};

struct Options {
    const Light* light;  // null: unlit. Otherwise there must be three channels.
    Shading shading;
    bool cull;       // leave out triangles that turn counter-clockwise on the screen
    bool antialias;  // four by four samples per pixel; then there must be no buffers for depth and index
    int threads;
};

void draw(const Picture& picture, const std::vector<Surface>& surfaces, const Options& options);

}  // namespace sim3dr
