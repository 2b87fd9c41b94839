// Products of small matrices on tensor cores (mma.sync, sm_80 and newer): float32 operands, rounded to
// TF32 or bfloat16 on their way in, float32 sums.
//
// The 32 lanes of a warp hold the matrices together. With g = lane / 4 and t = lane % 4 a lane has
//
//     of A, 16 x 8:  (g, t)  (g + 8, t)  (g, t + 4)  (g + 8, t + 4)
//     of B, 8 x 8:   (t, g)  (t + 4, g)
//     of C, 16 x 8:  (g, 2 t)  (g, 2 t + 1)  (g + 8, 2 t)  (g + 8, 2 t + 1)
//
// which is one slice of the depth. TF32 multiplies slice by slice, bfloat16 two at a time, whose values
// share registers. (The instruction's own order of the depth is another; sums do not mind, as long as A
// and B have the same.)
#pragma once

#include <type_traits>

#include "platform.h"

constexpr int kSliceDepth = 8;

struct Lane {
    int g, t;

    __device__ __forceinline__ Lane() : g(int(threadIdx.x) % warpSize / 4), t(int(threadIdx.x) % 4) {}
};

// float32 with ten bits behind the point instead of 23, to the nearest; halves away from zero.
__host__ __device__ __forceinline__ uint32_t round_to_tf32(float x) {
    uint32_t bits;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
#else
    memcpy(&bits, &x, 4);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFFE000u;  // NaN
    const bool is_finite = (bits & 0x7F800000u) != 0x7F800000u;
    bits = (is_finite ? bits + 0x1000u : bits) & 0xFFFFE000u;
#endif
    return bits;
}

// The upper half of a float32, to the nearest; halves to even. `low` lies in the lower half.
__host__ __device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
    uint32_t bits;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
#else
    auto half = [](float x) {
        uint32_t b;
        memcpy(&b, &x, 4);
        if ((b & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFFu;
        return (b + 0x7FFFu + (b >> 16 & 1u)) >> 16;
    };
    bits = half(low) | half(high) << 16;
#endif
    return bits;
}

// How operands are made of slices, and what a register of A times one of B is.
struct Tf32 {
    static constexpr int slices = 1;

    static __device__ __forceinline__ void make_a(uint32_t (&a)[4], const float (&x)[slices][4]) {
        UNROLL for (int i = 0; i < 4; ++i) a[i] = round_to_tf32(x[0][i]);
    }
    static __device__ __forceinline__ void make_b(uint32_t (&b)[2], const float (&x)[slices][2]) {
        UNROLL for (int i = 0; i < 2; ++i) b[i] = round_to_tf32(x[0][i]);
    }
#ifndef ALEXNET_RAW_CUDA
    static float product(uint32_t a, uint32_t b) { return from_bits(a) * from_bits(b); }
    static float from_bits(uint32_t bits) {
        float x;
        memcpy(&x, &bits, 4);
        return x;
    }
#endif
};

struct Bf16 {
    static constexpr int slices = 2;

    static __device__ __forceinline__ void make_a(uint32_t (&a)[4], const float (&x)[slices][4]) {
        UNROLL for (int s = 0; s < slices; ++s) {
            a[2 * s] = pack_bf16(x[s][0], x[s][2]);
            a[2 * s + 1] = pack_bf16(x[s][1], x[s][3]);
        }
    }
    static __device__ __forceinline__ void make_b(uint32_t (&b)[2], const float (&x)[slices][2]) {
        UNROLL for (int s = 0; s < slices; ++s) b[s] = pack_bf16(x[s][0], x[s][1]);
    }
#ifndef ALEXNET_RAW_CUDA
    static float product(uint32_t a, uint32_t b) {
        return Tf32::from_bits(a << 16) * Tf32::from_bits(b << 16) +
               Tf32::from_bits(a & 0xFFFF0000u) * Tf32::from_bits(b & 0xFFFF0000u);
    }
#endif
};

// c += a b, by the whole warp.
#ifdef ALEXNET_RAW_CUDA
template <class Precision>
__device__ __forceinline__ void multiply_add(float (&c)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MMA_SYNC(kind)                                                              \
    asm volatile("mma.sync.aligned." kind                                           \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
    if constexpr (std::is_same_v<Precision, Tf32>)
        MMA_SYNC("m16n8k8.row.col.f32.tf32.tf32.f32");
    else
        MMA_SYNC("m16n8k16.row.col.f32.bf16.bf16.f32");
#undef MMA_SYNC
#else
    __trap();  // never launched: LaunchShape::capability
#endif
}
#else
template <class Precision>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    struct Operands {
        const uint32_t *a, *b;
    };
    const Operands own = {a, b};
    const void* of_lane[32];
    cuda_on_cpu::show_warp(&own, of_lane);
    auto other = [&](int lane) { return static_cast<const Operands*>(of_lane[lane]); };
    const Lane lane;
    for (int i = 0; i < 4; ++i) {
        const int column = 2 * lane.t + i % 2;
        for (int t = 0; t < 4; ++t)
            for (int half = 0; half < 2; ++half)
                c[i] += Precision::product(other(lane.g * 4 + t)->a[i / 2 + 2 * half],
                                           other(column * 4 + t)->b[half]);
    }
    __syncwarp();  // nobody changes its registers before all have read them
}
#endif
