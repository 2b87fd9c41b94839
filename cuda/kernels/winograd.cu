// Convolution of stride 1 with 3 x 3 or 5 x 5 filters in up to 4 or 2.8 times fewer multiplications; in
// 3.4 times fewer for pictures of 13 x 13 and 2.6 for 27 x 27, whose last tiles hang over the edge.
//
// A product of polynomials can be found from values: evaluate both at enough points, multiply point by
// point, interpolate. A convolution of a few pixels is such a product transposed, and what follows is
// Winograd's minimal filtering F(m, r): m outputs of an r-tap filter from m + r - 1 multiplications
// (S. Winograd, Arithmetic Complexity of Computations, 1980; in nets: A. Lavin and S. Gray, arXiv
// 1509.09308). Along both axes of a picture, with tiles of 6 x 6 pixels and six points
// (winograd_transforms.h):
//
//     forward, data   F(4, 3) or F(2, 5): a tile has 4 x 4 or 2 x 2 outputs
//     weights         F(3, 4) or F(5, 2): a tile of the outputs' gradients takes the filter's part
//
// A tile at the picture's edge that has fewer outputs needs fewer points, the first m + r - 1 of an
// axis.
//
// At each of the 36 points (one for each axis) the values form matrices, and what is multiplied point
// by point becomes a product of matrices: over channels, over filters, or over all (tile, image).
//
// Thread map: a block owns a strip of columns, (tile, image), or a part of them, and does all that is
// to be done with it, so that values never leave the core's cache. The threads share out tiles,
// register tiles of products, and outputs in turn, with barriers between. Lanes are images; where these
// would not fill them winograd_few_images.cu makes the pictures.
//
// Rounding errors are two to five times those of plain sums: up to 1.5e-6 of the sum of |products|.
#include "../core/launch.h"
#include "../core/tuning.h"
#include "conv.h"
#include "epilogue.h"
#include "winograd.h"
#include "winograd_few_images.h"
#include "winograd_pass.h"
#include "winograd_transforms.h"

namespace {

// A matrix for each point: rows of `pitch` floats, matrices `stride` apart.
struct Stack {
    float* data;
    int rows, pitch;

    __host__ __device__ index_t stride() const { return apart(index_t(rows) * pitch); }
    __host__ __device__ index_t floats() const { return stride() * kPoints; }
    __device__ float* at(int point, int row, int column) const {
        return data + point * stride() + index_t(row) * pitch + column;
    }
};

// Columns of the products: (tile, image), in lane groups of consecutive images; the last group of a
// tile is ragged when the images are no multiple of the lanes.
struct ColumnMap {
    int images, tiles;
    Divisor groups, width;  // lane groups of a tile; tiles of a picture's row

    ColumnMap(int images, int height, int width, int lanes)
        : images(images), tiles(height * width), groups(ceil_div(images, lanes)), width(width) {}
    __host__ __device__ int padded_columns(int lanes) const { return tiles * groups.value() * lanes; }
};

// One lane group of columns. `count` of its lanes are images: 0 beside the matrix.
struct Column {
    int y, x, image, count;
};

template <int L>
__device__ __forceinline__ Column column_at(const ColumnMap& map, int column) {
    const int group = column / L, tile = map.groups.quotient(group);
    if (tile >= map.tiles) return {0, 0, 0, 0};
    const int image = map.groups.remainder(group, tile) * L, y = map.width.quotient(tile);
    return {y, map.width.remainder(tile, y), image, smaller(L, map.images - image)};
}

// Tiles of pictures: tile (y, x) begins at pixel (y * step - origin, x * step - origin), and has step x
// step outputs or, at the end of the height x width that there are, fewer.
struct Tiles {
    Pictures pictures;
    ColumnMap map;
    int step, origin, height, width;

    __device__ int down(const Column& c) const { return smaller(step, height - c.y * step); }
    __device__ int across(const Column& c) const { return smaller(step, width - c.x * step); }
};

// How many points of each axis the columns of a strip need.
struct Points {
    int down = 0, across = 0;

