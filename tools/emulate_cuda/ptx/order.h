// What is ordered before what within a block.
#pragma once

#include <vector>

#include "types.h"

namespace emulator {

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
// both, if a barrier of their block lies between them, or if the later one's clock knows of it, from
// __syncwarp, barriers of some threads and mbarriers.
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

// A fence.proxy.async, or one for the initialisation of mbarriers alone.
struct ProxyFence {
    Access access;
    bool of_mbarriers;
};

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

}  // namespace emulator
