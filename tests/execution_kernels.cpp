// Kernels that show how the CUDA-on-CPU layer behaves, right and wrong ones. test_execution.py compiles
// this file with cuda/core/ and reads what a run prints: its results, or "KernelError: ...".
//
//     execution_kernels TEST [ORDER [SEED [CORES]]]
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../cuda/core/divisor.h"
#include "../cuda/core/lanes.h"
#include "../cuda/core/launch.h"
#include "../cuda/core/mbarrier.h"
#include "../cuda/core/reduce.h"

namespace {

constexpr int kThreads = 64;

// ---- barriers

__global__ void divergent_kernel() {
    if (threadIdx.x < 10) return;
    __syncthreads();
}

__global__ void two_barriers_kernel() {
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void half_warp_kernel(float* out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0xFFFFu, 1.f, 1);
}

// Hands each value to the next thread. Threads that run one after the other hide the missing barrier.
template <bool barrier>
__global__ void shift_kernel(float* out) {
    float* shared = dynamic_shared<float>();
    const int t = int(threadIdx.x);
    shared[t] = float(t);
    if (barrier) __syncthreads();
    out[t] = shared[t ? t - 1 : 0];
}

// Waits at the second of two mbarriers for a phase that takes `arrivals`, gets one and lacks bytes.
__global__ void mbarrier_kernel(int arrivals, int bytes) {
    Mbarrier* barriers = dynamic_shared<Mbarrier>();
    if (threadIdx.x == 0) {
        mbarrier_init(&barriers[1], arrivals);
        mbarrier_arrive_expecting(&barriers[1], bytes);
    }
    __syncthreads();
    if (threadIdx.x < 32) mbarrier_wait(&barriers[1], 0);
}

__global__ void two_arrivals_kernel() {
    Mbarrier* barrier = dynamic_shared<Mbarrier>();
    if (threadIdx.x) return;
    mbarrier_init(barrier, 1);
    mbarrier_arrive_expecting(barrier, 16);
    mbarrier_arrive(barrier);
}

// ---- results

__global__ void throwing_kernel() {
    if (blockIdx.x == 3 && threadIdx.x == 7) throw std::runtime_error("thread 7 of block 3");
}

__global__ void throwing_at_barrier_kernel() {
    __syncthreads();
    if (blockIdx.x == 3 && threadIdx.x == 7) throw std::runtime_error("thread 7 of block 3");
    __syncthreads();
}

__global__ void order_kernel(int* order, int* next) {
    order[(*next)++] = int(blockIdx.x * blockDim.x + threadIdx.x);
}

__global__ void visit_kernel(int* visits) {
    const dim3 g(gridDim.x, gridDim.y, gridDim.z), b(blockDim.x, blockDim.y, blockDim.z);
    const unsigned block = (blockIdx.z * g.y + blockIdx.y) * g.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * b.y + threadIdx.y) * b.x + threadIdx.x;
    ++visits[block * b.x * b.y * b.z + thread];
}

__global__ void shuffle_kernel(int* out, int mask) {
    out[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, int(threadIdx.x), mask);
}

// Two reductions in a row, so that the second would overwrite what the first still reads.
template <int threads>
__global__ void reduce_kernel(float* sums, float* maxima, const float* inp) {
    const int i = int(blockIdx.x) * threads + int(threadIdx.x);
    sums[i] = block_reduce<threads>(inp[i], Sum{});
    maxima[i] = block_reduce<threads>(-inp[i], Max{});
}

__global__ void shared_kernel(uintptr_t* address, float* first) {
    *address = reinterpret_cast<uintptr_t>(dynamic_shared<float>());
    *first = *dynamic_shared<float>();
}

__global__ void empty_kernel() {}

void print(const std::vector<float>& values) {
    for (float v : values) std::printf("%.9g ", double(v));
    std::printf("\n");
}

void print(const std::vector<int>& values) {
    for (int v : values) std::printf("%d ", v);
    std::printf("\n");
}

void mbarrier(int arrivals, int bytes) {
    launch_with_barriers<mbarrier_kernel>({1, kThreads, 16}, nullptr, arrivals, bytes);
    std::printf("over\n");
}

template <bool barrier>
void shift() {
    std::vector<float> out(kThreads);
    launch_with_barriers<shift_kernel<barrier>>({1, kThreads, kThreads * 4}, nullptr, out.data());
    print(out);
}

