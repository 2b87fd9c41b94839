// What goes on beside the threads of a block: bulk copies, which mbarriers count, and products of
// warpgroups.
#pragma once

#include <vector>

#include "order.h"
#include "types.h"

namespace emulator {

// A bulk copy. Its data arrive when someone waits for the mbarrier's phase and all else has come.
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

// ---- mbarrier.cpp

void init_mbarrier(Thread&, u64 at, u32 count, int site);
void invalidate_mbarrier(Thread&, u64 at, int site);
// Returns the phase, as state.
u64 arrive_at_mbarrier(Thread&, u64 at, u32 count, int site);
void expect_transactions(Thread&, u64 at, u32 bytes, int site);
// mbarrier.test_wait and try_wait. Others run before it fails.
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

}  // namespace emulator
