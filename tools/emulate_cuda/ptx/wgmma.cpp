// Asynchronous products of a warpgroup (wgmma): D, 64 x columns, is A, 64 x 16, times B, 16 x columns,
// of bfloat16, plus D. A warp has 16 rows, and computes them when it waits: as late as a GPU may.
#include "wgmma.h"

#include <algorithm>

#include "machine.h"
#include "memory.h"
#include "warp.h"

namespace emulator {
namespace {

constexpr u32 kDepth = 16, kRowsOfWarp = 16, kWarpsOfGroup = 4;

// A matrix in shared memory, as its descriptor tells. Its pieces are 16 bytes, eight elements along the
// depth or, transposed, along the rows of A or columns of B, which are `outer` here.
class Matrix {
   public:
    Matrix(u64 descriptor, bool transposed)
        : start_(field(descriptor, 0)),
          leading_(field(descriptor, 16)),
          stride_(field(descriptor, 32)),
          base_(u32(descriptor >> 49 & 7)),
          swizzle_(u32(descriptor >> 62)),
          transposed_(transposed) {}

    // The offset of an element, as the manual lays out its canonical matrices.
    u32 offset(u32 outer, u32 depth) const {
        const u32 width = 8u << swizzle_bits();  // elements in a row of the pattern
        u32 linear = start_;
        if (transposed_)
            linear += outer % width * 2 + depth % 8 * width * 2 +
                      outer / width * (swizzle_ ? leading_ : stride_) +
                      depth / 8 * (swizzle_ ? stride_ : leading_);
        else if (swizzle_)
            linear += outer % 8 * width * 2 + outer / 8 * stride_ + depth * 2;
        else
            linear += outer % 8 * 16 + outer / 8 * stride_ + depth / 8 * leading_ + depth % 8 * 2;
        const u32 row = (linear >> 7) - base_;
        return linear ^ (row & ((1u << swizzle_bits()) - 1)) << 4;
    }

    template <class Function>
    void for_each_piece(u32 outer, const Function& function) const {
        for (u32 i = 0; i < outer; i += transposed_ ? 8 : 1)
            for (u32 k = 0; k < kDepth; k += transposed_ ? 1 : 8) function(offset(i, k));
    }

    f32 value(const Block& block, u32 outer, u32 depth) const {
        u16 bits;
        memcpy(&bits, block.shared + offset(outer, depth), sizeof bits);
        return from_bf16(bits);
    }

   private:
    static u32 field(u64 descriptor, u32 at) { return u32(descriptor >> at & 0x3fff) << 4; }
    u32 swizzle_bits() const { return swizzle_ ? 4 - swizzle_ : 0; }  // 1: 128 bytes, 2: 64, 3: 32

