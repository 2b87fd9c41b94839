// One way to launch a kernel, on both targets.
//
//     launch<relu_kernel<T>>({blocks, threads}, stream, out, in, n);
//     launch_with_barriers<sum_kernel<T>>({blocks, threads, shared_bytes}, stream, out, in, n);
//
// Both check what the device allows and throw KernelError, with the kernel's name, for what it
// refuses. A kernel that calls __syncthreads() or a warp shuffle needs the second form: on the CPU
// target its threads then run as fibers.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

#include "error.h"
#include "platform.h"

struct LaunchShape {
    dim3 grid, block;
    size_t shared_bytes = 0;
    int capability = 75;       // the least of a GPU that can run it: 80 is 8.0
    bool is_specific = false;  // to that capability: compiled for 90a, not for 90
};

// "relu_kernel<ForCpu>", read from the compiler's text for the calling template.
template <auto kernel>
std::string kernel_name() {
    std::string_view text = __PRETTY_FUNCTION__;
    const size_t start = text.find("kernel = ") + 9;
    text = text.substr(start, text.find_first_of(";]", start) - start);
    const size_t scope = text.substr(0, text.find('<')).rfind("::");
    return std::string(scope == text.npos ? text : text.substr(scope + 2));
}

#ifdef ALEXNET_RAW_CUDA

inline void check_cuda(cudaError_t status, const std::string& what) {
    if (status == cudaSuccess) return;
    cudaGetLastError();  // clears it, so that the next launch does not report it again
    throw KernelError(what + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

// Kernels that are specific to a capability are empty where they were compiled for any other (kHasWgmma
// in wgmma.h); else they have mbarriers, which are all of their static shared memory.
inline bool is_empty(const cudaFuncAttributes& loaded) {
    return loaded.sharedSizeBytes == 0;
}

// The code that was loaded must be of that capability too: a GPU also runs what was built for older
// ones, without the instructions that they lack.
inline void check_capability(const LaunchShape& shape, const void* kernel, const std::string& name) {
    cudaFuncAttributes loaded = {};
    check_cuda(cudaFuncGetAttributes(&loaded, kernel), name);
    auto text = [](int capability) {
        return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
    };
    if (shape.is_specific && is_empty(loaded))
        throw KernelError(name + " needs a GPU of compute capability " + text(shape.capability) +
                          " and code built for it (" + std::to_string(shape.capability) +
                          "a): leave out the algorithm, or reinstall on this machine");
    if (loaded.ptxVersion < shape.capability)
        throw KernelError(name + " needs a GPU of compute capability " + text(shape.capability) +
                          " or newer and code built for it, but what runs here was built for " +
                          text(loaded.ptxVersion) +
                          ": use precision fp32, or reinstall on this machine");
}

// What a kernel's launches need beforehand, once for each GPU: this check, and leave for the shared
// memory.
template <auto kernel>
void prepare(const LaunchShape& shape) {
    constexpr size_t kSharedBytesByDefault = 48 << 10;
    if (shape.capability <= 75 && shape.shared_bytes <= kSharedBytesByDefault) return;
    constexpr int kGpus = 64;                    // beyond them each launch prepares itself
    static std::atomic<size_t> prepared[kGpus];  // for so many bytes and one
    static std::mutex mutex;
    int gpu = 0;
    check_cuda(cudaGetDevice(&gpu), "the current GPU");
    if (gpu < kGpus && prepared[gpu].load(std::memory_order_acquire) > shape.shared_bytes) return;
    const std::lock_guard<std::mutex> lock(mutex);
    if (gpu < kGpus && prepared[gpu].load(std::memory_order_relaxed) > shape.shared_bytes) return;
    const std::string name = kernel_name<kernel>();
    check_capability(shape, reinterpret_cast<const void*>(kernel), name);
    if (shape.shared_bytes > kSharedBytesByDefault)
        check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        int(shape.shared_bytes)),
                   name);
    if (gpu < kGpus) prepared[gpu].store(shape.shared_bytes + 1, std::memory_order_release);
}

template <auto kernel, class... Arguments>
void launch(const LaunchShape& shape, Stream stream, Arguments... arguments) {
    prepare<kernel>(shape);
    kernel<<<shape.grid, shape.block, shape.shared_bytes, stream>>>(arguments...);
    if (const cudaError_t status = cudaGetLastError())
        check_cuda(status, "launch of " + kernel_name<kernel>());
}

template <auto kernel, class... Arguments>
void launch_with_barriers(const LaunchShape& shape, Stream stream, Arguments... arguments) {
    launch<kernel>(shape, stream, arguments...);
}

#else

template <auto kernel, class... Arguments>
void launch_on_cpu(const LaunchShape& shape, bool barriers, Arguments... arguments) {
    cuda_on_cpu::run_grid({kernel_name<kernel>(), shape.grid, shape.block, shape.shared_bytes,
                           shape.capability, barriers},
                          [=] { kernel(arguments...); });
}

template <auto kernel, class... Arguments>
void launch(const LaunchShape& shape, Stream, Arguments... arguments) {
    launch_on_cpu<kernel>(shape, false, arguments...);
}

template <auto kernel, class... Arguments>
void launch_with_barriers(const LaunchShape& shape, Stream, Arguments... arguments) {
    launch_on_cpu<kernel>(shape, true, arguments...);
}

#endif
