// The machine that PTX runs on here: its kernels, blocks and threads, and what translated code calls.
//
// translate.py makes one C++ function of each kernel. Every CUDA thread is a fiber in it, and a block
// runs warp by warp until all of its threads have finished or wait (schedule.cpp). Launches come one at
// a time.
#pragma once

#include <cstdint>
#include <vector>

namespace emulator {

// PTX's own names for its types; a predicate is a bool.
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;
__extension__ using u128 = unsigned __int128;
__extension__ using s128 = __int128;

constexpr u32 kWarpSize = 32;
constexpr u32 kNotANumber = 0x7fc0dead;  // what memory holds before it is written

struct Block;
struct Thread;
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

// Who used memory, and when. Of two uses the earlier one is ordered before the later if one thread made
// both, if a barrier of their block lies between them, or, within a warp, a __syncwarp.
struct Access {
    u32 thread;  // its index + 1, or 0: nobody yet
    u32 barriers, warp_barriers;

    bool ordered_before(const Thread& t) const;
};

// What is known about a byte of shared memory.
struct SharedByte {
    Access write, read, other_read;  // the last two reads that are not ordered
    bool in_variable, written, by_atomic, copy_under_way;
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

enum class State { running, at_barrier, in_warp_operation, finished };
enum class BarrierSum { none, count, all, any };  // of the predicates that threads bring

struct Thread {
    u32 x, y, z, index, warp, lane;
    Block* block;
    const u8* parameters;
    u8* local;

    State state;
    int site;                     // where it waits
    u32 barriers, warp_barriers;  // that it has passed
    BarrierSum barrier_sum;
    u32 barrier_value;  // brought, then the sum
    WarpOperation operation;
    std::vector<std::vector<AsyncCopy>> copy_groups;
    std::vector<AsyncCopy> open_copies;

    Access access() const { return {index + 1, barriers, warp_barriers}; }
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

// ---- schedule.cpp

u32 wait_at_barrier(Thread&, BarrierSum, bool predicate, int site);
void join_warp_operation(Thread&, const WarpOperation&, int site);
[[noreturn]] void exit_thread(Thread&);
// Runs a grid; returns an error of the CUDA runtime.
int run_grid(const Kernel&, Dimensions grid, Dimensions block, void** arguments, u64 shared_bytes);

// ---- shared_memory.cpp

enum class Use { read, write, atomic };
inline const char* name_of(Use use) {
    return use == Use::read ? "read" : "write";
}

// The address behind an offset, after all checks.
u8* shared_at(Thread&, u64 offset, u32 bytes, int site, Use);
// Fresh shared memory for a block: only its variables may be used, and they hold no numbers.
void clear_shared(Block&);

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
