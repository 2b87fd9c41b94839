// Barriers in shared memory (mbarrier), which count arrivals of threads and bytes of bulk copies.
#include <algorithm>
#include <cstring>

#include "machine.h"
#include "memory.h"

namespace emulator {
namespace {

constexpr u32 kBytes = 8, kMostCount = (1 << 20) - 1;

u32 offset_of(u64 address) {
    return u32(address & ~kWindowMask);
}

Mbarrier& mbarrier_at(Thread& t, u64 address, int site) {
    const auto found = t.block->mbarriers.find(offset_of(address));
    if (found == t.block->mbarriers.end()) {
        report(t, site, "mbarrier", "none was initialised at offset %u", offset_of(address));
        give_up(t);
    }
    Mbarrier& m = found->second;
    if (!m.init.ordered_before(t.view()))
        report(t, site, "mbarrier", "a use after its initialisation by thread %u without a barrier",
               m.init.actor - 1);
    return m;
}

void complete_phase(Mbarrier& m) {
    ++m.phase;
    m.pending = m.count;
    m.complete = m.arrived;
    m.complete[m.actor] = m.phase;
}

// The data of its copies arrive, if nothing else is missing for the phase.
void complete_if_possible(Block& block, Mbarrier& m) {
    if (m.pending) return;
    s64 under_way = 0;
    for (const BulkCopy& copy : m.copies) under_way += copy.bytes();
    if (under_way != m.transactions) return;
    for (const BulkCopy& copy : m.copies)
        for (const BulkCopy::Piece& piece : copy.pieces) {
            memcpy(block.shared + piece.to, piece.data, sizeof piece.data);
            for (u32 i = 0; i < sizeof piece.data; ++i) {
                SharedByte& byte = block.shared_bytes_state[piece.to + i];
                byte.write = {m.actor + 1, kNoBarriers, m.phase};
                byte.copy_under_way = byte.by_atomic = false;
                byte.written = true;
            }
        }
    m.copies.clear();
    m.transactions = 0;
    ++block.events;
    complete_phase(m);
}

void mark(Block& block, u32 offset, bool of_mbarrier) {
    for (u32 i = 0; i < kBytes; ++i) block.shared_bytes_state[offset + i].of_mbarrier = of_mbarrier;
}

}  // namespace

void init_mbarrier(Thread& t, u64 at, u32 count, int site) {
    Block& block = *t.block;
    const u32 offset = offset_of(at);
    shared_at(t, offset, kBytes, site, Use::write);
    if (count == 0 || count > kMostCount) {
        report(t, site, "mbarrier", "a count of %u", count);
        give_up(t);
    }
    if (block.mbarriers_made == kMostMbarriers) {
        report(t, site, "mbarrier", "the emulator has no more than %u in a block", kMostMbarriers);
        give_up(t);
    }
    Mbarrier& m = block.mbarriers[offset] = {};
    m.actor = block.threads + block.warps() + block.mbarriers_made++;
    m.count = m.pending = count;
    m.init = t.access();
    m.arrived.resize(block.actors());
    m.complete.resize(block.actors());
    mark(block, offset, true);
    ++block.events;
}

void invalidate_mbarrier(Thread& t, u64 at, int site) {
    const Mbarrier& m = mbarrier_at(t, at, site);
    if (!m.copies.empty()) report(t, site, "mbarrier", "copies to it are under way");
    t.block->mbarriers.erase(offset_of(at));
    mark(*t.block, offset_of(at), false);
}

u64 arrive_at_mbarrier(Thread& t, u64 at, u32 count, int site) {
    Mbarrier& m = mbarrier_at(t, at, site);
    if (count == 0 || count > m.pending) {
        report(t, site, "mbarrier", "%u arrivals at one that lacks %u of %u in this phase", count,
               m.pending, m.count);
        give_up(t);
    }
    const u64 phase = m.phase;
    release(t, m.arrived);
    m.pending -= count;
    ++t.block->events;
    if (m.pending == 0 && m.transactions == 0) complete_phase(m);  // whatever is still under way
    return phase;
}

void expect_transactions(Thread& t, u64 at, u32 bytes, int site) {
    Mbarrier& m = mbarrier_at(t, at, site);
    m.transactions += bytes;
    if (bytes > kMostCount || m.transactions > kMostCount)
        report(t, site, "mbarrier", "%lld bytes expected in a phase, more than it can count",
               (long long)m.transactions);
    ++t.block->events;
}

bool mbarrier_passed(Thread& t) {
    const auto found = t.block->mbarriers.find(t.mbarrier);
    if (found == t.block->mbarriers.end()) return true;
    Mbarrier& m = found->second;
    if (!m.passed(t.phase_or_parity, t.is_parity)) complete_if_possible(*t.block, m);
    return m.passed(t.phase_or_parity, t.is_parity);
}

bool test_mbarrier(Thread& t, u64 at, u64 phase_or_parity, bool is_parity, int site) {
    mbarrier_at(t, at, site);
    t.mbarrier = offset_of(at);
    t.phase_or_parity = phase_or_parity;
    t.is_parity = is_parity;
    if (!mbarrier_passed(t)) wait_at_mbarrier(t, site);
    const Mbarrier& m = mbarrier_at(t, at, site);
    if (!m.passed(phase_or_parity, is_parity)) return false;
    acquire(t, m.complete);
    return true;
}

// ---- bulk copies

void start_bulk_copy(Thread& t, u64 mbarrier, BulkCopy&& copy) {
    Mbarrier& m = mbarrier_at(t, mbarrier, copy.site);
    if (!fenced(*t.block, m.init, true, t.view()))
        report(
            t, copy.site, "proxy fence",
            "no fence.mbarrier_init of thread %u lies between its initialisation of the mbarrier and "
            "this copy",
            m.init.actor - 1);
    for (const BulkCopy::Piece& piece : copy.pieces) check_async_write(t, piece.to, copy.site);
    copy.thread = t.index;
    m.copies.push_back(std::move(copy));
    ++t.block->events;
}

void copy_bulk(Thread& t, u64 to, u64 from, u32 bytes, u64 mbarrier, int site) {
    const u32 offset = offset_of(to);
    if (bytes % 16 || offset % 16 || from % 16) {
        report(t, site, "misaligned", "a bulk copy of %u bytes from %#llx to offset %u", bytes,
               (unsigned long long)from, offset);
        give_up(t);
    }
    BulkCopy copy;
    copy.site = site;
    for (u32 i = 0; i < bytes; i += 16) {
        BulkCopy::Piece piece = {offset + i, {}};
        for (u32 j = 0; j < 16; j += 4)
            memcpy(piece.data + j, global_at(t, from + i + j, 4, site, Use::read), 4);
        copy.pieces.push_back(piece);
    }
    start_bulk_copy(t, mbarrier, std::move(copy));
}

void check_mbarriers_at_end(Block& block) {
    for (const auto& [offset, m] : block.mbarriers)
        for (const BulkCopy& copy : m.copies)
            report(block.all_threads[copy.thread], copy.site, "copy under way",
                   "the block ends before the copy was waited for");
}

}  // namespace emulator
