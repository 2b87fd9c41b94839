// Sizes of a convolution, and the patch matrix through which its three passes see it.
//
// The patch matrix P has a row for each (tap, channel) of a filter and a column for each (output pixel,
// image):
//
//     P[ky, kx, c][oy, ox, n] = inp[c][oy * stride - padding + ky][ox * stride - padding + kx][n]
//
// and zero beside the picture. It is never stored: tiles of it are read from the pictures, a lane
// group of columns at a time. The passes are the products
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
#include "../core/tile_loop.h"
#include "conv_size.h"

// Pictures of one group's channels, (channels, height, width, images).
template <class E>
struct PicturesOf {
    const E* data;
    int height, width, images;

    __host__ __device__ int plane() const { return height * width * images; }
    __device__ int offset(int y, int x, int image) const { return (y * width + x) * images + image; }
};
using Pictures = PicturesOf<float>;

// Columns of a product: (pixel, image), in the order in which they lie in memory.
struct Columns {
    int count;
    Divisor images, width;  // of a pixel; pixels of a picture's row

    Columns(int images, int height, int width)
        : count(images * height * width), images(images), width(width) {}
};

// Where the lanes of a group of columns, from `first` on, lie in pictures: the column of (y, x, image)
// at pixel (y * scale + origin_y, x * scale + origin_x). A group may reach over several pixels where
// the images are no multiple of the lanes; columns beyond the last lie beside all pictures.
template <class V>
struct Places {
    int y, x, offset;            // of the first lane
    bool is_one_pixel, is_run;   // all lanes lie in it; or at least side by side in memory
    Indices<V> ys, xs, offsets;  // of each, where they do not lie in one pixel

    Places() = default;
    template <class E>
    __device__ __forceinline__ Places(const Columns& columns, int first, const PicturesOf<E>& pictures,
                                      int scale, int origin_y, int origin_x) {
        constexpr int L = lane_count<V>;
        auto place = [&](int column, int& y, int& x, int& offset) {
            const int pixel = columns.images.quotient(column), row = columns.width.quotient(pixel);
            y = row * scale + origin_y;
            x = columns.width.remainder(pixel, row) * scale + origin_x;
            offset = pictures.offset(y, x, columns.images.remainder(column, pixel));
            if (column >= columns.count) y = -0x20000000;
            return pixel;
        };
        const int pixel = place(first, y, x, offset);
        is_one_pixel = is_run =
            L == 1 || (columns.images.quotient(first + L - 1) == pixel && first + L <= columns.count);
        if constexpr (L > 1) {
            if (is_one_pixel) return;
            for (int i = 0; i < L; ++i) {
                int lane_y, lane_x, lane_offset;
                place(first + i, lane_y, lane_x, lane_offset);
                ys[i] = lane_y, xs[i] = lane_x, offsets[i] = lane_offset;
            }
            is_run = all<V>(offsets == offset + make_lanes<Indices<V>>([](int i) { return i; }));
        }
    }
};

// What a group of columns sees of the pictures through one tap.
template <class V>
struct View {
    enum { nothing, a_run, pixels } what = nothing;
    Indices<V> inside;  // which lanes see a pixel, if some do not or they lie apart

    View() = default;
    template <class E>
    __device__ __forceinline__ View(const Places<V>& at, const PicturesOf<E>& pictures, int dy,
                                    int dx) {
        const int height = pictures.height, width = pictures.width;
        if (at.is_one_pixel) {
            const bool is_inside =
                unsigned(at.y + dy) < unsigned(height) && unsigned(at.x + dx) < unsigned(width);
            what = is_inside ? a_run : nothing;
        } else {
            const auto y = at.ys + dy, x = at.xs + dx;
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width);
            what = !bits_of<V>(inside) ? nothing : at.is_run && all<V>(inside) ? a_run : pixels;
        }
    }
    // Of one channel, whose data begins at `from`, moved by the tap.
    __device__ __forceinline__ V operator()(const float* from, const Places<V>& at) const {
        if (what == nothing) return splat<V>(0.f);
        if (lane_count<V> == 1 || what == a_run) return load<V>(from + at.offset);
        if (at.is_run) return load_where<V>(from + at.offset, inside);
        return gather_where<V>(from, at.offsets, inside);
    }
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
    using Walk = TileWalk<lane_count<V>, kThreads, kColumns>;

   public:
    __device__ __forceinline__ PatchTile(const Pictures& pictures, const Columns& all, int column0,
                                         int scale, int origin_y, int origin_x, int columns = kColumns)
        : pictures_(pictures), columns_(columns) {
        UNROLL for (int j = 0; j < Walk::per_thread; ++j) {
            if (is_beyond(j)) break;
            places_[j] = {all, column0 + Walk::column(j), pictures, scale, origin_y, origin_x};
        }
    }

    // put(row, column, values) for `rows` rows of the tile, which are the matrix's from row0 on.
    template <class Put>
    __device__ __forceinline__ void load_rows(const PatchRows& matrix, int row0, int rows,
                                              const Put& put) const {
        int tap = -1;
        View<V> views[Walk::per_thread];
        bool are_runs = false;
        for (int r = Walk::first_row(); r < rows; r += Walk::row_step) {
            const PatchRow row = matrix(row0 + r);
            if (row.tap != tap) {
                tap = row.tap;
                are_runs = lane_count<V> > 1;
                UNROLL for (int j = 0; j < Walk::per_thread; ++j) {
                    if (is_beyond(j)) break;
                    views[j] = {places_[j], pictures_, row.y, row.x};
                    are_runs = are_runs && views[j].what == View<V>::a_run;
                }
            }
            const float* from =
                pictures_.data + row.channel * pictures_.plane() + pictures_.offset(row.y, row.x, 0);
            if (are_runs && row.channel >= 0) {  // mostly so on a CPU: no more questions
                UNROLL for (int j = 0; j < Walk::per_thread; ++j) {
                    if (is_beyond(j)) break;
                    put(r, Walk::column(j), load<V>(from + places_[j].offset));
                }
            } else {
                UNROLL_ON_GPU for (int j = 0; j < Walk::per_thread; ++j) {
                    if (is_beyond(j)) break;
                    put(r, Walk::column(j),
                        row.channel < 0 ? splat<V>(0.f) : views[j](from, places_[j]));
                }
            }
        }
    }

   private:
    __device__ __forceinline__ bool is_beyond(int j) const {
        return !kWhole && Walk::column(j) >= columns_;
    }
    Pictures pictures_;
    int columns_;
    Places<V> places_[Walk::per_thread];
};

