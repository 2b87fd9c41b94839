// Kernels for test_emulator_hopper.py: instructions of Hopper that the emulator must compute, and
// mistakes that it must report, in a line that says `reported:` and what.
#include <cuda.h>

#include "emulator_cases.h"

namespace {

// ---- mbarriers, copies, products, as kernels wrap them

__device__ uint32_t shared_address(const void* p) {
    return uint32_t(__cvta_generic_to_shared(p));
}

__device__ void mbarrier_init(uint64_t& mbarrier, uint32_t count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&mbarrier)), "r"(count)
                 : "memory");
}

__device__ void fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ void mbarrier_arrive(uint64_t& mbarrier, uint32_t count = 1) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&mbarrier)),
                 "r"(count)  // reported: mbarrier
                 : "memory");
}

__device__ void mbarrier_arrive_expect(uint64_t& mbarrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                     shared_address(&mbarrier)),
                 "r"(bytes)  // reported: mbarrier
                 : "memory");
}

__device__ void mbarrier_wait(uint64_t& mbarrier, uint32_t parity) {
    asm volatile(
        "{\n.reg .pred done;\nagain:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n}" ::"r"(shared_address(&mbarrier)),
        "r"(parity)  // reported: deadlock, mbarrier
        : "memory");
}

#define COPY_BOX(rank, coordinates, ...)                                                               \
    asm volatile("cp.async.bulk.tensor." #rank                                                         \
                 "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {" coordinates \
                 "}], [%2];" ::"r"(shared_address(to)),                                                \
                 "l"(&map), "r"(shared_address(&mbarrier)), __VA_ARGS__                                \
                 : "memory")

// As above, with a policy of the cache.
__device__ void copy_box(void* to, const CUtensorMap& map, int x, int y, uint64_t& mbarrier) {
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
        "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(&mbarrier)), "r"(x), "r"(y),
        "l"(0ull)  // reported: proxy fence, product under way, shared race
        : "memory");
}

__device__ void fence_shared_for_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ void fence_registers() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int groups>
__device__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups) : "memory");
}

#define REGISTERS_32                                                                                   \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
    "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define INOUT_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define INOUT_32(d)                                                                              \
    INOUT_4(d, 0), INOUT_4(d, 4), INOUT_4(d, 8), INOUT_4(d, 12), INOUT_4(d, 16), INOUT_4(d, 20), \
        INOUT_4(d, 24), INOUT_4(d, 28)

// D += A B, 64 x 64, or D = A B.
template <int transposed_a = 0, int transposed_b = 0, int sign_a = 1, int sign_b = 1>
__device__ void multiply(float (&d)[32], uint64_t a, uint64_t b, bool add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS_32
        ", %32, %33, add, %35, %36, %37, %38;\n}"
        : INOUT_32(d)
        : "l"(a), "l"(b), "r"(int(add)), "n"(sign_a),  // reported: uninitialised shared read
          "n"(sign_b), "n"(transposed_a), "n"(transposed_b));
}

// With A in registers.
__device__ void multiply(float (&d)[32], const uint32_t (&a)[4], uint64_t b, bool add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS_32
        ", {%32, %33, %34, %35}, %36, add, 1, 1, 0;\n}"
        : INOUT_32(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b),
          "r"(int(add)));  // reported: proxy fence, wgmma fence
}

#define TEN(i)                                                                                       \
    "%" #i "0, %" #i "1, %" #i "2, %" #i "3, %" #i "4, %" #i "5, %" #i "6, %" #i "7, %" #i "8, %" #i \
    "9, "
#define INOUT_64(d, i) INOUT_32((d + i)), INOUT_32((d + i + 32))

// D = A B, 64 x 8 and 64 x 256; B is transposed in the latter.
__device__ void multiply_narrow(float (&d)[4], uint64_t a, uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, %4, %5, 0, 1, 1, 0, 0;"
        : INOUT_4(d, 0)
        : "l"(a), "l"(b));
}

__device__ void multiply_wide(float (&d)[128], uint64_t a, uint64_t b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, "
        "%9, " TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10)
            TEN(11) "%120, %121, %122, %123, %124, %125, %126, %127}, %128, %129, 0, 1, 1, 0, 1;"
        : INOUT_64(d, 0), INOUT_64(d, 64)
        : "l"(a), "l"(b));
}