// One line per block: its sum and maximum, which all of its threads must have got.
template <int threads>
void reduce() {
    constexpr int kBlocks = 5;
    std::vector<float> inp(threads * kBlocks), sums(inp.size()), maxima(inp.size());
    for (size_t i = 0; i < inp.size(); ++i) inp[i] = float(i * 2654435761u % 1000) / 7;
    launch_with_barriers<reduce_kernel<threads>>({kBlocks, threads}, nullptr, sums.data(),
                                                 maxima.data(), (const float*)inp.data());
    for (int b = 0; b < kBlocks; ++b) {
        const size_t first = size_t(b) * threads;
        for (size_t i = first; i < first + threads; ++i)
            if (sums[i] != sums[first] || maxima[i] != maxima[first])
                std::printf("thread %zu of block %d differs\n", i - first, b);
        print(std::vector<float>{sums[first], maxima[first]});
    }
}

void order(bool barriers) {
    std::vector<int> order(6 * kThreads, -1);
    int next = 0;
    (barriers ? launch_with_barriers<order_kernel, int*, int*>
              : launch<order_kernel, int*, int*>)({6, kThreads}, nullptr, order.data(), &next);
    print(order);
}

void visit() {
    std::vector<int> visits(2 * 3 * 5 * 4 * 3 * 2);
    launch<visit_kernel>({dim3(2, 3, 5), dim3(4, 3, 2)}, nullptr, visits.data());
    print(visits);
}

void shuffle() {
    for (int mask : {1, 2, 4, 8, 16, 31}) {
        std::vector<int> out(96);
        launch_with_barriers<shuffle_kernel>({1, 96}, nullptr, out.data(), mask);
        print(out);
    }
}

void shared() {
    for (size_t bytes : {4, 1000, 60000, 8}) {
        uintptr_t address;
        float first;
        launch<shared_kernel>({1, 1, bytes}, nullptr, &address, &first);
        std::printf("%zu %g\n", size_t(address % 64), double(first));
    }
}

void launch_error(const LaunchShape& shape) {
    try {
        launch<empty_kernel>(shape, nullptr);
        std::printf("launched\n");
    } catch (const KernelError& error) {
        std::printf("%s\n", error.what());
    }
}

void limits() {
    launch_error({1, 1024, 65536});
    launch_error({1, 1, 1 << 20});  // a CPU's own block may have more
    launch_error({1, 1025});
    launch_error({1, dim3(32, 33)});
    launch_error({1, dim3(1, 1, 65)});
    launch_error({1, 2, 65537});
    launch_error({0, 32});
    launch_error({32, 0});
    launch_error({dim3(1, 65535), 1});
    launch_error({dim3(1, 65536), 1});
    launch_error({dim3(1, 1, 65536), 1});
    launch_error({dim3(0x80000000u), 1});
}

void divide() {
    std::mt19937 draw(7);
    constexpr int kLargest = 0x7FFFFFFF;
    std::vector<int> divisors;
    for (int d = 1; d < 3000; ++d) divisors.push_back(d);
    for (int bit = 2; bit < 31; ++bit)
        for (int d = -1; d <= 1; ++d) divisors.push_back((1 << bit) + d);
    for (int i = 0; i < 3000; ++i) divisors.push_back(1 + int(draw() >> (1 + i % 31)) % kLargest);
    divisors.push_back(kLargest);
    long checked = 0;
    for (int d : divisors) {
        const Divisor divisor(d);
        std::vector<int64_t> dividends = {0, 1, kLargest, kLargest - 1, kLargest / d * int64_t(d)};
        for (int i = 0; i < 200; ++i) {
            const int64_t n = draw() >> (1 + i % 31), multiple = n / d * d;
            dividends.insert(dividends.end(), {n, multiple, multiple - 1, multiple + 1});
        }
        for (int64_t n : dividends) {
            if (n < 0 || n > kLargest) continue;
            const int q = divisor.quotient(int(n));
            if (q != n / d || divisor.remainder(int(n), q) != n % d || divisor.value() != d) {
                std::printf("%d / %d gave %d\n", int(n), d, q);
                return;
            }
            ++checked;
        }
    }
    std::printf("exact %ld\n", checked);
}

