// A stand-in for the CUDA runtime: launches, device memory and the few queries that alexnet_raw makes.
// Streams are names only; a launch has finished when it returns.
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "machine.h"

#ifndef EMULATOR_ARCH
#error "EMULATOR_ARCH must be the compute capability of the PTX, as 80"
#endif

namespace emulator {
namespace {

constexpr int kInvalidValue = 1, kOutOfMemory = 2, kInvalidFunction = 98;
constexpr u64 kSharedBytesByDefault = 48 << 10;

struct Configuration {
    Dimensions grid, block;
    size_t shared_bytes;
    void* stream;
};

std::map<std::string, const Kernel*>& kernels() {
    static std::map<std::string, const Kernel*> all;
    return all;
}

// The host's stub of a kernel.
struct Stub {
    std::string kernel;
    u64 dynamic_shared_limit = kSharedBytesByDefault;
};

std::map<const void*, Stub>& stubs() {
    static std::map<const void*, Stub> all;
    return all;
}

std::vector<Configuration> configurations;  // of the launches between <<< and >>>

// The most shared memory of a block that asks for it.
u64 shared_limit() {
    switch (EMULATOR_ARCH) {
        case 75: return 64 << 10;
        case 80:
        case 87: return 163 << 10;
        case 86:
        case 89: return 99 << 10;
        default: return 227 << 10;
    }
}

int fail(int status) {
    if (status) set_error(status);
    return status;
}

int host_copy_error(const void* pointer, size_t bytes, Use use) {
    if (host_access(pointer, bytes, use)) return 0;
    report_on_host("a copy outside all allocations", use == Use::read ? "source" : "target");
    return fail(kInvalidValue);
}

}  // namespace

KernelEntry::KernelEntry(const Kernel& kernel) {
    kernels()[kernel.name] = &kernel;
}

}  // namespace emulator

using namespace emulator;

extern "C" {

// ---- memory

int cudaMalloc(void** pointer, size_t bytes) {
    *pointer = allocate(bytes);
    return *pointer ? 0 : fail(kOutOfMemory);
}

int cudaFree(void* pointer) {
    if (!pointer || free_allocation(pointer)) return 0;
    report_on_host("cudaFree", "of a pointer that is not allocated");
    return fail(kInvalidValue);
}

int cudaMemcpy(void* to, const void* from, size_t bytes, int) {
    if (int error = host_copy_error(from, bytes, Use::read)) return error;
    if (int error = host_copy_error(to, bytes, Use::write)) return error;
    memmove(to, from, bytes);
    return 0;
}

int cudaMemset(void* to, int value, size_t bytes) {
    if (int error = host_copy_error(to, bytes, Use::write)) return error;
    memset(to, value, bytes);
    return 0;
}

// ---- devices and errors

int cudaGetDeviceCount(int* count) {
    *count = 1;
    return 0;
}

int cudaGetDevice(int* device) {
    *device = 0;
    return 0;
}

int cudaSetDevice(int) {
    return 0;
}

int cudaDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 75: *value = EMULATOR_ARCH / 10; return 0;  // cudaDevAttrComputeCapabilityMajor
        case 76: *value = EMULATOR_ARCH % 10; return 0;  // cudaDevAttrComputeCapabilityMinor
        default: return fail(kInvalidValue);
    }
}

int cudaDeviceSynchronize() {
    return take_error();
}

int cudaGetLastError() {
    return take_error();
}

const char* cudaGetErrorName(int error) {
    switch (error) {
        case 0: return "cudaSuccess";
        case kInvalidValue: return "cudaErrorInvalidValue";
        case kOutOfMemory: return "cudaErrorMemoryAllocation";
        case 9: return "cudaErrorInvalidConfiguration";
        case 98: return "cudaErrorInvalidDeviceFunction";
        case 701: return "cudaErrorLaunchOutOfResources";
        case 719: return "cudaErrorLaunchFailure";
        default: return "an error";
    }
}

const char* cudaGetErrorString(int error) {
    return error == 719 ? "a check of the emulator failed, see stderr" : cudaGetErrorName(error);
}

// ---- launches

// Of cudaFuncAttributes the members that are asked for: static shared memory and the architecture of
// the PTX.
int cudaFuncGetAttributes(void* attributes, const void* function) {
    const auto kernel = kernels().find(stubs()[function].kernel);
    if (kernel == kernels().end()) return fail(kInvalidFunction);
    size_t shared_bytes = 0;
    for (const SharedVariable& variable : kernel->second->shared) shared_bytes += variable.bytes;
    memcpy(attributes, &shared_bytes, sizeof shared_bytes);
    constexpr size_t kPtxVersion = 3 * sizeof(size_t) + 2 * sizeof(int);
    const int architecture = EMULATOR_ARCH;
    memcpy(static_cast<char*>(attributes) + kPtxVersion, &architecture, sizeof architecture);
    return 0;
}

// Only the attribute that kernels with much shared memory need,
// cudaFuncAttributeMaxDynamicSharedMemorySize.
int cudaFuncSetAttribute(const void* function, int attribute, int value) {
    if (attribute != 8 || value < 0 || u64(value) > shared_limit()) return fail(kInvalidValue);
    stubs()[function].dynamic_shared_limit = u64(value);
    return 0;
}

int cudaLaunchKernel(const void* function, Dimensions grid, Dimensions block, void** arguments,
                     size_t shared_bytes, void*) {
    const Stub& stub = stubs()[function];
    const auto kernel = kernels().find(stub.kernel);
    if (kernel == kernels().end()) return fail(kInvalidFunction);
    if (shared_bytes > stub.dynamic_shared_limit) return fail(kInvalidValue);
    return fail(run_grid(*kernel->second, grid, block, arguments, shared_bytes));
}

// What nvcc's host code calls: its stubs register themselves and then launch through these.
void** __cudaRegisterFatBinary(void*) {
    static void* handle;
    return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) {
    return 1;
}
void __cudaRegisterFunction(void**, const char* stub, char*, const char* name, int, void*, void*, void*,
                            void*, int*) {
    stubs()[stub].kernel = name;
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

unsigned __cudaPushCallConfiguration(Dimensions grid, Dimensions block, size_t shared_bytes,
                                     void* stream) {
    configurations.push_back({grid, block, shared_bytes, stream});
    return 0;
}
int __cudaPopCallConfiguration(Dimensions* grid, Dimensions* block, size_t* shared_bytes,
                               void** stream) {
    const Configuration& last = configurations.back();
    *grid = last.grid;
    *block = last.block;
    *shared_bytes = last.shared_bytes;
    *stream = last.stream;
    configurations.pop_back();
    return 0;
}
int __cudaGetKernel(void** kernel, const void* function) {
    *kernel = const_cast<void*>(function);
    return 0;
}
int __cudaLaunchKernel(void* kernel, Dimensions grid, Dimensions block, void** arguments,
                       size_t shared_bytes, void* stream) {
    return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}
}
