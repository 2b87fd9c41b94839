// Convolution of stride 1 with 3 x 3 or 5 x 5 filters in 2.6 or 2.8 times fewer multiplications.
//
// A product of polynomials is found from their values: evaluate both at enough points, multiply point
// by point, interpolate. A convolution of a few pixels is such a product transposed, and its
// transposed algorithm is Winograd's minimal filtering F(m, r): m outputs of an r-tap filter in
// m + r - 1 multiplications (S. Winograd, Arithmetic Complexity of Computations, 1980; for
// convolutional nets A. Lavin and S. Gray, arXiv 1509.09308). Along both axes of a picture, with tiles
// of 6 x 6 pixels at the points 0, 1, -1, 1/2, -2 and infinity:
//
//     forward, data   F(4, 3) or F(2, 5): tiles of 4 x 4 or 2 x 2 outputs
//     weights         F(3, 4) or F(5, 2): a tile of outputs' gradients is the filter
//
// The values at the 36 points (a pair for each of the two axes) are matrices, `point` innermost in
// grids of launches and outermost in memory: products over channels, filters or (tile, image) that
// tile_loop.h multiplies. They are made chunk by chunk of columns, which stays in the cache.
//
// Rounding errors: of the sum of |products|, 7e-7 (3 x 3) and 2e-7 (5 x 5) at most, where the plain sum
// makes 2e-7.
#include "../core/launch.h"
#include "../core/tile_loop.h"
#include "conv.h"
#include "epilogue.h"
#include "winograd.h"

namespace {

constexpr int kSide = 6, kPoints = kSide * kSide;

// Columns that the weights' gradient adds up in one go: rounding errors grow with the length of a sum.
constexpr int kLongestSum = 1024;

// Tiles have m x m outputs where filters have r x r taps.
constexpr int outputs_of(int taps) {
    return kSide + 1 - taps;
}

// The transforms of one axis, as matrices out x in.

// Values of a polynomial with n coefficients, scaled as interpolation wants them.
template <int n>
struct Evaluate {
    static constexpr int out = kSide, in = n;
    __host__ __device__ static constexpr float at(int point, int power) {
        constexpr float points[] = {0.f, 1.f, -1.f, 0.5f, -2.f};
        constexpr float scales[] = {1.f, 1.f / 3, -1.f / 3, -16.f / 15, 1.f / 15};
        if (point == kSide - 1) return power == n - 1 ? 1.f : 0.f;
        float value = scales[point];
        for (int i = 0; i < power; ++i) value *= points[point];
        return value;
    }
};

// The transposed interpolation, of six pixels.
struct Spread {
    static constexpr int out = kSide, in = kSide;
    __host__ __device__ static constexpr float at(int point, int pixel) {
        constexpr float factors[kSide][kSide] = {
            {1.f, -1.5f, -2.f, 1.5f, 1.f, 0.f}, {0.f, -1.f, 0.5f, 2.5f, 1.f, 0.f},
            {0.f, 1.f, -2.5f, 0.5f, 1.f, 0.f},  {0.f, -2.f, -1.f, 2.f, 1.f, 0.f},
            {0.f, 0.5f, -1.f, -0.5f, 1.f, 0.f}, {0.f, 1.f, -1.5f, -2.f, 1.5f, 1.f}};
        return factors[point][pixel];
    }
};

// The transposed evaluation: n outputs from the six values.
template <int n>
struct Gather {
    static constexpr int out = n, in = kSide;
    __host__ __device__ static constexpr float at(int output, int point) {
        constexpr float points[] = {0.f, 1.f, -1.f, 0.5f, -2.f};
        if (point == kSide - 1) return output == n - 1 ? 1.f : 0.f;
        float value = 1.f;
        for (int i = 0; i < output; ++i) value *= points[point];
        return value;
    }
};

// y = M x M^T
template <class M, class V>
__device__ __forceinline__ void transform(V (&y)[M::out][M::out], const V (&x)[M::in][M::in]) {
    V half[M::out][M::in];
    UNROLL for (int i = 0; i < M::out; ++i) UNROLL for (int k = 0; k < M::in; ++k) {
        V sum = splat<V>(0.f);
        UNROLL for (int j = 0; j < M::in; ++j)
            if (M::at(i, j) != 0.f) sum += M::at(i, j) * x[j][k];
        half[i][k] = sum;
    }
    UNROLL for (int i = 0; i < M::out; ++i) UNROLL for (int k = 0; k < M::out; ++k) {
        V sum = splat<V>(0.f);
        UNROLL for (int j = 0; j < M::in; ++j)
            if (M::at(k, j) != 0.f) sum += M::at(k, j) * half[i][j];
        y[i][k] = sum;
    }
}

// A matrix for each point: rows of `pitch` floats, matrices `stride` apart.
struct Stack {
    float* data;
    int rows, pitch;