    template <int L>
    static __device__ __forceinline__ Points of(const Tiles& tiles, int column0, int columns) {
        Points points;
        for (int column = 0; column < columns; column += L) {
            const Column c = column_at<L>(tiles.map, column0 + column);
            points.down = larger(points.down, kSide - tiles.step + tiles.down(c));
            points.across = larger(points.across, kSide - tiles.step + tiles.across(c));
        }
        return points;
    }
    __device__ int count() const { return down * across; }
    __device__ int at(int i) const { return i / across * kSide + i % across; }
    __device__ bool have(int point) const { return point / kSide < down && point % kSide < across; }
};

// The values of one lane group of tiles, zeros beside the picture, to put().
template <class M, class V, class Put>
__device__ __forceinline__ void transform_tile(const Tiles& tiles, int channel, int column,
                                               const Put& put, bool fetch_next = false) {
    constexpr int L = lane_count<V>, kReads = M::reads(M::most);
    const Pictures& p = tiles.pictures;
    const Column c = column_at<L>(tiles.map, column);
    const int y0 = c.y * tiles.step - tiles.origin, x0 = c.x * tiles.step - tiles.origin;
    const float* corner = p.data + index_t(channel) * p.plane() + p.offset(y0, x0, c.image);
    if (fetch_next)
        UNROLL for (int i = 0; i < kReads; ++i) UNROLL for (int k = 0; k < kReads; ++k)
            prefetch(corner + p.plane() + p.offset(i, k, 0));
    const int down = tiles.down(c), across = tiles.across(c);
    if (down == M::most && across == M::most && c.count == L && y0 >= 0 && x0 >= 0 &&
        y0 + kReads <= p.height && x0 + kReads <= p.width)
        return transform_full<M, V>([&](int i, int k) { return load<V>(corner + p.offset(i, k, 0)); },
                                    put);

    V pixels[kReads][kReads];
    for (int i = 0; i < M::reads(down); ++i)
        for (int k = 0; k < M::reads(across); ++k) {
            const bool inside =
                unsigned(y0 + i) < unsigned(p.height) && unsigned(x0 + k) < unsigned(p.width);
            pixels[i][k] = load<V>(corner + p.offset(i, k, 0), inside ? c.count : 0);
        }
    transform<M, V>(down, across, [&](int i, int k) { return pixels[i][k]; }, put);
}

// Filters, (channels, taps, taps, filters), of one group, as the rows of the pass's product: filters
// forward; channels, their taps reversed, for the data gradient. Rows lie in panels of RM,
// [point][row / RM][depth][row % RM], as strips read them. Rows are padded with zeros.
template <class T, int kTaps, bool kForward>
__global__ void winograd_filters_kernel(float* out, const float* weights, int channels, int filters,
                                        int all_filters, int depth, int rows) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, RM = T::Conv::RM;
    const int f = (int(blockIdx.x) * T::threads + int(threadIdx.x)) * L, c = int(blockIdx.y);
    const float* from = weights + index_t(c) * (kTaps * kTaps) * all_filters + f;
    const int count = c < channels ? larger(0, filters - f) : 0;
    V values[kPoints];
    transform_full<Evaluate<kTaps>, V>(
        [&](int y, int x) {
            const int tap = kForward ? y * kTaps + x : kTaps * kTaps - 1 - (y * kTaps + x);
            return load<V>(from + index_t(tap) * all_filters, count);
        },
        [&](int i, int k, V value) { values[i * kSide + k] = value; });
    for (int i = 0; i < L; ++i) {
        const int row = kForward ? f + i : c, k = kForward ? c : f + i;
        if (row >= rows || k >= depth) return;
        float* to = out + (index_t(row / RM) * depth + k) * RM + row % RM;
        for (int p = 0; p < kPoints; ++p) to[p * apart(index_t(rows) * depth)] = lane(values[p], i);
    }
}

