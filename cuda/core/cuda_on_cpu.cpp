// Blocks over cores, the threads of a block as fibers: see cuda_on_cpu.h.
#include "cuda_on_cpu.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "async_on_cpu.h"
#include "core_share.h"
#include "error.h"
#include "fiber.h"
#include "platform.h"

namespace cuda_on_cpu {

__thread Coordinates coordinates;

Execution& execution() {
    static Execution settings;
    return settings;
}

int& core_share() {
    static thread_local int share = 0;
    return share;
}

int core_count() {
    if (core_share() > 0) return core_share();
    const int wanted = execution().threads;
    return wanted > 0 ? wanted : omp_get_max_threads();
}

namespace {

dim3 extent(uint3 d) {
    return {d.x, d.y, d.z};
}

std::string text(dim3 d) {
    return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

uint64_t volume(dim3 d) {
    return uint64_t(d.x) * d.y * d.z;
}

uint3 position(uint64_t flat, dim3 extent) {
    return {unsigned(flat % extent.x), unsigned(flat / extent.x % extent.y),
            unsigned(flat / extent.x / extent.y)};
}

// The i-th of n in the order that tests ask for. Shuffled: a bijection, i -> (a i + b) mod n.
class Ordering {
   public:
    Ordering(uint64_t n, uint64_t salt) : n_(n), order_(execution().order) {
        if (order_ != Order::shuffled) return;
        uint64_t x = (execution().seed + salt + 1) * 0x9E3779B97F4A7C15ull;
        x ^= x >> 29;
        offset_ = (x >> 8) % n;
        stride_ = (x >> 20) % n | 1;
        while (std::gcd(stride_, n) != 1) stride_ += 2;
    }
    uint64_t operator()(uint64_t i) const {
        switch (order_) {
            case Order::forward: return i;
            case Order::reverse: return n_ - 1 - i;
            case Order::shuffled: return (i % n_ * (stride_ % n_) + offset_) % n_;
        }
        return i;
    }

   private:
    uint64_t n_, offset_ = 0, stride_ = 1;
    Order order_;
};

// What one core keeps between blocks: fibers with their stacks, and the shared memory.
class Core {
   public:
    void run_block(const Launch& launch, const std::function<void()>& thread, uint64_t block);

    void wait_for_block(const char* file, int line);
    void wait_for_warp();
    uint32_t exchange(uint32_t value, int source_lane);
    void show_warp(const void* own, const void* (&of_lane)[32]);
    void copy_async(void* to, const void* from, int bytes);
    void commit_copies();
    void wait_for_copies(int groups);
    void* shared() { return shared_; }
    uint32_t shared_address(const void* p) const;
    Mbarriers& mbarriers();
    void wait_for_mbarrier(const void* barrier, int parity);
    void copy_box(void* to, const Tensor& from, const void* barrier, const int* at);
    Products& products();
    void wait_for_products(int groups);

   private:
    enum class State { ready, at_barrier, at_warp, at_mbarrier, finished };
    struct Thread {
        State state;
        const char* file;
        int line;
        uint32_t slot;         // what this lane shows its warp
        const void* shown;     // or something longer of its own
        const void* mbarrier;  // that it waits for
        int parity;
    };
    struct Copy {
        void* to;
        const void* from;
        int bytes;
    };
    struct Copies {  // of one thread, under way
        std::vector<Copy> copies;
        std::vector<size_t> group_ends;
    };

    void check_barriers(const char* does) const;
    void prepare_shared(size_t bytes);
    void run_plain(const std::function<void()>& thread, uint64_t block, unsigned n);
    void run_fibers(const std::function<void()>& thread, uint64_t block, unsigned n);
    void resume_if_ready(unsigned thread);
    bool release_warp(unsigned first, unsigned lanes);
    bool release_block();
    bool release_mbarriers();
    SharedMemory shared_memory() const;
    static void fiber_entry(void* core);

    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<Thread> threads_;
    std::vector<Copies> copies_;
    std::vector<Products> products_;
    Mbarriers mbarriers_;
    const std::function<void()>* body_ = nullptr;
    std::exception_ptr failure_;
    unsigned current_ = 0;
    bool barriers_ = false;
    const Launch* launch_ = nullptr;
    std::unique_ptr<char[]> storage_;
    size_t capacity_ = 0;
    void* shared_ = nullptr;
};

Core& core() {
    static thread_local Core instance;
    return instance;
}

void Core::prepare_shared(size_t bytes) {
    constexpr size_t kUnit = 1024;  // of what copies of boxes exchange; whole lines of the cache
    if (bytes > capacity_) {
        storage_.reset(new char[bytes + kUnit]);
        capacity_ = bytes;
        const auto address = reinterpret_cast<uintptr_t>(storage_.get());
        shared_ = reinterpret_cast<void*>((address + kUnit - 1) / kUnit * kUnit);
    }
    if (execution().poison_shared && bytes) std::memset(shared_, 0xFF, bytes);
}

void Core::run_block(const Launch& launch, const std::function<void()>& thread, uint64_t block) {
    prepare_shared(launch.shared_bytes);
    launch_ = &launch;
    coordinates.block = position(block, launch.grid);
    coordinates.block_dim = {launch.block.x, launch.block.y, launch.block.z};
    coordinates.grid_dim = {launch.grid.x, launch.grid.y, launch.grid.z};
    const auto n = unsigned(volume(launch.block));
    barriers_ = launch.barriers && n > 1;
    if (barriers_)
        run_fibers(thread, block, n);
    else
        run_plain(thread, block, n);
}

void Core::run_plain(const std::function<void()>& thread, uint64_t block, unsigned n) {
    const Ordering order(n, block + 1);
    for (unsigned i = 0; i < n; ++i) {
        coordinates.thread = position(order(i), extent(coordinates.block_dim));
        thread();
    }
}

void Core::fiber_entry(void* self) {
    Core& core = *static_cast<Core*>(self);
    const unsigned index = core.current_;
    try {
        (*core.body_)();
    } catch (...) {
        core.failure_ = std::current_exception();
    }
    core.threads_[index].state = State::finished;
}

void Core::run_fibers(const std::function<void()>& thread, uint64_t block, unsigned n) {
    while (fibers_.size() < n) fibers_.push_back(std::make_unique<Fiber>());
    threads_.assign(n, {State::ready, nullptr, 0, 0, nullptr, nullptr, 0});
    mbarriers_.clear();
    if (products_.size() < n) products_.resize(n);
    for (Products& own : products_) own.clear();
    if (copies_.size() < n) copies_.resize(n);
    for (Copies& own : copies_) {
        own.copies.clear();
        own.group_ends.clear();
    }
    body_ = &thread;
    failure_ = nullptr;
    for (unsigned i = 0; i < n; ++i) fibers_[i]->start(&Core::fiber_entry, this);
    // Each warp runs as far ahead of the others as it can: to the next barrier of the block.
    const unsigned warps = ceil_div(n, unsigned(warpSize));
    const Ordering warp_order(warps, block + 1), lane_order(warpSize, block + 1);
    do {
        for (unsigned w = 0; w < warps; ++w) {
            const auto first = unsigned(warp_order(w)) * warpSize;
            const unsigned lanes = smaller(unsigned(warpSize), n - first);
            do {
                for (unsigned i = 0; i < warpSize; ++i) {
                    const auto lane = unsigned(lane_order(i));
                    if (lane < lanes) resume_if_ready(first + lane);
                }
            } while (release_warp(first, lanes));
        }
    } while (release_block());
}

void Core::resume_if_ready(unsigned t) {
    if (threads_[t].state != State::ready) return;
    current_ = t;
    coordinates.thread = position(t, launch_->block);
    fibers_[t]->resume();
    if (!failure_) return;
    try {
        std::rethrow_exception(failure_);
    } catch (const Misuse& misuse) {
        throw KernelError(launch_->name + " " + misuse.what());
    }
}

// Lets a warp pass the warp operation that all of its lanes have reached.
bool Core::release_warp(unsigned first, unsigned lanes) {
    const auto begin = threads_.begin() + first, end = begin + lanes;
    if (!std::all_of(begin, end, [](const Thread& t) { return t.state == State::at_warp; }))
        return false;
    for (auto t = begin; t != end; ++t) t->state = State::ready;
    return true;
}

// No thread can go on. Lets those go on whose mbarriers only copies keep waiting, or else the block
// pass the barrier that all of its threads have reached; returns false when all have finished.
bool Core::release_block() {
    if (release_mbarriers()) return true;
    const auto n = unsigned(threads_.size());
    unsigned finished = 0, at_barrier = 0, at_mbarrier = 0;
    const Thread *first = nullptr, *at_one = nullptr;
    bool same_place = true;
    for (const Thread& t : threads_) {
        finished += t.state == State::finished;
        at_mbarrier += t.state == State::at_mbarrier;
        if (t.state == State::at_mbarrier) at_one = &t;
        if (t.state != State::at_barrier) continue;
        ++at_barrier;
        if (!first) first = &t;
        same_place = same_place && t.line == first->line && t.file == first->file;
    }
    if (finished == n) return false;
    if (at_barrier == n && same_place) {
        for (Thread& t : threads_) t.state = State::ready;
        return true;
    }
    if (at_mbarrier)
        throw KernelError(launch_->name + ", block " + text(extent(coordinates.block)) + ": " +
                          std::to_string(at_mbarrier) +
                          " threads wait for mbarriers whose phases never end: the one at byte " +
                          std::to_string(shared_address(at_one->mbarrier)) +
                          " of shared memory lacks " + mbarriers_.lacking(at_one->mbarrier));
    std::string where = first ? std::string(" of ") + first->file + ":" + std::to_string(first->line)
                              : std::string(" of a warp");
    throw KernelError(launch_->name + ", block " + text(extent(coordinates.block)) +
                      ": divergent barrier: " + std::to_string(at_barrier) + " of " +
                      std::to_string(n) + " threads wait at the barrier" + where + ", " +
                      std::to_string(finished) + " have finished" +
                      (same_place ? "" : ", others wait at another barrier"));
}

bool Core::release_mbarriers() {
    bool released = false;
    for (Thread& t : threads_) {
        if (t.state != State::at_mbarrier) continue;
        if (!mbarriers_.is_over(t.mbarrier, t.parity) &&
            !mbarriers_.receive(shared_memory(), t.mbarrier))
            continue;
        t.state = State::ready;
        released = true;
    }
    return released;
}

void Core::wait_for_block(const char* file, int line) {
    if (!barriers_) {
        if (volume(extent(coordinates.block_dim)) == 1) return;
        throw KernelError(launch_->name + " has a barrier (" + file + ":" + std::to_string(line) +
                          ") but was launched without: use launch_with_barriers");
    }
    Thread& self = threads_[current_];
    self.state = State::at_barrier;
    self.file = file;
    self.line = line;
    Fiber::yield();
}

void Core::wait_for_warp() {
    if (!barriers_) {
        if (volume(extent(coordinates.block_dim)) == 1) return;
        throw KernelError(launch_->name + " uses warp operations: use launch_with_barriers");
    }
    threads_[current_].state = State::at_warp;
    Fiber::yield();
}

uint32_t Core::exchange(uint32_t value, int source_lane) {
    if (!barriers_) {  // a block of one thread talks to itself
        wait_for_warp();
        return value;
    }
    const unsigned self = current_;
    threads_[self].slot = value;
    wait_for_warp();
    const unsigned source = self / warpSize * warpSize + unsigned(source_lane);
    const uint32_t result = source < threads_.size() ? threads_[source].slot : ~0u;
    wait_for_warp();  // nobody overwrites a slot before all have read
    return result;
}

void Core::check_barriers(const char* does) const {
    if (!barriers_) throw KernelError(launch_->name + " " + does + ": use launch_with_barriers");
}

void Core::show_warp(const void* own, const void* (&of_lane)[32]) {
    if (!barriers_)
        throw KernelError(launch_->name + " uses warp operations: use launch_with_barriers");
    const unsigned first = current_ / warpSize * warpSize;
    threads_[current_].shown = own;
    wait_for_warp();
    for (unsigned i = 0; i < 32; ++i)
        of_lane[i] = first + i < threads_.size() ? threads_[first + i].shown : nullptr;
}

void Core::copy_async(void* to, const void* from, int bytes) {
    check_barriers("copies beside its work");
    copies_[current_].copies.push_back({to, from, bytes});
    std::memset(to, 0xFF, size_t(bytes));  // NaN: on its way
}

void Core::commit_copies() {
    check_barriers("copies beside its work");
    Copies& own = copies_[current_];
    own.group_ends.push_back(own.copies.size());
}

void Core::wait_for_copies(int groups) {
    check_barriers("copies beside its work");
    auto& [copies, ends] = copies_[current_];
    if (ends.size() <= size_t(groups)) return;
    const size_t arriving = ends.size() - size_t(groups), count = ends[arriving - 1];
    for (size_t c = 0; c < count; ++c) {
        const auto [to, from, bytes] = copies[c];
        if (from)
            std::memcpy(to, from, size_t(bytes));
        else
            std::memset(to, 0, size_t(bytes));
    }
    copies.erase(copies.begin(), copies.begin() + ptrdiff_t(count));
    ends.erase(ends.begin(), ends.begin() + ptrdiff_t(arriving));
    for (size_t& end : ends) end -= count;
}

SharedMemory Core::shared_memory() const {
    return {static_cast<char*>(shared_), launch_->shared_bytes};
}

uint32_t Core::shared_address(const void* p) const {
    return uint32_t(static_cast<const char*>(p) - static_cast<const char*>(shared_));
}

Mbarriers& Core::mbarriers() {
    check_barriers("uses mbarriers");
    return mbarriers_;
}

void Core::wait_for_mbarrier(const void* barrier, int parity) {
    check_barriers("uses mbarriers");
    while (!mbarriers_.is_over(barrier, parity)) {
        Thread& self = threads_[current_];
        self.state = State::at_mbarrier;
        self.mbarrier = barrier;
        self.parity = parity;
        Fiber::yield();
    }
}

void Core::copy_box(void* to, const Tensor& from, const void* barrier, const int* at) {
    check_barriers("copies beside its work");
    mbarriers_.copy(shared_memory(), barrier, shared_address(to), from, at);
}

Products& Core::products() {
    check_barriers("multiplies beside its work");
    return products_[current_];
}

void Core::wait_for_products(int groups) {
    products().wait(shared_memory(), current_, groups);
}

// What a GPU would refuse is refused here. The limits are those of the smallest GPU that the kernel is
// for: sm_75, or from sm_80 on sm_86, whose blocks have less memory than sm_80's, or sm_90. A block of
// one thread is the CPU's own shape, which no GPU is asked to run: its shared memory is a part of the
// core's cache.
void check_limits(const Launch& launch) {
    const size_t most_shared = size_t(launch.capability >= 90   ? 227
                                      : launch.capability >= 80 ? 99
                                                                : 64)
                               << 10;
    auto refuse = [&](const std::string& what) {
        throw KernelError(launch.name + ": cannot launch grid " + text(launch.grid) + ", block " +
                          text(launch.block) + ", " + std::to_string(launch.shared_bytes) +
                          " bytes of shared memory: " + what);
    };
    const uint64_t threads = volume(launch.block);
    if (!volume(launch.grid) || !threads) refuse("it has no blocks or no threads");
    if (launch.grid.x > 0x7FFFFFFFu || launch.grid.y > 65535 || launch.grid.z > 65535)
        refuse("a grid has at most (2147483647, 65535, 65535) blocks");
    if (threads > 1024 || launch.block.z > 64) refuse("a block has at most 1024 threads, 64 in z");
    if (threads > 1 && launch.shared_bytes > most_shared)
        refuse("a block has at most " + std::to_string(most_shared) + " bytes of shared memory");
}

// Keeps each worker on a core of its own, counted from the caller's. Woken for microseconds at a time,
// threads otherwise gather on the core that wakes them and take turns. The caller's thread stays free;
// where the system has moved it to a worker's core, the workers move on. All are free where a process
// uses a part of the cores: another may use the same part.
class Places {
   public:
    // By the caller, before its workers start.
    void look() {
#ifdef __linux__
        static std::atomic<unsigned> changes{0};
        cpu_set_t allowed;
        if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) CPU_ZERO(&allowed);
        const int core = sched_getcpu(), wanted = core_count();
        if (core == callers_ && wanted == wanted_ && CPU_EQUAL(&allowed, &allowed_)) return;
        callers_ = core;
        wanted_ = wanted;
        allowed_ = allowed;
        change_ = ++changes;
#endif
    }
    void take([[maybe_unused]] int worker) const {
#ifdef __linux__
        static thread_local unsigned taken = 0;
        if (worker == 0 || taken == change_ || !CPU_COUNT(&allowed_)) return;
        taken = change_;
        cpu_set_t own = allowed_;
        if (wanted_ == CPU_COUNT(&allowed_) && callers_ >= 0 && CPU_ISSET(callers_, &allowed_)) {
            int core = callers_;
            for (int left = worker; left > 0; left -= CPU_ISSET(core, &allowed_) ? 1 : 0)
                core = (core + 1) % CPU_SETSIZE;
            CPU_ZERO(&own);
            CPU_SET(core, &own);
        }
        sched_setaffinity(0, sizeof own, &own);
#endif
    }

#ifdef __linux__
   private:
    int callers_ = -1, wanted_ = 0;
    unsigned change_ = 0;
    cpu_set_t allowed_ = {};
#endif
};

// The blocks of a grid, shared out: each core has a run of them, whose data lie side by side and which
// it had the last time too, and helps the next cores when it is done.
class Shares {
   public:
    Shares(int64_t blocks, int cores) : shares_(size_t(cores)), step_(blocks / (cores * 32) + 1) {
        for (int i = 0; i < cores; ++i) {
            shares_[size_t(i)].next = blocks * i / cores;
            shares_[size_t(i)].end = blocks * (i + 1) / cores;
        }
    }
    // Calls run(block) until none are left.
    template <class Run>
    void work(int core, const Run& run) {
        for (size_t i = 0; i < shares_.size(); ++i) {
            Share& share = shares_[(size_t(core) + i) % shares_.size()];
            for (;;) {
                const int64_t begin = share.next.fetch_add(step_, std::memory_order_relaxed);
                if (begin >= share.end) break;
                for (int64_t block = begin; block < smaller(begin + step_, share.end); ++block)
                    run(block);
            }
        }
    }

