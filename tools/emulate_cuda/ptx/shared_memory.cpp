// Shared memory and the checks of its every byte: bounds, initialisation, races, copies under way.
#include <algorithm>
#include <cstring>

#include "machine.h"
#include "memory.h"

namespace emulator {

bool Access::ordered_before(const Thread& t) const {
    const bool same_thread = thread == t.index + 1;
    const bool warp_barrier =
        thread != 0 && (thread - 1) / kWarpSize == t.warp && warp_barriers < t.warp_barriers;
    return thread == 0 || same_thread || barriers < t.barriers || warp_barrier;
}

namespace {

void report_outside(Thread& t, u32 offset, int site, Use use) {
    const SharedVariable* before = nullptr;
    for (const SharedVariable& variable : t.block->kernel->shared)
        if (variable.offset <= offset && (!before || variable.offset > before->offset))
            before = &variable;
    if (before)
        report(t, site, "shared out of bounds", "%s of byte %u of %s, which has %u", name_of(use),
               offset - before->offset, before->name, before->bytes);
    else
        report(t, site, "shared out of bounds", "%s at offset %u, before all variables", name_of(use),
               offset);
}

void report_race(Thread& t, u32 offset, int site, Use use, const char* earlier, const Access& access) {
    report(t, site, "shared race", "%s after a %s by thread %u without a barrier, offset %u",
           name_of(use), earlier, access.thread - 1, offset);
}

void check_byte(Thread& t, SharedByte& byte, u32 offset, int site, Use use) {
    if (use != Use::write && !byte.written) {
        report(t, site, "uninitialised shared read", "offset %u", offset);
        byte.written = true;
    }
    if (byte.copy_under_way)
        report(t, site, "copy under way", "%s at offset %u before the cp.async to it was waited for",
               name_of(use), offset);
    const bool both_atomic = use == Use::atomic && byte.by_atomic;
    if (!both_atomic && !byte.write.ordered_before(t))
        report_race(t, offset, site, use, "write", byte.write);
    if (use == Use::read) {
        if (byte.read.thread != t.index + 1 && !byte.read.ordered_before(t))
            byte.other_read = byte.read;
        byte.read = t.access();
        return;
    }
    if (!both_atomic)
        for (const Access& read : {byte.read, byte.other_read})
            if (!read.ordered_before(t)) {
                report_race(t, offset, site, use, "read", read);
                break;
            }
    byte.write = t.access();
    byte.by_atomic = use == Use::atomic;
    byte.written = true;
}

}  // namespace

u8* shared_at(Thread& t, u64 offset, u32 bytes, int site, Use use) {
    Block& block = *t.block;
    if (offset + bytes > block.shared_bytes) {
        report(t, site, "shared out of bounds", "%s of %u bytes at offset %llu of %u", name_of(use),
               bytes, (unsigned long long)offset, block.shared_bytes);
        give_up(t);
    }
    if (offset % bytes)
        report(t, site, "misaligned", "shared offset %llu, %u bytes", (unsigned long long)offset,
               bytes);
    for (u32 at = u32(offset); at < offset + bytes; ++at) {
        SharedByte& byte = block.shared_bytes_state[at];
        if (!byte.in_variable) {
            report_outside(t, at, site, use);
            break;
        }
        check_byte(t, byte, at, site, use);
    }
    return block.shared + offset;
}

void clear_shared(Block& block) {
    std::fill_n(block.shared_bytes_state, block.shared_bytes, SharedByte{});
    auto open = [&](u32 offset, u32 bytes) {
        for (u32 i = offset; i < offset + bytes; ++i) block.shared_bytes_state[i].in_variable = true;
    };
    for (const SharedVariable& variable : block.kernel->shared) open(variable.offset, variable.bytes);
    open(block.kernel->static_shared_bytes, block.dynamic_shared_bytes);
    for (u32 i = 0; i + 4 <= block.shared_bytes; i += 4) memcpy(block.shared + i, &kNotANumber, 4);
}

void copy_async(Thread& t, u64 to, u64 from, u32 bytes, u32 from_bytes, int site) {
    if (from_bytes > bytes) {
        report(t, site, "copy", "cp.async of %u bytes from a source of %u", bytes, from_bytes);
        give_up(t);
    }
    AsyncCopy copy = {u32(to), bytes, {}};  // what is not read is zeros
    if (from_bytes && from % bytes)
        report(t, site, "misaligned", "cp.async of %u bytes from %#llx", bytes,
               (unsigned long long)from);
    const u32 step = from_bytes % 4 ? 1 : 4;
    for (u32 i = 0; i < from_bytes; i += step)
        memcpy(copy.data + i, global_at(t, from + i, step, site, Use::read), step);
    shared_at(t, to, bytes, site, Use::write);
    for (u32 i = 0; i < bytes; ++i) t.block->shared_bytes_state[to + i].copy_under_way = true;
    t.open_copies.push_back(copy);
}

void commit_copies(Thread& t) {
    t.copy_groups.push_back(std::move(t.open_copies));
    t.open_copies.clear();
}

void wait_for_copies(Thread& t, u32 groups_under_way) {
    if (t.copy_groups.size() <= groups_under_way) return;
    const auto end = t.copy_groups.end() - groups_under_way;
    for (auto group = t.copy_groups.begin(); group != end; ++group)
        for (const AsyncCopy& copy : *group) {
            memcpy(t.block->shared + copy.to, copy.data, copy.bytes);
            for (u32 i = 0; i < copy.bytes; ++i) {
                SharedByte& byte = t.block->shared_bytes_state[copy.to + i];
                byte.copy_under_way = false;
                byte.write = t.access();  // others see it after their next barrier, not before
            }
        }
    t.copy_groups.erase(t.copy_groups.begin(), end);
}

}  // namespace emulator