// A strip of columns, whole: the values of its tiles, their products with the filters' and the pictures
// made of these, RB rows of pictures at a time. The values of all lie in this block's own memory.
template <class T>
struct Strip {
    using V = typename T::V;
    static constexpr int RM = T::Conv::RM, RN = T::Conv::RN, columns = T::strip, RB = T::strip_rows,
                         panel = RN * lane_count<V>;
    static_assert(columns % panel == 0 && RB % RM == 0, "strip shape");

    __host__ __device__ static constexpr index_t stride(int rows) {
        return apart(index_t(rows) * columns);
    }
    __host__ __device__ static constexpr index_t floats(int depth) {
        return (stride(depth) + stride(RB)) * kPoints;
    }
};

template <class T, int kTaps>
__global__ void __launch_bounds__(T::threads)
    winograd_strips_kernel(float* out, float* workspace, const float* filters, Tiles tiles, int strips,
                           int rows, int depth, int first_row, Epilogue epilogue) {
    using V = typename T::V;
    using S = Strip<T>;
    constexpr int L = lane_count<V>, kOutputs = outputs_of(kTaps), kGroups = S::columns / L,
                  kPanels = S::columns / S::panel;
    float* inputs =
        T::strip_in_shared ? dynamic_shared<float>() : workspace + int(blockIdx.x) * S::floats(depth);
    float* products = inputs + kPoints * S::stride(depth);
    const int padded_rows = ceil_div(rows, S::RM) * S::RM;
    for (int strip = int(blockIdx.x); strip < strips; strip += int(gridDim.x)) {
        const int column0 = strip * S::columns;
        const auto points = Points::of<L>(tiles, column0, S::columns);
        for (int item = int(threadIdx.x); item < depth * kGroups; item += T::threads) {
            const int channel = item / kGroups, column = item % kGroups * L;
            float* to = inputs + channel * S::columns + column;
            transform_tile<Spread<kOutputs>, V>(
                tiles, channel, column0 + column,
                [&](int i, int k, V value) { store(to + (i * kSide + k) * S::stride(depth), value); },
                column == 0);
        }
        for (int row0 = 0; row0 < padded_rows; row0 += S::RB) {
            const int row_panels = smaller(S::RB, padded_rows - row0) / S::RM;
            __syncthreads();
            for (int item = int(threadIdx.x); item < points.count() * row_panels * kPanels;
                 item += T::threads) {
                const int point = points.at(item / (row_panels * kPanels));
                const int m = item / kPanels % row_panels * S::RM, n = item % kPanels * S::panel;
                const float* a =
                    filters + point * apart(index_t(padded_rows) * depth) + index_t(row0 + m) * depth;
                const float* b = inputs + point * S::stride(depth) + n;
                V r[S::RM][S::RN];
                UNROLL for (int i = 0; i < S::RM; ++i) UNROLL for (int j = 0; j < S::RN; ++j) r[i][j] =
                    splat<V>(0.f);
                multiply(r, depth, [&](int i, int k) { return a[k * S::RM + i]; }, b, S::columns);
                float* to = products + point * S::stride(S::RB) + m * S::columns + n;
                UNROLL for (int i = 0; i < S::RM; ++i) UNROLL for (int j = 0; j < S::RN; ++j)
                    store(to + i * S::columns + j * L, r[i][j]);
            }
            __syncthreads();
            const int left = smaller(S::RB, rows - row0);
            for (int item = int(threadIdx.x); item < left * kGroups; item += T::threads) {
                const int row = item / kGroups, column = item % kGroups * L;
                const Column c = column_at<L>(tiles.map, column0 + column);
                if (!c.count) continue;
                const float* from = products + row * S::columns + column;
                float* plane =
                    out + index_t(row0 + row) * tiles.height * tiles.width * tiles.map.images + c.image;
                auto get = [&](int i, int k) {
                    return load<V>(from + (i * kSide + k) * S::stride(S::RB));
                };
                const int down = tiles.down(c), across = tiles.across(c);
                auto put = [&](int i, int k, V pixel) {
                    if (i >= down || k >= across) return;
                    const int y = c.y * kOutputs + i, x = c.x * kOutputs + k;
                    float* p = plane + (y * tiles.width + x) * tiles.map.images;
                    store(p, epilogue(pixel, p, c.count, first_row + row0 + row), c.count);
                };
                transform<Gather<kOutputs>, V>(down, across, get, put);
            }
        }
    }
}

