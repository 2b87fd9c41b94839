// The machine that PTX runs on here: its kernels, blocks and threads, and what translated code calls.
//
// translate.py makes one C++ function of each kernel. Every CUDA thread is a fiber in it, and a block
// runs warp by warp until all of its threads have finished or wait (schedule.cpp). Launches come one at
// a time.
#pragma once

#include <cstdint>
#include <map>
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

// A vector clock: of every actor of a block the time before which all that it did is known. Actors are
// its threads, its warps' asynchronous products, and its mbarriers, in whose name bulk copies write.
using Clock = std::vector<u32>;
constexpr u32 kMostMbarriers = 64;

// What a thread, or a warp as a whole, knows to have happened.
struct View {
    u32 actor;  // who looks, as an Access names it; 0 for a warp
    u32 barriers;
    const u32* seen;  // its clock
};

// Who used memory, and when. Of two uses the earlier one is ordered before the later if one thread made
// both, if a barrier of their block lies between them, or if the later one's clock knows of it: by way
// of
// __syncwarp, barriers of some threads, and mbarriers.
struct Access {
    u32 actor;     // its number + 1, or 0: nobody yet
    u32 barriers;  // of the whole block; those that are no threads pass none
    u32 time;

    bool ordered_before(const View& view) const {
        return actor == 0 || actor == view.actor || barriers < view.barriers ||
               time < view.seen[actor - 1];
    }
};
constexpr u32 kNoBarriers = ~0u;

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

// A bulk copy, whose data arrive when the mbarrier's phase is waited for and waits for nothing else.
struct BulkCopy {
    struct Piece {
        u32 to;
        u8 data[16];
    };
    std::vector<Piece> pieces;
    u32 thread;
    int site;

    u32 bytes() const { return u32(pieces.size()) * 16; }
};

struct Mbarrier {
    u32 actor;           // its number among the actors
    u32 count, pending;  // arrivals that a phase takes, and that the current one lacks
    s64 transactions;    // bytes that the current phase still expects
    u32 phase;           // how many are complete
    Access init;
    Clock arrived, complete;  // what is known to those who arrived, and at the end of the last phase
    std::vector<BulkCopy> copies;

    bool passed(u64 phase_or_parity, bool is_parity) const {
        return is_parity ? phase % 2 != phase_or_parity % 2 : phase > phase_or_parity;
    }
};

// A barrier of some threads of a block.
struct NamedBarrier {
    u32 wanted, arrived;
    std::vector<Thread*> waiting;
    Clock clock;
};

// A fence.proxy.async, or one for the initialisation of mbarriers alone.
struct ProxyFence {
    Access access;
    bool of_mbarriers;
};

// A register of 32 bits that wgmma reads or writes, with what is known about it (wgmma.h).
struct Register {
    u32 bits, tag;
};

// Where the accumulator of a product is kept until it was waited for.
struct Accumulator {
    f32 value;
    u32 product;       // the last one that adds to it
    u16 index, count;  // in its product
};

// A wgmma, as all warps of a warpgroup have issued it.
struct Product {
    u64 a, b;  // descriptors
    u32 columns;
    bool a_in_registers, add, transposed_a, transposed_b;
    s32 sign;
    int site;
    u32 warps;  // that have issued it, a bit each

    bool operator==(const Product& other) const;
};

// What a thread brings to it.
struct ProductOfThread {
    u32 a[4];
    u32 first_accumulator;
};

struct Warpgroup {
    std::vector<Product> products;
};

// A warp's part in the products of its warpgroup, which are numbered from 1.
struct WarpProducts {
    u32 issued, retired;
    std::vector<u32> groups;  // the last product of each that is under way
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

// ---- schedule.cpp

u32 wait_at_barrier(Thread&, BarrierSum, bool predicate, int site);
// A barrier of `count` threads (0: all), which the thread waits at or only arrives at.
void arrive_at_named_barrier(Thread&, u32 which, u32 count, bool waits, int site);
// Returns when a phase of an mbarrier may be complete, or when nothing else can happen.
void wait_at_mbarrier(Thread&, int site);
void join_warp_operation(Thread&, const WarpOperation&, int site);
[[noreturn]] void exit_thread(Thread&);
void limit_registers(Thread&, u32 count, int site);
// Runs a grid; returns an error of the CUDA runtime.
int run_grid(const Kernel&, Dimensions grid, Dimensions block, void** arguments, u64 shared_bytes);

// ---- order.cpp

// Whoever acquires the clock knows what the thread knows and did.
void release(Thread&, Clock&);
void acquire(Thread&, const Clock&);
void join(Clock&, const Clock&);
// Orders what some threads did before what any of them does from now on.
void synchronise(const std::vector<Thread*>&);
// What all lanes of the thread's warp know; the clock is memory for it.
View view_of_warp(const Thread&, Clock&);
void fence_proxy(Thread&, bool of_mbarriers);
// Whether a fence of its own thread lies between an access and the one who looks.
bool fenced(const Block&, const Access&, bool of_mbarrier, const View&);

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

// ---- mbarrier.cpp

void init_mbarrier(Thread&, u64 at, u32 count, int site);
void invalidate_mbarrier(Thread&, u64 at, int site);
// Returns the phase, as state.
u64 arrive_at_mbarrier(Thread&, u64 at, u32 count, int site);
void expect_transactions(Thread&, u64 at, u32 bytes, int site);
// mbarrier.test_wait and try_wait: may others run before it fails.
bool test_mbarrier(Thread&, u64 at, u64 phase_or_parity, bool is_parity, int site);
// Whether the phase that a thread waits for is complete, after the copies to it have arrived.
bool mbarrier_passed(Thread&);
void start_bulk_copy(Thread&, u64 mbarrier, BulkCopy&&);
void copy_bulk(Thread&, u64 to, u64 from, u32 bytes, u64 mbarrier, int site);
// Reports copies that nobody waited for when the block ends.
void check_mbarriers_at_end(Block&);

// ---- tensor_map.cpp

void copy_tensor(Thread&, u64 to, u64 map, u32 rank, const s32* coordinates, u64 mbarrier, int site);

// ---- wgmma.cpp

// What a thread brings: the product, its accumulators, columns / 2 in number, and its part of A.
struct ProductInput {
    Product product;
    const Register *d, *a;
};
// Returns the number of the first accumulator of those that now take the place of the registers.
u32 issue_product(Thread&, const ProductInput&, int site);
void commit_products(Thread&, int site);
void wait_for_products(Thread&, u32 groups_under_way, int site);
void fence_registers(Thread&, int site);
u32 accumulator(Thread&, u32 tag, int site);
void check_overwriting(Thread&, u32 tag, int site);
// Reports writes to 16 bytes of shared memory that products may still read.
void check_products(Thread&, u32 offset, int site);
// Reports products that some warps did not take part in.
void check_products_at_end(Block&);

// ---- device_memory.cpp

u8* global_at(Thread&, u64 address, u32 bytes, int site, Use);
u8* local_at(Thread&, u64 offset, u32 bytes, int site);
// nullptr if there is no room left.
void* allocate(u64 bytes);
bool free_allocation(void*);
// Whether a copy may use these bytes on the host's behalf; if it writes, they count as initialised.
bool host_access(const void*, u64 bytes, Use);

}  // namespace emulator