__device__ uint64_t descriptor(const void* start, uint32_t leading, uint32_t stride, uint64_t swizzle) {
    return uint64_t(shared_address(start) >> 4) | uint64_t(leading >> 4) << 16 |
           uint64_t(stride >> 4) << 32 | swizzle << 62;
}

// D, a row of 64 columns after the other, from the registers of a warpgroup.
__device__ void store(const float (&d)[32], uint32_t* out) {
    const int thread = int(threadIdx.x) % 128, row = thread / 32 * 16 + thread % 32 / 4;
    for (int i = 0; i < 32; ++i) {
        uint32_t* own = out + (row + i / 2 % 2 * 8) * 64 + i / 4 * 8 + thread % 4 * 2 + i % 2;
        *own = __float_as_uint(d[i]);  // reported: product under way
    }
}

// ---- boxes of tensors

using Encode = decltype(&cuTensorMapEncodeTiled);

// What comes before the data: a tensor and the box that is asked for.
struct Request {
    int32_t rank, type, swizzle, bytes, offset;
    uint32_t sizes[5], strides[4], box[5], steps[5];
    int32_t at[5];
    int32_t unused[3];
};
static_assert(sizeof(Request) == 128, "32 words");

CUtensorMap encode(const Request& r, const uint32_t* data) {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult status;
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault,
                                     &status);
    CUtensorMap map;
    cuuint64_t sizes[5], strides[4];
    std::copy(r.sizes, r.sizes + 5, sizes);
    std::copy(r.strides, r.strides + 4, strides);
    const CUresult result = reinterpret_cast<Encode>(function)(
        &map, CUtensorMapDataType(r.type), cuuint32_t(r.rank),
        const_cast<char*>(reinterpret_cast<const char*>(data)) + r.offset, sizes, strides, r.box,
        r.steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CUtensorMapSwizzle(r.swizzle),
        CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (status != cudaDriverEntryPointSuccess || result != CUDA_SUCCESS) {
        fprintf(stderr, "cuTensorMapEncodeTiled returned %d\n", int(result));
        exit(1);
    }
    return map;
}

__global__ void box(const __grid_constant__ CUtensorMap map, Request r, uint32_t* out) {
    extern __shared__ __align__(1024) uint32_t words[];
    __shared__ uint64_t mbarrier;
    if (threadIdx.x == 0) {
        asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
        mbarrier_init(mbarrier, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect(mbarrier, uint32_t(r.bytes));
        void* to = words + 32;  // 128 bytes into the pattern of the swizzle
        const int* at = r.at;
        if (r.rank == 1) COPY_BOX(1, "%3", "r"(at[0]));
        if (r.rank == 2) COPY_BOX(2, "%3, %4", "r"(at[0]), "r"(at[1]));
        if (r.rank == 3) COPY_BOX(3, "%3, %4, %5", "r"(at[0]), "r"(at[1]), "r"(at[2]));
        if (r.rank == 4) COPY_BOX(4, "%3, %4, %5, %6", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]));
        if (r.rank == 5)
            COPY_BOX(5, "%3, %4, %5, %6, %7", "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]),
                     "r"(at[4]));
    }
    __syncthreads();
    mbarrier_wait(mbarrier, 0);
    for (int i = int(threadIdx.x); i < r.bytes / 4; i += int(blockDim.x)) out[i] = words[32 + i];
}

void launch_box(const uint32_t* in, uint32_t* out, const uint32_t* host_in) {
    const Request& r = *reinterpret_cast<const Request*>(host_in);
    box<<<1, 32, 32 << 10>>>(encode(r, in + 32), r, out);
}

// ---- single products, of matrices that the input lays out

// Before 2 x 16 KiB of shared memory: whether A is transposed, whether B is, then of each the leading
// and stride offsets, the swizzle, the start.
template <int transposed_a, int transposed_b>
__global__ void product(const uint32_t* in, uint32_t* out) {
    __shared__ __align__(1024) uint32_t matrices[2][4096];
    for (int i = int(threadIdx.x); i < 8192; i += 128) matrices[i / 4096][i % 4096] = in[32 + i];
    fence_shared_for_async();
    __syncthreads();
    const char* start[] = {reinterpret_cast<char*>(matrices[0]), reinterpret_cast<char*>(matrices[1])};
    uint64_t operand[2];
    for (int i = 0; i < 2; ++i) {
        const uint32_t* own = in + 8 * i;
        operand[i] = descriptor(start[i] + own[3], own[0], own[1], own[2]) | uint64_t(own[4]) << 49;
    }
    float d[32];
    for (int i = 0; i < 32; ++i) d[i] = __uint_as_float(in[16]);
    fence_registers();
    multiply<transposed_a, transposed_b, -1, 1>(d, operand[0], operand[1], in[17]);
    commit_products();
    wait_for_products<0>();
    store(d, out);
}