// A strip of columns of the weights' gradient: values of its inputs, a row for each channel, and of its
// gradients, a row for each column.
template <class T>
struct WeightsStrip {
    static constexpr int kPad = 16;  // again no power of two apart
    int channels, filters;           // in whole register tiles

    __host__ __device__ WeightsStrip(int channels, int filters)
        : channels(to_multiple(channels, T::Conv::RM)),
          filters(to_multiple(filters, T::Conv::RN * lane_count<typename T::V>)) {}
    __host__ __device__ Stack inputs(float* own) const { return {own, channels, T::weights_strip}; }
    __host__ __device__ Stack gradients(float* own) const {
        return {own + inputs(own).floats(), T::weights_strip, filters + kPad};
    }
    __host__ __device__ index_t floats() const {
        return inputs(nullptr).floats() + gradients(nullptr).floats();
    }
};

// One part of the columns, of which the weights' gradient is the sum: at each point the product
// channels x (tile, image) x filters, strip by strip. Gradients are transposed, so that lanes are
// filters. A strip's values lie in this block's own memory, the sums of its part in `sums`.
template <class T, int kTaps>
__global__ void __launch_bounds__(T::threads)
    winograd_sums_kernel(Stack sums, float* workspace, Tiles inp, Tiles dout, int channels, int filters,
                         int all_columns, int part_columns) {
    using V = typename T::V;
    constexpr int L = lane_count<V>, RM = T::Conv::RM, RN = T::Conv::RN, kOutputs = outputs_of(kTaps);
    const WeightsStrip<T> strip(channels, filters);
    float* own =
        T::strip_in_shared ? dynamic_shared<float>() : workspace + int(blockIdx.x) * strip.floats();
    const Stack inputs = strip.inputs(own), gradients = strip.gradients(own);
    sums.data += int(blockIdx.x) * sums.floats();
    const int begin = int(blockIdx.x) * part_columns, end = smaller(all_columns, begin + part_columns);
    for (int column0 = begin; column0 < end; column0 += T::weights_strip) {
        const int depth = smaller(T::weights_strip, end - column0), groups = depth / L;
        const auto points = Points::of<L>(inp, column0, depth);
        for (int item = int(threadIdx.x); item < inputs.rows * groups; item += T::threads) {
            const int channel = item / groups, column = item % groups * L;
            auto put = [&](int i, int k, V value) {
                store(inputs.at(i * kSide + k, channel, column), value);
            };
            if (channel < channels)
                transform_tile<Spread<kOutputs>, V>(inp, channel, column0 + column, put);
            else
                for (int i = 0; i < kPoints; ++i) put(i / kSide, i % kSide, splat<V>(0.f));
        }
        for (int item = int(threadIdx.x); item < sums.pitch / L * groups; item += T::threads) {
            const int f = item / groups * L, column = item % groups * L;
            const Column c = column_at<L>(dout.map, column0 + column);
            const int down = dout.down(c), across = dout.across(c), plane = dout.pictures.plane();
            const float* corner = dout.pictures.data + index_t(f) * plane +
                                  dout.pictures.offset(c.y * kOutputs, c.x * kOutputs, c.image);
            V pixels[kOutputs][kOutputs][L];
            for (int i = 0; i < down; ++i)
                for (int k = 0; k < across; ++k) {
                    const float* from = corner + dout.pictures.offset(i, k, 0);
                    V square[L];
                    UNROLL for (int l = 0; l < L; ++l) square[l] =
                        load<V>(from + index_t(l) * plane, f + l < filters ? c.count : 0);
                    transpose(square);
                    UNROLL for (int l = 0; l < L; ++l) pixels[i][k][l] = square[l];
                }
            for (int l = 0; l < L; ++l)
                transform<Evaluate<kOutputs>, V>(
                    down, across, [&](int i, int k) { return pixels[i][k][l]; },
                    [&](int i, int k, V value) {
                        store(gradients.at(i * kSide + k, column + l, f), value);
                    });
        }
        __syncthreads();
        const int down = sums.rows / RM, across = sums.pitch / (RN * L);
        for (int item = int(threadIdx.x); item < kPoints * down * across; item += T::threads) {
            const int point = item / (down * across);
            const int row = item % down * RM, column = item / down % across * (RN * L);
            if (!points.have(point) && column0 > begin) continue;
            const float* a = inputs.at(point, row, 0);
            V r[RM][RN];
            UNROLL for (int i = 0; i < RM; ++i) UNROLL for (int j = 0; j < RN; ++j) r[i][j] =
                splat<V>(0.f);
            multiply(
                r, points.have(point) ? depth : 0,
                [&](int i, int k) { return a[i * T::weights_strip + k]; },
                gradients.at(point, 0, column), gradients.pitch);
            float* to = sums.at(point, row, column);
            UNROLL for (int i = 0; i < RM; ++i) UNROLL for (int j = 0; j < RN; ++j) {
                float* p = to + i * sums.pitch + j * L;
                store(p, column0 > begin ? load<V>(p) + r[i][j] : r[i][j]);
            }
        }
        __syncthreads();
    }
}

