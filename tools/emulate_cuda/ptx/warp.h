// What the lanes of a warp do together: synchronise, shuffle, vote, reduce, load and multiply matrices.
//
// An operation is a struct with Input and Output, of one lane each, and run(), which makes a lane's
// output of all inputs once every lane of the mask has come (join).
#pragma once

#include <algorithm>

#include "arithmetic.h"
#include "machine.h"
#include "memory.h"

namespace emulator {

struct Warp {
    Thread* lanes;
    u32 members;  // the lanes that take part, a bit each

    bool has(u32 lane) const { return members >> lane & 1; }
    bool is_first(const Thread& t) const { return u32(__builtin_ctz(members)) == t.lane; }
    template <class Operation>
    const typename Operation::Input& input(u32 lane) const {
        return *static_cast<const typename Operation::Input*>(lanes[lane].operation.input);
    }
};

// Waits for the lanes of the mask and returns the thread's own output.
template <class Operation>
typename Operation::Output join(Thread& t, u32 mask, int site,
                                const typename Operation::Input& input = {}) {
    typename Operation::Output output{};
    auto run = [](const Warp& warp, Thread& lane) {
        *static_cast<typename Operation::Output*>(lane.operation.output) = Operation::run(warp, lane);
    };
    join_warp_operation(t, {run, Operation::aligned, Operation::orders, mask, &input, &output}, site);
    return output;
}

struct OrdinaryOperation {
    static constexpr bool aligned = false, orders = false;
};

struct AlignedOperation {
    static constexpr bool aligned = true, orders = false;
};

// __syncwarp
struct SyncWarp {
    static constexpr bool aligned = false, orders = true;
    struct Input {};
    struct Output {};

    static Output run(const Warp& warp, Thread& t) {
        if (!warp.is_first(t)) return {};
        std::vector<Thread*> members;
        for (u32 lane = 0; lane < kWarpSize; ++lane)
            if (warp.has(lane)) members.push_back(&warp.lanes[lane]);
        synchronise(members);
        return {};
    }
};

// shfl.sync, as the PTX manual computes its source lane.
struct Shuffle : OrdinaryOperation {
    enum Mode { up, down, bfly, idx };
    struct Input {
        Mode mode;
        u32 value, distance, bounds;
    };
    struct Output {
        u32 value;
        bool inside;
    };

    static Output run(const Warp& warp, Thread& t) {
        const Input& in = warp.input<Shuffle>(t.lane);
        const int lane = int(t.lane), distance = int(in.distance & 31);
        const int clamp = int(in.bounds & 31), segment = int(in.bounds >> 8 & 31);
        const int last = (lane & segment) | (clamp & ~segment), first = lane & segment;
        int source = lane;
        if (in.mode == up) source = lane - distance;
        if (in.mode == down) source = lane + distance;
        if (in.mode == bfly) source = lane ^ distance;
        if (in.mode == idx) source = first | (distance & ~segment);
        const bool inside = in.mode == up ? source >= last : source <= last;
        if (!inside) source = lane;
        if (!warp.has(u32(source))) {
            report(t, t.site, "shuffle", "lane %d reads lane %d, which does not take part", lane,
                   source);
            return {kNotANumber, inside};
        }
        return {warp.input<Shuffle>(u32(source)).value, inside};
    }
};

struct Vote : OrdinaryOperation {
    enum Mode { all, any, uni, ballot };
    struct Input {
        Mode mode;
        bool predicate;
    };
    using Output = u32;

    static Output run(const Warp& warp, Thread& t) {
        u32 ballots = 0;
        for (u32 lane = 0; lane < kWarpSize; ++lane)
            if (warp.has(lane) && warp.input<Vote>(lane).predicate) ballots |= 1u << lane;
        switch (warp.input<Vote>(t.lane).mode) {
            case all: return ballots == warp.members;
            case any: return ballots != 0;
            case uni: return ballots == warp.members || ballots == 0;
            default: return ballots;
        }
    }
};

// elect.sync: the lane that is elected, always the same one of a mask.
struct Elect : OrdinaryOperation {
    struct Input {};
    using Output = u32;

    static Output run(const Warp& warp, Thread&) { return u32(__builtin_ctz(warp.members)); }
};

// redux.sync: Combine::apply over the lanes.
template <class Combine>
struct Reduce : OrdinaryOperation {
    using Input = u32;
    using Output = u32;