   private:
    struct alignas(64) Share {  // on a cache line of its own
        std::atomic<int64_t> next;
        int64_t end;
    };
    std::vector<Share> shares_;
    int64_t step_;
};

}  // namespace

void run_grid(const Launch& launch, const std::function<void()>& thread) {
    check_limits(launch);
    const auto blocks = int64_t(volume(launch.grid));
    const Ordering order(uint64_t(blocks), 0);
    const int cores = int(smaller(blocks, int64_t(core_count())));
    Shares shares(blocks, cores);
    std::exception_ptr failure;
    std::mutex mutex;
    std::atomic<bool> failed{false};
    static thread_local Places places;
    places.look();
    const Places& of_caller = places;  // a worker's own `places` are others
#pragma omp parallel num_threads(cores)
    {
        of_caller.take(omp_get_thread_num());
        shares.work(omp_get_thread_num(), [&](int64_t block) {
            if (failed.load(std::memory_order_relaxed)) return;
            try {
                core().run_block(launch, thread, order(uint64_t(block)));
            } catch (...) {
                std::lock_guard<std::mutex> lock(mutex);
                if (!failed.exchange(true)) failure = std::current_exception();
            }
        });
    }
    if (failure) std::rethrow_exception(failure);
}

void sync_threads(const char* file, int line) {
    core().wait_for_block(file, line);
}
void sync_warp() {
    core().wait_for_warp();
}
uint32_t warp_exchange(uint32_t value, int source_lane) {
    return core().exchange(value, source_lane);
}
void show_warp(const void* own, const void* (&of_lane)[32]) {
    core().show_warp(own, of_lane);
}
void copy_async(void* to, const void* from, int bytes) {
    core().copy_async(to, from, bytes);
}
void commit_copies() {
    core().commit_copies();
}
void wait_for_copies(int groups) {
    core().wait_for_copies(groups);
}
void* shared_memory() {
    return core().shared();
}
uint32_t shared_address(const void* p) {
    return core().shared_address(p);
}
void mbarrier_init(const void* barrier, int arrivals) {
    core().mbarriers().init(barrier, arrivals);
}
void mbarrier_arrive(const void* barrier, int bytes) {
    core().mbarriers().arrive(barrier, bytes);
}
void mbarrier_wait(const void* barrier, int parity) {
    core().wait_for_mbarrier(barrier, parity);
}
void copy_box(void* to, const Tensor& from, const void* barrier, const int* at, int rank) {
    if (rank != from.rank) throw Misuse("copies a box with coordinates of another rank");
    core().copy_box(to, from, barrier, at);
}
void multiply_async(const Product& product) {
    core().products().multiply(product);
}
void fence_registers() {
    core().products().fence();
}
void commit_products() {
    core().products().commit();
}
void wait_for_products(int groups) {
    core().wait_for_products(groups);
}

}  // namespace cuda_on_cpu
