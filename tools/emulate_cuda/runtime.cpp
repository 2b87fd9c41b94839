// What alexnet_raw asks of the CUDA runtime beyond the emulator's own stand-in: whose memory a pointer
// is.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>

namespace {

std::map<uintptr_t, size_t>& allocations() {
    static std::map<uintptr_t, size_t> sizes;
    return sizes;
}

}  // namespace

extern "C" {

cudaError_t emulated_malloc(void** pointer, size_t size) {
    const cudaError_t status = cudaMalloc(pointer, size);
    if (status == cudaSuccess) allocations()[reinterpret_cast<uintptr_t>(*pointer)] = size;
    return status;
}

cudaError_t emulated_free(void* pointer) {
    allocations().erase(reinterpret_cast<uintptr_t>(pointer));
    return cudaFree(pointer);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
    const auto address = reinterpret_cast<uintptr_t>(pointer);
    auto found = allocations().upper_bound(address);
    const bool device = found != allocations().begin() && address < (--found)->first + found->second;
    *attributes = {};
    attributes->type = device ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}
}
