// Copies and products beside the threads of a block: see async_on_cpu.h.
#include "async_on_cpu.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace cuda_on_cpu {
namespace {

constexpr uint32_t kPiece = 16, kLine = 128;  // bytes

// Where a byte of lines of 128 lies, whose pieces are exchanged.
uint32_t exchanged(uint32_t address) {
    return address ^ (address / kLine % 8 * kPiece);
}

// visit(address in shared memory, number or null) for each number of a copy's box.
template <class Visit>
void for_each_number(uint32_t to, const Tensor& tensor, const int* at, const Visit& visit) {
    int64_t count = 1;
    for (int i = 0; i < tensor.rank; ++i) count *= tensor.box[i];
    for (int64_t n = 0; n < count; ++n) {
        int64_t left = n, offset = 0;
        bool is_inside = true;
        for (int i = 0; i < tensor.rank; ++i) {
            const int64_t x = at[i] + left % tensor.box[i];
            left /= tensor.box[i];
            is_inside = is_inside && x >= 0 && x < tensor.sizes[i];
            offset += x * tensor.steps[i];
        }
        visit(exchanged(to + uint32_t(n) * 2), is_inside ? tensor.data + offset : nullptr);
    }
}

int64_t bytes_of(const Tensor& tensor) {
    int64_t bytes = 2;
    for (int i = 0; i < tensor.rank; ++i) bytes *= tensor.box[i];
    return bytes;
}

float from_bf16(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float x;
    std::memcpy(&x, &wide, 4);
    return x;
}

// An operand as its descriptor tells: wgmma.h.
struct Operand {
    uint32_t begin, blocks, eight_lines;
    bool is_mn;

    Operand(uint64_t d, bool is_mn) : is_mn(is_mn) {
        auto field = [&](int bit) { return uint32_t(d >> bit & 0x3FFF) * 16; };
        begin = field(0);
        blocks = field(16);
        eight_lines = field(32);
        constexpr uint64_t kKnown = 0x3FFFull | 0x3FFFull << 16 | 0x3FFFull << 32 | 3ull << 62;
        if (d >> 62 != 1 || d & ~kKnown)
            throw Misuse("multiplies with a descriptor that is not of lines of 128 bytes");
    }
    float operator()(const SharedMemory& shared, int line, int k) const {
        const auto along = uint32_t(is_mn ? k : line), across = uint32_t(is_mn ? line : k);
        const uint32_t address = begin + along / 8 * eight_lines + along % 8 * kLine +
                                 across / 64 * blocks + across % 64 * 2;
        uint16_t bits;
        std::memcpy(&bits, shared.at(exchanged(address), "a product's operand"), 2);
        return from_bf16(bits);
    }
};

// This thread's share of C += A B.
void multiply(float* sums, const Product& p, const SharedMemory& shared, unsigned thread) {
    constexpr int kDepth = 16;
    const int lane = int(thread % 32), row = int(thread / 32 % 4) * 16 + lane / 4;
    const Operand a(p.a, p.a_is_mn), b(p.b, p.b_is_mn);
    float of_a[2][kDepth];
    for (int r = 0; r < 2; ++r)
        for (int k = 0; k < kDepth; ++k) of_a[r][k] = a(shared, row + 8 * r, k);
    for (int i = 0; i < p.columns / 4; ++i) {
        const int column = i / 2 * 8 + lane % 4 * 2 + i % 2;
        float *upper = sums + i / 2 * 4 + i % 2, *lower = upper + 2;
        for (int k = 0; k < kDepth; ++k) {
            const float of_b = b(shared, column, k);
            *upper += of_a[0][k] * of_b;
            *lower += of_a[1][k] * of_b;
        }
    }
}

}  // namespace

char* SharedMemory::at(uint32_t address, const char* what) const {
    if (address + 2 > bytes) throw Misuse(std::string(what) + " lies outside of shared memory");
    return begin + address;
}

Mbarriers::Mbarrier& Mbarriers::of(const void* barrier) {
    const auto found = all_.find(barrier);
    if (found == all_.end()) throw Misuse("uses an mbarrier that nobody has initialised");
    return found->second;
}

