// Winograd's algorithm (winograd.cu) for the pictures of few images, which would not fill the lanes:
// here lanes are filters, or channels for the data gradient. Few tiles also use a filter, so that its
// values at the points are made in the cache, a chunk of the depth at a time, and never stored.
//
//   values    at each point a row of channels for each column, (tile, image)
//   products  at each point: columns x filters, from the values and the filters' own
//
// Thread map: a block of the first kernel makes the values of a tile of one image. One of the second
// has a lane tile of filters and a band of tiles: it makes the filters' values, multiplies, and makes
// pictures of the sums; threads share out each of the three in turn, with barriers between.
#include "../core/launch.h"
#include "../core/tuning.h"
#include "winograd_few_images.h"
#include "winograd_transforms.h"

namespace {

constexpr int kAhead = 4;  // channels whose filters are on their way from memory

// The tiles of one axis. The last one may have fewer outputs, and then fewer points.
struct Axis {
    int size, step;  // outputs: all, and of a whole tile

    __host__ __device__ int tiles() const { return ceil_div(size, step); }
    __device__ int outputs(int tile) const { return smaller(step, size - tile * step); }
    __device__ int points(int tile) const { return kSide - step + outputs(tile); }
    // How many tiles, the first ones, have the point.
    __device__ int having(int point) const { return tiles() - (point < points(tiles() - 1) ? 0 : 1); }
};

// Bands of tiles, so many rows of them each. Point by point a band has the columns (tile, image) of the
// tiles that have the point.
struct Bands {
    Axis down, across;
    int rows, images;

    __host__ __device__ int count() const { return ceil_div(down.tiles(), rows); }
    __host__ __device__ int most_columns() const { return rows * across.tiles() * images; }
    __device__ int rows_of(int band) const { return smaller(rows, down.tiles() - band * rows); }
    __device__ int columns(int band, int point) const {
        const int begin = band * rows, end = smaller(begin + rows, down.having(point / kSide));
        return larger(0, end - begin) * across.having(point % kSide) * images;
    }
    __device__ int column(int point, int y, int x, int image) const {  // y: within the band
        return (y * across.having(point % kSide) + x) * images + image;
    }
};

// All values: for each band and point a matrix of columns x channels.
struct Values {
    float* data;
    int columns, pitch;

    Values(float* data, const Bands& bands, int channels)
        : data(data), columns(bands.most_columns()), pitch(to_multiple(channels, 16) + 16) {}
    __host__ __device__ index_t floats(int bands) const {
        return index_t(bands) * kPoints * columns * pitch;
    }
    __device__ float* at(int band, int point, int column) const {
        return data + (index_t(band * kPoints + point) * columns + column) * pitch;
    }
};

template <class T, class M>
__global__ void __launch_bounds__(T::threads)
    winograd_values_kernel(Values values, Pictures pictures, Bands bands, int channels, int origin) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const int tile = int(blockIdx.x), image = int(blockIdx.y);
    const int y = tile / bands.across.tiles(), x = tile % bands.across.tiles();
    const int band = y / bands.rows, down = bands.down.outputs(y), across = bands.across.outputs(x);
    const int y0 = y * M::most - origin, x0 = x * M::most - origin;
    for (int c = int(threadIdx.x) * L; c < channels; c += T::threads * L) {
        const float* corner = pictures.data + index_t(c) * pictures.plane();
        auto get = [&](int i, int k) {
            const bool inside = unsigned(y0 + i) < unsigned(pictures.height) &&
                                unsigned(x0 + k) < unsigned(pictures.width);
            if (!inside) return splat<V>(0.f);
            const float* p = corner + pictures.offset(y0 + i, x0 + k, image);
            if (c + L <= channels) return make_lanes<V>([&](int l) { return p[l * pictures.plane()]; });
            return make_lanes<V>(
                [&](int l) { return c + l < channels ? p[l * pictures.plane()] : 0.f; });
        };
        transform<M, V>(down, across, get, [&](int i, int k, V value) {
            if (i >= M::makes(down) || k >= M::makes(across)) return;
            const int point = i * kSide + k;
            const int column = bands.column(point, y - band * bands.rows, x, image);
            store(values.at(band, point, column) + c, value);
        });
    }
}

// What the second kernel has in its own memory: for each point a chunk of filters and the products.
template <class T>
struct OwnMemory {
    using V = typename T::V;
    static constexpr int RM = T::Conv::RM, RN = T::Conv::RN, columns = RN * lane_count<V>,
                         chunk = T::winograd_chunk;
    static constexpr index_t filters_stride = apart(chunk * columns);

