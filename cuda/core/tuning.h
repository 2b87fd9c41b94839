// Every size that suits one kind of machine and not the other, in one place.
//
// Kernels are templates over a tuning T: ForGpu or ForCpu. The CPU module holds both, so that tests run
// there the very instantiation that a GPU runs (execution().shape = Shape::gpu).
#pragma once

#include "lanes.h"
#include "platform.h"

// Tiles of a matrix product (tile_loop.h), in floats:
//   a block computes BM rows x BN columns and advances BK deep between barriers;
//   a thread owns TM x TN of them, RM x RN at a time in registers (RN in lane groups);
//   its rows lie in runs of CM, its columns in runs of CN lane groups, as wide as one shared load;
//   its rows of A lie in panels: so many side by side in shared memory, step by step.
template <class V_, int BM_, int BN_, int BK_, int TM_, int TN_, int RM_, int RN_, int CM_, int CN_,
          int panel_ = lane_count<V_> == 1 ? BM_ : 1>
struct Tile {
    using V = V_;
    static constexpr int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_, RM = RM_, RN = RN_, CM = CM_,
                         CN = CN_;
    static constexpr int L = lane_count<V>;
    static constexpr int TY = BM / TM, TX = BN / TN, threads = TY * TX;
    static constexpr int passes_m = TM / RM, passes_n = TN / (RN * L);
    // A thread with a single pass keeps it in registers for the whole depth: all loops unroll. With
    // more passes the accumulators rest in memory between them, and loops stop at the matrix's edge.
    static constexpr bool in_registers = passes_m * passes_n == 1;
    // Rows of shared memory are padded: against bank conflicts, or lines of one cache set.
    static constexpr int pad = threads > 1 ? 4 : 16;
    static constexpr int pass_columns = in_registers ? BN : RN * L;
    static constexpr int stride_b = BN + pad;
    // A's steps and panels are so far apart.
    static constexpr int panel = panel_, step_a = threads > 1 ? panel + pad : panel,
                         panel_stride = BK * step_a + pad, size_a = BM / panel * panel_stride;
    // The same tile with A in panels of a pass's rows, for an A whose rows come side by side.
    using InPanels = Tile<V, BM, BN, BK, TM, TN, RM, RN, CM, CN, L == 1 ? BM : RM>;
    static constexpr int shared_bytes = (size_a + BK * stride_b) * int(sizeof(float));
    static constexpr int resident = 2;  // blocks of a GPU's multiprocessor, by its registers
    static_assert(TM % RM == 0 && TN % (RN * L) == 0 && RM % CM == 0 && RN % CN == 0, "tile shape");
    static_assert(threads == 1 || in_registers, "several passes are for blocks of one thread");
};

// How the tiles of a product are worked off (kernels/conv_product.h): tiles() of them at once, the
// others in further waves; and into how many parts() the depth of those in the last wave is cut.
//
// On a GPU of 132 multiprocessors, so many blocks of each at once. What parts cost, in steps of a
// tile's depth: the launch that adds them, and their way through memory if each block of a wave has
// one. Estimated from peak rates, and the same on every GPU: no result depends on which one it is.
struct GpuWave {
    int launch_steps, memory_steps;

    static int tiles(int resident) {
#ifndef ALEXNET_RAW_CUDA
        if (cuda_on_cpu::execution().wave) return cuda_on_cpu::execution().wave;
#endif
        return 132 * resident;
    }
    int parts(int last, int wave, int steps) const {
        int best = 1;
        float least = float(steps);
        for (int p = 2; p <= smaller(steps, 2 * wave / last); ++p) {
            const float cost = float(ceil_div(last * p, wave) * ceil_div(steps, p) + launch_steps) +
                               float(memory_steps) * float(last * p) / float(wave);
            if (cost < least) best = p, least = cost;
        }
        return best;
    }
};
// Cores take turns: no waves, and parts only where there are few tiles.
struct CpuWave {
    int blocks;

    static int tiles(int) { return 1 << 30; }
    int parts(int last, int, int steps) const { return larger(1, smaller(steps, blocks / last)); }
};

