// The main program of the emulator's test kernels:
//
//     NAME-OF-CASE < input > output
//
// A case launches a kernel on the words of the input and memory for its output, which nothing has
// written yet. It also gets the input's copy on the host.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

struct Case {
    const char* name;
    unsigned words;  // of output
    std::function<void(const uint32_t* in, uint32_t* out, const uint32_t* host_in)> launch;
};

inline int run_case(const std::vector<Case>& cases, int argc, char** argv) {
    std::vector<uint32_t> in(1 << 20), out;
    in.resize(fread(in.data(), 4, in.size(), stdin));
    for (const Case& c : cases) {
        if (argc != 2 || c.name != std::string(argv[1])) continue;
        out.resize(c.words);
        uint32_t *device_in, *device_out;
        cudaMalloc(&device_in, in.size() * 4);
        cudaMalloc(&device_out, out.size() * 4);
        cudaMemcpy(device_in, in.data(), in.size() * 4, cudaMemcpyHostToDevice);
        c.launch(device_in, device_out, in.data());
        const cudaError_t error = cudaDeviceSynchronize();
        if (error != cudaSuccess) fprintf(stderr, "%s\n", cudaGetErrorName(error));
        cudaMemcpy(out.data(), device_out, out.size() * 4, cudaMemcpyDeviceToHost);
        fwrite(out.data(), 4, out.size(), stdout);
        return error == cudaSuccess ? 0 : 1;
    }
    fprintf(stderr, "%s NAME < input > output\n", argv[0]);
    return 2;
}
