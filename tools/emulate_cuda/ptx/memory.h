// Loads, stores and atomics of translated code, each by way of the checks of its state space.
#pragma once

#include <cstring>
#include <type_traits>

#include "arithmetic.h"
#include "machine.h"

namespace emulator {

// `constant` is read-only memory of the translated module itself, and is not checked.
enum class Space { generic, global, shared, local, constant };

// A generic address of shared or local memory is an offset in one of these windows.
constexpr u64 kWindowMask = 0xff00000000000000, kSharedWindow = 0x7a00000000000000,
              kLocalWindow = 0x7b00000000000000;

template <Space space>
u8* locate(Thread& t, u64 address, u32 bytes, int site, Use use) {
    if constexpr (space == Space::generic) {
        const u64 window = address & kWindowMask;
        if (window == kSharedWindow) return shared_at(t, address & ~kWindowMask, bytes, site, use);
        if (window == kLocalWindow) return local_at(t, address & ~kWindowMask, bytes, site);
        return global_at(t, address, bytes, site, use);
    } else if constexpr (space == Space::shared) {
        return shared_at(t, address, bytes, site, use);
    } else if constexpr (space == Space::local) {
        return local_at(t, address, bytes, site);
    } else if constexpr (space == Space::global) {
        return global_at(t, address, bytes, site, use);
    } else {
        return reinterpret_cast<u8*>(address);
    }
}

template <class T, Space space>
T load(Thread& t, u64 address, int site) {
    T value;
    memcpy(&value, locate<space>(t, address, sizeof(T), site, Use::read), sizeof(T));
    return value;
}

template <class T, Space space>
void store(Thread& t, u64 address, T value, int site) {
    memcpy(locate<space>(t, address, sizeof(T), site, Use::write), &value, sizeof(T));
}

// Accesses of two or four values must be aligned as a whole.
inline void check_alignment(Thread& t, u64 address, u32 bytes, int site) {
    if (address % bytes)
        report(t, site, "misaligned", "%u bytes at %#llx", bytes, (unsigned long long)address);
}

// Replaces a value by change(value) and returns the old one. Threads take turns, so nothing intervenes.
template <class T, Space space, class Change>
T atomic(Thread& t, u64 address, int site, const Change& change) {
    u8* at = locate<space>(t, address, sizeof(T), site, Use::atomic);
    T old;
    memcpy(&old, at, sizeof(T));
    const T changed = change(old);
    memcpy(at, &changed, sizeof(T));
    return old;
}

// Parameters of device functions are plain memory of the caller.
template <class T>
T load_parameter(const u8* at) {
    T value;
    memcpy(&value, at, sizeof(T));
    return value;
}

template <class T>
void store_parameter(u8* at, T value) {
    memcpy(at, &value, sizeof(T));
}

}  // namespace emulator