enum Mistake {
    none,
    no_full_wait,
    no_empty_wait,
    no_product_wait,
    early_release,
    no_register_fence,
    late_register_write,
    no_commit,
    wrong_phase,
    phase_before,
    one_releases,
    no_wait_at_all,
    too_many_bytes,
    too_few_bytes,
    no_init_fence,
    no_init_barrier,
    no_proxy_fence,
    three_warps,
    unwaited_copy,
    overwrite
};

// The same with A in registers, B of 16 x 64 without a swizzle: two products in a row.
template <Mistake mistake>
__global__ void product_of_registers(const uint32_t* in, uint32_t* out) {
    __shared__ __align__(128) uint32_t b[512];
    for (int i = int(threadIdx.x); i < 512; i += 128) b[i] = in[512 + i];
    if (mistake != no_proxy_fence) fence_shared_for_async();
    __syncthreads();
    const int lane = int(threadIdx.x) % 32, row = int(threadIdx.x) / 32 * 16 + lane / 4;
    uint32_t a[4];
    for (int i = 0; i < 4; ++i) a[i] = in[(row + i % 2 * 8) * 8 + lane % 4 + i / 2 * 4];
    float d[32];
    for (int i = 0; i < 32; ++i) d[i] = 0.f;
    if (mistake != no_register_fence) fence_registers();
    if (mistake == late_register_write) a[0] = in[row * 8 + lane % 4] * in[1024];
    if (mistake != three_warps || threadIdx.x < 96) {
        multiply(d, a, descriptor(b, 128, 256, 0), false);
        multiply(d, a, descriptor(b, 128, 256, 0), true);
        commit_products();
    }
    if (mistake == overwrite) b[threadIdx.x] = 0;  // reported: product under way
    if (mistake != no_product_wait) wait_for_products<0>();
    store(d, out);
    if (mistake == early_release) b[threadIdx.x] = 0;  // reported: shared race
}

// A, 64 x 16, and B, 8 x 16 and then, 128 bytes of swizzle at a time, 16 x 256.
__global__ void products_of_other_shapes(const uint32_t* in, uint32_t* out) {
    __shared__ __align__(1024) uint32_t a[512], narrow[64], wide[2048];
    for (int i = int(threadIdx.x); i < 2048; i += 128) {
        if (i < 512) a[i] = in[i];
        if (i < 64) narrow[i] = in[512 + i];
        wide[i] = in[576 + i];
    }
    fence_shared_for_async();
    __syncthreads();
    float few[4], many[128];
    fence_registers();
    multiply_narrow(few, descriptor(a, 128, 256, 0), descriptor(narrow, 128, 256, 0));
    multiply_wide(many, descriptor(a, 128, 256, 0), descriptor(wide, 2048, 1024, 1));
    commit_products();
    wait_for_products<0>();
    const int row = int(threadIdx.x) / 32 * 16 + int(threadIdx.x) % 32 / 4,
              column = int(threadIdx.x) % 4 * 2;
#pragma unroll  // or else the sums go to local memory, before they are waited for
    for (int i = 0; i < 128; ++i) {
        const int at = row + i / 2 % 2 * 8;
        if (i < 4) out[at * 8 + column + i % 2] = __float_as_uint(few[i]);
        out[512 + at * 256 + i / 4 * 8 + column + i % 2] = __float_as_uint(many[i]);
    }
}

// ---- a pipeline: a warp copies what two warpgroups multiply

constexpr int kStages = 2, kSteps = 5, kGroups = 2;
constexpr uint32_t kTileBytes = 64 * 64 * 2;

