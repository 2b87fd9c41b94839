// Kernels for test_emulator.py: instructions that the emulator must compute, and mistakes that it must
// report, in a line that says `reported:` and what. Each
// kernel gets the words of the input, and memory for its output (emulator_cases.h).
#include "emulator_cases.h"

namespace {

// ---- products

__device__ uint32_t bf16_pair(uint32_t low, uint32_t high) {
    uint32_t bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
        : "=r"(bits)
        : "f"(__uint_as_float(high)), "f"(__uint_as_float(low)));
    return bits;
}

__device__ uint32_t tf32(uint32_t x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(x)));
    return bits;
}

// D = A B + C, with the fragments that PTX defines for m16n8k16: A is 16 x 16, B 16 x 8, C 16 x 8.
__device__ void multiply_bf16(const uint32_t* in, uint32_t* out) {
    const uint32_t *A = in, *B = A + 16 * 16, *C = B + 16 * 8;
    const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
    uint32_t a[4], b[2];
    float d[4];
    for (int i = 0; i < 4; ++i) {
        const uint32_t* pair = A + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
        a[i] = bf16_pair(pair[0], pair[1]);
    }
    for (int i = 0; i < 2; ++i) {
        const uint32_t* pair = B + (2 * t + i * 8) * 8 + g;
        b[i] = bf16_pair(pair[0], pair[8]);
    }
    for (int i = 0; i < 4; ++i) d[i] = __uint_as_float(C[(g + i / 2 * 8) * 8 + 2 * t + i % 2]);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = __float_as_uint(d[i]);
}

__global__ void mma_bf16(const uint32_t* in, uint32_t* out) {
    multiply_bf16(in, out);
}

__global__ void mma_bf16_half_warp(const uint32_t* in, uint32_t* out) {
    if (threadIdx.x < 16) multiply_bf16(in, out);
}

// The same for m16n8k8: A is 16 x 8, B 8 x 8.
template <bool rounded>
__global__ void mma_tf32(const uint32_t* in, uint32_t* out) {
    const uint32_t *A = in, *B = A + 16 * 8, *C = B + 8 * 8;
    const int g = int(threadIdx.x) / 4, t = int(threadIdx.x) % 4;
    uint32_t a[4], b[2];
    float d[4];
    for (int i = 0; i < 4; ++i) a[i] = A[(g + i % 2 * 8) * 8 + t + i / 2 * 4];
    for (int i = 0; i < 2; ++i) b[i] = B[(t + i * 4) * 8 + g];
    for (int i = 0; i < 4; ++i) d[i] = __uint_as_float(C[(g + i / 2 * 8) * 8 + 2 * t + i % 2]);
    for (int i = 0; i < 4 && rounded; ++i) a[i] = tf32(a[i]);
    for (int i = 0; i < 2 && rounded; ++i) b[i] = tf32(b[i]);
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = __float_as_uint(d[i]);
}

// Of each float: as bfloat16 alone, to the nearest and towards zero, in a pair with 1, and as TF32.
__global__ void conversions(const uint32_t* in, uint32_t* out) {
    const uint32_t x = in[threadIdx.x];
    uint16_t nearest, towards_zero;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(nearest) : "f"(__uint_as_float(x)));
    asm("cvt.rz.bf16.f32 %0, %1;" : "=h"(towards_zero) : "f"(__uint_as_float(x)));
    uint32_t* own = out + threadIdx.x * 4;
    own[0] = nearest;
    own[1] = towards_zero;
    own[2] = bf16_pair(x, __float_as_uint(1.f));
    own[3] = tf32(x);
}

// ---- matrices in shared memory

__device__ uint32_t shared_address(const void* p) {
    return uint32_t(__cvta_generic_to_shared(p));
}

// `count` matrices of 8 x 8 halves, row by row.
template <int count, bool transposed>
__global__ void load_matrices(const uint32_t* in, uint32_t* out) {
    __shared__ __align__(16) uint32_t matrices[4 * 32];
    for (int i = int(threadIdx.x); i < 4 * 32; i += 32) matrices[i] = in[i];
    __syncwarp();
    const uint32_t row = shared_address(matrices + threadIdx.x * 4);
    uint32_t r[4] = {};
    if constexpr (count == 1 && !transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(row));
    else if constexpr (count == 1)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                     : "=r"(r[0])
                     : "r"(row));
    else if constexpr (count == 2 && !transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(row));
    else if constexpr (count == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(row));
    else if constexpr (!transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(row));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(row));
    for (int m = 0; m < count; ++m) out[m * 32 + threadIdx.x] = r[m];
}