// The same tile as addresses, for copies that nobody waits for: of runs of kRun columns, which lie side
// by side in one pixel.
template <class E, int kRun, int kThreads, int kColumns>
class PatchRuns {
    using Walk = TileWalk<kRun, kThreads, kColumns>;

   public:
    __device__ __forceinline__ PatchRuns(const PicturesOf<E>& pictures, const Columns& all, int column0,
                                         int scale, int origin_y, int origin_x)
        : pictures_(pictures) {
        UNROLL_ON_GPU for (int j = 0; j < Walk::per_thread; ++j)
            places_[j] = {all, column0 + Walk::column(j), pictures, scale, origin_y, origin_x};
    }

    // visit(row, column, from, inside) for `rows` rows, which are the matrix's from row0 on.
    template <class Visit>
    __device__ __forceinline__ void visit_rows(const PatchRows& matrix, int row0, int rows,
                                               const Visit& visit) const {
        UNROLL_ON_GPU for (int r = Walk::first_row(); r < rows; r += Walk::row_step) {
            const PatchRow row = matrix(row0 + r);
            const E* from =
                pictures_.data + row.channel * pictures_.plane() + pictures_.offset(row.y, row.x, 0);
            UNROLL_ON_GPU for (int j = 0; j < Walk::per_thread; ++j) {
                const View<float> view(places_[j], pictures_, row.y, row.x);
                visit(r, Walk::column(j), from + places_[j].offset,
                      row.channel >= 0 && view.what != View<float>::nothing);
            }
        }
    }

   private:
    PicturesOf<E> pictures_;
    Places<float> places_[Walk::per_thread];
};

// Fills the panels of a tile of A that comes with its rows side by side: row_at(k) is where the `rows`
// floats of a step begin, or null for zeros. `filled` rows are put, the last of them zeros.
template <class Tile, class RowAt>
__device__ __forceinline__ void load_panels(float* a, int depth, int rows, int filled,
                                            const RowAt& row_at) {
    using V = typename Tile::V;
    constexpr int L = Tile::L, kRun = L == 1 ? 1 : Tile::panel;
    using Walk = TileWalk<kRun, Tile::threads, Tile::BM>;
    for (int k = Walk::first_row(); k < depth; k += Walk::row_step) {
        // A step's rows are far from the next one's: ask for those of the next tile.
        if (const float* ahead = Tile::L > 1 ? row_at(k + Tile::BK) : nullptr)
            for (int m = 0; m < rows; m += 16) prefetch(ahead + m);
        const float* from = row_at(k);
        UNROLL_ON_GPU for (int j = 0; j < Walk::per_thread; ++j) {
            const int m = Walk::column(j);
            if (m >= filled) break;
            // A panel is no multiple of the lanes: what is stored beyond its rows the next step
            // overwrites.
            for (int i = 0; i < kRun; i += L)
                store(a + a_index<Tile>(m, k) + i,
                      from ? load<V>(from + m + i, larger(0, rows - m - i)) : splat<V>(0.f));
        }
    }
}

// put(column, row, values) for a rows x columns matrix that is transposed on its way into a tile, in
// squares of lanes; row_at(row) is where a row begins, or null for zeros. Of the tile's kColumns
// columns `filled` are put.
template <class V, int kThreads, int kColumns, class RowAt, class Put>
__device__ __forceinline__ void load_transposed(int rows, int columns, int filled, const RowAt& row_at,
                                                const Put& put) {
    constexpr int L = lane_count<V>;
    using Walk = TileWalk<L, kThreads, kColumns>;
    for (int r = Walk::first_row() * L; r < rows; r += Walk::row_step * L) {
        const float* from[L];
        UNROLL for (int i = 0; i < L; ++i) from[i] = row_at(r + i);
        UNROLL_ON_GPU for (int j = 0; j < Walk::per_thread; ++j) {
            const int column = Walk::column(j), count = larger(0, columns - column);
            if (column >= filled) break;
            V square[L];
            UNROLL for (int i = 0; i < L; ++i) square[i] =
                from[i] ? load<V>(from[i] + column, count) : splat<V>(0.f);
            transpose(square);
            UNROLL for (int i = 0; i < L; ++i) put(column + i, r, square[i]);
        }
    }
}
