// Four numbers at once: SSE2 where the compiler may always use it (x86-64), plain loops elsewhere.

#pragma once

#include <cstdint>
#include <cstring>

#if (defined(__SSE2__) || defined(_M_X64)) && !defined(SIM3DR_NO_SSE2)
#include <emmintrin.h>
#define SIM3DR_SSE2 1
#endif

namespace sim3dr {

#ifdef SIM3DR_SSE2

struct Int4 {
    __m128i lanes;
};
struct Float4 {
    __m128 lanes;
};

inline Int4 broadcast(std::int32_t v) { return {_mm_set1_epi32(v)}; }
inline Int4 iota4(std::int32_t v, std::int32_t step) {  // v, v + step, v + 2 step, v + 3 step
    return {_mm_setr_epi32(v, v + step, v + 2 * step, v + 3 * step)};
}
inline Int4 operator+(const Int4& a, const Int4& b) { return {_mm_add_epi32(a.lanes, b.lanes)}; }
inline Int4 operator|(const Int4& a, const Int4& b) { return {_mm_or_si128(a.lanes, b.lanes)}; }
// Bit k is set if lane k is 0 or more
inline unsigned not_negative(const Int4& a) {
    return 15u & ~static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(a.lanes)));
}

inline Float4 load3(const float* p) { return {_mm_setr_ps(p[0], p[1], p[2], 0.0f)}; }
inline Float4 operator+(const Float4& a, const Float4& b) { return {_mm_add_ps(a.lanes, b.lanes)}; }
inline Float4 operator-(const Float4& a, const Float4& b) { return {_mm_sub_ps(a.lanes, b.lanes)}; }
inline Float4 operator*(float s, const Float4& a) { return {_mm_mul_ps(_mm_set1_ps(s), a.lanes)}; }
// Stores the first three lanes, rounded to the nearest level from 0 to 255; NaN becomes 0. Writes a fourth byte.
inline void store_levels(std::uint8_t* out, const Float4& a) {
    const __m128 most = _mm_min_ps(_mm_set1_ps(255.0f), a.lanes);  // this order of operands keeps NaN,
    const __m128i whole = _mm_cvttps_epi32(_mm_add_ps(most, _mm_set1_ps(0.5f)));  // which becomes INT_MIN here
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(whole, whole), whole);
    const std::int32_t packed = _mm_cvtsi128_si32(bytes);
    std::memcpy(out, &packed, sizeof packed);
}

#else

// The same on other processors
struct Int4 {
    std::int32_t lanes[4];
};
struct Float4 {
    float lanes[4];
};

inline Int4 broadcast(std::int32_t v) { return {{v, v, v, v}}; }
inline Int4 iota4(std::int32_t v, std::int32_t step) { return {{v, v + step, v + 2 * step, v + 3 * step}}; }
template <class Lanes, class Function>
Lanes by_lane(const Lanes& a, const Lanes& b, Function f) {
    return {{f(a.lanes[0], b.lanes[0]), f(a.lanes[1], b.lanes[1]), f(a.lanes[2], b.lanes[2]),
             f(a.lanes[3], b.lanes[3])}};
}
inline Int4 operator+(const Int4& a, const Int4& b) {
    return by_lane(a, b, [](std::int32_t x, std::int32_t y) { return x + y; });
}
inline Int4 operator|(const Int4& a, const Int4& b) {
    return by_lane(a, b, [](std::int32_t x, std::int32_t y) { return x | y; });
}
inline unsigned not_negative(const Int4& a) {
    unsigned bits = 0;
    for (int k = 0; k < 4; ++k) bits |= static_cast<unsigned>(a.lanes[k] >= 0) << k;
    return bits;
}

inline Float4 load3(const float* p) { return {{p[0], p[1], p[2], 0.0f}}; }
inline Float4 operator+(const Float4& a, const Float4& b) {
    return by_lane(a, b, [](float x, float y) { return x + y; });
}
inline Float4 operator-(const Float4& a, const Float4& b) {
    return by_lane(a, b, [](float x, float y) { return x - y; });
}
inline Float4 operator*(float s, const Float4& a) {
    return by_lane(a, a, [s](float x, float) { return s * x; });
}
inline void store_levels(std::uint8_t* out, const Float4& a) {
    for (int k = 0; k < 4; ++k) {
        const float level = a.lanes[k] > 0.0f ? (a.lanes[k] < 255.0f ? a.lanes[k] : 255.0f) : 0.0f;
        out[k] = static_cast<std::uint8_t>(level + 0.5f);
    }
}

#endif

}  // namespace sim3dr