// Gradients of filters, (channels, taps, taps, filters), from the parts of their sums; lanes are
// filters.
template <class T, int kTaps>
__global__ void winograd_weights_kernel(float* out, Stack sums, int parts, int filters, int all_filters,
                                        Epilogue epilogue) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const int f = (int(blockIdx.x) * T::threads + int(threadIdx.x)) * L, c = int(blockIdx.y);
    if (f >= filters) return;
    V values[kPoints] = {};
    for (int part = 0; part < parts; ++part) {
        const float* from = sums.at(0, c, f) + part * sums.floats();
        UNROLL for (int i = 0; i < kPoints; ++i) values[i] += load<V>(from + i * sums.stride());
    }
    transform_full<Gather<kTaps>, V>(
        [&](int i, int k) { return values[i * kSide + k]; },
        [&](int y, int x, V tap) {
            float* p = out + (index_t(c) * (kTaps * kTaps) + y * kTaps + x) * all_filters + f;
            store(p, epilogue(tap, p, filters - f, 0), filters - f);
        });
}

// A pass that makes pictures, strip by strip.
template <class T>
struct StripsPass {
    static constexpr int L = lane_count<typename T::V>;
    PicturesPass pass;
    ColumnMap map;
    int strips, blocks;

    explicit StripsPass(const PicturesPass& p)
        : pass(p),
          map(p.images, ceil_div(p.height, outputs_of(p.taps)), ceil_div(p.width, outputs_of(p.taps)),
              L) {
        strips = ceil_div(map.padded_columns(L), T::strip);
        blocks = T::strip_in_shared ? strips : smaller(strips, T::strip_blocks);
    }
    int padded_rows() const { return to_multiple(pass.rows, T::Conv::RM); }
    index_t filter_floats() const { return kPoints * apart(index_t(padded_rows()) * pass.depth); }
    index_t strip_floats() const { return Strip<T>::floats(pass.depth); }
    index_t floats() const {
        return filter_floats() + (T::strip_in_shared ? 0 : blocks * strip_floats());
    }

    template <int kTaps, bool kForward>
    void run(float* out, const float* inp, const float* weights, float* workspace, int first_row,
             const Epilogue& epilogue, Stream stream) const {
        const int filters = kForward ? pass.rows : pass.depth,
                  channels = kForward ? pass.depth : pass.rows;
        const dim3 grid(unsigned(ceil_div(kForward ? padded_rows() : filters, L * T::threads)),
                        unsigned(kForward ? channels : padded_rows()));
        launch<winograd_filters_kernel<T, kTaps, kForward>>(
            {grid, dim3(T::threads)}, stream, workspace, weights, channels, filters, pass.all_filters,
            pass.depth, padded_rows());
        const Tiles tiles = {pass.pictures(inp), map,         outputs_of(kTaps),
                             pass.padding,       pass.height, pass.width};
        launch_with_barriers<winograd_strips_kernel<T, kTaps>>(
            {dim3(unsigned(blocks)), dim3(T::threads),
             T::strip_in_shared ? size_t(strip_floats()) * sizeof(float) : 0},
            stream, out, workspace + filter_floats(), (const float*)workspace, tiles, strips, pass.rows,
            pass.depth, first_row, epilogue);
    }
};

