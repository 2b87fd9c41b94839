// Tensor maps, and the copies of boxes of tensors that they describe (cp.async.bulk.tensor). The
// driver's function that makes them has a stand-in here, whose 128 bytes mean nothing to anything but
// this file.
#include <algorithm>
#include <cstring>

#include "machine.h"
#include "memory.h"

namespace emulator {
namespace {

constexpr u64 kMark = 0x70616d726f736e74;
constexpr int kInvalidValue = 1, kNotSupported = 801;  // of the driver
constexpr u32 kMostDimensions = 5;

struct TensorMap {
    u64 mark, address;
    u64 sizes[kMostDimensions];       // in elements, innermost first
    u64 strides[kMostDimensions];     // in bytes
    u16 boxes[kMostDimensions];       // elements that are copied
    u8 steps[kMostDimensions];        // from one of them to the next
    u8 rank, element_bytes, swizzle;  // 0: none, 1: 32 bytes, 2: 64, 3: 128

    u32 swizzle_bytes() const { return 16u << swizzle; }
};
static_assert(sizeof(TensorMap) <= 128, "a CUtensorMap");

// The driver's arguments, by its names.
struct Request {
    int data_type;
    u32 rank;
    u64 address;
    const u64 *sizes, *strides;
    const u32 *boxes, *steps;
    int interleave, swizzle, promotion, fill;
};

// Of the driver's data types, until those that are rounded or packed.
constexpr u32 kElementBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2};

// What the driver has against it, or nullptr.
const char* objection(const Request& r) {
    if (r.data_type < 0 || r.data_type > 15) return "no such data type";
    if (r.rank < 1 || r.rank > kMostDimensions) return "the rank is not 1 to 5";
    if (r.interleave < 0 || r.interleave > 2) return "no such interleaving";
    if (r.interleave && r.rank < 3) return "interleaved tensors have 3 dimensions or more";
    if (r.address % (r.interleave == 2 ? 32 : 16)) return "the address is not a multiple of 16";
    for (u32 i = 0; i < r.rank; ++i) {
        if (r.sizes[i] < 1 || r.sizes[i] > u64(1) << 32) return "a size is not 1 to 2^32";
        if (r.boxes[i] < 1 || r.boxes[i] > 256) return "a side of the box is not 1 to 256";
        if (r.steps[i] < 1 || r.steps[i] > 8) return "an element stride is not 1 to 8";
    }
    for (u32 i = 0; i + 1 < r.rank; ++i) {
        if (r.strides[i] % (r.interleave == 2 ? 32 : 16)) return "a stride is not a multiple of 16";
        if (r.strides[i] >= u64(1) << 40) return "a stride is not below 2^40";
    }
    if (r.swizzle < 0 || r.swizzle > 3) return "no such swizzle on this device";
    if (r.interleave == 2 && r.swizzle != 1) return "interleaving of 32 bytes needs their swizzle";
    if (r.promotion < 0 || r.promotion > 3) return "no such promotion";
    if (r.fill < 0 || r.fill > 1) return "no such fill";
    if (r.data_type >= 10 || r.interleave || r.fill)
        return "the emulator knows no rounded, packed or interleaved elements and no fill but zeros";
    const u32 inner = r.boxes[0] * kElementBytes[r.data_type];
    if (inner % 16) return "the inner side of the box is not a multiple of 16 bytes";
    if (r.swizzle && inner > 16u << r.swizzle) return "the inner side of the box exceeds the swizzle";
    return nullptr;
}

int encode(void* map, int data_type, u32 rank, void* address, const u64* sizes, const u64* strides,
           const u32* boxes, const u32* steps, int interleave, int swizzle, int promotion, int fill) {
    if (EMULATOR_ARCH < 90) return kNotSupported;
    const Request r = {data_type, rank,       u64(address), sizes,     strides, boxes,
                       steps,     interleave, swizzle,      promotion, fill};
    const char* reason = u64(map) % 64 ? "it is not at a multiple of 64 bytes" : objection(r);
    if (reason) {
        report_on_host("tensor map", reason);
        return kInvalidValue;
    }
    TensorMap own = {kMark,      u64(address), {}, {}, {}, {}, u8(rank), u8(kElementBytes[data_type]),
                     u8(swizzle)};
    for (u32 i = 0; i < rank; ++i) {
        own.sizes[i] = sizes[i];
        own.strides[i] = i ? strides[i - 1] : own.element_bytes;
        own.steps[i] = u8(i ? steps[i] : 1);  // the driver ignores the innermost
        own.boxes[i] = u16((boxes[i] + own.steps[i] - 1) / own.steps[i]);
    }
    memset(map, 0, 128);
    memcpy(map, &own, sizeof own);
    return 0;
}

TensorMap map_at(Thread& t, u64 address, int site) {
    TensorMap map;
    const u64 in_parameters = address - u64(t.parameters);
    if (address % 64 && in_parameters >= t.block->kernel->parameter_bytes)
        report(t, site, "misaligned", "a tensor map at %#llx", (unsigned long long)address);
    if (in_parameters < t.block->kernel->parameter_bytes)
        memcpy(&map, t.parameters + in_parameters, sizeof map);
    else
        for (u32 i = 0; i < sizeof map; i += 8)
            memcpy(reinterpret_cast<u8*>(&map) + i,
                   locate<Space::generic>(t, address + i, 8, site, Use::read), 8);
    if (map.mark != kMark) {
        report(t, site, "tensor map", "there is none at this address");
        give_up(t);
    }
    return map;
}

// A row of the box: elements of the tensor, zeros outside.
void read_row(Thread& t, const TensorMap& map, const s64* at, u8* row, int site) {
    u64 address = map.address;
    for (u32 i = 1; i < map.rank; ++i) {
        if (at[i] < 0 || u64(at[i]) >= map.sizes[i]) return;
        address += u64(at[i]) * map.strides[i];
    }
    const s64 element = map.element_bytes, end = std::min(at[0] + map.boxes[0], s64(map.sizes[0]));
    for (s64 byte = std::max<s64>(at[0], 0) * element; byte < end * element;) {
        const u32 step =
            byte % 4 == 0 && byte + 4 <= end * element ? 4 : u32(std::min<s64>(element, 2));
        memcpy(row + byte - at[0] * element, global_at(t, address + u64(byte), step, site, Use::read),
               step);
        byte += step;
    }
}

}  // namespace