// C, 128 x 64, is A, 128 x 320, times B, 64 x 320, transposed; both lie with the depth innermost.
template <Mistake mistake>
__global__ void __launch_bounds__(288)
    pipeline(const __grid_constant__ CUtensorMap map, uint32_t* out) {
    __shared__ __align__(1024) uint8_t tiles[kStages][kGroups + 1][kTileBytes];
    __shared__ uint64_t full[kStages], empty[kStages];
    const int group = int(threadIdx.x) / 128;
    const bool copies = threadIdx.x == 128 * kGroups;
    if (copies) {
        for (int s = 0; s < kStages; ++s) {
            mbarrier_init(full[s], 1);
            mbarrier_init(empty[s], 4 * kGroups);
        }
        if (mistake != no_init_fence) fence_mbarrier_init();
    }
    if (mistake != no_init_barrier) __syncthreads();
    if (group == kGroups) {
        for (int i = 0; i < kSteps && copies; ++i) {
            const int s = i % kStages;
            const uint32_t parity = uint32_t(i / kStages % 2) ^ (mistake != wrong_phase);
            if (mistake != no_empty_wait) mbarrier_wait(empty[s], parity);
            const int wrong = (mistake == too_many_bytes) - (mistake == too_few_bytes);
            mbarrier_arrive_expect(full[s], uint32_t(int(sizeof tiles[s]) + 16 * wrong));
            for (int j = 0; j <= kGroups; ++j) copy_box(tiles[s][j], map, 64 * i, 64 * j, full[s]);
        }
        return;
    }
    float d[32];
    for (int i = 0; i < kSteps; ++i) {
        const int s = i % kStages;
        const uint32_t parity = uint32_t(i / kStages % 2) ^ (mistake == phase_before);
        if (mistake != no_full_wait) mbarrier_wait(full[s], parity);
        fence_registers();
        for (int k = 0; k < 4; ++k)
            multiply(d, descriptor(tiles[s][group] + 32 * k, 0, 1024, 1),
                     descriptor(tiles[s][kGroups] + 32 * k, 0, 1024, 1), i + k > 0);
        if (mistake != no_commit) commit_products();
        const int last = mistake == early_release ? i : i - 1;
        if (mistake != early_release && mistake != no_product_wait) wait_for_products<1>();
        const bool releases = mistake != one_releases || threadIdx.x < 128;
        if (last >= 0 && releases && threadIdx.x % 32 == 0)
            mbarrier_arrive(empty[last % kStages], mistake == one_releases ? 2 : 1);
    }
    if (mistake != no_product_wait) wait_for_products<0>();
    store(d, out + group * 64 * 64);
}

template <Mistake mistake>
void launch_pipeline(const uint32_t* in, uint32_t* out, const uint32_t*) {
    const Request r = {2,
                       CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                       CU_TENSOR_MAP_SWIZZLE_128B,
                       0,
                       0,
                       {320, 192},
                       {640},
                       {64, 64},
                       {1, 1},
                       {},
                       {}};
    pipeline<mistake><<<1, 288>>>(encode(r, in), out);
}

// ---- the rest

// A bulk copy of 1 KiB.
template <Mistake mistake>
__global__ void bulk(const uint32_t* in, uint32_t* out) {
    __shared__ __align__(16) uint32_t words[256];
    __shared__ uint64_t mbarrier;
    words[threadIdx.x] = 1;
    if (mistake != no_proxy_fence) fence_shared_for_async();
    __syncthreads();
    if (threadIdx.x == 0) {
        mbarrier_init(mbarrier, 1);
        fence_mbarrier_init();
        mbarrier_arrive_expect(mbarrier, sizeof words);
        asm volatile(
            "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
            "[%0], [%1], %2, [%3];" ::"r"(shared_address(words)),
            "l"(in), "r"(uint32_t(sizeof words)),
            "r"(shared_address(&mbarrier))  // reported: proxy fence, copy under way
            : "memory");
    }
    __syncthreads();
    if (mistake == unwaited_copy) return;
    if (mistake == no_full_wait && threadIdx.x < 128) mbarrier_wait(mbarrier, 0);
    if (mistake == none || mistake == no_proxy_fence) mbarrier_wait(mbarrier, 0);
    out[threadIdx.x] = words[255 - threadIdx.x];  // reported: shared race, copy under way
}

