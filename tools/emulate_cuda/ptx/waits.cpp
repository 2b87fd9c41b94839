// How a thread waits for others: it yields to the scheduler, which lets it go on.
#include <cstdlib>

#include "../../../cuda/core/fiber.h"
#include "machine.h"

namespace emulator {

using cuda_on_cpu::Fiber;

u32 wait_at_barrier(Thread& t, BarrierSum sum, bool predicate, int site) {
    t.state = State::at_barrier;
    t.barrier_sum = sum;
    t.barrier_value = predicate;
    t.site = site;
    Fiber::yield();
    return t.barrier_value;
}

void arrive_at_named_barrier(Thread& t, u32 which, u32 count, bool waits, int site) {
    Block& block = *t.block;
    const bool is_valid = count % kWarpSize == 0 && count <= block.warps() * kWarpSize;
    if (which > 15 || !is_valid) {
        report(t, site, "barrier", "number %u of %u threads", which, count);
        give_up(t);
    }
    if (count == 0) count = block.threads;
    NamedBarrier& barrier = block.named_barriers[which];
    if (barrier.arrived == 0) barrier.wanted = count;
    if (barrier.wanted != count)
        report(t, site, "barrier", "number %u of %u threads, which others take to be of %u", which,
               count, barrier.wanted);
    t.site = site;
    ++block.events;
    release(t, barrier.clock);
    if (waits) {
        barrier.waiting.push_back(&t);
        t.state = State::at_named_barrier;
    }
    if (++barrier.arrived == barrier.wanted) {
        for (Thread* other : barrier.waiting) {
            acquire(*other, barrier.clock);
            other->state = State::running;
        }
        barrier = {};
    }
    if (t.state == State::at_named_barrier) Fiber::yield();
}

void wait_at_mbarrier(Thread& t, int site) {
    t.state = State::at_mbarrier;
    t.site = site;
    Fiber::yield();
}

void join_warp_operation(Thread& t, const WarpOperation& operation, int site) {
    if (!(operation.mask >> t.lane & 1)) {
        report(t, site, "warp operation", "lane %u is not in its own mask %#x", t.lane, operation.mask);
        give_up(t);
    }
    t.state = State::in_warp_operation;
    t.operation = operation;
    t.site = site;
    Fiber::yield();
}

void exit_thread(Thread& t) {
    t.state = State::finished;
    Fiber::yield();  // and nobody resumes it
    abort();
}

}  // namespace emulator