    __host__ __device__ static index_t products_stride(const Bands& bands) {
        return apart(index_t(to_multiple(bands.most_columns(), RM)) * columns);
    }
    __host__ __device__ static index_t floats(const Bands& bands) {
        return kPoints * (filters_stride + products_stride(bands));
    }
};

// The values of filters (channels, taps, taps, all_filters) from (channel, f) on, to put(i, k, value,
// depth): forward those of a channel, lanes filters; for the data gradient those of a lane group of
// filters, lanes channels. Zeros beyond the filters and channels that there are.
template <class V, int kTaps, bool kForward, class Put>
__device__ __forceinline__ void transform_filters(const float* weights, int all_filters, int channels,
                                                  int filters, const Put& put) {
    constexpr int L = lane_count<V>, kAll = kTaps * kTaps;
    if constexpr (kForward) {
        transform_full<Evaluate<kTaps>, V>(
            [&](int y, int x) {
                return load<V>(weights + index_t(y * kTaps + x) * all_filters, larger(0, filters));
            },
            [&](int i, int k, V value) { put(i, k, value, 0); });
    } else {
        V taps[kAll][L];
        for (int tap = 0; tap < kAll; ++tap) {
            V square[L];
            UNROLL for (int l = 0; l < L; ++l) square[l] =
                load<V>(weights + (index_t(l) * kAll + tap) * all_filters,
                        l < channels ? larger(0, filters) : 0);
            transpose(square);
            UNROLL for (int l = 0; l < L; ++l) taps[kAll - 1 - tap][l] = square[l];
        }
        for (int l = 0; l < L; ++l)
            transform_full<Evaluate<kTaps>, V>([&](int y, int x) { return taps[y * kTaps + x][l]; },
                                               [&](int i, int k, V value) { put(i, k, value, l); });
    }
}

template <class T, int kTaps, bool kForward>
__global__ void __launch_bounds__(T::threads)
    winograd_products_kernel(float* out, float* workspace, Values values, const float* weights,
                             int all_filters, Bands bands, int rows, int depth, int first_row,
                             Epilogue epilogue) {
    using V = typename T::V;
    using Own = OwnMemory<T>;
    constexpr int L = lane_count<V>, RM = Own::RM, RN = Own::RN, kOutputs = outputs_of(kTaps);
    const int row_tiles = ceil_div(rows, Own::columns), band = int(blockIdx.x) / row_tiles;
    const int row0 = int(blockIdx.x) % row_tiles * Own::columns;
    float* filters =
        T::strip_in_shared ? dynamic_shared<float>() : workspace + int(blockIdx.x) * Own::floats(bands);
    float* products = filters + kPoints * Own::filters_stride;
    const index_t products_stride = Own::products_stride(bands);
    for (int k0 = 0; k0 < depth; k0 += Own::chunk) {
        const int chunk = smaller(Own::chunk, depth - k0);
        // Lane groups of filters and, forward, channels; or of channels and filters.
        constexpr int kStep = kForward ? 1 : L;
        for (int item = int(threadIdx.x); item < ceil_div(chunk, kStep) * RN; item += T::threads) {
            const int k = item / RN * kStep, j = item % RN * L;
            const int channel = kForward ? k0 + k : row0 + j, f = kForward ? row0 + j : k0 + k;
            const int all = kForward ? rows : depth;
            const float* from = weights + index_t(channel) * (kTaps * kTaps) * all_filters + f;
            if (kForward && j == 0)
                for (int tap = 0; tap < kTaps * kTaps; ++tap)
                    prefetch(from + (kAhead * kTaps * kTaps + tap) * index_t(all_filters));
            transform_filters<V, kTaps, kForward>(
                from, all_filters, rows - channel, all - f, [&](int y, int x, V value, int l) {
                    if (k + l < chunk)
                        store(filters + (y * kSide + x) * Own::filters_stride + (k + l) * Own::columns +
                                  j,
                              value);
                });
        }
        __syncthreads();
        const int panels = ceil_div(bands.most_columns(), RM);
        for (int item = int(threadIdx.x); item < kPoints * panels; item += T::threads) {
            const int point = item / panels, m = item % panels * RM,
                      columns = bands.columns(band, point);
            if (m >= columns) continue;
            const float* a[RM];
            UNROLL for (int i = 0; i < RM; ++i) a[i] =
                values.at(band, point, smaller(m + i, columns - 1)) + k0;
            float* to = products + point * products_stride + m * Own::columns;
            V r[RM][RN];
            UNROLL for (int i = 0; i < RM; ++i) UNROLL for (int j = 0; j < RN; ++j) r[i][j] =
                k0 ? load<V>(to + i * Own::columns + j * L) : splat<V>(0.f);
            multiply(
                r, chunk, [&](int i, int k) { return a[i][k]; }, filters + point * Own::filters_stride,
                Own::columns);
            UNROLL for (int i = 0; i < RM; ++i) UNROLL for (int j = 0; j < RN; ++j)
                store(to + i * Own::columns + j * L, r[i][j]);
        }
        __syncthreads();
    }
    const int width = bands.across.tiles(), height = bands.rows_of(band);
    for (int item = int(threadIdx.x); item < height * width * bands.images * RN; item += T::threads) {
        const int j = item % RN * L, image = item / RN % bands.images, tile = item / RN / bands.images;
        const int y = tile / width, x = tile % width, row = row0 + j;
        const int down = bands.down.outputs(band * bands.rows + y), across = bands.across.outputs(x);
        const int plane = bands.down.size * bands.across.size * bands.images;
        auto get = [&](int i, int k) {
            const int point = i * kSide + k;
            return load<V>(products + point * products_stride +
                           bands.column(point, y, x, image) * Own::columns + j);
        };
        transform<Gather<kOutputs>, V>(down, across, get, [&](int i, int k, V pixel) {
            if (i >= down || k >= across) return;
            const int to_y = (band * bands.rows + y) * kOutputs + i, to_x = x * kOutputs + k;
            float* p =
                out + index_t(row) * plane + (to_y * bands.across.size + to_x) * bands.images + image;
            epilogue.store_rows(pixel, p, plane, rows - row, first_row + row);
        });
    }
}

