// Sums of products without taking the colours apart: of the numbers p as they lie in memory,
// r g b r g b ..., p[k]·p[k], p[k]·p[k+1] and p[k]·p[k+2] are summed for each k modulo kLanes, a
// multiple of 3. A lane thus holds one pair of colours, or a pair from two pixels, which is not used.
#include "picture_sums.h"

#include <algorithm>

namespace {

constexpr size_t kLanes = 48;
constexpr size_t kRounds = 32768;  // after as many products of 255 · 255 a lane is nearly full

// p has two numbers behind the last; `values` is a multiple of kLanes, at most kLanes · kRounds.
void add_products(int64_t sums[3][3], const uint8_t* p, size_t values) {
    int32_t lanes[3][kLanes] = {};
    for (size_t k = 0; k < values; k += kLanes)
        for (size_t apart = 0; apart < 3; ++apart)
            for (size_t l = 0; l < kLanes; ++l)
                lanes[apart][l] += uint16_t(p[k + l] * p[k + l + apart]);
    for (size_t apart = 0; apart < 3; ++apart)
        for (size_t l = 0; l < kLanes; ++l)
            if (l % 3 + apart < 3) sums[l % 3][l % 3 + apart] += lanes[apart][l];
}

}  // namespace

void picture_sums(int32_t* total, int64_t products[3][3], const uint8_t* pictures, size_t count,
                  size_t values) {
    for (size_t i = 0; i < count; ++i)
        for (size_t k = 0; k < values; ++k) total[k] += pictures[i * values + k];

    int64_t sums[3][3] = {};
    const size_t all = count * values, even = all < 3 ? 0 : (all - 3) / kLanes * kLanes;
    for (size_t k = 0; k < even; k += kLanes * kRounds)
        add_products(sums, pictures + k, std::min(even - k, kLanes * kRounds));
    for (size_t k = even; k < all; k += 3)
        for (size_t a = 0; a < 3; ++a)
            for (size_t b = a; b < 3; ++b) sums[a][b] += pictures[k + a] * pictures[k + b];
    for (size_t a = 0; a < 3; ++a)
        for (size_t b = 0; b < 3; ++b) products[a][b] = sums[std::min(a, b)][std::max(a, b)];
}
