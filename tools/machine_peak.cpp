// What this machine can do, for tools/bench_kernels.py: prints the GFLOP/s of fused multiply-adds in
// registers and the GB/s of a copy between arrays far beyond the caches, each the best of several
// rounds. g++ -O3 -march=native -fopenmp machine_peak.cpp && OMP_NUM_THREADS=2 ./a.out
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));

constexpr int kRounds = 30;
constexpr int kChains = 12;  // independent sums: more than latency times issue width, and registers
constexpr long kSteps = 4'000'000;
constexpr size_t kBytes = size_t(256) << 20;

volatile float sink;

void multiply_add(float start) {
    Vector sums[kChains];
    for (int i = 0; i < kChains; ++i) sums[i] = Vector{} + start * float(i);
    Vector factor = Vector{} + 0.999f, term = Vector{} + start;
    for (long step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + term;
    }
    for (int i = 1; i < kChains; ++i) sums[0] += sums[i];
    for (int lane = 0; lane < kLanes; ++lane) sink = sums[0][lane];
}

int main() {
    const int threads = omp_get_max_threads();
    double seconds = 1e9, copy_seconds = 1e9;
    std::vector<char> from(kBytes, 1), to(kBytes, 2);
    for (int round = 0; round < kRounds; ++round) {
        double start = omp_get_wtime();
#pragma omp parallel
        multiply_add(1e-3f * float(omp_get_thread_num() + 1));
        seconds = std::min(seconds, omp_get_wtime() - start);

        start = omp_get_wtime();
#pragma omp parallel for
        for (int part = 0; part < threads; ++part) {
            const size_t begin = kBytes / threads * part;
            std::memcpy(&to[begin], &from[begin], kBytes / threads);
        }
        copy_seconds = std::min(copy_seconds, omp_get_wtime() - start);
        sink = to[size_t(round) * 4096];
    }
    const double flops = 2.0 * kLanes * kChains * double(kSteps) * threads;
    std::printf("%.1f %.1f\n", flops / seconds / 1e9, 2.0 * double(kBytes) / copy_seconds / 1e9);
}
