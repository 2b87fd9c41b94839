// Sizes of a convolution, and the patch matrix through which its three passes see it.
//
// The patch matrix P has a row for each (tap, channel) of a filter and a column for each (output pixel,
// image):
//
//     P[ky, kx, c][oy, ox, n] = inp[c][oy * stride - padding + ky][ox * stride - padding + kx][n]
//
// and zero beside the picture. It is never stored: tiles of it are read from the pictures, a run of
// images at a time. The passes are the products
//
//     forward   out[f][oy, ox, n]     = sum over (ky, kx, c)  weights[c, ky, kx][f] * P
//     weights   dweights[c, ky, kx][f] = sum over (oy, ox, n)  P * dout[f][oy, ox, n]
//     data      dinp[c][y, x, n]      = sum over (ky, kx, f)  weights[c, ky, kx][f] * Q
//
// where Q is the patch matrix of dout with the taps reversed.
#pragma once

#include "../core/divisor.h"
#include "../core/lanes.h"
#include "../core/platform.h"
#include "conv_size.h"

// Columns of a product: (pixel, image), in lane groups of consecutive images; the last group of a pixel
// is ragged when the images are no multiple of the lanes.
struct ColumnMap {
    int images, pixels;
    Divisor groups, width;  // lane groups of a pixel; pixels of a picture's row

    ColumnMap(int images, int height, int width, int lanes)
        : images(images), pixels(height * width), groups(ceil_div(images, lanes)), width(width) {}
    __host__ __device__ int padded_columns(int lanes) const { return pixels * groups.value() * lanes; }
};

// One lane group of columns. `count` of its lanes are images: 0 beside the matrix.
struct Column {
    int y, x, image, count;
};

template <int L>
__device__ __forceinline__ Column column_at(const ColumnMap& map, int column) {
    const int group = column / L, pixel = map.groups.quotient(group);
    if (pixel >= map.pixels) return {0, 0, 0, 0};
    const int image = map.groups.remainder(group, pixel) * L, y = map.width.quotient(pixel);
    return {y, map.width.remainder(pixel, y), image, smaller(L, map.images - image)};
}

// Pictures of one group's channels, (channels, height, width, images).
struct Pictures {
    const float* data;
    int height, width, images;

    __device__ int plane() const { return height * width * images; }
    __device__ int offset(int y, int x, int image) const { return (y * width + x) * images + image; }
};

// A row of a patch matrix: a channel, and how far its tap lies from a column's own place.
struct PatchRow {
    int tap, y, x, channel;  // channel < 0: a row of zeros
};

// Rows (tap, channel). Channels are padded to whole lane groups where a product's depth needs that.
struct PatchRows {
    int rows, channels, sign;  // sign -1: taps reversed, for Q
    Divisor padded_channels, width;

    __device__ __forceinline__ PatchRow operator()(int row) const {
        const int tap = padded_channels.quotient(row), c = padded_channels.remainder(row, tap);
        const int y = width.quotient(tap), x = width.remainder(tap, y);
        return {tap, sign * y, sign * x, row < rows && c < channels ? c : -1};
    }
};

// How the threads of a block share a tile that is `kColumns` wide: each visits `per_thread` lane groups
// of every `row_step`-th row.
template <int L, int kThreads, int kColumns>
struct TileWalk {
    static constexpr int groups = kColumns / L;
    static constexpr int per_thread = larger(1, groups / kThreads);
    static constexpr int row_step = larger(1, kThreads / groups);
    static_assert(groups % kThreads == 0 || kThreads % groups == 0, "the walk is uneven");

    static __device__ __forceinline__ int first_row() {
        return kThreads == 1 ? 0 : int(threadIdx.x) / groups;
    }
    static __device__ __forceinline__ int column(int j) {
        return kThreads == 1 ? j * L : (int(threadIdx.x) % groups + j * kThreads) * L;
    }
};

// A tile of a patch matrix, kColumns wide. The columns are fixed; load_rows() goes down the rows.
// Unless it is kWhole only its first `columns` columns are ever put.
template <class V, int kThreads, int kColumns, bool kWhole = true>
class PatchTile {
    static constexpr int L = lane_count<V>;
    using Walk = TileWalk<L, kThreads, kColumns>;

   public:
    // Column (y, x) of the map reads the picture at (y * scale + origin_y, x * scale + origin_x).
    __device__ __forceinline__ PatchTile(const Pictures& pictures, const ColumnMap& map, int column0,
                                         int scale, int origin_y, int origin_x, int columns = kColumns)
        : pictures_(pictures), columns_(columns) {
        UNROLL for (int j = 0; j < Walk::per_thread; ++j) {
            if (is_beyond(j)) break;
            const Column c = column_at<L>(map, column0 + Walk::column(j));
            const int y = c.y * scale + origin_y, x = c.x * scale + origin_x;
            place_[j] = {y, x, pictures.offset(y, x, c.image), c.count};
        }
    }

    // put(row, column, values) for `rows` rows of the tile, which are the matrix's from row0 on.
    template <class Put>
    __device__ __forceinline__ void load_rows(const PatchRows& matrix, int row0, int rows,
                                              const Put& put) const {
        int tap = -1, count[Walk::per_thread] = {};
        for (int r = Walk::first_row(); r < rows; r += Walk::row_step) {
            const PatchRow row = matrix(row0 + r);
            if (row.tap != tap) {  // which columns see the picture through this tap
                tap = row.tap;
                UNROLL for (int j = 0; j < Walk::per_thread; ++j) {
                    if (is_beyond(j)) break;
                    const bool inside =
                        unsigned(place_[j].y + row.y) < unsigned(pictures_.height) &&
                        unsigned(place_[j].x + row.x) < unsigned(pictures_.width);
                    count[j] = inside ? place_[j].count : 0;
                }
            }
            const float* from = pictures_.data + row.channel * pictures_.plane() +
                                pictures_.offset(row.y, row.x, 0);
            UNROLL for (int j = 0; j < Walk::per_thread; ++j) {
                if (is_beyond(j)) break;
                put(r, Walk::column(j),
                    load<V>(from + place_[j].offset, row.channel < 0 ? 0 : count[j]));
            }
        }
    }

   private:
    __device__ __forceinline__ bool is_beyond(int j) const {
        return !kWhole && Walk::column(j) >= columns_;
    }
    struct Place {
        int y, x, offset, count;
    };
    Pictures pictures_;
    int columns_;
    Place place_[Walk::per_thread];
};