// ---- copies

template <int bytes>
__device__ void copy_async(uint32_t* to, const uint32_t* from, int from_bytes) {
    if constexpr (bytes == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                     "l"(from), "r"(from_bytes)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)),
                     "l"(from), "r"(from_bytes)
                     : "memory");
}

__device__ void commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int groups>
__device__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

// Thread t copies 16 bytes, of which t % 5 words come from the input and the rest is zeros; then one
// word likewise. Where nothing is read the address is none.
__global__ void zero_fill(const uint32_t* in, uint32_t* out) {
    __shared__ __align__(16) uint32_t words[32 * 5];
    const int t = int(threadIdx.x), count = t % 5;
    uint32_t *four = words + 4 * t, *one = words + 32 * 4 + t;
    copy_async<16>(four, count ? in + 4 * t : nullptr, 4 * count);
    copy_async<4>(one, count ? in + 4 * t : nullptr, count ? 4 : 0);
    commit();
    wait<0>();
    for (int i = 0; i < 4; ++i) out[5 * t + i] = four[i];
    out[5 * t + 4] = *one;
}

enum Mistake { none, no_wait, no_barrier, wrong_group };

// Reverses 64 words through two stages of shared memory.
template <Mistake mistake>
__global__ void reverse(const uint32_t* in, uint32_t* out) {
    __shared__ uint32_t stages[2][64];
    const int t = int(threadIdx.x);
    for (int s = 0; s < 2; ++s) {
        copy_async<4>(&stages[s][t], in + 64 * s + t, 4);
        commit();
    }
    if (mistake != no_wait) wait<1>();
    if (mistake != no_barrier) __syncthreads();
    const int stage = mistake == wrong_group ? 1 : 0;
    out[t] = stages[stage][63 - t];  // reported: copy under way, shared race
    wait<0>();
    __syncthreads();
    out[64 + t] = stages[1][63 - t];
}

// ---- parts of words

// Every thread reads and writes elements of its own, beside those of other threads or blocks.
template <class T>
__global__ void neighbours(const uint32_t* in, uint32_t* out) {
    const T* from = reinterpret_cast<const T*>(in);
    volatile T* to = reinterpret_cast<T*>(out);
    const unsigned i = threadIdx.x * gridDim.x + blockIdx.x;
    to[i] = T(from[i] + 1);
    to[i] = T(to[i] * 2);
}

// Two threads store each element.
template <class T>
__global__ void pairs(const uint32_t* in, uint32_t* out) {
    reinterpret_cast<T*>(out)[threadIdx.x / 2] = T(in[threadIdx.x / 2]);  // reported: global race
}

// Threads store halves of words that others use as a whole, before that or after it.
template <bool barrier>
__global__ void halves_then_words(const uint32_t* in, uint32_t* out) {
    uint32_t* words = const_cast<uint32_t*>(in);
    reinterpret_cast<uint16_t*>(words)[threadIdx.x] = uint16_t(threadIdx.x);
    if (barrier) __syncthreads();
    if (threadIdx.x % 2) out[threadIdx.x / 2] = words[threadIdx.x / 2];  // reported: global race
}

template <bool barrier, bool reads>
__global__ void words_then_halves(const uint32_t* in, uint32_t* out) {
    uint32_t* words = const_cast<uint32_t*>(in);
    if (threadIdx.x < 32 && reads) out[threadIdx.x] = words[threadIdx.x];
    if (threadIdx.x < 32 && !reads) out[threadIdx.x] = words[threadIdx.x] = 7;
    if (barrier) __syncthreads();
    reinterpret_cast<uint16_t*>(words)[threadIdx.x] = 0;  // reported: global race
}

// ---- other mistakes

template <bool barrier, class T = uint32_t>
__global__ void shift(const uint32_t* in, uint32_t* out) {
    __shared__ T words[64];
    words[threadIdx.x] = T(in[threadIdx.x]);
    if (barrier) __syncthreads();
    out[threadIdx.x] = words[(threadIdx.x + 1) % 64];  // reported: shared race
}