template <class T>
struct Pass {
    PicturesPass pass;
    Bands bands;
    int blocks;  // of the products

    explicit Pass(const PicturesPass& p) : pass(p) {
        const int step = outputs_of(p.taps);
        bands = {{p.height, step}, {p.width, step}, 1, p.images};
        const int row = bands.across.tiles() * p.images;
        bands.rows = smaller(bands.down.tiles(), ceil_div(T::winograd_band, row));
        blocks = ceil_div(p.rows, OwnMemory<T>::columns) * bands.count();
    }
    Values values(float* workspace) const { return {workspace, bands, pass.depth}; }
    index_t value_floats() const { return values(nullptr).floats(bands.count()); }
    index_t floats() const {
        return value_floats() + (T::strip_in_shared ? 0 : blocks * OwnMemory<T>::floats(bands));
    }

    template <int kTaps, bool kForward>
    void run(float* out, const float* inp, const float* weights, float* workspace, int first_row,
             const Epilogue& epilogue, Stream stream) const {
        const Values all = values(workspace);
        const int tiles = bands.down.tiles() * bands.across.tiles();
        launch<winograd_values_kernel<T, Spread<outputs_of(kTaps)>>>(
            {dim3(unsigned(tiles), unsigned(pass.images)), dim3(T::threads)}, stream, all,
            pass.pictures(inp), bands, pass.depth, pass.padding);
        launch_with_barriers<winograd_products_kernel<T, kTaps, kForward>>(
            {dim3(unsigned(blocks)), dim3(T::threads),
             T::strip_in_shared ? size_t(OwnMemory<T>::floats(bands)) * sizeof(float) : 0},
            stream, out, workspace + value_floats(), all, weights, pass.all_filters, bands, pass.rows,
            pass.depth, first_row, epilogue);
    }
};

}  // namespace

index_t winograd_few_images_workspace(const PicturesPass& pass) {
    index_t floats = 0;
    tuned([&](auto tuning) { floats = Pass<decltype(tuning)>(pass).floats(); });
    return floats;
}

// Each band makes the filters' values anew, each for some ten multiply-adds.
double winograd_few_images_filter_cost(const PicturesPass& pass) {
    int bands = 0;
    tuned([&](auto tuning) { bands = Pass<decltype(tuning)>(pass).bands.count(); });
    return 10. * bands;
}

void winograd_few_images(float* out, const float* inp, const float* weights, float* workspace,
                         const PicturesPass& pass, int first_row, const Epilogue& epilogue,
                         Stream stream) {
    with_pass(pass, [&](auto taps, auto is_forward) {
        tuned([&](auto tuning) {
            Pass<decltype(tuning)>(pass).template run<taps, is_forward>(out, inp, weights, workspace,
                                                                        first_row, epilogue, stream);
        });
    });
}
