// Resampling with a triangle filter that widens by the scale where it shrinks: what Pillow calls
// BILINEAR, several times as fast. It is separable: for some rows of the output at a time, one in each
// lane of a vector, the rows of the picture are summed first, then the columns. Rounded once, at the
// end.
#include "central_square.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "../core/lanes.h"

namespace {

// Bytes are moved between rows and lanes four at a time, as words.
typedef uint32_t Words __attribute__((vector_size(sizeof(CpuLanes))));
constexpr int kColours = 3, kWord = 4, kBlock = kWord * kCpuLanes;  // bytes of a word, of a vector

constexpr int kAhead = 128;  // bytes of many rows are read by turns, which no hardware sees coming

// Added to 0..255, this leaves no place for a fraction: the lowest byte of the sum is the whole number.
constexpr float kRounds = 1 << 23;

// For each position of the output the `taps` places of the picture that it is made of, along one axis.
struct Filter {
    // The square begins at (length - side) / 2; windows may look beyond it, not beyond the picture.
    Filter(int length, int side, int size) : begin(size) {
        const double scale = double(side) / size, support = std::max(scale, 1.0);
        taps = std::min(length, int(std::ceil(2 * support)));
        weights.resize(size_t(size) * taps);
        std::vector<double> triangle(taps);
        for (int i = 0; i < size; ++i) {
            const double centre = (length - side) / 2.0 + (i + 0.5) * scale;
            begin[i] = std::clamp(int(centre - support + 0.5), 0, length - taps);
            double total = 0;
            for (int t = 0; t < taps; ++t) {
                triangle[t] = std::max(0.0, support - std::abs(begin[i] + t + 0.5 - centre));
                total += triangle[t];
            }
            const double share = 1 / total;
            for (int t = 0; t < taps; ++t) weights[size_t(i) * taps + t] = float(triangle[t] * share);
        }
    }

    const float* weights_of(int i) const { return &weights[size_t(i) * taps]; }
    int size() const { return int(begin.size()); }

    int taps;
    std::vector<int> begin;
    std::vector<float> weights;
};

// Calls f(taps): for the usual numbers a constant, by which f's short loops unroll.
template <class F>
void with_taps(int taps, F f) {
    switch (taps) {
        case 2: return f(std::integral_constant<int, 2>());
        case 3: return f(std::integral_constant<int, 3>());
        case 4: return f(std::integral_constant<int, 4>());
        default: return f(taps);
    }
}

// A vector of bytes, or fewer and then zeros.
CpuLanes load_bytes(const uint8_t* p, int bytes) {
    CpuLanes v = {};
    if (bytes >= kBlock)
        memcpy(&v, p, kBlock);
    else
        memcpy(&v, p, bytes);
    return v;
}

// columns[x] = in lane r byte x of row y + r of the output, before its columns are summed. Each tap's
// rows are turned into lanes while they still are bytes, four in a float's place.
//   inp      the picture, from the first of `count` bytes of a row     columns  as many, or a block
//   scratch  taps * (kCpuLanes + 1)
template <class Taps>
void sum_rows(CpuLanes* columns, const uint8_t* inp, size_t pitch, int count, const Filter& filter,
              int y, Taps taps, CpuLanes* scratch) {
    const uint8_t* rows[kCpuLanes];
    CpuLanes *weights = scratch, *turned = scratch + taps;
    for (int r = 0; r < kCpuLanes; ++r) {
        const int row = std::min(y + r, filter.size() - 1);
        rows[r] = inp + filter.begin[row] * pitch;
        for (int t = 0; t < taps; ++t) weights[t][r] = filter.weights_of(row)[t];
    }
    for (int block = 0; block < count; block += kBlock) {
        const int x = std::max(0, std::min(block, count - kBlock));
        for (int t = 0; t < taps; ++t) {
            CpuLanes square[kCpuLanes];
            for (int r = 0; r < kCpuLanes; ++r) {
                const uint8_t* p = rows[r] + t * pitch + x;
                square[r] = load_bytes(p, count);
                __builtin_prefetch(p + kAhead);
            }
            transpose(square);
            for (int i = 0; i < kCpuLanes; ++i) turned[t * kCpuLanes + i] = square[i];
        }
        for (int i = 0; i < kCpuLanes; ++i) {
            CpuLanes sums[kWord] = {};
            for (int t = 0; t < taps; ++t) {
                const Words words = (Words)turned[t * kCpuLanes + i];
                UNROLL for (int k = 0; k < kWord; ++k) {
                    const Words bytes = words >> 8 * k & 255;
                    sums[k] += weights[t] * __builtin_convertvector((CpuIndices)bytes, CpuLanes);
                }
            }
            for (int k = 0; k < kWord; ++k) columns[x + i * kWord + k] = sums[k];
        }
    }
}

// words[w] = in lane r bytes 4w .. 4w + 3 of that row of the output; four pixels make three words.
template <class Taps>
void sum_columns(Words* words, const CpuLanes* columns, const Filter& filter, Taps taps) {
    for (int x = 0; x < filter.size(); x += kWord) {
        Words rounded[kColours] = {};
        UNROLL for (int i = 0; i < kWord; ++i) {
            const int pixel = std::min(x + i, filter.size() - 1);
            const CpuLanes* p = columns + (filter.begin[pixel] - filter.begin[0]) * kColours;
            const float* weights = filter.weights_of(pixel);
            CpuLanes sums[kColours] = {};
            for (int t = 0; t < taps; ++t)
                UNROLL for (int c = 0; c < kColours; ++c) sums[c] += weights[t] * p[t * kColours + c];
            UNROLL for (int c = 0; c < kColours; ++c) {
                const int byte = i * kColours + c;
                rounded[byte / kWord] |= ((Words)(sums[c] + kRounds) & 255) << 8 * (byte % kWord);
            }
        }
        for (int c = 0; c < kColours; ++c) *words++ = rounded[c];
    }
}

void store_rows(uint8_t* out, size_t pitch, int rows, const Words* words) {
    for (size_t x = 0; x < pitch; x += kBlock) {
        CpuLanes square[kCpuLanes];
        for (int i = 0; i < kCpuLanes; ++i) square[i] = (CpuLanes)*words++;
        transpose(square);
        for (int r = 0; r < rows; ++r)
            if (x + kBlock <= pitch)
                memcpy(out + r * pitch + x, &square[r], kBlock);
            else
                memcpy(out + r * pitch + x, &square[r], pitch - x);
    }
}

}  // namespace

void central_square(uint8_t* out, const uint8_t* inp, int size, int height, int width) {
    const int side = std::min(height, width);
    const Filter vertical(height, side, size), horizontal(width, side, size);
    const int left = horizontal.begin.front(), right = horizontal.begin.back() + horizontal.taps;
    const int count = (right - left) * kColours;
    const size_t pitch = size_t(width) * kColours, out_pitch = size_t(size) * kColours;
    std::vector<CpuLanes> columns(std::max(count, kBlock)), scratch(vertical.taps * (kCpuLanes + 1));
    std::vector<Words> words(out_pitch / kWord + kCpuLanes + kColours);
    for (int y = 0; y < size; y += kCpuLanes) {
        with_taps(vertical.taps, [&](auto taps) {
            sum_rows(columns.data(), inp + left * kColours, pitch, count, vertical, y, taps,
                     scratch.data());
        });
        with_taps(horizontal.taps,
                  [&](auto taps) { sum_columns(words.data(), columns.data(), horizontal, taps); });
        store_rows(out + y * out_pitch, out_pitch, std::min(kCpuLanes, size - y), words.data());
    }
}