// The same in memory whose size the launch tells.
__global__ void __launch_bounds__(64) dynamic_shared(const uint32_t* in, uint32_t* out) {
    extern __shared__ uint32_t words_of_launch[];
    words_of_launch[threadIdx.x] = in[threadIdx.x];  // reported: shared out of bounds
    __syncthreads();
    out[threadIdx.x] = words_of_launch[(threadIdx.x + 1) % 64];
}

template <bool synchronised>
__global__ void shift_in_warp(const uint32_t* in, uint32_t* out) {
    __shared__ uint32_t words[32];
    words[threadIdx.x] = in[threadIdx.x];
    if (synchronised) __syncwarp();
    out[threadIdx.x] = words[(threadIdx.x + 1) % 32];  // reported: shared race
}

__global__ void divergent_barrier(const uint32_t* in, uint32_t* out) {
    if (threadIdx.x < 40) __syncthreads();  // reported: barrier
    out[threadIdx.x] = in[threadIdx.x];
}

__global__ void beside_shared(const uint32_t* in, uint32_t* out) {
    __shared__ uint32_t words[32];
    words[threadIdx.x + 1] = in[threadIdx.x];  // reported: shared out of bounds
    out[threadIdx.x] = words[threadIdx.x];
}

__global__ void beside_global(const uint32_t* in, uint32_t* out) {
    out[threadIdx.x + 1] = in[threadIdx.x];  // reported: global out of bounds
}

__global__ void uninitialised(const uint32_t* in, uint32_t* out) {
    out[threadIdx.x] += in[threadIdx.x];  // reported: uninitialised global read
}

__global__ void blocks_race(const uint32_t* in, uint32_t* out) {
    out[threadIdx.x] = in[blockIdx.x];  // reported: global race
}

__global__ void misaligned(const uint32_t* in, uint32_t* out) {
    const uint2 pair = *reinterpret_cast<const uint2*>(in + 1);  // reported: misaligned
    out[threadIdx.x] = pair.x + pair.y;
}

// ---- arithmetic

__global__ void integers(const uint32_t* in, uint32_t* out) {
    const int t = int(threadIdx.x), v = int(in[t]);
    const unsigned u = in[t];
    uint32_t* own = out + t * 10;
    own[0] = uint32_t(v / 7);
    own[1] = uint32_t(v % 13);
    own[2] = u / 10u;
    own[3] = __umulhi(u, 0x9e3779b9u);
    own[4] = uint32_t(__popc(u) + 100 * __clz(v));
    own[5] = __brev(u);
    own[6] = uint32_t(((long long)v << 13) / (t + 1));
    own[7] = __byte_perm(u, 0x01020304u, 0x4153);
    own[8] = __funnelshift_l(u, u, unsigned(t));
    own[9] = uint32_t(int8_t(u)) + uint16_t(u >> 3);
}

__global__ void floats(const uint32_t* in, uint32_t* out) {
    const float v = __uint_as_float(in[threadIdx.x]), m = fabsf(v);
    const float results[] = {expf(v),   sinf(v),       logf(m + 1),      sqrtf(m),
                             tanhf(v),  powf(m, 1.3f), 1.f / (v + 50.f), rintf(v),
                             floorf(v), erff(v),       fmaxf(v, 0.5f)};
    for (int i = 0; i < 11; ++i) out[threadIdx.x * 11 + i] = __float_as_uint(results[i]);
}

__global__ void warps(const uint32_t* in, uint32_t* out) {
    const unsigned all = ~0u, x = in[threadIdx.x];
    uint32_t* own = out + threadIdx.x * 6;
    own[0] = __shfl_xor_sync(all, x, 5);
    own[1] = __shfl_up_sync(all, x, 3, 16);
    own[2] = __ballot_sync(all, x % 2);
    own[3] = uint32_t(__syncthreads_count(x % 2));
    own[4] = __reduce_max_sync(all, x);
    own[5] = uint32_t(__all_sync(all, x < 1000)) + uint32_t(__any_sync(all, x == 1)) * 2;
}

// The bytes of static shared memory of two kernels, as the runtime tells.
void static_shared(const uint32_t*, uint32_t* out, const uint32_t*) {
    cudaFuncAttributes with = {}, without = {};
    cudaFuncGetAttributes(&with, shift<true, uint16_t>);
    cudaFuncGetAttributes(&without, dynamic_shared);
    const uint32_t bytes[] = {uint32_t(with.sharedSizeBytes), uint32_t(without.sharedSizeBytes)};
    cudaMemcpy(out, bytes, sizeof bytes, cudaMemcpyHostToDevice);
}