// Threads hand words round by mbarriers, with states in place of parities, and count them.
__global__ void rounds(const uint32_t* in, uint32_t* out) {
    __shared__ uint32_t words[64];
    __shared__ uint64_t written, read;
    const int t = int(threadIdx.x);
    if (t == 0) {
        mbarrier_init(written, 64);
        mbarrier_init(read, 2);
    }
    __syncthreads();
    uint32_t sum = 0, failed = 0;
    for (uint32_t round = 0; round < 3; ++round) {
        words[t] = in[t] + round;
        uint64_t state;
        asm volatile("mbarrier.arrive.shared.b64 %0, [%1];"
                     : "=l"(state)
                     : "r"(shared_address(&written))
                     : "memory");
        for (uint32_t done = 0; !done; failed += !done)
            asm volatile(
                "{\n.reg .pred done;\nmbarrier.test_wait.shared.b64 done, [%1], %2;\n"
                "selp.u32 %0, 1, 0, done;\n}"
                : "=r"(done)
                : "r"(shared_address(&written)), "l"(state)
                : "memory");
        sum += words[(t + 1) % 64];
        __syncwarp();
        if (t % 32 == 0) mbarrier_arrive(read);
        mbarrier_wait(read, round % 2);
    }
    __syncthreads();
    if (t == 0) asm volatile("mbarrier.inval.shared.b64 [%0];" ::"r"(shared_address(&read)) : "memory");
    out[t] = sum;
}

// Waits for a phase that takes two arrivals, of which one never comes: by a blocking test or by one
// that returns at once, at the second of two mbarriers. The other warp has finished or waits elsewhere.
template <bool blocking, bool others_finish>
__global__ void nobody_arrives(const uint32_t*, uint32_t*) {
    __shared__ uint64_t barriers[2];
    if (threadIdx.x == 0)
        for (uint64_t& own : barriers) mbarrier_init(own, 2);
    __syncthreads();
    if (threadIdx.x == 0) mbarrier_arrive(barriers[1]);
    if (threadIdx.x >= 32) {
        if (others_finish) return;
    } else if (blocking) {
        mbarrier_wait(barriers[1], 0);
    } else {
        asm volatile(
            "{\n.reg .pred done;\nagain:\n"
            "mbarrier.test_wait.parity.shared::cta.b64 done, [%0], 0;\n"
            "@!done bra again;\n}" ::"r"(shared_address(&barriers[1]))
            : "memory");
    }
    __syncthreads();
}

// The same for bytes that nobody copies, in dynamic shared memory.
__global__ void nobody_copies(const uint32_t*, uint32_t*) {
    extern __shared__ uint64_t barriers_of_launch[];
    uint64_t& own = barriers_of_launch[3];
    if (threadIdx.x == 0) {
        mbarrier_init(own, 1);
        mbarrier_arrive_expect(own, 256);
    }
    __syncthreads();
    mbarrier_wait(own, 0);
}

__global__ void too_many_arrivals(const uint32_t*, uint32_t*) {
    __shared__ uint64_t mbarrier;
    if (threadIdx.x == 0) mbarrier_init(mbarrier, 2);
    __syncthreads();
    mbarrier_arrive(mbarrier, 3);
}

__global__ void not_initialised(const uint32_t*, uint32_t*) {
    __shared__ uint64_t mbarrier;
    mbarrier_arrive(mbarrier);
}

// One warp fills words for another, in turns; barriers 1 and 2.
template <bool correct>
__global__ void named_barriers(const uint32_t* in, uint32_t* out) {
    __shared__ uint32_t words[32];
    const int lane = int(threadIdx.x) % 32;
    for (int i = 0; i < 3; ++i)
        if (threadIdx.x < 32) {
            if (i > 0) asm volatile("bar.sync 2, 64;" ::: "memory");
            words[lane] = in[32 * i + lane];
            asm volatile("bar.arrive 1, 64;" ::: "memory");
        } else {
            if (correct) asm volatile("barrier.sync %0, %1;" ::"r"(1), "r"(64) : "memory");
            out[32 * i + lane] = words[31 - lane];  // reported: shared race
            if (i < 2) asm volatile("barrier.arrive 2, 64;" ::: "memory");
        }
}

__global__ void half_a_barrier(const uint32_t*, uint32_t*) {
    if (threadIdx.x < 32) asm volatile("bar.sync 3, 64;" ::: "memory");  // reported: deadlock
}

