// Resampling with a triangle filter that widens by the scale where it shrinks: what Pillow calls
// BILINEAR, several times as fast. It is separable: for each row of the output the rows of the picture
// are summed first, in vectors along the row, then the columns of that one row, its colours at once.
// Rounded once, at the end.
#include "central_square.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

constexpr int kColours = 3, kRows = 4;
typedef float Pixel __attribute__((vector_size(16)));  // red, green, blue and whatever follows
typedef uint8_t Bytes __attribute__((vector_size(16)));

// Added to 0..255, this leaves no place for a fraction: the lowest byte of the sum is the whole number.
constexpr float kRounds = 1 << 23;

Bytes low_bytes(Pixel pixel) {
    return __builtin_shuffle((Bytes)pixel, Bytes{0, 4, 8, 12});
}

// For each position of the output the places of the picture that it is made of, along one axis.
struct Filter {
    struct Window {
        int begin, end;
        const float* weights;
    };

    // The square begins at (length - side) / 2; windows may look beyond it, not beyond the picture.
    Filter(int length, int side, int size) : windows_(size) {
        const double scale = double(side) / size, support = std::max(scale, 1.0);
        const int most = int(2 * support) + 2;
        weights_.resize(size_t(size) * most);
        for (int i = 0; i < size; ++i) {
            const double centre = (length - side) / 2.0 + (i + 0.5) * scale;
            const int begin = std::max(0, int(centre - support + 0.5));
            const int end = std::min(length, int(centre + support + 0.5));
            float* weights = &weights_[size_t(i) * most];
            double total = 0;
            for (int pass = 0; pass < 2; ++pass)
                for (int p = begin; p < end; ++p) {
                    const double distance = std::abs(p + 0.5 - centre) / support;
                    const double weight = std::max(0.0, 1 - distance);
                    if (pass == 0)
                        total += weight;
                    else
                        weights[p - begin] = float(weight / total);
                }
            windows_[i] = {begin, end, weights};
        }
    }

    const Window& operator[](int i) const { return windows_[i]; }
    int begin() const { return windows_.front().begin; }
    int end() const { return windows_.back().end; }

   private:
    std::vector<Window> windows_;
    std::vector<float> weights_;
};

// sum (count) = sum of weights[r] * rows[r] (count), rows `pitch` apart.
void sum_rows(float* __restrict sum, const uint8_t* __restrict rows, size_t pitch,
              const Filter::Window& window, int count) {
    for (int x = 0; x < count; ++x) sum[x] = window.weights[0] * rows[x];
    for (int r = 1; r < window.end - window.begin; ++r) {
        const uint8_t* __restrict row = rows + r * pitch;
        const float weight = window.weights[r];
        for (int x = 0; x < count; ++x) sum[x] += weight * row[x];
    }
}

}  // namespace

void central_square(uint8_t* out, const uint8_t* inp, int size, int height, int width) {
    const int side = std::min(height, width);
    const Filter vertical(height, side, size), horizontal(width, side, size);
    const int left = horizontal.begin(), count = (horizontal.end() - left) * kColours;
    const size_t pitch = size_t(width) * kColours, out_pitch = size_t(size) * kColours;
    // Rows by fours, whose sums along x are independent. A pixel is loaded and stored as four values.
    std::vector<float> summed(kRows * (count + 1));
    std::vector<uint8_t> scaled(kRows * (out_pitch + 1));
    for (int y = 0; y < size; y += kRows) {
        const int rows = std::min(kRows, size - y);
        for (int r = 0; r < rows; ++r) {
            const Filter::Window& window = vertical[y + r];
            sum_rows(&summed[r * (count + 1)], inp + window.begin * pitch + left * kColours, pitch,
                     window, count);
        }
        for (int x = 0; x < size; ++x) {
            const Filter::Window& window = horizontal[x];
            Pixel sums[kRows] = {};
            for (int c = window.begin; c < window.end; ++c)
                for (int r = 0; r < kRows; ++r) {
                    Pixel pixel;
                    memcpy(&pixel, &summed[r * (count + 1) + (c - left) * kColours], sizeof pixel);
                    sums[r] += window.weights[c - window.begin] * pixel;
                }
            for (int r = 0; r < kRows; ++r) {
                const Bytes rounded = low_bytes(sums[r] + kRounds);
                memcpy(&scaled[r * (out_pitch + 1) + x * kColours], &rounded, 4);
            }
        }
        for (int r = 0; r < rows; ++r)
            memcpy(out + (y + r) * out_pitch, &scaled[r * (out_pitch + 1)], out_pitch);
    }
}