PicturesPass forward_pass(const ConvSize& s) {
    return {true,        s.filter_width, s.group_filters(), s.group_channels(), s.images, s.out_height,
            s.out_width, s.height,       s.width,           s.padding,          s.filters};
}

PicturesPass data_pass(const ConvSize& s) {
    return {
        false,    s.filter_width, s.group_channels(), s.group_filters(), s.images,
        s.height, s.width,        s.out_height,       s.out_width,       s.filter_width - 1 - s.padding,
        s.filters};
}

// Whether its images would leave lanes empty.
template <class T>
bool has_few_images(int images) {
    return images < T::winograd_images;
}

index_t pictures_workspace(const PicturesPass& pass) {
    index_t floats = 0;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        floats = has_few_images<T>(pass.images) ? winograd_few_images_workspace(pass)
                                                : StripsPass<T>(pass).floats();
    });
    return floats;
}

// All groups; `epilogue` has their biases.
void make_pictures(float* out, const float* inp, const float* weights, float* workspace,
                   const PicturesPass& pass, int groups, const Epilogue& epilogue, Stream stream) {
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        const StripsPass<T> strips(pass);
        for (int g = 0; g < groups; ++g) {
            const int first_row = g * pass.rows;
            float* to = out + index_t(first_row) * pass.height * pass.width * pass.images;
            const float* from = inp + index_t(g) * pass.depth * pass.pictures(inp).plane();
            const float* filters = weights + g * (pass.is_forward ? pass.rows : pass.depth);
            if (has_few_images<T>(pass.images))
                winograd_few_images(to, from, filters, workspace, pass, first_row, epilogue, stream);
            else
                with_pass(pass, [&](auto taps, auto is_forward) {
                    strips.template run<taps, is_forward>(to, from, filters, workspace, first_row,
                                                          epilogue, stream);
                });
        }
    });
}

// The gradient of one group's filters.
template <class T>
struct WeightsPass {
    static constexpr int L = lane_count<typename T::V>;
    ColumnMap map;
    WeightsStrip<T> strip;
    int part_columns, parts;

    // The parts do not depend on the number of cores, or else the result would.
    explicit WeightsPass(const ConvSize& s)
        : map(s.images, ceil_div(s.out_height, outputs_of(s.filter_width)),
              ceil_div(s.out_width, outputs_of(s.filter_width)), L),
          strip(s.group_channels(), s.group_filters()) {
        constexpr index_t kMostParts = 16, kMostFloats = 16 << 20;
        const auto fit =
            int(larger(index_t(4), smaller(kMostParts, kMostFloats / sums(nullptr).floats())));
        part_columns = to_multiple(ceil_div(all_columns(), fit), T::weights_strip);
        parts = ceil_div(all_columns(), part_columns);
    }
    int all_columns() const { return map.padded_columns(L); }
    Stack sums(float* workspace) const { return {workspace, strip.channels, strip.filters}; }
    index_t floats() const {
        return parts * (sums(nullptr).floats() + (T::strip_in_shared ? 0 : strip.floats()));
    }

