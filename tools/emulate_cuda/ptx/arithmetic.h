// Instructions of PTX that are no operators of C++.
#pragma once

#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>

#include "machine.h"

namespace emulator {

// The bits of a register as another type: cut off, or filled up with zeros.
template <class To, class From>
inline To bits_as(From from) {
    To to{};
    memcpy(&to, &from, sizeof(To) < sizeof(From) ? sizeof(To) : sizeof(From));
    return to;
}

// ---- floats

inline f32 flush_to_zero(f32 x) {
    return std::fabs(x) < std::numeric_limits<f32>::min() ? std::copysign(0.f, x) : x;
}

inline f32 saturate(f32 x) {
    return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f;
}  // NaN becomes 0

// x op y, z in another rounding mode. Values pass through volatile memory to stay between the changes.
template <class T, class Operation>
T with_rounding(int mode, T x, T y, T z, const Operation& operation) {
    volatile T vx = x, vy = y, vz = z;
    std::fesetround(mode);
    volatile T result = operation(T(vx), T(vy), T(vz));
    std::fesetround(FE_TONEAREST);
    return result;
}

template <class To, class From>
To convert_rounding(int mode, From x) {
    volatile From from = x;
    std::fesetround(mode);
    volatile To result = To(from);
    std::fesetround(FE_TONEAREST);
    return result;
}

// To an integer, after rounding: out of range becomes the nearest there is, NaN 0.
template <class To, class From>
To to_integer(From x) {
    constexpr To least = std::numeric_limits<To>::min(), most = std::numeric_limits<To>::max();
    if (x != x) return 0;
    if (x <= From(least)) return least;
    if (x >= From(most)) return most;
    return To(x);
}

// To the nearest with ten bits behind the point; halves away from zero (rna) or to even (rn).
inline u32 tf32_rna(f32 x) {
    const u32 bits = bits_as<u32>(x);
    return x != x ? 0x7fffe000u : (bits + 0x1000u) & 0xffffe000u;
}
inline u32 tf32_rn(f32 x) {
    const u32 bits = bits_as<u32>(x);
    return x != x ? 0x7fffe000u : (bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u;
}

// The upper half of a float, to the nearest (halves to even) or towards zero.
inline u16 bf16_rn(f32 x) {
    const u32 bits = bits_as<u32>(x);
    return x != x ? 0x7fff : u16((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
inline u16 bf16_rz(f32 x) {
    return x != x ? 0x7fff : u16(bits_as<u32>(x) >> 16);
}
inline f32 from_bf16(u16 bits) {
    return bits_as<f32>(u32(bits) << 16);
}

// ---- integers

template <class T>
T quotient(T x, T y) {
    if (y == 0) return T(-1);
    if (y == T(-1) && T(-1) < T(0)) return T(-u64(x));  // the smallest has no positive twin
    return T(x / y);
}

template <class T>
T remainder_of(T x, T y) {
    if (y == 0) return x;
    return y == T(-1) && T(-1) < T(0) ? T(0) : T(x % y);
}

template <class T>
T shift_left(T x, u32 n) {
    return n < sizeof(T) * 8 ? T(x << n) : T(0);
}

template <class T>
T shift_right(T x, u32 n) {
    return n < sizeof(T) * 8 ? T(x >> n) : (x < T(0) ? T(-1) : T(0));
}

// shf: the upper (left) or lower (right) half of high:low, shifted.
inline u32 funnel_left(u32 low, u32 high, u32 n) {
    return u32((u64(high) << 32 | low) << n >> 32);
}
inline u32 funnel_right(u32 low, u32 high, u32 n) {
    return u32((u64(high) << 32 | low) >> n);
}

// lop3: bit by bit, the entry of a table of eight.
inline u32 lop3(u32 a, u32 b, u32 c, u32 table) {
    u32 result = 0;
    for (u32 entry = 0; entry < 8; ++entry)
        if (table >> entry & 1)
            result |= (entry & 4 ? a : ~a) & (entry & 2 ? b : ~b) & (entry & 1 ? c : ~c);
    return result;
}

// prmt: four bytes, each chosen from eight, or filled with the chosen one's sign.
inline u32 permute_bytes(u32 a, u32 b, u32 selector) {
    const u64 bytes = a | u64(b) << 32;
    u32 result = 0;
    for (u32 i = 0; i < 4; ++i) {
        const u32 choice = selector >> (4 * i) & 15;
        u32 byte = u32(bytes >> (8 * (choice & 7))) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << (8 * i);
    }
    return result;
}

// bfe: `count` bits from `start` on; signed ones are extended.
template <class T>
T extract_bits(T x, u32 start, u32 count) {
    constexpr u32 width = sizeof(T) * 8;
    start &= 255;
    count &= 255;
    if (count == 0) return 0;
    const u32 last = start + count - 1 < width - 1 ? start + count - 1 : width - 1;
    const bool sign = T(-1) < T(0) && (u64(x) >> last & 1);
    u64 result = 0;
    for (u32 i = 0; i < width; ++i) {
        const bool bit = i < count && start + i < width ? u64(x) >> (start + i) & 1 : sign;
        result |= u64(bit) << i;
    }
    return T(result);
}

// bfi: `count` bits of x into y.
template <class T>
T insert_bits(T x, T y, u32 start, u32 count) {
    start &= 255;
    count &= 255;
    for (u32 i = 0; i < count && start + i < sizeof(T) * 8; ++i) {
        const T bit = T(1) << (start + i);
        y = T((y & ~bit) | (x >> i & 1) << (start + i));
    }
    return y;
}

inline u32 reverse_bits(u32 x) {
    u32 result = 0;
    for (int i = 0; i < 32; ++i) result |= (x >> i & 1) << (31 - i);
    return result;
}

template <class T>
u32 leading_zeros(T x) {
    u32 zeros = 0;
    for (u32 i = sizeof(T) * 8; i-- > 0 && !(x >> i & 1);) ++zeros;
    return zeros;
}

}  // namespace emulator
