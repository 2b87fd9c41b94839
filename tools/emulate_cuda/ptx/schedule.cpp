// Runs grids: block after block, the threads of a block as fibers, warp by warp, until they wait.
//
// EMULATOR_SEED permutes: an odd one reverses the blocks, any but 0 shuffles the warps of each.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include "../../../cuda/core/fiber.h"
#include "machine.h"
#include "warp.h"

namespace emulator {
namespace {

using cuda_on_cpu::Fiber;

constexpr u32 kMostThreads = 1024;
constexpr u32 kFruitlessRounds = 64;  // of tests of mbarriers, after which nothing more will happen
constexpr int kInvalidConfiguration = 9, kTooManyResources = 701;

u32 seed() {
    static const char* text = getenv("EMULATOR_SEED");
    return text ? u32(atoi(text)) : 0;
}

// One block at a time, with everything that blocks of the grid use again.
class Runner {
   public:
    Runner(const Kernel& kernel, Dimensions grid, Dimensions size, const u8* parameters,
           u32 dynamic_shared_bytes)
        : threads_(size.x * size.y * size.z), local_(size_t(kernel.local_bytes) * threads_.size() + 1) {
        block_.kernel = &kernel;
        block_.grid = grid;
        block_.size = size;
        block_.threads = u32(threads_.size());
        block_.dynamic_shared_bytes = dynamic_shared_bytes;
        block_.shared_bytes = kernel.static_shared_bytes + dynamic_shared_bytes;
        shared_.reset(static_cast<u8*>(aligned_alloc(256, (block_.shared_bytes / 256 + 1) * 256)));
        shared_state_.resize(block_.shared_bytes + 1);
        block_.shared = shared_.get();
        block_.shared_bytes_state = shared_state_.data();
        block_.all_threads = threads_.data();
        while (fibers().size() < threads_.size()) fibers().push_back(std::make_unique<Fiber>());
        for (u32 i = 0; i < block_.threads; ++i) {
            Thread& t = threads_[i];
            t.index = i;
            t.warp = i / kWarpSize;
            t.lane = i % kWarpSize;
            t.x = i % size.x;
            t.y = i / size.x % size.y;
            t.z = i / size.x / size.y;
            t.block = &block_;
            t.parameters = parameters;
            t.local = local_.data() + size_t(kernel.local_bytes) * i;
        }
    }

    // Returns false after an error with which the launch ends.
    bool run(Dimensions index, u32 serial, u32 first_serial) {
        block_.index = index;
        block_.serial = serial;
        block_.first_serial = first_serial;
        block_.stopped = false;
        block_.mbarriers.clear();
        block_.mbarriers_made = 0;
        for (NamedBarrier& barrier : block_.named_barriers) barrier = {};
        block_.warpgroups.assign((block_.warps() + 3) / 4, {});
        block_.warp_products.assign(block_.warps(), {});
        block_.product_reads.clear();
        clear_shared(block_);
        memset(local_.data(), 0xff, local_.size());
        for (u32 i = 0; i < block_.threads; ++i) start(threads_[i]);
        std::vector<u32> order(block_.warps());
        std::iota(order.begin(), order.end(), 0);
        shuffle(order);
        u32 fruitless = 0;
        for (bool awoken = false;;) {
            const u64 events = block_.events;
            bool progress = false;
            for (u32 warp : order) progress = run_warp(warp) || progress;
            if (block_.stopped) return false;
            if (count(State::finished) == block_.threads) break;
            progress = open_barrier() || progress;
            fruitless = block_.events == events ? fruitless + awoken : 0;
            awoken = false;
            if (progress && fruitless < kFruitlessRounds) continue;
            awoken = fruitless < kFruitlessRounds && let_tests_fail();
            if (!awoken) {
                report_deadlock();
                return false;
            }
        }
        check_mbarriers_at_end(block_);
        check_products_at_end(block_);
        check_registers_at_end(block_);
        return true;
    }

   private:
    // Their stacks serve all launches.
    static std::vector<std::unique_ptr<Fiber>>& fibers() {
        static std::vector<std::unique_ptr<Fiber>> all;
        return all;
    }

