// Device memory: one arena of addresses, of which no byte is used twice, so that what was freed stays
// known. For every byte whether it is allocated and initialised, and who used it last.
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

// Who used some bytes last. Most memory is used by words, and one record serves a word until a part of
// it is used alone; then its halves have records of their own, and of a half its bytes likewise.
struct Record {
    GridAccess write, read, other_read;  // the last two reads that are not ordered
    bool by_atomic, divided;
};
constexpr u32 kSizes = 3, kLargest = 4;  // bytes of a record: 4, 2 and 1

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
    u8* states;               // a ByteState each
    Record* records[kSizes];  // by their size, the largest first
    std::map<u64, u64> allocations;

    Arena() {
        const char* gigabytes = getenv("EMULATOR_ARENA_GB");
        size = (gigabytes ? strtoull(gigabytes, nullptr, 0) : 4) << 30;
        memory = reserve<u8>(size);
        states = reserve<u8>(size);
        for (u32 i = 0; i < kSizes; ++i) records[i] = reserve<Record>(size / (kLargest >> i));
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

void check_race(Thread& t, Record& record, u64 address, int site, Use use) {
    const bool both_atomic = use == Use::atomic && record.by_atomic;
    const GridAccess own = {t.block->serial, t.access()};
    if (!both_atomic && !record.write.ordered_before(t))
        report(t, site, "global race", "%s after a write by thread %u of block #%u, address %#llx",
               name_of(use), record.write.access.actor - 1, record.write.block - t.block->first_serial,
               (unsigned long long)address);
    if (use == Use::read) {
        if (!record.read.ordered_before(t)) record.other_read = record.read;
        record.read = own;
        return;
    }
    if (!both_atomic && !(record.read.ordered_before(t) && record.other_read.ordered_before(t)))
        report(t, site, "global race", "write after a read that is not ordered, address %#llx",
               (unsigned long long)address);
    record.write = own;
    record.by_atomic = use == Use::atomic;
}

// Checks an access to the bytes from `begin` to `end` against the `index`-th record of a size and, if
// it is divided or only a part of it is used, against those of its parts.
template <u32 size>
void check_races(Thread& t, Arena& a, u64 index, u64 begin, u64 end, int site, Use use) {
    constexpr u64 bytes = kLargest >> size, half = bytes / 2;
    Record& record = a.records[size][index];
    const u64 first = index * bytes;
    if (!record.divided && begin <= first && first + bytes <= end)
        return check_race(t, record, u64(a.memory) + first, site, use);
    if constexpr (half > 0) {
        Record* parts = a.records[size + 1] + 2 * index;
        if (!record.divided) parts[0] = parts[1] = record;
        record.divided = true;
        if (begin < first + half) check_races<size + 1>(t, a, 2 * index, begin, end, site, use);
        if (end > first + half) check_races<size + 1>(t, a, 2 * index + 1, begin, end, site, use);
    }
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
    for (u64 word = offset / kLargest; word * kLargest < offset + bytes; ++word)
        check_races<0>(t, a, word, offset, offset + bytes, site, use);
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