    static Output run(const Warp& warp, Thread& t) {
        u32 result = warp.input<Reduce>(t.lane);
        for (u32 lane = 0; lane < kWarpSize; ++lane)
            if (warp.has(lane) && lane != t.lane)
                result = Combine::apply(result, warp.input<Reduce>(lane));
        return result;
    }
};

template <class T>
struct Add {
    static u32 apply(u32 x, u32 y) { return x + y; }
};
template <class T>
struct Min {
    static u32 apply(u32 x, u32 y) { return u32(std::min(T(x), T(y))); }
};
template <class T>
struct Max {
    static u32 apply(u32 x, u32 y) { return u32(std::max(T(x), T(y))); }
};
template <class T>
struct And {
    static u32 apply(u32 x, u32 y) { return x & y; }
};
template <class T>
struct Or {
    static u32 apply(u32 x, u32 y) { return x | y; }
};
template <class T>
struct Xor {
    static u32 apply(u32 x, u32 y) { return x ^ y; }
};

// mma.sync: D, 16 x 8, is A, 16 x depth, times B, depth x 8, plus C. Products are exact in double, and
// so are their sums but for the last bits: a GPU's are rounded otherwise.
template <class Format>
struct Multiply : AlignedOperation {
    struct Input {
        u32 a[4], b[2];
        f32 c[4];
    };
    struct Output {
        f32 d[4];
    };

    static Output run(const Warp& warp, Thread& t) {
        const Input& own = warp.input<Multiply>(t.lane);
        Format::check(t, own);
        Output out;
        for (u32 i = 0; i < 4; ++i) {
            const u32 row = t.lane / 4 + i / 2 * 8, column = t.lane % 4 * 2 + i % 2;
            f64 sum = own.c[i];
            for (u32 k = 0; k < Format::depth; ++k) {
                const u32 lane = k % Format::per_slice / Format::per_register,
                          slice = k / Format::per_slice;
                const u32 a = warp.input<Multiply>(row % 8 * 4 + lane).a[row / 8 + 2 * slice];
                const u32 b = warp.input<Multiply>(column * 4 + lane).b[slice];
                sum += f64(Format::value(a, k)) * f64(Format::value(b, k));
            }
            out.d[i] = f32(sum);
        }
        return out;
    }
};

// m16n8k8: a register holds one value, whose low 13 bits the tensor core ignores.
struct Tf32 {
    static constexpr u32 depth = 8, per_register = 1, per_slice = 4;

    static f32 value(u32 bits, u32) { return bits_as<f32>(bits & 0xffffe000u); }
    static void check(Thread& t, const Multiply<Tf32>::Input& in) {
        u32 all = 0;
        for (u32 bits : in.a) all |= bits;
        for (u32 bits : in.b) all |= bits;
        if (all & 0x1fffu)
            report(t, t.site, "mma",
                   "an operand has bits below TF32; round it with cvt.rna.tf32 first");
    }
};

// m16n8k16: a register holds two neighbours of the depth, the first in its lower half. Any bits are
// bfloat16, so that nothing is left to check.
struct Bf16 {
    static constexpr u32 depth = 16, per_register = 2, per_slice = 8;

    static f32 value(u32 bits, u32 k) { return from_bf16(u16(k % 2 ? bits >> 16 : bits)); }
    static void check(Thread&, const Multiply<Bf16>::Input&) {}
};

// ldmatrix: `count` matrices of 8 x 8 halves. Lane 8 m + r has the address of row r of matrix m; lane
// 4 r + q gets the elements 2 q and 2 q + 1 of row r, or, transposed, of column r.
template <u32 count, bool transposed>
struct LoadMatrix : AlignedOperation {
    using Input = u64;
    struct Output {
        u32 matrices[count];
    };

    static Output run(const Warp& warp, Thread& t) {
        Output out;
        for (u32 m = 0; m < count; ++m) {
            u32 halves[2];
            for (u32 h = 0; h < 2; ++h) {
                u32 row = t.lane / 4, column = t.lane % 4 * 2 + h;
                if (transposed) std::swap(row, column);
                const u64 address = warp.input<LoadMatrix>(m * 8 + row) & ~kWindowMask;
                check_alignment(t, address, 16, t.site);
                halves[h] = load<u16, Space::shared>(t, address + 2 * column, t.site);
            }
            out.matrices[m] = halves[0] | halves[1] << 16;
        }
        return out;
    }
};

}  // namespace emulator