Case of(const char* name, void (*kernel)(const uint32_t*, uint32_t*), unsigned blocks, unsigned threads,
        unsigned words, size_t shared_bytes = 0) {
    return {name, words, [=](const uint32_t* in, uint32_t* out, const uint32_t*) {
                kernel<<<blocks, threads, shared_bytes>>>(in, out);
            }};
}

const std::vector<Case> kCases = {
    of("mma_bf16", mma_bf16, 1, 32, 16 * 8),
    of("mma_bf16_half_warp", mma_bf16_half_warp, 1, 32, 16 * 8),
    of("mma_tf32", mma_tf32<true>, 1, 32, 16 * 8),
    of("mma_tf32_not_rounded", mma_tf32<false>, 1, 32, 16 * 8),
    of("conversions", conversions, 1, 64, 64 * 4),
    of("load_matrices_1", load_matrices<1, false>, 1, 32, 32),
    of("load_matrices_2", load_matrices<2, false>, 1, 32, 64),
    of("load_matrices_4", load_matrices<4, false>, 1, 32, 128),
    of("load_matrices_1_transposed", load_matrices<1, true>, 1, 32, 32),
    of("load_matrices_2_transposed", load_matrices<2, true>, 1, 32, 64),
    of("load_matrices_4_transposed", load_matrices<4, true>, 1, 32, 128),
    of("zero_fill", zero_fill, 1, 32, 32 * 5),
    of("reverse", reverse<none>, 1, 64, 128),
    of("reverse_without_wait", reverse<no_wait>, 1, 64, 128),
    of("reverse_without_barrier", reverse<no_barrier>, 1, 64, 128),
    of("reverse_of_the_wrong_group", reverse<wrong_group>, 1, 64, 128),
    of("halves_of_threads", neighbours<uint16_t>, 1, 128, 64),
    of("halves_of_blocks", neighbours<uint16_t>, 2, 64, 64),
    of("bytes_of_threads", neighbours<uint8_t>, 1, 256, 64),
    of("bytes_of_blocks", neighbours<uint8_t>, 4, 64, 64),
    of("pairs_of_halves", pairs<uint16_t>, 1, 64, 16),
    of("pairs_of_bytes", pairs<uint8_t>, 1, 64, 8),
    of("halves_then_words", halves_then_words<true>, 1, 64, 32),
    of("halves_then_words_without_barrier", halves_then_words<false>, 1, 64, 32),
    of("words_read_then_halves", words_then_halves<true, true>, 1, 64, 32),
    of("words_read_then_halves_without_barrier", words_then_halves<false, true>, 1, 64, 32),
    of("words_written_then_halves", words_then_halves<true, false>, 1, 64, 32),
    of("words_written_then_halves_without_barrier", words_then_halves<false, false>, 1, 64, 32),
    {"static_shared", 2, static_shared},
    of("shift", shift<true>, 1, 64, 64),
    of("shift_of_halves", shift<true, uint16_t>, 1, 64, 64),
    of("shift_of_halves_without_barrier", shift<false, uint16_t>, 1, 64, 64),
    of("shift_without_barrier", shift<false>, 1, 64, 64),
    of("dynamic_shared", dynamic_shared, 1, 64, 64, 64 * 4),
    of("too_little_shared", dynamic_shared, 1, 64, 64, 60 * 4),
    of("too_much_shared", dynamic_shared, 1, 64, 64, 49 << 10),
    of("too_many_threads", dynamic_shared, 1, 65, 64, 65 * 4),
    of("shift_in_warp", shift_in_warp<true>, 1, 32, 32),
    of("shift_in_warp_without_barrier", shift_in_warp<false>, 1, 32, 32),
    of("divergent_barrier", divergent_barrier, 1, 64, 64),
    of("beside_shared", beside_shared, 1, 32, 32),
    of("beside_global", beside_global, 1, 32, 32),
    of("uninitialised", uninitialised, 1, 32, 32),
    of("blocks_race", blocks_race, 2, 32, 32),
    of("misaligned", misaligned, 1, 32, 32),
    of("integers", integers, 1, 64, 64 * 10),
    of("floats", floats, 1, 64, 64 * 11),
    of("warps", warps, 1, 64, 64 * 6),
};

}  // namespace

int main(int argc, char** argv) {
    return run_case(kCases, argc, argv);
}
