// Copies of boxes of tensors from global to shared memory (TMA: cp.async.bulk.tensor, sm_90).
//
// A tensor map says where a tensor of bfloat16 numbers lies and which box of it one copy brings. One
// thread starts a copy; the box arrives by itself, whole, and an mbarrier counts its bytes: zeros where
// it reaches beyond the tensor, on either side. It lies in shared memory densely, its innermost axis
// first, whose 64 numbers are a line of 128 bytes. The eight 16-byte pieces of a line are exchanged:
// piece i of line l lies in place i ^ l % 8 ("128-byte swizzle"), so that a column of pieces lies in
// different banks. Lines are counted from a multiple of 1024 bytes.
//
//     TensorMap map = make_tensor_map("inp", inp, {{images, 1, 64}, {channels, plane, rows}});
//     copy_box(to, map, &barrier, image, channel);
#pragma once

#include <string>

#include "bf16.h"
#include "error.h"
#include "launch.h"
#include "mbarrier.h"
#include "platform.h"

#ifdef ALEXNET_RAW_CUDA
#include <cuda.h>  // types only: the driver is not linked
struct TensorMap {
    CUtensorMap map;
};
#else
using TensorMap = cuda_on_cpu::Tensor;
#endif

constexpr int kBoxLine = 64;  // numbers of a line

// An axis of a tensor: its size, the step from one to the next in numbers, and the side of the box.
struct TensorAxis {
    index_t size, step;
    int box;
};

template <int kRank>
void check_axes(const std::string& name, const bf16* data, const TensorAxis (&axes)[kRank]) {
    static_assert(kRank >= 2 && kRank <= 5, "a tensor map has up to 5 axes");
    auto refuse = [&](const std::string& what) {
        throw KernelError("tensor map of " + name + ": " + what);
    };
    if (reinterpret_cast<uintptr_t>(data) % 16) refuse("it does not begin on 16 bytes");
    if (axes[0].step != 1 || axes[0].box != kBoxLine) refuse("its lines are not dense");
    for (const TensorAxis& axis : axes) {
        if (axis.size < 1 || axis.size > index_t(1) << 32) refuse("a side is not 1 to 2^32");
        if (axis.box < 1 || axis.box > 256) refuse("a side of the box is not 1 to 256");
        if (&axis == axes) continue;
        if (axis.step * 2 % 16) refuse("a step is no multiple of 16 bytes");
        if (axis.step < 1 || axis.step * 2 >= index_t(1) << 40)
            refuse("a step is not below 2^40 bytes");
    }
}

#ifdef ALEXNET_RAW_CUDA

inline auto tensor_map_encoder() {
    using Encode = decltype(&cuTensorMapEncodeTiled);
    static const Encode encode = [] {
        constexpr const char* kName = "cuTensorMapEncodeTiled";
        void* found = nullptr;
        cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
        const cudaError_t status =
            cudaGetDriverEntryPointByVersion(kName, &found, 12000, cudaEnableDefault, &result);
#else
        const cudaError_t status = cudaGetDriverEntryPoint(kName, &found, cudaEnableDefault, &result);
#endif
        check_cuda(status, kName);
        if (!found || result != cudaDriverEntryPointSuccess)
            throw KernelError(std::string("the driver has no ") + kName + ": it is older than CUDA 12");
        return reinterpret_cast<Encode>(found);
    }();
    return encode;
}

template <int kRank>
TensorMap make_tensor_map(const char* name, const bf16* data, const TensorAxis (&axes)[kRank]) {
    check_axes(name, data, axes);
    cuuint64_t sizes[kRank], steps[kRank - 1];
    cuuint32_t box[kRank], every[kRank];
    for (int i = 0; i < kRank; ++i) {
        sizes[i] = cuuint64_t(axes[i].size);
        if (i) steps[i - 1] = cuuint64_t(axes[i].step) * sizeof(bf16);
        box[i] = cuuint32_t(axes[i].box);
        every[i] = 1;
    }
    TensorMap made;
    const CUresult status = tensor_map_encoder()(
        &made.map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kRank, const_cast<bf16*>(data), sizes, steps, box,
        every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (status != CUDA_SUCCESS)
        throw KernelError("tensor map of " + std::string(name) + ": the driver refuses it, error " +
                          std::to_string(int(status)));
    return made;
}

#else

template <int kRank>
TensorMap make_tensor_map(const char* name, const bf16* data, const TensorAxis (&axes)[kRank]) {
    check_axes(name, data, axes);
    TensorMap made = {reinterpret_cast<const uint16_t*>(data), kRank, {}, {}, {}};
    for (int i = 0; i < kRank; ++i) {
        made.sizes[i] = axes[i].size;
        made.steps[i] = axes[i].step;
        made.box[i] = axes[i].box;
    }
    return made;
}

#endif

// Starts a copy of the box whose first corner has these coordinates, innermost first.
template <class... Coordinates>
__device__ __forceinline__ void copy_box(bf16* to, const TensorMap& map, Mbarrier* barrier,
                                         Coordinates... coordinates) {
    constexpr int kRank = int(sizeof...(coordinates));
    static_assert(kRank == 4 || kRank == 5, "ranks in use");
    [[maybe_unused]] const int at[] = {coordinates...};
#ifndef ALEXNET_RAW_CUDA
    cuda_on_cpu::copy_box(to, map, barrier, at, kRank);
#elif HAS_WGMMA
    const auto from = reinterpret_cast<uint64_t>(&map.map);
#define COPY_BOX(rank, corner)                                  \
    "cp.async.bulk.tensor." rank                                \
    ".shared::cluster.global.tile.mbarrier::complete_tx::bytes" \
    " [%0], [%1, {" corner "}], [%2];"
    if constexpr (kRank == 4)
        asm volatile(COPY_BOX("4d", "%3, %4, %5, %6")::"r"(shared_address(to)), "l"(from),
                     "r"(shared_address(barrier)), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3])
                     : "memory");
    else
        asm volatile(COPY_BOX("5d", "%3, %4, %5, %6, %7")::"r"(shared_address(to)), "l"(from),
                     "r"(shared_address(barrier)), "r"(at[0]), "r"(at[1]), "r"(at[2]), "r"(at[3]),
                     "r"(at[kRank - 1])
                     : "memory");
#undef COPY_BOX
#endif
}