    void start(Thread& t) {
        t.state = State::running;
        t.barriers = t.time = 1;
        t.seen.assign(block_.actors(), 0);
        t.copy_groups.clear();
        t.open_copies.clear();
        t.proxy_fences.clear();
        t.register_fences = t.most_registers = 0;
        t.products.clear();
        t.accumulators.clear();
        fibers()[t.index]->start(
            [](void* thread) {
                Thread& self = *static_cast<Thread*>(thread);
                self.block->kernel->run(self);
                self.state = State::finished;
            },
            &t);
    }

    void shuffle(std::vector<u32>& order) const {
        if (!seed()) return;
        u32 random = seed() * 2654435761u + block_.serial;
        for (size_t i = order.size(); i-- > 1;) {
            random = random * 1664525u + 1013904223u;
            std::swap(order[i], order[(random >> 8) % (i + 1)]);
        }
    }

    u32 count(State state) const {
        u32 n = 0;
        for (const Thread& t : threads_) n += t.state == state;
        return n;
    }

    // Runs the threads of a warp until all wait for others or have finished; whether any could run.
    bool run_warp(u32 warp) {
        Thread* lanes = &threads_[warp * kWarpSize];
        const u32 lane_count = std::min(kWarpSize, block_.threads - warp * kWarpSize);
        bool progress = false;
        for (bool again = true; again && !block_.stopped;) {
            again = false;
            for (u32 i = 0; i < lane_count && !block_.stopped; ++i) {
                if (lanes[i].state == State::at_mbarrier && mbarrier_passed(lanes[i]))
                    lanes[i].state = State::running;
                if (lanes[i].state == State::running) {
                    fibers()[lanes[i].index]->resume();
                    progress = true;
                }
            }
            for (u32 i = 0; i < lane_count && !block_.stopped; ++i)
                if (lanes[i].state == State::in_warp_operation && run_operation(lanes, lane_count, i))
                    again = progress = true;
        }
        return progress;
    }

    // Runs what lane `first` waits for, if all lanes of its mask have come.
    bool run_operation(Thread* lanes, u32 lane_count, u32 first) {
        Thread& t = lanes[first];
        const WarpOperation& operation = t.operation;
        const u32 existing = lane_count == kWarpSize ? ~0u : (1u << lane_count) - 1;
        u32 members = 0;
        for (u32 i = 0; i < lane_count; ++i) {
            if (!(operation.mask >> i & 1) || lanes[i].state == State::finished) continue;
            const bool here = lanes[i].state == State::in_warp_operation &&
                              lanes[i].operation.run == operation.run &&
                              lanes[i].operation.mask == operation.mask;
            if (!here) return false;
            members |= 1u << i;
        }
        const u32 wanted = operation.aligned ? ~0u : operation.mask & existing;
        if (members != wanted && !operation.orders) {
            report(t, t.site, "warp operation", "lanes %#x of %#x do not exist or have finished",
                   wanted & ~members, wanted);
            block_.stopped = true;
            return false;
        }
        for (u32 i = 0; operation.aligned && i < lane_count; ++i)
            if (lanes[i].site != t.site) {
                report(t, t.site, "divergence",
                       "one warp runs this at several places, which must be one");
                break;
            }
        const Warp warp = {lanes, members};
        for (u32 i = 0; i < lane_count; ++i)
            if (warp.has(i)) operation.run(warp, lanes[i]);
        for (u32 i = 0; i < lane_count; ++i)
            if (warp.has(i)) lanes[i].state = State::running;
        return true;
    }

    // Lets the threads go on once all wait at the barrier.
    bool open_barrier() {
        const u32 finished = count(State::finished), waiting = count(State::at_barrier);
        if (waiting == 0 || waiting + finished < block_.threads) return false;
        u32 sum = 0;
        const Thread* last = nullptr;
        Clock others;  // what is known of warps' products and mbarriers
        for (Thread& t : threads_) {
            if (t.state != State::at_barrier) continue;
            others.resize(t.seen.size() - block_.threads);
            for (size_t i = 0; i < others.size(); ++i)
                others[i] = std::max(others[i], t.seen[block_.threads + i]);
            if (finished && !last)
                report(t, t.site, "barrier", "%u of %u threads reach it, the others have finished",
                       waiting, block_.threads);
            if (last && last->site != t.site)
                report(t, t.site, "barrier", "others wait at another one, in line %d",
                       block_.kernel->sites[last->site].line);
            last = &t;
            sum += t.barrier_value;
        }
        for (Thread& t : threads_) {
            if (t.state != State::at_barrier) continue;
            t.state = State::running;
            ++t.barriers;
            std::copy(others.begin(), others.end(), t.seen.begin() + block_.threads);
            if (t.barrier_sum == BarrierSum::count) t.barrier_value = sum;
            if (t.barrier_sum == BarrierSum::all) t.barrier_value = sum == waiting;
            if (t.barrier_sum == BarrierSum::any) t.barrier_value = sum > 0;
        }
        return true;
    }

