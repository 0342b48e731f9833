#include "draw.h"

#include <atomic>
#include <cstring>

#include "raster.h"
#include "work.h"

namespace sim3dr {

namespace {

constexpr std::size_t kStripBytes = 512 << 10;  // of buffers, so that they stay in the second-level cache
constexpr int kStripRows = 8;                   // at least, so that few triangles are in several strips
constexpr int kStripsPerThread = 4;             // at least, so that threads finish at about the same time

Box snap_vertices(Work& work, int threads) {
    const Surface& s = *work.surface;
    work.snapped = make_buffer<Vertex>(s.vertex_count);
    std::vector<Box> boxes(static_cast<std::size_t>(threads));
    in_parallel(threads, [&](int k) {
        Box box;
        const std::size_t end = part_begin(s.vertex_count, k + 1, threads);
        for (std::size_t i = part_begin(s.vertex_count, k, threads); i < end; ++i) {
            const Vertex v = snap(s.vertices + 3 * i);
            work.snapped[i] = v;
            if (v.x != kUnusable) box.add(v);
        }
        boxes[static_cast<std::size_t>(k)] = box;
    });
    for (const Box& box : boxes) boxes[0].add(box);
    return boxes[0];
}

// Whether interpolating colors is enough to draw the surface
bool colors_suffice(const Surface& s, const Options& o) {
    return !s.texture.texels && (o.light ? o.shading == Shading::gouraud : s.colors != nullptr);
}

// Computes normals and light as far as the shading needs them
void light_surface(Work& work, const Options& o) {
    if (!o.light) return;
    const Surface& s = *work.surface;
    work.frame = LightFrame(s.lit(), s.vertex_count);
    if (o.shading == Shading::flat) return;
    work.normals = make_buffer<float>(3 * s.vertex_count);
    vertex_normals(s.lit(), s.vertex_count, s.triangles, s.triangle_count, o.threads, work.normals.get());
    if (o.shading == Shading::phong) return;
    work.light = make_buffer<float>(3 * s.vertex_count);
    const bool multiply = colors_suffice(s, o) && s.colors;
    in_parallel(o.threads, [&](int k) {
        const std::size_t first = part_begin(s.vertex_count, k, o.threads);
        const std::size_t last = part_begin(s.vertex_count, k + 1, o.threads);
        light_vertices(*o.light, work.frame, s.lit(), work.normals.get(), first, last, work.light.get());
        if (multiply)
            for (std::size_t i = 3 * first; i < 3 * last; ++i) work.light[i] *= s.colors[i];
    });
}

template <int Samples>
Region choose_region(const Picture& p, const Box& box, const Options& o, std::size_t bytes_per_sample) {
    Region r{};
    r.x0 = std::max(first_sample<Samples>(box.left), 0);
    r.x1 = std::min(last_sample<Samples>(box.right), p.width * Samples - 1);
    r.y0 = std::max(first_sample<Samples>(box.top), 0);
    r.y1 = std::min(last_sample<Samples>(box.bottom), p.height * Samples - 1);
    if (r.empty()) return r;
    if (Samples > 1) {  // whole pixels
        r.x0 -= r.x0 % Samples;
        r.y0 -= r.y0 % Samples;
        r.x1 += Samples - 1 - r.x1 % Samples;
        r.y1 += Samples - 1 - r.y1 % Samples;
    }
    const int height = (r.y1 - r.y0 + 1) / Samples;  // in pixels from here on
    const std::size_t row_bytes = static_cast<std::size_t>(r.stride()) * Samples * bytes_per_sample;
    int rows = static_cast<int>(std::min<std::size_t>(kStripBytes / row_bytes, kMaxCoordinate));
    if (o.threads > 1) rows = std::min(rows, height / (kStripsPerThread * o.threads) + 1);
    rows = std::min(std::max(rows, kStripRows), height);
    r.rows = rows * Samples;
    r.strips = (height + rows - 1) / rows;
    return r;
}

// Sorts the triangles first ... last - 1 into the strips that their bounding boxes touch
template <int Samples>
Bins sort_triangles(const Work& work, const Region& region, bool cull, std::size_t first, std::size_t last) {
    struct Kept {
        std::int32_t triangle, first_bin, last_bin;
    };
    const Vertex* vertices = work.snapped.get();
    const std::int32_t* corners = work.surface->triangles + 3 * first;
    Buffer<Kept> kept = make_buffer<Kept>(last - first);
    std::size_t count = 0;
    Bins bins;
    bins.begin.assign(2 * static_cast<std::size_t>(region.strips) + 1, 0);
    for (std::size_t t = first; t < last; ++t, corners += 3) {
        const Vertex &a = vertices[corners[0]], &b = vertices[corners[1]], &c = vertices[corners[2]];
        const std::int32_t left = least(a.x, b.x, c.x), right = greatest(a.x, b.x, c.x);
        // Most triangles of a fine mesh fail here: their bounding boxes contain no sample
        const std::int32_t top = least(a.y, b.y, c.y), bottom = greatest(a.y, b.y, c.y);
        if (left == kUnusable) continue;
        const int x0 = std::max(first_sample<Samples>(left), region.x0);
        const int x1 = std::min(last_sample<Samples>(right), region.x1);
        const int y0 = std::max(first_sample<Samples>(top), region.y0);
        const int y1 = std::min(last_sample<Samples>(bottom), region.y1);
        if ((x0 > x1) | (y0 > y1)) continue;
        const std::int64_t area = twice_area(a, b, c);
        const int sense = area < 0;
        if (area == 0 || (cull && sense)) continue;
        Kept& k = kept[count++];
        k.triangle = static_cast<std::int32_t>(t);
        k.first_bin = (region.strips > 1 ? 2 * ((y0 - region.y0) / region.rows) : 0) + sense;
        k.last_bin = (region.strips > 1 ? 2 * ((y1 - region.y0) / region.rows) : 0) + sense;
        for (int bin = k.first_bin; bin <= k.last_bin; bin += 2) ++bins.begin[static_cast<std::size_t>(bin) + 1];
        bins.depth[sense] += static_cast<double>(a.z);
        ++bins.count[sense];
    }
    for (std::size_t bin = 1; bin < bins.begin.size(); ++bin) bins.begin[bin] += bins.begin[bin - 1];
    bins.triangles = make_buffer<std::int32_t>(bins.begin.back());
    std::vector<std::size_t> next(bins.begin.begin(), bins.begin.end() - 1);
    for (std::size_t i = 0; i < count; ++i)
        for (int bin = kept[i].first_bin; bin <= kept[i].last_bin; bin += 2)
            bins.triangles[next[static_cast<std::size_t>(bin)]++] = kept[i].triangle;
    return bins;
}

// The orientation whose triangles are nearer on average. Drawn first, they hide most of the others, which then need no
// shading: one orientation is the visible side of a closed mesh.
int nearer_sense(const std::vector<Work>& works) {
    double depth[2] = {0.0, 0.0}, count[2] = {0.0, 0.0};
    for (const Work& work : works)
        for (const Bins& bins : work.bins)
            for (int sense = 0; sense < 2; ++sense) {
                depth[sense] += bins.depth[sense];
                count[sense] += static_cast<double>(bins.count[sense]);
            }
    return depth[1] * count[0] > depth[0] * count[1] ? 1 : 0;
}

template <int Samples, class Shader>
void draw_bin(const Strip& strip, std::size_t bin, const Work& work, Tiles* tiles, Shader shader) {
    const Surface& s = *work.surface;
    for (const Bins& bins : work.bins) {
        const std::int32_t* end = bins.triangles.get() + bins.begin[bin + 1];
        for (const std::int32_t* t = bins.triangles.get() + bins.begin[bin]; t != end; ++t)
            draw_triangle<Samples>(strip, work.snapped.get(), s.triangles + 3 * static_cast<std::ptrdiff_t>(*t), tiles,
                                   work.first_id + *t, shader);
    }
}

template <int Samples>
void draw_work(const Strip& strip, std::size_t bin, const Work& work, Tiles* tiles, const Options& o) {
    const Surface& s = *work.surface;
    if (!colors_suffice(s, o)) {
        draw_bin<Samples>(strip, bin, work, tiles,
                          SurfaceShader(s, strip.channels, o.light, o.shading, work.frame,
                                        work.normals.get(), work.light.get()));
        return;
    }
    const float* colors = o.light ? work.light.get() : s.colors;
    const bool perspective = s.unprojected != nullptr;
    if (strip.channels == 3 && !perspective)
        draw_bin<Samples>(strip, bin, work, tiles, ColorShader3(colors));
    else
        draw_bin<Samples>(strip, bin, work, tiles, ColorShader(colors, strip.channels, s.vertices, perspective));
}

template <int Samples>
void draw_strip(const Strip& strip, int number, const std::vector<Work>& works, int first_sense, const Options& o) {
    const std::size_t bin = 2 * static_cast<std::size_t>(number);
    const auto first = static_cast<std::size_t>(first_sense);
    for (const Work& work : works) draw_work<Samples>(strip, bin + first, work, nullptr, o);
    std::size_t others = 0;
    for (const Work& work : works)
        for (const Bins& bins : work.bins) others += bins.begin[bin + 2 - first] - bins.begin[bin + 1 - first];
    if (others == 0) return;
    Tiles tiles(strip);
    for (const Work& work : works) draw_work<Samples>(strip, bin + 1 - first, work, &tiles, o);
}

// The row of the picture's buffer, with `size` elements per pixel, that holds row y of the drawing
template <class T>
T* picture_row(const Picture& p, T* buffer, int y, int size) {
    return buffer + static_cast<std::ptrdiff_t>(p.upside_down ? p.height - 1 - y : y) * p.width * size;
}

// The opacity of the surface that a triangle belongs to; neighboring samples often need the same one
class Opacities {
public:
    explicit Opacities(const std::vector<Work>& works) : works_(works) {}

