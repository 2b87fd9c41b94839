// The machine that PTX runs on here: its kernels, blocks and threads, and what translated code calls.
//
// translate.py makes one C++ function of each kernel. Every CUDA thread is a fiber in it, and a block
// runs warp by warp until all of its threads have finished or wait (schedule.cpp). Launches come one at
// a time.
#pragma once

#include <map>
#include <vector>

#include "asynchronous.h"
#include "order.h"
#include "types.h"

namespace emulator {

constexpr u32 kWarpSize = 32;
constexpr u32 kNotANumber = 0x7fc0dead;  // what memory holds before it is written

struct Warp;

// A statement of PTX and the line of CUDA C++ that it comes from.
struct Site {
    const char* file;
    int line;
    const char* text;
};

struct Parameter {
    u32 offset, bytes;
};

struct SharedVariable {
    const char* name;
    u32 offset, bytes;
};

struct Kernel {
    const char* name;  // mangled
    void (*run)(Thread&);
    u32 most_threads;  // of a block, from __launch_bounds__; 0 if it says nothing
    u32 parameter_bytes, local_bytes;
    u32 static_shared_bytes;  // as laid out here, with gaps between the variables
    std::vector<Parameter> parameters;
    std::vector<SharedVariable> shared;
    const Site* sites;
};

// Translated files register what they hold while they are loaded.
struct KernelEntry {
    explicit KernelEntry(const Kernel& kernel);
};
struct VariableEntry {
    VariableEntry(const char* name, void* data, u32 bytes);
};

// What is known about a byte of shared memory.
struct SharedByte {
    Access write, read, other_read;  // the last two reads that are not ordered
    bool in_variable, written, by_atomic, copy_under_way, of_mbarrier;
};

// A cp.async, whose data arrive when its thread waits for them: as late as a GPU may bring them.
struct AsyncCopy {
    u32 to, bytes;
    u8 data[16];
};

// What a thread brings to an operation of its warp (warp.h).
struct WarpOperation {
    void (*run)(const Warp&, Thread&);
    bool aligned;  // the whole warp must come, to one place
    bool orders;   // a __syncwarp, which may go on without the threads that have finished
    u32 mask;
    const void* input;
    void* output;
};

enum class State { running, at_barrier, at_named_barrier, at_mbarrier, in_warp_operation, finished };
enum class BarrierSum { none, count, all, any };  // of the predicates that threads bring

struct Thread {
    u32 x, y, z, index, warp, lane;
    Block* block;
    const u8* parameters;
    u8* local;

    State state;
    int site;      // where it waits
    u32 barriers;  // that it has passed
    u32 time;      // one more after each release of what it did before
    Clock seen;
    BarrierSum barrier_sum;
    u32 barrier_value;  // brought, then the sum
    WarpOperation operation;
    std::vector<std::vector<AsyncCopy>> copy_groups;
    std::vector<AsyncCopy> open_copies;
    std::vector<ProxyFence> proxy_fences;
    u32 mbarrier;  // where it waits, and for which phase or parity
    u64 phase_or_parity;
    bool is_parity;
    u32 register_fences;  // wgmma.fence
    std::vector<ProductOfThread> products;
    std::vector<Accumulator> accumulators;
    u32 most_registers;  // from setmaxnreg; 0 if there was none
    int registers_site;

    Access access() const { return {index + 1, barriers, time}; }
    View view() const { return {index + 1, barriers, seen.data()}; }
};

struct Dimensions {
    unsigned x, y, z;
};

struct Block {
    const Kernel* kernel;
    Dimensions index, size, grid;
    u32 threads;
    u32 serial, first_serial;  // of this block and of its launch's first, over all launches
    u32 shared_bytes, dynamic_shared_bytes;
    u8* shared;
    SharedByte* shared_bytes_state;
    bool stopped;  // an error after which nothing can go on
    Thread* all_threads;
    u64 events;  // changes that may end a wait
    std::map<u32, Mbarrier> mbarriers;
    u32 mbarriers_made;
    NamedBarrier named_barriers[16];
    std::vector<Warpgroup> warpgroups;
    std::vector<WarpProducts> warp_products;
    std::vector<u32> product_reads;  // of each 16 bytes and warpgroup the last product that reads them

    u32 warps() const { return (threads + kWarpSize - 1) / kWarpSize; }
    u32 actor_of_products(u32 warp) const { return threads + warp; }
    u32 actors() const { return threads + warps() + kMostMbarriers; }
};

// ---- reports.cpp

// Prints what is wrong, once for each statement of a kernel, and makes it the runtime's next error.
__attribute__((format(printf, 4, 5))) void report(const Thread&, int site, const char* kind,
                                                  const char* format, ...);
// The same outside kernels.
void report_on_host(const char* message, const char* subject);
// Ends the launch, after a report.
[[noreturn]] void give_up(Thread&);
// cudaGetLastError: the error since the last call.
int take_error();
void set_error(int error);

// ---- waits.cpp

u32 wait_at_barrier(Thread&, BarrierSum, bool predicate, int site);
// A barrier of `count` threads (0: all), which the thread waits at or only arrives at.
void arrive_at_named_barrier(Thread&, u32 which, u32 count, bool waits, int site);
// Returns when a phase of an mbarrier may be complete, or when nothing else can happen.
void wait_at_mbarrier(Thread&, int site);
void join_warp_operation(Thread&, const WarpOperation&, int site);
[[noreturn]] void exit_thread(Thread&);

// ---- schedule.cpp

// Runs a grid; returns an error of the CUDA runtime.
int run_grid(const Kernel&, Dimensions grid, Dimensions block, void** arguments, u64 shared_bytes);

// ---- registers.cpp

void limit_registers(Thread&, u32 count, int site);
// Reports warps that ask for more registers than there are.
void check_registers_at_end(const Block&);

// ---- shared_memory.cpp

enum class Use { read, write, atomic };
inline const char* name_of(Use use) {
    return use == Use::read ? "read" : "write";
}

// The address behind an offset, after all checks.
u8* shared_at(Thread&, u64 offset, u32 bytes, int site, Use);
// Fresh shared memory for a block: only its variables may be used, and they hold no numbers.
void clear_shared(Block&);

// The checks of 16 bytes that an asynchronous product reads, or a bulk copy writes: it may do so from
// now on until it is waited for.
void check_async_read(Thread&, const View&, u32 offset, int site);
void check_async_write(Thread&, u32 offset, int site);

void copy_async(Thread&, u64 to, u64 from, u32 bytes, u32 from_bytes, int site);
void commit_copies(Thread&);
void wait_for_copies(Thread&, u32 groups_under_way);

// ---- device_memory.cpp

u8* global_at(Thread&, u64 address, u32 bytes, int site, Use);
u8* local_at(Thread&, u64 offset, u32 bytes, int site);
// nullptr if there is no room left.
void* allocate(u64 bytes);
bool free_allocation(void*);
// Whether a copy may use these bytes on the host's behalf; if it writes, they count as initialised.
bool host_access(const void*, u64 bytes, Use);

}  // namespace emulator