bool Mbarriers::Mbarrier::complete() {
    if (pending || bytes) return false;
    pending = arrivals;
    ++phase;
    return true;
}

void Mbarriers::init(const void* barrier, int arrivals) {
    if (arrivals < 1) throw Misuse("initialises an mbarrier with no arrivals");
    all_[barrier] = {arrivals, arrivals, 0, 0, {}};
}

void Mbarriers::arrive(const void* barrier, int bytes) {
    Mbarrier& own = of(barrier);
    if (!own.pending) throw Misuse("arrives at an mbarrier more often than a phase takes");
    own.bytes += bytes;
    --own.pending;
    own.complete();
}

bool Mbarriers::is_over(const void* barrier, int parity) {
    return of(barrier).phase % 2 != parity;
}

std::string Mbarriers::lacking(const void* barrier) {
    const Mbarrier& own = of(barrier);
    return std::to_string(own.pending) + " of " + std::to_string(own.arrivals) + " arrivals and " +
           std::to_string(own.bytes) + " bytes";
}

bool Mbarriers::receive(const SharedMemory& shared, const void* barrier) {
    Mbarrier& own = of(barrier);
    if (own.copies.empty()) return false;
    for (const Copy& copy : own.copies) {
        for_each_number(copy.to, copy.from, copy.at, [&](uint32_t to, const uint16_t* from) {
            const uint16_t value = from ? *from : 0;
            std::memcpy(shared.at(to, "a copy"), &value, 2);
        });
        own.bytes -= bytes_of(copy.from);
    }
    own.copies.clear();
    return own.complete();
}

void Mbarriers::copy(const SharedMemory& shared, const void* barrier, uint32_t to, const Tensor& from,
                     const int* at) {
    Mbarrier& own = of(barrier);
    if (to % kLine) throw Misuse("copies a box to a place that is no multiple of 128 bytes");
    Copy copy = {to, from, {}};
    std::copy(at, at + from.rank, copy.at);
    for_each_number(to, from, at, [&](uint32_t place, const uint16_t*) {
        std::memset(shared.at(place, "a copy"), 0xFF, 2);  // NaN: on its way
    });
    own.copies.push_back(copy);
}

void Products::clear() {
    is_fenced_ = false;
    waiting_.clear();
    ends_.clear();
    sums_.clear();
}

void Products::multiply(const Product& product) {
    if (!is_fenced_) throw Misuse("multiplies without fence_registers() before");
    waiting_.push_back(product);
    float *begin = product.sums, *end = begin + product.columns / 2;
    if (std::any_of(sums_.begin(), sums_.end(), [&](const Sums& s) { return s.place == begin; }))
        return;
    sums_.push_back({begin, std::vector<float>(begin, end)});
    std::memset(begin, 0xFF, size_t(end - begin) * sizeof(float));  // NaN: in flight
}

void Products::wait(const SharedMemory& shared, unsigned thread, int groups) {
    if (ends_.size() <= size_t(groups)) return;
    const size_t done = ends_.size() - size_t(groups), count = ends_[done - 1];
    for (size_t i = 0; i < count; ++i)
        for (Sums& s : sums_)
            if (s.place == waiting_[i].sums)
                cuda_on_cpu::multiply(s.values.data(), waiting_[i], shared, thread);
    waiting_.erase(waiting_.begin(), waiting_.begin() + ptrdiff_t(count));
    ends_.erase(ends_.begin(), ends_.begin() + ptrdiff_t(done));
    for (size_t& end : ends_) end -= count;
    for (size_t i = sums_.size(); i-- > 0;) {
        const Sums& s = sums_[i];
        if (std::any_of(waiting_.begin(), waiting_.end(),
                        [&](const Product& p) { return p.sums == s.place; }))
            continue;
        std::copy(s.values.begin(), s.values.end(), s.place);
        sums_.erase(sums_.begin() + ptrdiff_t(i));
        is_fenced_ = false;  // they may change now
    }
}

}  // namespace cuda_on_cpu
