// The types of PTX, and what everything else here is about.
#pragma once

#include <cstdint>

namespace emulator {

// PTX's own names for its types; a predicate is a bool.
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;
__extension__ using u128 = unsigned __int128;
__extension__ using s128 = __int128;

struct Block;
struct Thread;

}  // namespace emulator