    // A test of an mbarrier may also fail. Returns whether there was one.
    bool let_tests_fail() {
        bool any = false;
        for (Thread& t : threads_)
            if (t.state == State::at_mbarrier) {
                t.state = State::running;
                any = true;
            }
        return any;
    }

    static const char* name_of(State state) {
        switch (state) {
            case State::at_barrier: return "at a barrier";
            case State::at_named_barrier: return "at a barrier of some threads";
            case State::at_mbarrier: return "at an mbarrier";
            default: return "for others of their warp";
        }
    }

    // What an mbarrier waits for, and which one it is.
    std::string lacking(const Thread& t) const {
        const auto found = block_.mbarriers.find(t.mbarrier);
        if (t.state != State::at_mbarrier || found == block_.mbarriers.end()) return "";
        const Mbarrier& m = found->second;
        u64 under_way = 0;
        for (const BulkCopy& copy : m.copies) under_way += copy.bytes();
        return " whose phase " + std::to_string(m.phase) + " lacks " + std::to_string(m.pending) +
               " of " + std::to_string(m.count) + " arrivals, and expects " +
               std::to_string(m.transactions) + " bytes of which " + std::to_string(under_way) +
               " are under way: " + place_in_shared(t.mbarrier);
    }

    std::string place_in_shared(u32 offset) const {
        const auto byte_of = [&](u32 start, const char* name) {
            return "byte " + std::to_string(offset - start) + " of " + name;
        };
        for (const SharedVariable& variable : block_.kernel->shared)
            if (offset - variable.offset < variable.bytes)
                return byte_of(variable.offset, variable.name);
        return byte_of(block_.kernel->static_shared_bytes, "dynamic shared memory");
    }

    void report_deadlock() const {
        std::map<std::tuple<int, State, u32>, std::vector<const Thread*>> places;
        for (const Thread& t : threads_) {
            const u32 mbarrier = t.state == State::at_mbarrier ? t.mbarrier : 0;
            if (t.state != State::finished) places[{t.site, t.state, mbarrier}].push_back(&t);
        }
        for (const auto& [place, waiting] : places)
            report(*waiting[0], std::get<int>(place), "deadlock",
                   "%zu threads wait here for ever, %s%s", waiting.size(),
                   name_of(std::get<State>(place)), lacking(*waiting[0]).c_str());
    }

    struct Free {
        void operator()(u8* p) const { free(p); }
    };

    Block block_{};
    std::vector<Thread> threads_;
    std::vector<u8> local_;
    std::unique_ptr<u8, Free> shared_;
    std::vector<SharedByte> shared_state_;
};

}  // namespace

int run_grid(const Kernel& kernel, Dimensions grid, Dimensions block, void** arguments,
             u64 shared_bytes) {
    const u64 threads = u64(block.x) * block.y * block.z;
    if (threads == 0 || threads > kMostThreads || block.z > 64 || grid.x == 0 || grid.y == 0 ||
        grid.z == 0 || grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff)
        return kInvalidConfiguration;
    if (kernel.most_threads && threads > kernel.most_threads) return kTooManyResources;
    std::vector<u8> parameters(kernel.parameter_bytes + 1);
    for (size_t i = 0; i < kernel.parameters.size(); ++i)
        memcpy(&parameters[kernel.parameters[i].offset], arguments[i], kernel.parameters[i].bytes);

    static u32 next_serial = 1;
    const u32 blocks = grid.x * grid.y * grid.z, first_serial = next_serial;
    next_serial += blocks;
    Runner runner(kernel, grid, block, parameters.data(), u32(shared_bytes));
    for (u32 i = 0; i < blocks; ++i) {
        const u32 at = seed() % 2 ? blocks - 1 - i : i;
        const Dimensions index = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
        if (!runner.run(index, first_serial + i, first_serial)) break;
    }
    return 0;
}

}  // namespace emulator
