// Shared memory and the checks of its every byte: bounds, initialisation, races, copies under way.
#include <algorithm>
#include <cstring>

#include "machine.h"
#include "memory.h"

namespace emulator {

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
    if (access.actor > t.block->threads)
        report(t, site, "shared race", "%s after a bulk copy that was not waited for, offset %u",
               name_of(use), offset);
    else
        report(t, site, "shared race", "%s after a %s by thread %u without a barrier, offset %u",
               name_of(use), earlier, access.actor - 1, offset);
}

void check_content(Thread& t, SharedByte& byte, u32 offset, int site) {
    if (byte.written) return;
    report(t, site, "uninitialised shared read", "offset %u", offset);
    byte.written = true;
}

void check_copy(Thread& t, const SharedByte& byte, u32 offset, int site, Use use) {
    if (byte.copy_under_way)
        report(t, site, "copy under way", "%s at offset %u before the copy to it was waited for",
               name_of(use), offset);
    if (byte.of_mbarrier)
        report(t, site, "mbarrier", "an ordinary %s of one, offset %u", name_of(use), offset);
}

void check_reads(Thread& t, const SharedByte& byte, u32 offset, int site, Use use) {
    for (const Access& read : {byte.read, byte.other_read})
        if (!read.ordered_before(t.view())) {
            report_race(t, offset, site, use, "read", read);
            break;
        }
}

void check_byte(Thread& t, SharedByte& byte, u32 offset, int site, Use use) {
    if (use != Use::write) check_content(t, byte, offset, site);
    check_copy(t, byte, offset, site, use);
    const bool both_atomic = use == Use::atomic && byte.by_atomic;
    if (!both_atomic && !byte.write.ordered_before(t.view()))
        report_race(t, offset, site, use, "write", byte.write);
    if (use == Use::read) {
        if (byte.read.actor != t.index + 1 && !byte.read.ordered_before(t.view()))
            byte.other_read = byte.read;
        byte.read = t.access();
        return;
    }
    if (!both_atomic) check_reads(t, byte, offset, site, use);
    byte.write = t.access();
    byte.by_atomic = use == Use::atomic;
    byte.written = true;
}

// Of 16 bytes that the asynchronous proxy uses; those that lie in no variable are reported.
SharedByte* piece_at(Thread& t, u32 offset, int site, Use use) {
    Block& block = *t.block;
    if (offset + 16 > block.shared_bytes) {
        report(t, site, "shared out of bounds", "%s of 16 bytes at offset %u of %u", name_of(use),
               offset, block.shared_bytes);
        give_up(t);
    }
    SharedByte* bytes = block.shared_bytes_state + offset;
    for (u32 i = 0; i < 16; ++i)
        if (!bytes[i].in_variable) {
            report_outside(t, offset + i, site, use);
            break;
        }
    return bytes;
}

void check_fence(Thread& t, const Access& write, const View& view, u32 offset, int site) {
    if (!fenced(*t.block, write, false, view))
        report(t, site, "proxy fence",
               "no fence.proxy.async of thread %u lies between its write and this, offset %u",
               write.actor - 1, offset);
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
    if (use != Use::read) check_products(t, u32(offset), site);
    return block.shared + offset;
}

void check_async_read(Thread& t, const View& view, u32 offset, int site) {
    SharedByte* bytes = piece_at(t, offset, site, Use::read);
    const Access* last = nullptr;
    for (u32 i = 0; i < 16; ++i) {
        SharedByte& byte = bytes[i];
        check_content(t, byte, offset + i, site);
        check_copy(t, byte, offset + i, site, Use::read);
        const Access& write = byte.write;
        const bool same = last && last->actor == write.actor && last->time == write.time &&
                          last->barriers == write.barriers;
        last = &write;
        if (same) continue;
        if (!write.ordered_before(view))
            report_race(t, offset + i, site, Use::read, "write", write);
        else
            check_fence(t, write, view, offset + i, site);
    }
}

void check_async_write(Thread& t, u32 offset, int site) {
    SharedByte* bytes = piece_at(t, offset, site, Use::write);
    for (u32 i = 0; i < 16; ++i) {
        SharedByte& byte = bytes[i];
        check_copy(t, byte, offset + i, site, Use::write);
        if (!byte.write.ordered_before(t.view()))
            report_race(t, offset + i, site, Use::write, "write", byte.write);
        else
            check_fence(t, byte.write, t.view(), offset + i, site);
        check_reads(t, byte, offset + i, site, Use::write);
        byte.copy_under_way = true;
    }
    check_products(t, offset, site);
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