    float operator()(std::int32_t id) {
        if (id < 0) return 0.0f;
        if (id < first_ || id > last_) {
            const auto after = std::upper_bound(works_.begin(), works_.end(), id,
                                                [](std::int32_t i, const Work& work) { return i < work.first_id; });
            const Work& work = *(after - 1);
            first_ = work.first_id;
            last_ = first_ + static_cast<std::int32_t>(work.surface->triangle_count) - 1;
            opacity_ = work.surface->opacity;
        }
        return opacity_;
    }

private:
    const std::vector<Work>& works_;
    std::int32_t first_ = 0, last_ = -1;
    float opacity_ = 0.0f;
};

// Blends the mean of a pixel's samples over the picture; the first sample is number `corner` of the strip
template <int Samples>
void blend_pixel(const Strip& strip, std::ptrdiff_t corner, Opacities& opacities, std::uint8_t* pixel) {
    constexpr float share = 1.0f / (Samples * Samples);
    float weights[Samples * Samples], sum = 0.0f;
    for (int v = 0; v < Samples; ++v)
        for (int u = 0; u < Samples; ++u) {
            float& weight = weights[v * Samples + u];
            weight = share * opacities(strip.index[corner + v * strip.stride + u]);
            sum += weight;
        }
    if (sum == 0.0f) return;
    for (int k = 0; k < strip.channels; ++k) {
        float level = (1.0f - sum) * static_cast<float>(pixel[k]);
        for (int v = 0; v < Samples; ++v)
            for (int u = 0; u < Samples; ++u)
                level += weights[v * Samples + u] *
                         static_cast<float>(strip.color[(corner + v * strip.stride + u) * strip.bytes + k]);
        pixel[k] = static_cast<std::uint8_t>(level + 0.5f);
    }
}

// Blends the samples of a strip over the picture
template <int Samples>
void blend(const Picture& p, const Strip& strip, const std::vector<Work>& works) {
    Opacities opacities(works);
    for (int y = strip.y0; y <= strip.y1; y += Samples) {
        std::uint8_t* image = picture_row(p, p.image, y / Samples, p.channels);
        for (int x = strip.x0; x <= strip.x1; x += Samples)
            blend_pixel<Samples>(strip, (y - strip.y0) * strip.stride + (x - strip.x0), opacities,
                                 image + static_cast<std::ptrdiff_t>(x / Samples) * p.channels);
    }
}

// Copies the colors of `count` adjacent samples to as many pixels
void copy_run(std::ptrdiff_t channels, std::ptrdiff_t count, const std::uint8_t* from, std::uint8_t* to) {
    if (count == 0) return;
    if (channels != 3) {
        std::copy_n(from, count * channels, to);
        return;
    }
    // All four bytes of each sample except the last: copying the next sample overwrites the fourth byte
    for (std::ptrdiff_t x = 1; x < count; ++x, from += 4, to += 3) std::memcpy(to, from, 4);
    std::memcpy(to, from, 3);
}

// The same for opaque surfaces and one sample per pixel
void copy_colors(const Picture& p, const Strip& strip) {
    const int width = strip.x1 - strip.x0 + 1;
    for (int y = strip.y0; y <= strip.y1; ++y) {
        const std::int32_t* index = strip.index + (y - strip.y0) * strip.stride;
        const std::uint8_t* from = strip.color + (y - strip.y0) * strip.stride * strip.bytes;
        std::uint8_t* to = picture_row(p, p.image, y, p.channels) + static_cast<std::ptrdiff_t>(strip.x0) * p.channels;
        for (std::ptrdiff_t x = 0, end = 0; x < width; x = end) {
            for (; x < width && index[x] < 0; ++x) {
            }
            for (end = x; end < width && index[end] >= 0; ++end) {
            }
            copy_run(p.channels, end - x, from + x * strip.bytes, to + x * p.channels);
        }
    }
}

// Writes depth and triangles of a strip with one sample per pixel to the picture's buffers
void copy_buffers(const Picture& p, const Strip& strip) {
    const std::ptrdiff_t width = strip.x1 - strip.x0 + 1;
    for (int y = strip.y0; y <= strip.y1; ++y) {
        if (p.depth)
            std::copy_n(strip.depth + (y - strip.y0) * strip.stride, width, picture_row(p, p.depth, y, 1) + strip.x0);
        if (!p.index) continue;
        const std::int32_t* from = strip.index + (y - strip.y0) * strip.stride;
        std::int32_t* to = picture_row(p, p.index, y, 1) + strip.x0;
        for (std::ptrdiff_t x = 0; x < width; ++x) to[x] = from[x] >= 0 ? from[x] : to[x];
    }
}

// The buffers in which a thread draws its strips
struct Scratch {
    Buffer<float> depth;
    Buffer<std::int32_t> index;
    Buffer<std::uint8_t> color;

