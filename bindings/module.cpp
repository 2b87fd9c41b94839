// The extension: alexnet_raw._cpu and alexnet_raw._cuda are compiled from the same bindings.
#include "../cuda/core/error.h"
#include "arrays.h"
#include "topics.h"

#ifndef ALEXNET_RAW_CUDA
#include "../cuda/core/core_share.h"
#endif

#ifdef ALEXNET_RAW_CUDA
#define MODULE _cuda
#else
#define MODULE _cpu
#endif

namespace {

// Compiled for the machine at hand, the module may have been carried to one with an older CPU.
void check_cpu() {
    const char* missing = nullptr;
#if defined(__AVX512F__)
    if (!__builtin_cpu_supports("avx512f")) missing = "AVX-512";
#elif defined(__AVX2__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) missing = "AVX2";
#endif
    if (missing)
        throw py::import_error("it was built for CPUs with " + std::string(missing) +
                               ", which this machine's has not: install on this machine, or anywhere "
                               "with ALEXNET_RAW_PORTABLE=1 (needs AVX2)");
}

py::dict build_info() {
    py::dict info;
    info["compiler"] = ALEXNET_RAW_COMPILER;
    info["flags"] = ALEXNET_RAW_FLAGS;
#ifdef ALEXNET_RAW_CUDA
    info["target"] = "cuda";
    info["cuda_version"] =
        std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
    info["architectures"] = ALEXNET_RAW_ARCHITECTURES;
#else
    info["target"] = "cpu";
    info["lanes"] = kCpuLanes;
#endif
    return info;
}

#ifdef ALEXNET_RAW_CUDA

// The number of usable GPUs; raises RuntimeError with the driver's reason where there is none.
int device_count() {
    int n = 0;
    const cudaError_t status = cudaGetDeviceCount(&n);
    if (status != cudaSuccess)
        throw KernelError(std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status));
    return n;
}

#else

int device_count() {
    return 1;
}

void bind_execution(py::module_& m) {
    using namespace cuda_on_cpu;
    m.def(
        "set_threads",
        [](int threads) {
            check_setting(threads >= 0 && threads <= 4096,
                          "threads must be between 0 (all cores) and 4096");
            execution().threads = threads;
        },
        py::arg("threads"), "How many cores launches use; 0 is all of them.");
    m.def("threads", &core_count, "How many cores launches use.");
    m.def(
        "set_core_share",
        [](int threads) {
            check_setting(threads >= 0 && threads <= 4096,
                          "threads must be between 0 (as many as others) and 4096");
            core_share() = threads;
        },
        py::arg("threads"), "How many cores the launches of the calling thread use.");
    m.def(
        "set_execution",
        [](const std::string& order, const std::string& shape, uint64_t seed, bool poison_shared) {
            const bool known = order == "forward" || order == "reverse" || order == "shuffled";
            check_setting(known, "order must be forward, reverse or shuffled, got '" + order + "'");
            check_setting(shape == "cpu" || shape == "gpu",
                          "shape must be cpu or gpu, got '" + shape + "'");
            execution().order = order == "forward"   ? Order::forward
                                : order == "reverse" ? Order::reverse
                                                     : Order::shuffled;
            execution().shape = shape == "cpu" ? Shape::cpu : Shape::gpu;
            execution().seed = seed;
            execution().poison_shared = poison_shared;
        },
        py::kw_only(), py::arg("order") = "forward", py::arg("shape") = "cpu", py::arg("seed") = 0,
        py::arg("poison_shared") = false,
        "For tests: the order of threads and blocks, and whether kernels run in the CPU's own tile "
        "shapes or in those that a GPU runs.");
    m.def(
        "set_wave",
        [](int tiles) {
            check_setting(tiles >= 0, "tiles must be 1 or more, or 0 for a GPU's own number");
            execution().wave = tiles;
        },
        py::arg("tiles") = 0,
        "For tests: how many tiles of a product a GPU is thought to compute at once.");
}

#endif

}  // namespace

PYBIND11_MODULE(MODULE, m) {
    check_cpu();
    m.doc() = "Kernels of alexnet-raw; call them through alexnet_raw.ops.";
    py::register_local_exception<KernelError>(m, "KernelError", PyExc_RuntimeError);
    m.def("build_info", &build_info);
    m.def("device_count", &device_count);
#ifndef ALEXNET_RAW_CUDA
    bind_execution(m);
    bind_pictures(m);
#endif
    bind_conv(m);
    bind_local(m);
    bind_neuron(m);
    bind_noisy_relu(m);
    bind_bias(m);
    bind_lrn(m);
    bind_rnorm(m);
    bind_cnorm(m);
    bind_pool(m);
    bind_lrn_pool(m);
    bind_channels(m);
    bind_random_pool(m);
    bind_blur(m);
    bind_resize(m);
    bind_mirror(m);
    bind_color(m);
    bind_add(m);
    bind_eltmax(m);
    bind_philox(m);
    bind_dropout(m);
    bind_softmax(m);
    bind_logloss(m);
    bind_output_cost(m);
    bind_tica(m);
    bind_multi_softmax(m);
    bind_limit_norms(m);
    bind_sgd(m);
    bind_put(m);
    bind_augment(m);
}
