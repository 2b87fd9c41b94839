// Device memory: one arena of addresses, of which no byte is used twice, so that what was freed stays
// known. For every byte whether it is allocated and initialised, for every word who used it last.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "machine.h"
#include "memory.h"

namespace emulator {
namespace {

constexpr u64 kGap = 4096;  // at least so many bytes between two allocations

enum ByteState : u8 { kFree, kAllocated, kWritten };

// An access by a block of a launch, which the blocks' serial numbers tell apart.
struct GridAccess {
    u32 block;
    Access access;

    bool ordered_before(const Thread& t) const {
        return block < t.block->first_serial ||
               (block == t.block->serial && access.ordered_before(t.view()));
    }
};

struct Word {
    GridAccess write, read, other_read;  // the last two reads that are not ordered
    bool by_atomic;
};

template <class T>
T* reserve(u64 count) {
    void* p = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        perror("EMULATOR has no address space; see EMULATOR_ARENA_GB");
        exit(1);
    }
    return static_cast<T*>(p);
}

struct Arena {
    u64 size, used = 0;
    u8* memory;
    u8* states;   // a ByteState each
    Word* words;  // of four bytes
    std::map<u64, u64> allocations;

    Arena() {
        const char* gigabytes = getenv("EMULATOR_ARENA_GB");
        size = (gigabytes ? strtoull(gigabytes, nullptr, 0) : 4) << 30;
        memory = reserve<u8>(size);
        states = reserve<u8>(size);
        words = reserve<Word>(size / 4);
    }
    u64 offset(u64 address) const { return address - u64(memory); }
};

Arena& arena() {
    static Arena the_arena;
    return the_arena;
}

// Global and constant variables of translated modules, by address.
std::map<u64, u32>& variables() {
    static std::map<u64, u32> all;
    return all;
}

template <class Sizes>
bool inside(const Sizes& sizes, u64 address, u64 bytes) {
    auto found = sizes.upper_bound(address);
    if (found == sizes.begin()) return false;
    --found;
    return address + bytes <= found->first + found->second;
}

void check_race(Thread& t, Word& word, u64 address, int site, Use use) {
    const bool both_atomic = use == Use::atomic && word.by_atomic;
    const GridAccess own = {t.block->serial, t.access()};
    if (!both_atomic && !word.write.ordered_before(t))
        report(t, site, "global race", "%s after a write by thread %u of block #%u, address %#llx",
               name_of(use), word.write.access.actor - 1, word.write.block - t.block->first_serial,
               (unsigned long long)address);
    if (use == Use::read) {
        if (!word.read.ordered_before(t)) word.other_read = word.read;
        word.read = own;
        return;
    }
    if (!both_atomic && !(word.read.ordered_before(t) && word.other_read.ordered_before(t)))
        report(t, site, "global race", "write after a read that is not ordered, address %#llx",
               (unsigned long long)address);
    word.write = own;
    word.by_atomic = use == Use::atomic;
}

}  // namespace

VariableEntry::VariableEntry(const char*, void* data, u32 bytes) {
    variables()[u64(data)] = bytes;
}

u8* global_at(Thread& t, u64 address, u32 bytes, int site, Use use) {
    Arena& a = arena();
    const u64 offset = a.offset(address);
    if (offset >= a.size) {
        if (inside(variables(), address, bytes)) return reinterpret_cast<u8*>(address);
        report(t, site, "global out of bounds", "%s of %u bytes at %#llx: no device memory",
               name_of(use), bytes, (unsigned long long)address);
        give_up(t);
    }
    if (offset % bytes)
        report(t, site, "misaligned", "global address %#llx, %u bytes", (unsigned long long)address,
               bytes);
    for (u32 i = 0; i < bytes; ++i) {
        const u8 state = a.states[offset + i];
        if (state == kFree) {
            report(t, site, "global out of bounds", "%s of %u bytes at %#llx, outside all allocations",
                   name_of(use), bytes, (unsigned long long)address);
            give_up(t);
        }
        if (use != Use::write && state != kWritten) {
            report(t, site, "uninitialised global read", "address %#llx", (unsigned long long)address);
            break;
        }
    }
    if (use != Use::read) memset(a.states + offset, kWritten, bytes);
    check_race(t, a.words[offset / 4], address, site, use);
    if (bytes == 8) check_race(t, a.words[offset / 4 + 1], address, site, use);
    return reinterpret_cast<u8*>(address);
}

u8* local_at(Thread& t, u64 offset, u32 bytes, int site) {
    const u32 size = t.block->kernel->local_bytes;
    if (offset + bytes > size) {
        report(t, site, "local out of bounds", "%u bytes at offset %llu of %u", bytes,
               (unsigned long long)offset, size);
        give_up(t);
    }
    return t.local + offset;
}

void* allocate(u64 bytes) {
    Arena& a = arena();
    const u64 room = (bytes + 511) / 256 * 256 + kGap;
    if (a.used + room > a.size) return nullptr;
    u8* start = a.memory + a.used;
    memset(a.states + a.used, kAllocated, bytes);
    a.used += room;
    a.allocations[u64(start)] = bytes;
    for (u64 i = 0; i + 4 <= bytes; i += 4) memcpy(start + i, &kNotANumber, 4);
    return start;
}

bool free_allocation(void* pointer) {
    Arena& a = arena();
    const auto found = a.allocations.find(u64(pointer));
    if (found == a.allocations.end()) return false;
    const auto [address, bytes] = *found;
    memset(a.states + a.offset(address), kFree, bytes);
    const u64 page = 4096, first = (address + page - 1) / page * page;
    const u64 last = (address + bytes) / page * page;
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
    a.allocations.erase(found);
    return true;
}

bool host_access(const void* pointer, u64 bytes, Use use) {
    Arena& a = arena();
    const u64 offset = a.offset(u64(pointer));
    if (offset >= a.size) return true;  // the host's own
    if (!inside(a.allocations, u64(pointer), bytes)) return false;
    if (use == Use::write) memset(a.states + offset, kWritten, bytes);
    return true;
}

}  // namespace emulator
