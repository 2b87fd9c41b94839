// What is ordered before what within a block: the clocks of its actors, and fences between the generic
// proxy and the asynchronous one.
#include <algorithm>

#include "machine.h"

namespace emulator {

__attribute__((optimize("O3"))) void join(Clock& clock, const Clock& other) {
    for (size_t i = 0; i < clock.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

void release(Thread& t, Clock& clock) {
    clock.resize(t.seen.size());
    join(clock, t.seen);
    clock[t.index] = ++t.time;
}

void acquire(Thread& t, const Clock& clock) {
    join(t.seen, clock);
}

void synchronise(const std::vector<Thread*>& threads) {
    Clock clock;
    for (Thread* t : threads) release(*t, clock);
    for (Thread* t : threads) acquire(*t, clock);
}

__attribute__((optimize("O3"))) View view_of_warp(const Thread& t, Clock& clock) {
    const Thread* lanes = t.block->all_threads + t.warp * kWarpSize;
    View view = {0, t.barriers, nullptr};
    for (u32 lane = 0; lane < kWarpSize; ++lane) {
        const Clock& seen = lanes[lane].seen;
        if (lane == 0) clock = seen;
        for (size_t i = 0; i < clock.size(); ++i) clock[i] = std::min(clock[i], seen[i]);
        view.barriers = std::min(view.barriers, lanes[lane].barriers);
    }
    view.seen = clock.data();
    return view;
}

void fence_proxy(Thread& t, bool of_mbarriers) {
    t.proxy_fences.push_back({t.access(), of_mbarriers});
    ++t.time;
}

bool fenced(const Block& block, const Access& access, bool of_mbarrier, const View& view) {
    if (access.actor == 0 || access.actor > block.threads) return true;  // no generic access
    const auto& fences = block.all_threads[access.actor - 1].proxy_fences;
    auto fence = std::lower_bound(fences.begin(), fences.end(), access.time,
                                  [](const ProxyFence& f, u32 time) { return f.access.time < time; });
    for (; fence != fences.end(); ++fence)
        if (of_mbarrier || !fence->of_mbarriers)
            return fence->access.ordered_before(view);  // later ones are known to fewer
    return false;
}

}  // namespace emulator
