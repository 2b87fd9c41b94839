// A few numbers from the host: out[i] = values[i], words of 4 bytes.
//
// They travel as the kernel's argument. So the host may change them at once, without pinned memory and
// without waiting for the device, and what was launched before still reads the old ones.
// Thread map: one thread for each word.
#include "../core/launch.h"
#include "ops.h"

namespace {

constexpr int kWords = 256;  // of one launch

struct Words {
    uint32_t word[kWords];
};

}  // namespace

__global__ void put_kernel(uint32_t* out, __grid_constant__ const Words words) {
    out[threadIdx.x] = words.word[threadIdx.x];
}

void put(uint32_t* out, const uint32_t* values, index_t n, Stream stream) {
    for (index_t first = 0; first < n; first += kWords) {
        Words words{};
        const int taken = int(smaller<index_t>(kWords, n - first));
        for (int i = 0; i < taken; ++i) words.word[i] = values[first + i];
        launch<put_kernel>({1, dim3(taken)}, stream, out + first, words);
    }
}