template <int more>
__global__ void __launch_bounds__(384) registers(const uint32_t* in, uint32_t* out) {
    if (threadIdx.x < 128)
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    else
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(more));  // reported: registers
    asm volatile("griddepcontrol.wait;" ::: "memory");
    uint32_t is_elected;
    asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(is_elected));
    out[threadIdx.x] = in[threadIdx.x] + is_elected;
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

Case of(const char* name, void (*kernel)(const uint32_t*, uint32_t*), unsigned threads, unsigned words,
        size_t shared_bytes = 0) {
    return {name, words, [=](const uint32_t* in, uint32_t* out, const uint32_t*) {
                kernel<<<1, threads, shared_bytes>>>(in, out);
            }};
}

const std::vector<Case> kCases = {
    {"box", 8192, launch_box},
    of("product", product<0, 0>, 128, 64 * 64),
    of("product_transposed_a", product<1, 0>, 128, 64 * 64),
    of("product_transposed_b", product<0, 1>, 128, 64 * 64),
    of("product_transposed_both", product<1, 1>, 128, 64 * 64),
    of("product_of_registers", product_of_registers<none>, 128, 64 * 64),
    of("product_without_proxy_fence", product_of_registers<no_proxy_fence>, 128, 64 * 64),
    of("product_without_register_fence", product_of_registers<no_register_fence>, 128, 64 * 64),
    of("product_of_late_registers", product_of_registers<late_register_write>, 128, 64 * 64),
    of("product_without_wait", product_of_registers<no_product_wait>, 128, 64 * 64),
    of("product_by_three_warps", product_of_registers<three_warps>, 128, 64 * 64),
    of("product_overwritten", product_of_registers<overwrite>, 128, 64 * 64),
    of("product_without_barrier_behind", product_of_registers<early_release>, 128, 64 * 64),
    of("products_of_other_shapes", products_of_other_shapes, 128, 64 * 264),
    {"pipeline", 128 * 64, launch_pipeline<none>},
    {"pipeline_without_full_wait", 128 * 64, launch_pipeline<no_full_wait>},
    {"pipeline_without_empty_wait", 128 * 64, launch_pipeline<no_empty_wait>},
    {"pipeline_without_product_wait", 128 * 64, launch_pipeline<no_product_wait>},
    {"pipeline_with_early_release", 128 * 64, launch_pipeline<early_release>},
    {"pipeline_that_one_group_releases", 128 * 64, launch_pipeline<one_releases>},
    {"pipeline_without_commit", 128 * 64, launch_pipeline<no_commit>},
    {"pipeline_of_the_wrong_phase", 128 * 64, launch_pipeline<wrong_phase>},
    {"pipeline_that_waits_for_the_phase_before", 128 * 64, launch_pipeline<phase_before>},
    {"pipeline_of_too_many_bytes", 128 * 64, launch_pipeline<too_many_bytes>},
    {"pipeline_of_too_few_bytes", 128 * 64, launch_pipeline<too_few_bytes>},
    {"pipeline_without_init_fence", 128 * 64, launch_pipeline<no_init_fence>},
    {"pipeline_without_init_barrier", 128 * 64, launch_pipeline<no_init_barrier>},
    of("bulk", bulk<none>, 256, 256),
    of("bulk_without_proxy_fence", bulk<no_proxy_fence>, 256, 256),
    of("bulk_without_wait", bulk<no_full_wait>, 256, 256),
    of("bulk_without_any_wait", bulk<no_wait_at_all>, 256, 256),
    of("bulk_unwaited", bulk<unwaited_copy>, 256, 256),
    of("rounds", rounds, 64, 64),
    of("nobody_arrives", nobody_arrives<true, false>, 64, 64),
    of("nobody_arrives_of_others", nobody_arrives<true, true>, 64, 64),
    of("nobody_arrives_at_tests", nobody_arrives<false, false>, 64, 64),
    of("nobody_copies", nobody_copies, 32, 32, 32),
    of("too_many_arrivals", too_many_arrivals, 32, 32),
    of("not_initialised", not_initialised, 32, 32),
    of("named_barriers", named_barriers<true>, 64, 96),
    of("named_barriers_without_one", named_barriers<false>, 64, 96),
    of("half_a_barrier", half_a_barrier, 64, 64),
    of("registers", registers<240>, 384, 384),
    of("too_many_registers", registers<248>, 384, 384),
};

}  // namespace

int main(int argc, char** argv) {
    return run_case(kCases, argc, argv);
}
