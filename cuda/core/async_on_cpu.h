// What goes on beside the threads of a block on a GPU of compute capability 9.0, on the CPU: copies
// that barriers in shared memory wait for (mbarrier.h, tensor_map.h), and products of warpgroups
// (wgmma.h). Everything happens as late as it may, and what waits for it is NaN until then.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda_on_cpu.h"

namespace cuda_on_cpu {

// The block's dynamic shared memory: addresses are bytes from its beginning.
struct SharedMemory {
    char* begin;
    size_t bytes;

    char* at(uint32_t address, const char* what) const;  // of a number; throws what is outside
};

// What a kernel does wrong: run_grid's caller gets it as a KernelError with the kernel's name.
struct Misuse : std::logic_error {
    using std::logic_error::logic_error;
};

class Mbarriers {
   public:
    void clear() { all_.clear(); }
    void init(const void* barrier, int arrivals);
    void arrive(const void* barrier, int bytes);
    bool is_over(const void* barrier, int parity);
    std::string lacking(const void* barrier);  // what its phase waits for, in words
    // Lets the copies arrive that the barrier counts; whether its phase is over now.
    bool receive(const SharedMemory& shared, const void* barrier);
    void copy(const SharedMemory& shared, const void* barrier, uint32_t to, const Tensor& from,
              const int* at);

   private:
    struct Copy {
        uint32_t to;
        Tensor from;
        int at[5];
    };
    struct Mbarrier {
        int arrivals, pending;
        int64_t bytes;  // expected, and not there yet
        int phase;
        std::vector<Copy> copies;

        bool complete();
    };
    Mbarrier& of(const void* barrier);
    std::unordered_map<const void*, Mbarrier> all_;
};

// Of one thread.
class Products {
   public:
    void clear();
    void fence() { is_fenced_ = true; }
    void multiply(const Product& product);
    void commit() { ends_.push_back(waiting_.size()); }
    void wait(const SharedMemory& shared, unsigned thread, int groups);

   private:
    struct Sums {
        float* place;
        std::vector<float> values;
    };
    bool is_fenced_ = false;
    std::vector<Product> waiting_;
    std::vector<size_t> ends_;  // of groups
    std::vector<Sums> sums_;    // in flight
};

}  // namespace cuda_on_cpu