    u32 start_, leading_, stride_, base_, swizzle_;
    bool transposed_;
};

bool under_way(const Thread& t, const Accumulator& a) {
    return a.product > t.block->warp_products[t.warp].retired;
}

u32& last_reader(Block& block, u32 offset, u32 group) {
    return block.product_reads[offset / 16 * block.warpgroups.size() + group];
}

// What the warp's first lane does for all: the checks of what lies in shared memory.
void issue(Thread& t, const Product& product) {
    Block& block = *t.block;
    const u32 group = t.warp / kWarpsOfGroup, number = ++block.warp_products[t.warp].issued;
    std::vector<Product>& products = block.warpgroups[group].products;
    if (products.size() < number)
        products.push_back(product);
    else if (!(products[number - 1] == product))
        report(t, t.site, "wgmma", "the warps of a warpgroup bring different products");
    products[number - 1].warps |= 1u << t.warp % kWarpsOfGroup;

    if (block.product_reads.empty())
        block.product_reads.resize((block.shared_bytes / 16 + 1) * block.warpgroups.size());
    Clock clock;
    const View view = view_of_warp(t, clock);
    auto read = [&](u32 offset) {
        check_async_read(t, view, offset, t.site);
        u32& last = last_reader(block, offset, group);
        last = std::max(last, number);
    };
    if (!product.a_in_registers)
        Matrix(product.a, product.transposed_a).for_each_piece(kRowsOfWarp * kWarpsOfGroup, read);
    Matrix(product.b, product.transposed_b).for_each_piece(product.columns, read);
}

// Whether the registers are the accumulators of a product of the same shape that is under way.
bool continues(const Thread& t, const Register* d, u32 count) {
    for (u32 i = 0; i < count; ++i) {
        if (d[i].tag < kLate || d[i].tag != d[0].tag + i) return false;
        const Accumulator& a = t.accumulators[d[i].tag - kLate];
        if (!under_way(t, a) || a.index != i || a.count != count) return false;
    }
    return true;
}

u32 read_register(Thread& t, const Register& r) {
    if (r.tag >= kLate) return accumulator(t, r.tag, t.site);
    if (r.tag > t.register_fences)
        report(t, t.site, "wgmma fence", "no wgmma.fence after a write of a register of this product");
    return r.bits;
}

u32 bring_registers(Thread& t, const ProductInput& in) {
    const u32 number = u32(t.products.size()) + 1, count = in.product.columns / 2;
    if (t.register_fences == 0)
        report(t, t.site, "wgmma fence", "no wgmma.fence before the first product");
    ProductOfThread own = {};
    for (u32 i = 0; i < 4 && in.product.a_in_registers; ++i) own.a[i] = read_register(t, in.a[i]);
    if (continues(t, in.d, count)) {
        own.first_accumulator = in.d[0].tag - kLate;
        for (u32 i = 0; i < count; ++i) t.accumulators[own.first_accumulator + i].product = number;
    } else {
        own.first_accumulator = u32(t.accumulators.size());
        for (u32 i = 0; i < count; ++i) {
            const f32 value = bits_as<f32>(read_register(t, in.d[i]));
            t.accumulators.push_back({value, number, u16(i), u16(count)});
        }
    }
    t.products.push_back(own);
    return own.first_accumulator;
}

struct Issue : AlignedOperation {
    using Input = const ProductInput*;
    using Output = u32;

    static Output run(const Warp& warp, Thread& t) {
        const ProductInput &own = *warp.input<Issue>(t.lane), &first = *warp.input<Issue>(0);
        if (!(own.product == first.product))
            report(t, t.site, "wgmma", "the lanes of a warp bring different products");
        if (t.lane == 0) issue(t, own.product);
        return bring_registers(t, own);
    }
};

// The rows of one warp.
__attribute__((optimize("O3"))) void multiply(const Block& block, u32 warp, u32 number) {
    const Product& p = block.warpgroups[warp / kWarpsOfGroup].products[number - 1];
    Thread* lanes = block.all_threads + warp * kWarpSize;
    const Matrix matrix_a(p.a, p.transposed_a), matrix_b(p.b, p.transposed_b);
    f64 a[kRowsOfWarp][kDepth], b[kDepth][256], d[kRowsOfWarp][256] = {};
    for (u32 k = 0; k < kDepth; ++k) {
        for (u32 row = 0; row < kRowsOfWarp; ++row)
            if (p.a_in_registers) {
                const u32* own = lanes[row % 8 * 4 + k % 8 / 2].products[number - 1].a;
                a[row][k] = from_bf16(u16(own[row / 8 + k / 8 * 2] >> k % 2 * 16));
            } else {
                a[row][k] = matrix_a.value(block, warp % kWarpsOfGroup * kRowsOfWarp + row, k);
            }
        for (u32 column = 0; column < p.columns; ++column)
            b[k][column] = matrix_b.value(block, column, k);
    }
    for (u32 row = 0; row < kRowsOfWarp; ++row)
        for (u32 k = 0; k < kDepth; ++k)
            for (u32 column = 0; column < p.columns; ++column)
                d[row][column] += a[row][k] * b[k][column];
    for (u32 lane = 0; lane < kWarpSize; ++lane) {
        Thread& t = lanes[lane];
        Accumulator* own = &t.accumulators[t.products[number - 1].first_accumulator];
        for (u32 i = 0; i < p.columns / 2; ++i) {
            const f64 sum = p.sign * d[lane / 4 + i / 2 % 2 * 8][i / 4 * 8 + lane % 4 * 2 + i % 2];
            own[i].value = f32((p.add ? f64(own[i].value) : 0.) + sum);
        }
    }
}

struct Commit : AlignedOperation {
    struct Input {};
    struct Output {};