void transpose() {
    constexpr int L = lane_count<CpuLanes>;
    CpuLanes rows[L];
    for (int i = 0; i < L; ++i)
        for (int j = 0; j < L; ++j) rows[i][j] = float(100 * i + j);
    ::transpose<CpuLanes>(rows);
    for (int i = 0; i < L; ++i)
        for (int j = 0; j < L; ++j)
            if (rows[i][j] != float(100 * j + i)) std::printf("row %d, lane %d is wrong\n", i, j);
    std::printf("%d lanes\n", L);
}

// Ragged loads and stores touch `count` floats and no more.
void ragged() {
    constexpr int L = lane_count<CpuLanes>;
    for (int count = 1; count <= L; ++count) {
        std::vector<float> from(size_t(count), 3.f), to(size_t(L) + 1, -1.f);
        const CpuLanes v = load<CpuLanes>(from.data(), count);
        store(to.data(), v, count);
        for (int i = 0; i <= L; ++i) {
            const bool inside = i < count;
            if (to[size_t(i)] != (inside ? 3.f : -1.f) || (i < L && v[i] != (inside ? 3.f : 0.f)))
                std::printf("lane %d of %d is wrong\n", i, count);
        }
    }
    std::printf("%d lanes\n", L);
}

// After a failed launch the next one must work.
template <class Launcher>
void fail_then_run(Launcher launcher) {
    try {
        launcher();
        std::printf("did not fail\n");
    } catch (const std::exception& error) {
        std::printf("caught: %s\n", error.what());
    }
    shift<true>();
}

const std::map<std::string, std::function<void()>> kTests = {
    {"divergent", [] { launch_with_barriers<divergent_kernel>({dim3(3), kThreads}, nullptr); }},
    {"two_barriers", [] { launch_with_barriers<two_barriers_kernel>({1, kThreads}, nullptr); }},
    {"half_warp",
     [] {
         float out[16];
         launch_with_barriers<half_warp_kernel>({1, 32}, nullptr, +out);
     }},
    {"mbarrier", [] { mbarrier(1, 0); }},
    {"mbarrier_without_arrival", [] { mbarrier(3, 0); }},
    {"mbarrier_without_copy", [] { mbarrier(1, 256); }},
    {"mbarrier_of_too_many",
     [] { launch_with_barriers<two_arrivals_kernel>({1, kThreads, 8}, nullptr); }},
    {"plain_barrier",
     [] { launch<shift_kernel<true>>({1, kThreads, kThreads * 4}, nullptr, (float*)nullptr); }},
    {"plain_shuffle", [] { launch<shuffle_kernel>({1, 32}, nullptr, (int*)nullptr, 1); }},
    {"shift", [] { shift<true>(); }},
    {"shift_without_barrier", [] { shift<false>(); }},
    {"throw", [] { fail_then_run([] { launch<throwing_kernel>({8, kThreads}, nullptr); }); }},
    {"throw_from_fiber",
     [] {
         fail_then_run(
             [] { launch_with_barriers<throwing_at_barrier_kernel>({8, kThreads}, nullptr); });
     }},
    {"order", [] { order(false); }},
    {"order_of_fibers", [] { order(true); }},
    {"visit", visit},
    {"shuffle", shuffle},
    {"reduce_32", reduce<32>},
    {"reduce_64", reduce<64>},
    {"reduce_96", reduce<96>},
    {"reduce_128", reduce<128>},
    {"reduce_256", reduce<256>},
    {"reduce_512", reduce<512>},
    {"reduce_1024", reduce<1024>},
    {"shared", shared},
    {"limits", limits},
    {"divide", divide},
    {"transpose", transpose},
    {"ragged", ragged},
};

}  // namespace

int main(int argc, char** argv) {
    using namespace cuda_on_cpu;
    const std::string order = argc > 2 ? argv[2] : "forward";
    execution().order = order == "forward"   ? Order::forward
                        : order == "reverse" ? Order::reverse
                                             : Order::shuffled;
    execution().seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
    execution().threads = argc > 4 ? std::atoi(argv[4]) : 0;
    execution().poison_shared = true;
    try {
        kTests.at(argv[1])();
    } catch (const KernelError& error) {
        std::printf("KernelError: %s\n", error.what());
    }
    return 0;
}