    Scratch(std::size_t samples, int bytes)
        : depth(make_buffer<float>(samples)),
          index(make_buffer<std::int32_t>(samples)),
          color(make_buffer<std::uint8_t>(samples * static_cast<std::size_t>(bytes))) {}
};

// Empties the strip, except for the depth that the picture has already
Strip make_strip(const Picture& p, const Region& r, int number, int bytes, const Scratch& scratch) {
    Strip s{};
    s.x0 = r.x0;
    s.x1 = r.x1;
    s.y0 = r.y0 + number * r.rows;
    s.y1 = std::min(s.y0 + r.rows - 1, r.y1);
    s.stride = r.stride();
    s.channels = p.channels;
    s.bytes = bytes;
    s.depth = scratch.depth.get();
    s.index = scratch.index.get();
    s.color = scratch.color.get();
    const std::ptrdiff_t samples = s.stride * (s.y1 - s.y0 + 1);
    std::fill_n(s.depth, samples, -std::numeric_limits<float>::infinity());
    std::fill_n(s.index, samples, -1);
    if (p.depth)
        for (int y = s.y0; y <= s.y1; ++y)
            std::copy_n(picture_row(p, p.depth, y, 1) + s.x0, s.x1 - s.x0 + 1, s.depth + (y - s.y0) * s.stride);
    return s;
}

template <int Samples>
void draw_samples(const Picture& p, std::vector<Work>& works, const Box& box, const Options& o) {
    const bool layered =
        Samples > 1 || std::any_of(works.begin(), works.end(), [](const Work& w) { return w.surface->opacity < 1.0f; });
    const int bytes = p.channels == 3 ? 4 : p.channels;  // of color
    const std::size_t bytes_per_sample =
        sizeof(float) + sizeof(std::int32_t) + static_cast<std::size_t>(bytes);
    const Region region = choose_region<Samples>(p, box, o, bytes_per_sample);
    if (region.empty()) return;
    for (Work& work : works) {
        work.bins.resize(static_cast<std::size_t>(o.threads));
        in_parallel(o.threads, [&](int k) {
            const std::size_t count = work.surface->triangle_count;
            work.bins[static_cast<std::size_t>(k)] = sort_triangles<Samples>(
                work, region, o.cull, part_begin(count, k, o.threads), part_begin(count, k + 1, o.threads));
        });
    }
    const int first_sense = nearer_sense(works);
    std::atomic<int> next{0};
    in_parallel(std::min(o.threads, region.strips), [&](int) {
        const std::size_t samples = static_cast<std::size_t>(region.stride()) * static_cast<std::size_t>(region.rows);
        const Scratch scratch(samples, bytes);
        for (int number = next++; number < region.strips; number = next++) {
            const Strip strip = make_strip(p, region, number, bytes, scratch);
            draw_strip<Samples>(strip, number, works, first_sense, o);
            if (layered)
                blend<Samples>(p, strip, works);
            else
                copy_colors(p, strip);
            if (p.depth || p.index) copy_buffers(p, strip);
        }
    });
}

}  // namespace

void draw(const Picture& picture, const std::vector<Surface>& surfaces, const Options& options) {
    std::vector<Work> works(surfaces.size());
    Box box;
    std::int32_t id = 0;
    for (std::size_t i = 0; i < surfaces.size(); ++i) {
        Work& work = works[i];
        work.surface = &surfaces[i];
        work.first_id = id;
        id += static_cast<std::int32_t>(surfaces[i].triangle_count);
        box.add(snap_vertices(work, options.threads));
        light_surface(work, options);
    }
    if (options.antialias)
        draw_samples<4>(picture, works, box, options);
    else
        draw_samples<1>(picture, works, box, options);
}

}  // namespace sim3dr
