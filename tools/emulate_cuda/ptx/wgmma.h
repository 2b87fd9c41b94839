// The registers of wgmma in translated code. Beside each that a product may read or write there is a
// tag:
//
//     0            a constant
//     1, 2, ...    written after so many wgmma.fence, less one
//     kLate + n    accumulator n of the thread, written by a product that may be under way
//
// A move takes the tag along, as ptxas may take both for one register; every other use counts.
#pragma once

#include "arithmetic.h"
#include "machine.h"

namespace emulator {

constexpr u32 kLate = 1u << 31;

template <class T>
T settled(Thread& t, T value, u32 tag, int site) {
    return tag < kLate ? value : bits_as<T>(accumulator(t, tag, site));
}

inline void moved(Thread& t, u32& tag, u32 source, int site) {
    if (tag >= kLate && tag != source) check_overwriting(t, tag, site);
    tag = source;
}

inline void written(Thread& t, u32& tag, int site) {
    moved(t, tag, t.register_fences + 1, site);
}

}  // namespace emulator