    // Not a power of two, or the 36 places of one element share a set of the cache.
    __host__ __device__ index_t stride() const { return index_t(rows) * pitch + 16; }
    index_t floats() const { return stride() * kPoints; }
    __device__ float* at(int point, int row, int column) const {
        return data + point * stride() + index_t(row) * pitch + column;
    }
};

template <class V>
__device__ __forceinline__ void store_values(float* to, index_t stride, const V (&values)[kSide][kSide]) {
    UNROLL for (int i = 0; i < kSide; ++i) UNROLL for (int k = 0; k < kSide; ++k)
        store(to + (i * kSide + k) * stride, values[i][k]);
}

template <class V>
__device__ __forceinline__ void load_values(V (&values)[kSide][kSide], const float* from, index_t stride) {
    UNROLL for (int i = 0; i < kSide; ++i) UNROLL for (int k = 0; k < kSide; ++k)
        values[i][k] = load<V>(from + (i * kSide + k) * stride);
}

// The lane group of columns, of `T::run` ones, that the calling thread begins with.
template <class T>
__device__ __forceinline__ int first_group() {
    return (int(blockIdx.x) * T::threads + int(threadIdx.x)) * T::run;
}

template <class T>
LaunchShape groups_shape(int columns, int rows) {
    constexpr int kPerBlock = T::threads * T::run * lane_count<typename T::V>;
    return {dim3(unsigned(ceil_div(columns, kPerBlock)), unsigned(rows)), dim3(T::threads)};
}

// Tiles of pictures: tile (y, x) begins at pixel (y * step - origin, x * step - origin).
struct Tiles {
    Pictures pictures;
    ColumnMap map;  // columns: (tile, image)
    int step, origin;
};

// The values of one lane group of tiles, of side M::in; zeros beside the picture.
template <class M, class V>
__device__ __forceinline__ void read_tile(V (&values)[kSide][kSide], const Tiles& tiles, int channel,
                                          int column, bool fetch_next = false) {
    constexpr int L = lane_count<V>;
    const Pictures& p = tiles.pictures;
    const Column c = column_at<L>(tiles.map, column);
    const int y0 = c.y * tiles.step - tiles.origin, x0 = c.x * tiles.step - tiles.origin;
    const float* corner = p.data + index_t(channel) * p.plane() + p.offset(y0, x0, c.image);
    if (fetch_next)
        UNROLL for (int i = 0; i < M::in; ++i) UNROLL for (int k = 0; k < M::in; ++k)
            prefetch(corner + p.plane() + p.offset(i, k, 0));
    V pixels[M::in][M::in];
    if (c.count == L && y0 >= 0 && x0 >= 0 && y0 + M::in <= p.height && x0 + M::in <= p.width) {
        UNROLL for (int i = 0; i < M::in; ++i) UNROLL for (int k = 0; k < M::in; ++k)
            pixels[i][k] = load<V>(corner + p.offset(i, k, 0));
    } else {
        for (int i = 0; i < M::in; ++i)
            for (int k = 0; k < M::in; ++k) {
                const bool inside = unsigned(y0 + i) < unsigned(p.height) &&
                                    unsigned(x0 + k) < unsigned(p.width);
                pixels[i][k] = load<V>(corner + p.offset(i, k, 0), inside ? c.count : 0);
            }
    }
    transform<M>(values, pixels);
}

template <class T, class M>
__global__ void winograd_tiles_kernel(Stack out, Tiles tiles, int column0) {
    using V = typename T::V;
    const int channel = int(blockIdx.y);
    for (int g = 0; g < T::run; ++g) {
        const int column = (first_group<T>() + g) * lane_count<V>;
        if (column >= out.pitch) return;
        V values[kSide][kSide];
        read_tile<M>(values, tiles, channel, column0 + column);
        store_values(out.at(0, channel, column), out.stride(), values);
    }
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
    V taps[kTaps][kTaps], values[kSide][kSide];
    for (int tap = 0; tap < kTaps * kTaps; ++tap) {
        const int place = kForward ? tap : kTaps * kTaps - 1 - tap;
        const int count = c < channels ? larger(0, filters - f) : 0;
        taps[tap / kTaps][tap % kTaps] = load<V>(from + index_t(place) * all_filters, count);
    }
    transform<Evaluate<kTaps>>(values, taps);
    for (int i = 0; i < L; ++i) {
        const int row = kForward ? f + i : c, k = kForward ? c : f + i;
        if (row >= rows || k >= depth) return;
        float* to = out + (index_t(row / RM) * depth + k) * RM + row % RM;
        for (int p = 0; p < kPoints; ++p)
            to[p * index_t(rows) * depth] = lane(values[p / kSide][p % kSide], i);
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

    // Not a power of two apart, or the 36 values of an element share a set of the cache.
    __host__ __device__ static constexpr index_t stride(int rows) { return index_t(rows) * columns + 16; }
    __host__ __device__ static constexpr index_t floats(int depth) {
        return (stride(depth) + stride(RB)) * kPoints;
    }
};

template <class T, int kTaps>
__global__ void __launch_bounds__(T::threads)
    winograd_strips_kernel(float* out, float* workspace, const float* filters, Tiles tiles, int strips,
                           int rows, int depth, int height, int width, int first_row, Epilogue epilogue) {
    using V = typename T::V;
    using S = Strip<T>;
    constexpr int L = lane_count<V>, kOutputs = outputs_of(kTaps), kGroups = S::columns / L,
                  kPanels = S::columns / S::panel;
    float* inputs = T::strip_in_shared ? dynamic_shared<float>()
                                       : workspace + int(blockIdx.x) * S::floats(depth);
    float* products = inputs + kPoints * S::stride(depth);
    const int padded_rows = ceil_div(rows, S::RM) * S::RM;
    for (int strip = int(blockIdx.x); strip < strips; strip += int(gridDim.x)) {
        const int column0 = strip * S::columns;
        for (int item = int(threadIdx.x); item < depth * kGroups; item += T::threads) {
            const int channel = item / kGroups, column = item % kGroups * L;
            V values[kSide][kSide];
            read_tile<Spread>(values, tiles, channel, column0 + column, column == 0);
            store_values(inputs + channel * S::columns + column, S::stride(depth), values);
        }
        for (int row0 = 0; row0 < padded_rows; row0 += S::RB) {
            const int row_panels = smaller(S::RB, padded_rows - row0) / S::RM;
            __syncthreads();
            for (int item = int(threadIdx.x); item < kPoints * row_panels * kPanels; item += T::threads) {
                const int point = item / (row_panels * kPanels);
                const int m = item / kPanels % row_panels * S::RM, n = item % kPanels * S::panel;
                const float* a = filters + (point * index_t(padded_rows) + row0 + m) * depth;
                const float* b = inputs + point * S::stride(depth) + n;
                V r[S::RM][S::RN];
                UNROLL for (int i = 0; i < S::RM; ++i)
                    UNROLL for (int j = 0; j < S::RN; ++j) r[i][j] = splat<V>(0.f);
                for (int k = 0; k < depth; ++k) {
                    V bv[S::RN];
                    UNROLL for (int j = 0; j < S::RN; ++j) bv[j] = load<V>(b + k * S::columns + j * L);
                    UNROLL for (int i = 0; i < S::RM; ++i)
                        UNROLL for (int j = 0; j < S::RN; ++j) r[i][j] += a[k * S::RM + i] * bv[j];
                }
                float* to = products + point * S::stride(S::RB) + m * S::columns + n;
                UNROLL for (int i = 0; i < S::RM; ++i)
                    UNROLL for (int j = 0; j < S::RN; ++j) store(to + i * S::columns + j * L, r[i][j]);
            }
            __syncthreads();
            const int left = smaller(S::RB, rows - row0);
            for (int item = int(threadIdx.x); item < left * kGroups; item += T::threads) {
                const int row = item / kGroups, column = item % kGroups * L;
                const Column c = column_at<L>(tiles.map, column0 + column);
                if (!c.count) continue;
                V values[kSide][kSide], pixels[kOutputs][kOutputs];
                load_values(values, products + row * S::columns + column, S::stride(S::RB));
                transform<Gather<kOutputs>>(pixels, values);
                float* plane = out + index_t(row0 + row) * height * width * tiles.map.images + c.image;
                UNROLL for (int i = 0; i < kOutputs; ++i) UNROLL for (int k = 0; k < kOutputs; ++k) {
                    const int y = c.y * kOutputs + i, x = c.x * kOutputs + k;
                    if (y >= height || x >= width) continue;
                    float* p = plane + (y * width + x) * tiles.map.images;
                    store(p, epilogue(pixels[i][k], p, c.count, first_row + row0 + row), c.count);
                }
            }
        }
        __syncthreads();
    }
}

// [c +] a b^T at each point: channels x (tile, image) x filters.
template <class T>
__global__ void __launch_bounds__(T::Conv::threads)
    winograd_product_kernel(Stack c, Stack a, Stack b, int row_tiles, bool accumulate) {
    using Tile = typename T::Conv;
    using V = typename Tile::V;
    constexpr int L = Tile::L;
    using DepthWalk = TileWalk<L, Tile::threads, Tile::BK>;
    const int point = int(blockIdx.y);
    const int m0 = int(blockIdx.x) % row_tiles * Tile::BM, n0 = int(blockIdx.x) / row_tiles * Tile::BN;
    const int rows = smaller(Tile::BM, c.rows - m0), columns = smaller(Tile::BN, c.pitch - n0);
    const int filled = Tile::in_registers ? Tile::BM : ceil_div(rows, Tile::RM) * Tile::RM;

    auto load_a = [&](float* to, int k0, int count) {
        for (int m = DepthWalk::first_row(); m < filled; m += DepthWalk::row_step)
            for (int j = 0; j < DepthWalk::per_thread; ++j) {
                const int k = DepthWalk::column(j);
                if (k >= count) break;
                const bool inside = m < rows && k0 + k < a.pitch;
                store(to + a_index<Tile>(m, k), load<V>(a.at(point, m0 + m, k0 + k), inside ? L : 0));
            }
    };
    auto load_b = [&](float* to, int k0, int count) {
        const int wanted = Tile::in_registers ? Tile::BN : columns;
        for (int n = DepthWalk::first_row() * L; n < wanted; n += DepthWalk::row_step * L)
            for (int j = 0; j < DepthWalk::per_thread; ++j) {
                const int k = DepthWalk::column(j);
                if (k >= count) break;
                V square[L];
                UNROLL for (int i = 0; i < L; ++i) {
                    const bool inside = n0 + n + i < b.rows && k0 + k < a.pitch;
                    square[i] = load<V>(b.at(point, n0 + n + i, k0 + k), inside ? L : 0);
                }
                transpose(square);
                UNROLL for (int i = 0; i < L; ++i) store(to + (k + i) * Tile::stride_b + n, square[i]);
            }
    };
    tile_loop<Tile>(rows, columns, 0, a.pitch, load_a, load_b, [&](int m, int n, V sum) {
        float* p = c.at(point, m0 + m, n0 + n);
        store(p, accumulate ? load<V>(p) + sum : sum);
    });
}

// Gradients of filters, (channels, taps, taps, filters), from their values; lanes are filters.
template <class T, int kTaps>
__global__ void winograd_weights_kernel(float* out, Stack values, int filters, int all_filters,
                                        Epilogue epilogue) {
    using V = typename T::V;
    constexpr int L = lane_count<V>;
    const int f = (int(blockIdx.x) * T::threads + int(threadIdx.x)) * L, c = int(blockIdx.y);
    if (f >= filters) return;
    V points[kSide][kSide], taps[kTaps][kTaps];
    load_values(points, values.at(0, c, f), values.stride());
    transform<Gather<kTaps>>(taps, points);
    UNROLL for (int y = 0; y < kTaps; ++y) UNROLL for (int x = 0; x < kTaps; ++x) {
        float* p = out + (index_t(c) * (kTaps * kTaps) + y * kTaps + x) * all_filters + f;
        store(p, epilogue(taps[y][x], p, filters - f, 0), filters - f);
    }
}

int to_multiple(int n, int of) {
    return ceil_div(n, of) * of;
}

// Launcher(std::integral_constant of the taps of a side)
template <class Launcher>
void with_taps(int taps, const Launcher& launcher) {
    if (taps == 3)
        launcher(std::integral_constant<int, 3>());
    else
        launcher(std::integral_constant<int, 5>());
}

// A pass that makes pictures, `rows` of them from `depth` others; of one group.
template <class T>
struct PicturesPass {
    static constexpr int L = lane_count<typename T::V>;
    int rows, depth, height, width, strips, blocks;
    ColumnMap map;

    PicturesPass(int rows, int depth, int images, int height, int width, int taps)
        : rows(rows),
          depth(depth),
          height(height),
          width(width),
          map(images, ceil_div(height, outputs_of(taps)), ceil_div(width, outputs_of(taps)), L) {
        strips = ceil_div(map.padded_columns(L), T::strip);
        blocks = T::strip_in_shared ? strips : smaller(strips, T::strip_blocks);
    }
    int padded_rows() const { return to_multiple(rows, T::Conv::RM); }
    index_t filter_floats() const { return index_t(kPoints) * padded_rows() * depth; }
    index_t strip_floats() const { return Strip<T>::floats(depth); }
    index_t floats() const {
        return filter_floats() + (T::strip_in_shared ? 0 : blocks * strip_floats());
    }

    template <int kTaps, bool kForward>
    void run(float* out, const float* inp, int inp_height, int inp_width, int origin, const float* weights,
             float* workspace, int all_filters, int first_row, const Epilogue& epilogue,
             Stream stream) const {
        const int filters = kForward ? rows : depth, channels = kForward ? depth : rows;
        const dim3 grid(unsigned(ceil_div(kForward ? padded_rows() : filters, L * T::threads)),
                        unsigned(kForward ? channels : padded_rows()));
        launch<winograd_filters_kernel<T, kTaps, kForward>>({grid, dim3(T::threads)}, stream, workspace,
                                                            weights, channels, filters, all_filters,
                                                            depth, padded_rows());
        const Tiles tiles = {{inp, inp_height, inp_width, map.images}, map, outputs_of(kTaps), origin};
        launch_with_barriers<winograd_strips_kernel<T, kTaps>>(
            {dim3(unsigned(blocks)), dim3(T::threads),
             T::strip_in_shared ? size_t(strip_floats()) * sizeof(float) : 0},
            stream, out, workspace + filter_floats(), (const float*)workspace, tiles, strips, rows, depth,
            height, width, first_row, epilogue);
    }
};

template <class T>
PicturesPass<T> forward_pass(const ConvSize& s) {
    return {s.group_filters(), s.group_channels(), s.images, s.out_height, s.out_width, s.filter_width};
}

template <class T>
PicturesPass<T> data_pass(const ConvSize& s) {
    return {s.group_channels(), s.group_filters(), s.images, s.height, s.width, s.filter_width};
}

// The gradient of one group's filters: a product channels x (tile, image) x filters at each point, chunk
// by chunk of columns.
template <class T>
struct WeightsPass {
    static constexpr int L = lane_count<typename T::V>;
    ColumnMap map;
    int columns;  // of a chunk
    Stack inputs, gradients, products;

    WeightsPass(float* workspace, const ConvSize& s)
        : map(s.images, ceil_div(s.out_height, outputs_of(s.filter_width)),
              ceil_div(s.out_width, outputs_of(s.filter_width)), L) {
        const int channels = s.group_channels(), filters = s.group_filters(), all = all_columns();
        const index_t fit =
            T::chunk_bytes / (index_t(channels + filters) * kPoints * index_t(sizeof(float)));
        const int most = larger(T::Conv::BK, int(smaller(fit, index_t(kLongestSum))));
        const int chunks = ceil_div(all, most);
        columns = smaller(all, to_multiple(ceil_div(all, chunks), T::Conv::BK));
        inputs = {workspace, channels, columns};
        gradients = {inputs.data + inputs.floats(), filters, columns};
        products = {gradients.data + gradients.floats(), channels, to_multiple(filters, L)};
    }
    int all_columns() const { return map.padded_columns(L); }
    index_t floats() const { return inputs.floats() + gradients.floats() + products.floats(); }

    template <int kTaps>
    void run(float* dweights, const Pictures& inp, const Pictures& dout, int padding, int filters,
             int all_filters, bool accumulate, Stream stream) const {
        using Tile = typename T::Conv;
        constexpr int kOutputs = outputs_of(kTaps);
        for (int column = 0; column < all_columns(); column += columns) {
            Stack a = inputs, b = gradients;
            a.pitch = b.pitch = smaller(columns, all_columns() - column);  // the last may be narrower
            launch<winograd_tiles_kernel<T, Spread>>(groups_shape<T>(a.pitch, a.rows), stream, a,
                                                     Tiles{inp, map, kOutputs, padding}, column);
            launch<winograd_tiles_kernel<T, Evaluate<kOutputs>>>(groups_shape<T>(b.pitch, b.rows), stream,
                                                                 b, Tiles{dout, map, kOutputs, 0}, column);
            const int row_tiles = ceil_div(products.rows, Tile::BM);
            const dim3 grid(unsigned(row_tiles * ceil_div(products.pitch, Tile::BN)), kPoints);
            launch_with_barriers<winograd_product_kernel<T>>(
                {grid, dim3(Tile::threads), size_t(Tile::shared_bytes)}, stream, products, a, b, row_tiles,
                column > 0);
        }
        const dim3 grid(unsigned(ceil_div(filters, L * T::threads)), unsigned(products.rows));
        launch<winograd_weights_kernel<T, kTaps>>({grid, dim3(T::threads)}, stream, dweights, products,
                                                  filters, all_filters,
                                                  Epilogue{accumulate, nullptr, kIdent});
    }
};

// The channels or filters of one group, from its first picture's on.
Pictures pictures_of(const float* data, int first, int height, int width, int images) {
    return {data + index_t(first) * height * width * images, height, width, images};
}

}  // namespace

// By operations: a value's transform costs as much as some forty multiply-adds of its products, and the
// direct product runs at seven tenths of their speed.
bool winograd_pays(const ConvSize& s) {
    const int tile = outputs_of(s.filter_width);
    const double tiles = double(ceil_div(s.out_height, tile)) * ceil_div(s.out_width, tile);
    const double channels = s.group_channels(), filters = s.group_filters();
    const double products = tiles * kPoints * (channels * filters + 40 * (channels + filters));
    return products < 1.4 * s.out_height * s.out_width * s.taps() * channels * filters;
}

index_t winograd_forward_workspace(const ConvSize& s) {
    index_t floats = 0;
    tuned([&](auto tuning) { floats = forward_pass<decltype(tuning)>(s).floats(); });
    return floats;
}

void winograd_forward(float* out, const float* inp, const float* weights, const float* bias,
                      float* workspace, const ConvSize& s, Neuron neuron, bool accumulate,
                      Stream stream) {
    tuned([&](auto tuning) {
        const auto pass = forward_pass<decltype(tuning)>(s);
        with_taps(s.filter_width, [&](auto taps) {
            for (int g = 0; g < s.groups; ++g) {
                const int filter = g * s.group_filters(), channel = g * s.group_channels();
                pass.template run<taps, true>(
                    out + index_t(filter) * s.out_height * s.out_width * s.images,
                    inp + index_t(channel) * s.height * s.width * s.images, s.height, s.width, s.padding,
                    weights + filter, workspace, s.filters, filter, {accumulate, bias, neuron}, stream);
            }
        });
    });
}

index_t winograd_backward_data_workspace(const ConvSize& s) {
    index_t floats = 0;
    tuned([&](auto tuning) { floats = data_pass<decltype(tuning)>(s).floats(); });
    return floats;
}

void winograd_backward_data(float* dinp, const float* dout, const float* weights, float* workspace,
                            const ConvSize& s, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        const auto pass = data_pass<decltype(tuning)>(s);
        with_taps(s.filter_width, [&](auto taps) {
            for (int g = 0; g < s.groups; ++g) {
                const int filter = g * s.group_filters(), channel = g * s.group_channels();
                pass.template run<taps, false>(
                    dinp + index_t(channel) * s.height * s.width * s.images,
                    dout + index_t(filter) * s.out_height * s.out_width * s.images, s.out_height,
                    s.out_width, s.filter_width - 1 - s.padding, weights + filter, workspace, s.filters,
                    channel, {accumulate, nullptr, kIdent}, stream);
            }
        });
    });
}

index_t winograd_backward_weights_workspace(const ConvSize& s) {
    index_t floats = 0;
    tuned([&](auto tuning) { floats = WeightsPass<decltype(tuning)>(nullptr, s).floats(); });
    return floats;
}

void winograd_backward_weights(float* dweights, const float* inp, const float* dout, float* workspace,
                               const ConvSize& s, bool accumulate, Stream stream) {
    tuned([&](auto tuning) {
        const WeightsPass<decltype(tuning)> pass(workspace, s);
        with_taps(s.filter_width, [&](auto taps) {
            for (int g = 0; g < s.groups; ++g) {
                const int filter = g * s.group_filters(), channel = g * s.group_channels();
                pass.template run<taps>(
                    dweights + filter,
                    pictures_of(inp, channel, s.height, s.width, s.images),
                    pictures_of(dout, filter, s.out_height, s.out_width, s.images), s.padding,
                    s.group_filters(), s.filters, accumulate, stream);
            }
        });
    });
}