struct ForGpu {
    using V = float;
    static constexpr int threads = 256;  // of elementwise and reducing kernels
    static constexpr int items = 4;      // lane groups of one thread in an elementwise kernel
    static constexpr int run = 1;        // neighbouring lane groups of one thread in lrn and pool
    static constexpr int pixels = 1;     // pixels of one thread in pool
    static constexpr GpuWave wave = {1, 4};
    static int least_blocks() { return 1; }  // make a product's tiles narrower until there are as many
    // lrn_pool.cu: outputs of a thread's tile along each axis; threads, which hold it in registers.
    static constexpr int lrn_pool_tile = 2, lrn_pool_threads = 128;
    static constexpr int lrn_pool_blocks = 256;  // cut the channels until there are so many
    // few_images.cu: lane groups of one thread; cut the inputs until there are so many blocks.
    static constexpr int filter_groups = 1, filter_blocks = 256;
    static constexpr bool winograd = false;  // on request only: never timed on a GPU; sizes: see ForCpu
    static constexpr int strip = 16, strip_rows = 64, strip_blocks = 264, weights_strip = 32;
    static constexpr bool strip_in_shared = false;
    static constexpr int winograd_images = 8, winograd_band = 32, winograd_chunk = 16;
    using Conv = Tile<V, 128, 128, 16, 8, 8, 8, 8, 4, 4>;
    using Local = Tile<V, 64, 128, 16, 8, 8, 8, 8, 4, 4>;         // rows filters or channels
    using LocalWeights = Tile<V, 128, 64, 16, 8, 8, 8, 8, 4, 4>;  // columns filters
};

#ifndef ALEXNET_RAW_CUDA
struct ForCpu {
    using V = CpuLanes;
    static constexpr int threads = 1;
    static constexpr int items = 4096 / lane_count<V>;
    static constexpr int run = 256 / lane_count<V>;
    static constexpr int pixels = 16;
    static constexpr CpuWave wave = {8};
    static int least_blocks() { return cuda_on_cpu::core_count(); }  // narrow tiles change no bit
    static constexpr int lrn_pool_tile = 4, lrn_pool_threads = 1, lrn_pool_blocks = 8;
    static constexpr int filter_groups = 2048 / lane_count<V>, filter_blocks = 16;
#if defined(__AVX512F__)
    using Conv = Tile<V, 192, 128, 256, 192, 128, 12, 2, 1, 1>;
#elif defined(__AVX__)
    using Conv = Tile<V, 192, 128, 128, 192, 128, 6, 2, 1, 1>;
#else
    using Conv = Tile<V, 192, 128, 128, 192, 128, 6, 4, 1, 1>;
#endif
    static_assert(Conv::InPanels::shared_bytes <= Conv::shared_bytes, "launched with the latter");
    using Local = Conv;
    using LocalWeights = Conv;
    // Winograd's algorithm: columns of a strip, and rows of pictures made of it at a time, in the
    // core's cache; columns of a strip of the weights' pass. Their values lie in shared memory, or
    // else in a workspace for strip_blocks blocks, which take turns. winograd_few_images.cu has fewer
    // images than winograd_images; columns of a band and depth of a chunk of its filters' values.
    static constexpr bool winograd = true;
    static constexpr int strip = Conv::RN * lane_count<V>, strip_rows = 48, strip_blocks = 0,
                         weights_strip = 128;
    static constexpr bool strip_in_shared = true;
    static constexpr int winograd_images = lane_count<V>, winograd_band = 48, winograd_chunk = 96;
};

// For kernels whose lanes lie along an axis with fewer places than lanes: a few images, say.
struct ForCpuShortAxis : ForCpu {
    using V = float;
    static constexpr int pixels = 128;
};
#endif

// Calls launcher(tuning) with the tuning to use; launchers are generic lambdas:
//     tuned([&](auto tuning) { using T = decltype(tuning); launch<my_kernel<T>>(...); });
template <class Launcher>
void tuned(Launcher launcher) {
#ifdef ALEXNET_RAW_CUDA
    launcher(ForGpu{});
#else
    if (cuda_on_cpu::execution().shape == cuda_on_cpu::Shape::gpu)
        launcher(ForGpu{});
    else
        launcher(ForCpu{});
#endif
}

// The same for kernels whose lanes lie along an axis of so many places.
template <class Launcher>
void tuned_for(int places, Launcher launcher) {
    tuned([&](auto tuning) {
#ifndef ALEXNET_RAW_CUDA
        if constexpr (lane_count<typename decltype(tuning)::V> > 1)
            if (places < lane_count<typename decltype(tuning)::V>) return launcher(ForCpuShortAxis{});
#endif
        launcher(tuning);
    });
}
