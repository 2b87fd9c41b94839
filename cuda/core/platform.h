// What a kernel source includes first: CUDA itself under nvcc, its stand-in on CPU cores under g++.
//
// This folder is the only place that knows which of the two it is; kernels/*.cu do not ask.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#undef ALEXNET_RAW_CUDA
#define ALEXNET_RAW_CUDA 1  // the build says so too where the host compiler compiles bindings
#endif

#ifdef ALEXNET_RAW_CUDA

#include <cuda_runtime.h>
#define UNROLL _Pragma("unroll")         // loops over registers
#define UNROLL_ON_GPU _Pragma("unroll")  // loops that a CPU's compiler better leaves alone

using Stream = cudaStream_t;

#ifdef __CUDACC__
// The block's dynamic shared memory, aligned for 16-byte accesses.
template <class T>
__device__ T* dynamic_shared() {
    extern __shared__ __align__(16) unsigned char block_shared_memory[];
    return reinterpret_cast<T*>(block_shared_memory);
}
#endif

#else

#include "cuda_on_cpu.h"
#define UNROLL _Pragma("GCC unroll 32")
#define UNROLL_ON_GPU

#endif

// Asks for the cache line at an address that will be read soon; it need not be valid.
__device__ __forceinline__ void prefetch([[maybe_unused]] const float* p) {
#ifndef ALEXNET_RAW_CUDA
    __builtin_prefetch(p);
#endif
}

// Counts elements of whole arrays. Bindings refuse arrays of 2^31 elements or more, so that an
// `int` holds any one offset; sums and products of offsets are formed in this type.
using index_t = int64_t;

template <class T>
__host__ __device__ constexpr T ceil_div(T a, T b) {
    return (a + b - 1) / b;
}

template <class T>
__host__ __device__ constexpr T smaller(T a, T b) {
    return a < b ? a : b;
}

template <class T>
__host__ __device__ constexpr T larger(T a, T b) {
    return a > b ? a : b;
}
