// CUDA on CPU cores: what nvcc supplies to a kernel source, supplied to g++.
//
// Blocks of a grid are spread over cores. The threads of a block run on one core: one after the other
// where the kernel has no barrier, else as fibers that switch at __syncthreads() and warp shuffles.
// The order of threads and blocks is a knob, so that tests can show a missing barrier.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static thread_local
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

using Stream = void*;  // work on the CPU is done when the launch returns

namespace cuda_on_cpu {

enum class Order { forward, reverse, shuffled };
enum class Shape { cpu, gpu };

// Settings of the whole process; changed between launches only.
struct Execution {
    int threads = 0;               // cores to use; 0 is all that there are
    Order order = Order::forward;  // of threads in a block and of blocks in a grid
    uint64_t seed = 0;             // of Order::shuffled
    Shape shape = Shape::cpu;      // which tuning the launchers choose (tuning.h)
    bool poison_shared = false;    // fill shared memory with NaN before each block
    int wave = 0;  // tiles that a GPU computes at once (tuning.h); 0: so many as it does
};
Execution& execution();
int core_count();  // cores that a launch now uses

struct Coordinates {
    uint3 thread, block, block_dim, grid_dim;
};
extern __thread Coordinates coordinates __attribute__((tls_model("initial-exec")));

struct Launch {
    std::string name;
    dim3 grid, block;
    size_t shared_bytes;
    int capability;  // of the smallest GPU that it is meant for
    bool barriers;
};

// Calls `thread` once for every thread of the grid, its coordinates set; throws KernelError.
void run_grid(const Launch& launch, const std::function<void()>& thread);

void sync_threads(const char* file, int line);
void sync_warp();
uint32_t warp_exchange(uint32_t value, int source_lane);
// Each lane of a full warp shows the others something of its own, until the next sync_warp().
void show_warp(const void* own, const void* (&of_lane)[32]);
// See async_copy.h. from == nullptr: zeros.
void copy_async(void* to, const void* from, int bytes);
void commit_copies();
void wait_for_copies(int groups);
void* shared_memory();

// See mbarrier.h.
uint32_t shared_address(const void* p);  // of the dynamic shared memory
void mbarrier_init(const void* barrier, int arrivals);
void mbarrier_arrive(const void* barrier, int bytes);
void mbarrier_wait(const void* barrier, int parity);

// See tensor_map.h: bfloat16 numbers, innermost axis first.
struct Tensor {
    const uint16_t* data;
    int rank;
    int64_t sizes[5], steps[5];
    int box[5];
};
void copy_box(void* to, const Tensor& from, const void* barrier, const int* at, int rank);

// See wgmma.h.
struct Product {
    float* sums;
    int columns;
    uint64_t a, b;
    bool a_is_mn, b_is_mn;
};
void multiply_async(const Product& product);
void fence_registers();
void commit_products();
void wait_for_products(int groups);

}  // namespace cuda_on_cpu

#define threadIdx (cuda_on_cpu::coordinates.thread)
#define blockIdx (cuda_on_cpu::coordinates.block)
#define blockDim (cuda_on_cpu::coordinates.block_dim)
#define gridDim (cuda_on_cpu::coordinates.grid_dim)
#define __syncthreads() cuda_on_cpu::sync_threads(__FILE__, __LINE__)

template <class T>
T* dynamic_shared() {
    return static_cast<T*>(cuda_on_cpu::shared_memory());
}

constexpr int warpSize = 32;

inline void __syncwarp(unsigned = ~0u) {
    cuda_on_cpu::sync_warp();
}

// Full warps only: every lane of the (possibly ragged) last warp must take part.
template <class T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
    static_assert(sizeof(T) == 4, "shuffles move 32 bits");
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const int lane = int(threadIdx.x % warpSize);
    bits = cuda_on_cpu::warp_exchange(bits, lane ^ lane_mask);
    std::memcpy(&value, &bits, 4);
    return value;
}

inline unsigned __umulhi(unsigned a, unsigned b) {
    return unsigned((uint64_t(a) * b) >> 32);
}