void copy_tensor(Thread& t, u64 to, u64 map_address, u32 rank, const s32* coordinates, u64 mbarrier,
                 int site) {
    const TensorMap map = map_at(t, map_address, site);
    const u32 start = u32(to & ~kWindowMask), row_bytes = map.boxes[0] * map.element_bytes;
    if (rank != map.rank) {
        report(t, site, "tensor map", "%u coordinates in a tensor of %u", rank, map.rank);
        give_up(t);
    }
    if (start % 128)
        report(t, site, "misaligned", "a box at shared offset %u, which is no multiple of 128", start);
    if (map.swizzle && row_bytes != map.swizzle_bytes()) {
        report(t, site, "tensor map",
               "the emulator knows no box with an inner side of %u bytes, swizzled in %u", row_bytes,
               map.swizzle_bytes());
        give_up(t);
    }
    u32 rows = 1;
    for (u32 i = 1; i < rank; ++i) rows *= map.boxes[i];
    BulkCopy copy;
    copy.site = site;
    for (u32 row = 0; row < rows; ++row) {
        s64 at[kMostDimensions] = {coordinates[0]};
        for (u32 i = 1, rest = row; i < rank; rest /= map.boxes[i++])
            at[i] = coordinates[i] + s64(rest % map.boxes[i] * map.steps[i]);
        u8 data[256 * 8] = {};
        read_row(t, map, at, data, site);
        for (u32 i = 0; i < row_bytes; i += 16) {
            const u32 linear = start + row * row_bytes + i;
            BulkCopy::Piece piece = {linear ^ (linear >> 7 & ((1u << map.swizzle) - 1)) << 4, {}};
            memcpy(piece.data, data + i, 16);
            copy.pieces.push_back(piece);
        }
    }
    start_bulk_copy(t, mbarrier, std::move(copy));
}

}  // namespace emulator

extern "C" {

int cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                     int* status) {
    const bool known = strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
    *function = known ? reinterpret_cast<void*>(emulator::encode) : nullptr;
    if (status) *status = !known;  // cudaDriverEntryPointSuccess or SymbolNotFound
    return 0;
}

int cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                            int* status) {
    return cudaGetDriverEntryPointByVersion(symbol, function, 0, flags, status);
}
}
