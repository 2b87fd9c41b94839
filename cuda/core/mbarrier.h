// Barriers in shared memory that count arrivals of threads and bytes of copies (mbarrier, sm_90).
//
//     mbarrier_init(&full, arrivals);          // by one thread; then, before all others use it,
//     fence_mbarrier_init();                   // this and a barrier of the block
//     mbarrier_arrive_expecting(&full, bytes); // an arrival, which also waits for so many bytes
//     mbarrier_arrive(&empty);
//     mbarrier_wait(&full, parity);            // until the phase of that parity is over
//
// Phases have the parities 0, 1, 0, ... A phase is over when all have arrived and all bytes that they
// expect are there. To wait for the phase before the first one, parity 1, is to go on at once.
//
// On the CPU a copy arrives when someone waits for it and no thread of the block can go on, no earlier.
#pragma once

#include "platform.h"

// Whether this is code for compute capability 9.0 with all that no other one has (sm_90a).
#if !defined(ALEXNET_RAW_CUDA) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HAS_WGMMA 1
#else
#define HAS_WGMMA 0
#endif
constexpr bool kHasWgmma = HAS_WGMMA;

struct Mbarrier {
    uint64_t state;
};

// Where something lies in the block's shared memory.
__device__ __forceinline__ uint32_t shared_address(const void* p) {
#ifdef ALEXNET_RAW_CUDA
    return uint32_t(__cvta_generic_to_shared(p));
#else
    return cuda_on_cpu::shared_address(p);
#endif
}

__device__ __forceinline__ void mbarrier_init(Mbarrier* barrier, int arrivals) {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::mbarrier_init(barrier, arrivals);
#elif HAS_WGMMA
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals)
                 : "memory");
#endif
}

// Shows new barriers to copies too.
__device__ __forceinline__ void fence_mbarrier_init() {
#if defined(ALEXNET_RAW_CUDA) && HAS_WGMMA
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

__device__ __forceinline__ void mbarrier_arrive(Mbarrier* barrier) {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::mbarrier_arrive(barrier, 0);
#elif HAS_WGMMA
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#endif
}

__device__ __forceinline__ void mbarrier_arrive_expecting(Mbarrier* barrier, int bytes) {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::mbarrier_arrive(barrier, bytes);
#elif HAS_WGMMA
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes)
        : "memory");
#endif
}

__device__ __forceinline__ void mbarrier_wait(Mbarrier* barrier, int parity) {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::mbarrier_wait(barrier, parity);
#elif HAS_WGMMA
    uint32_t is_over;
    do {
        asm volatile(
            "{\n"
            ".reg .pred p;\n"
            "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
            "selp.u32 %0, 1, 0, p;\n"
            "}"
            : "=r"(is_over)
            : "r"(shared_address(barrier)), "r"(parity)
            : "memory");
    } while (!is_over);
#endif
}
