// setmaxnreg, which gives registers from one warpgroup of a block to another.
#include <algorithm>

#include "machine.h"
#include "warp.h"

namespace emulator {
namespace {

constexpr u32 kRegisters = 65536;  // of a multiprocessor

struct Limit : AlignedOperation {
    struct Input {};
    struct Output {};

    static Output run(const Warp&, Thread&) { return {}; }
};

}  // namespace

void limit_registers(Thread& t, u32 count, int site) {
    join<Limit>(t, ~0u, site);
    t.most_registers = count;
    t.registers_site = site;
}

void check_registers_at_end(const Block& block) {
    const u32 at_launch = std::min(kRegisters / block.threads / 8 * 8, 255u);
    u32 sum = 0;
    const Thread* most = nullptr;
    for (u32 i = 0; i < block.threads; ++i) {
        const Thread &t = block.all_threads[i], &first = block.all_threads[i / 128 * 128];
        sum += t.most_registers ? t.most_registers : at_launch;
        if (t.most_registers && (!most || t.most_registers > most->most_registers)) most = &t;
        if (t.most_registers != first.most_registers)
            report(t, t.most_registers ? t.registers_site : first.registers_site, "registers",
                   "not all warps of a warpgroup ask for them");
    }
    if (most && sum > at_launch * block.threads)
        report(*most, most->registers_site, "registers",
               "the warps ask for %u in all, the block has %u", sum, at_launch * block.threads);
}

}  // namespace emulator