    template <int kTaps>
    void run(float* dweights, const Pictures& inp, const Pictures& dout, float* workspace,
             const ConvSize& s, bool accumulate, Stream stream) const {
        constexpr int kOutputs = outputs_of(kTaps);
        const int channels = s.group_channels(), filters = s.group_filters();
        const Stack all = sums(workspace);
        const Tiles inputs = {inp, map, kOutputs, s.padding, s.out_height, s.out_width};
        const Tiles gradients = {dout, map, kOutputs, 0, s.out_height, s.out_width};
        launch_with_barriers<winograd_sums_kernel<T, kTaps>>(
            {dim3(unsigned(parts)), dim3(T::threads),
             T::strip_in_shared ? size_t(strip.floats()) * sizeof(float) : 0},
            stream, all, workspace + parts * all.floats(), inputs, gradients, channels, filters,
            all_columns(), part_columns);
        const dim3 grid(unsigned(ceil_div(filters, L * T::threads)), unsigned(channels));
        launch<winograd_weights_kernel<T, kTaps>>({grid, dim3(T::threads)}, stream, dweights, all,
                                                  parts, filters, s.filters,
                                                  Epilogue{accumulate, nullptr, kIdent});
    }
};

}  // namespace

// By operations: a value's transform costs as much as some forty multiply-adds of its products, and the
// direct product runs at seven tenths of their speed. `filter_cost` is that of a filter's value.
static bool pays(const ConvSize& s, int images, double filter_cost) {
    const int tile = outputs_of(s.filter_width);
    auto points = [&](int n) {
        return n / tile * kSide + (n % tile ? n % tile + s.filter_width - 1 : 0);
    };
    const double channels = s.group_channels(), filters = s.group_filters(), pairs = channels * filters;
    const double values = double(points(s.out_height)) * points(s.out_width) * images;
    const double products =
        values * (pairs + 40 * (channels + filters)) + filter_cost * kPoints * pairs;
    return products < 1.4 * s.out_height * s.out_width * s.images * s.taps() * pairs;
}

// Lanes beside the images cost as much as those in use.
template <class T>
static int padded_images(const ConvSize& s) {
    return to_multiple(s.images, lane_count<typename T::V>);
}

bool winograd_pictures_pay(const ConvSize& s) {
    bool result = false;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        result = T::winograd && s.suits_winograd() &&
                 (has_few_images<T>(s.images)
                      ? pays(s, s.images, winograd_few_images_filter_cost(forward_pass(s)))
                      : pays(s, padded_images<T>(s), 80));
    });
    return result;
}

bool winograd_weights_pay(const ConvSize& s) {
    bool result = false;
    tuned([&](auto tuning) {
        using T = decltype(tuning);
        result = T::winograd && s.suits_winograd() && pays(s, padded_images<T>(s), 80);
    });
    return result;
}

index_t winograd_forward_workspace(const ConvSize& s) {
    return pictures_workspace(forward_pass(s));
}

void winograd_forward(float* out, const float* inp, const float* weights, const float* bias,
                      float* workspace, const ConvSize& s, Neuron neuron, bool accumulate,
                      Stream stream) {
    make_pictures(out, inp, weights, workspace, forward_pass(s), s.groups, {accumulate, bias, neuron},
                  stream);
}

index_t winograd_backward_data_workspace(const ConvSize& s) {
    return pictures_workspace(data_pass(s));
}

void winograd_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                            const ConvSize& s, bool accumulate, Stream stream) {
    make_pictures(dinp, dout, weights, workspace, data_pass(s), s.groups, {accumulate, nullptr, kIdent},
                  stream);
}

index_t winograd_backward_weights_workspace(const ConvSize& s) {
    index_t floats = 0;
    tuned([&](auto tuning) { floats = WeightsPass<decltype(tuning)>(s).floats(); });
    return floats;
}

void winograd_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                               const ConvSize& s, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        const WeightsPass<decltype(tuning)> pass(s);
        with_taps(s.filter_width, [&](auto taps) {
            for (int g = 0; g < s.groups; ++g) {
                const Pictures pictures = {
                    inp + g * s.group_channels() * index_t(s.height) * s.width * s.images, s.height,
                    s.width, s.images};
                const Pictures gradients = {
                    dout + g * s.group_filters() * index_t(s.out_height) * s.out_width * s.images,
                    s.out_height, s.out_width, s.images};
                pass.template run<taps>(dweights + g * s.group_filters(), pictures, gradients,
                                        workspace, s, accumulate, stream);
            }
        });
    });
}