    static Output run(const Warp&, Thread& t) {
        WarpProducts& own = t.block->warp_products[t.warp];
        if (t.lane == 0) own.groups.push_back(own.issued);
        return {};
    }
};

struct Wait : AlignedOperation {
    using Input = u32;
    struct Output {};

    static Output run(const Warp& warp, Thread& t) {
        WarpProducts& own = t.block->warp_products[t.warp];
        const u32 groups_under_way = warp.input<Wait>(t.lane);
        if (t.lane == 0 && own.groups.size() > groups_under_way) {
            const auto last = own.groups.end() - groups_under_way;
            for (u32 number = own.retired + 1; number <= last[-1]; ++number)
                multiply(*t.block, t.warp, number);
            own.retired = last[-1];
            own.groups.erase(own.groups.begin(), last);
        }
        t.seen[t.block->actor_of_products(t.warp)] = own.retired;
        return {};
    }
};

struct FenceRegisters : AlignedOperation {
    struct Input {};
    struct Output {};

    static Output run(const Warp&, Thread& t) {
        ++t.register_fences;
        return {};
    }
};

}  // namespace

bool Product::operator==(const Product& o) const {
    return (a_in_registers || a == o.a) && b == o.b && columns == o.columns &&
           a_in_registers == o.a_in_registers && add == o.add && transposed_a == o.transposed_a &&
           transposed_b == o.transposed_b && sign == o.sign && site == o.site;
}

u32 issue_product(Thread& t, const ProductInput& input, int site) {
    return join<Issue>(t, ~0u, site, &input);
}

void commit_products(Thread& t, int site) {
    join<Commit>(t, ~0u, site);
}

void wait_for_products(Thread& t, u32 groups_under_way, int site) {
    join<Wait>(t, ~0u, site, groups_under_way);
}

void fence_registers(Thread& t, int site) {
    join<FenceRegisters>(t, ~0u, site);
}

u32 accumulator(Thread& t, u32 tag, int site) {
    const Accumulator& a = t.accumulators[tag - kLate];
    if (!under_way(t, a)) return bits_as<u32>(a.value);
    report(t, site, "product under way", "a read of its accumulator before it was waited for");
    return kNotANumber;
}

void check_overwriting(Thread& t, u32 tag, int site) {
    if (under_way(t, t.accumulators[tag - kLate]))
        report(t, site, "product under way", "a write of its accumulator before it was waited for");
}

void check_products(Thread& t, u32 offset, int site) {
    Block& block = *t.block;
    if (block.product_reads.empty()) return;
    for (u32 group = 0; group < block.warpgroups.size(); ++group) {
        const u32 number = last_reader(block, offset, group);
        for (u32 i = 0; number && i < kWarpsOfGroup; ++i) {
            const u32 warp = group * kWarpsOfGroup + i;
            if (t.seen[block.actor_of_products(warp)] >= number) continue;
            const bool waited = block.warp_products[warp].retired >= number;
            report(t, site, waited ? "shared race" : "product under way",
                   waited ? "write after a read by a wgmma of warp %u without a barrier, offset %u"
                          : "write of what a wgmma of warp %u reads and was not waited for, offset %u",
                   warp, offset);
            return;
        }
    }
}

void check_products_at_end(Block& block) {
    for (u32 group = 0; group < block.warpgroups.size(); ++group)
        for (const Product& product : block.warpgroups[group].products)
            if (product.warps != 0xf) {
                const Thread& t = block.all_threads[group * kWarpsOfGroup * kWarpSize];
                report(t, product.site, "wgmma", "warps %#x of a warpgroup's 0xf take part",
                       product.warps);
            }
}

}  // namespace emulator
