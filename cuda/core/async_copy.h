// Copies from global to shared memory that go on beside the arithmetic (cp.async, sm_80 and newer).
//
//     copy_async<4>(to, from, inside);  // four elements: zeros, and nothing read, if not inside
//     commit_copies();                  // ends a group of them
//     wait_for_copies<1>();             // all groups but the last have arrived, for this thread
//
// Both ends are aligned to what is copied, of 4 or 16 bytes; one of 2 bytes, which the hardware does
// not have, passes through a register at once. What other threads copied is there behind a barrier that
// all reach after their wait. On the CPU a copy is made when its thread waits for it, no earlier; what
// is read before is NaN.
#pragma once

#include "platform.h"

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define HAS_ASYNC_COPIES 1
#else
#define HAS_ASYNC_COPIES 0
#endif

template <int kCount, class E>
__device__ __forceinline__ void copy_async(E* to, const E* from, bool inside) {
    constexpr int kBytes = kCount * int(sizeof(E));
    static_assert(kBytes == 2 || kBytes == 4 || kBytes == 16, "what there are copies of");
    if constexpr (kBytes == 2) {
        *to = inside ? *from : E();
    } else {
#ifdef ALEXNET_RAW_CUDA
#if HAS_ASYNC_COPIES
        const auto address = unsigned(__cvta_generic_to_shared(to));
        const int bytes = inside ? kBytes : 0;  // what is not read is filled with zeros
        if constexpr (kBytes == 16)
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                         "r"(bytes)
                         : "memory");
        else
            asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from),
                         "r"(bytes)
                         : "memory");
#else
        for (int i = 0; i < kCount; ++i) to[i] = inside ? from[i] : E();
#endif
#else
        cuda_on_cpu::copy_async(to, inside ? from : nullptr, kBytes);
#endif
    }
}

__device__ __forceinline__ void commit_copies() {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::commit_copies();
#elif HAS_ASYNC_COPIES
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::wait_for_copies(kGroups);
#elif HAS_ASYNC_COPIES
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#endif
}
