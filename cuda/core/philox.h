// Philox 4x32-10: random numbers as a pure function of (seed, layer, step, element).
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// There is no state to keep or to order, so a draw does not depend on threads, tuning or device,
// and a mask can be drawn again in the backward pass instead of being stored.
#pragma once

#include "lanes.h"
#include "platform.h"

// The key is the seed. The counter's lower two words are the number of a block of four elements,
// the upper two are layer and step: streams of one seed never overlap.
struct PhiloxStream {
    uint64_t seed;
    uint32_t layer, step;
    const uint32_t* step_in_memory = nullptr;  // where it stands instead, once the kernel runs
};

// A kernel's own copy of its argument, whose step is known.
__device__ __forceinline__ PhiloxStream of_this_step(PhiloxStream stream) {
    if (stream.step_in_memory) stream.step = *stream.step_in_memory;
    return stream;
}

struct PhiloxWords {
    uint32_t word[4];
};

// Words 4 * block ... 4 * block + 3 of the stream.
__host__ __device__ inline PhiloxWords philox_words(const PhiloxStream& stream, index_t block) {
    uint32_t c0 = uint32_t(block), c1 = uint32_t(uint64_t(block) >> 32);
    uint32_t c2 = stream.layer, c3 = stream.step;
    uint32_t k0 = uint32_t(stream.seed), k1 = uint32_t(stream.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t product0 = uint64_t(0xD2511F53u) * c0;
        const uint64_t product1 = uint64_t(0xCD9E8D57u) * c2;
        c0 = uint32_t(product1 >> 32) ^ c1 ^ k0;
        c1 = uint32_t(product1);
        c2 = uint32_t(product0 >> 32) ^ c3 ^ k1;
        c3 = uint32_t(product0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

// [0, 1) from the upper 24 bits: every value is exact in a float, and 1 is never reached.
__host__ __device__ inline float philox_uniform(uint32_t word) {
    return float(word >> 8) * (1.0f / (1 << 24));
}

// Draws element ... element + L - 1 of the stream as lanes; element is a multiple of L.
template <class V>
__device__ __forceinline__ V uniform_lanes(const PhiloxStream& stream, index_t element) {
    if constexpr (lane_count<V> == 1) {
        return philox_uniform(philox_words(stream, element / 4).word[element % 4]);
    } else {
        V v;
        for (int i = 0; i < lane_count<V>; i += 4) {
            const PhiloxWords words = philox_words(stream, (element + i) / 4);
            for (int j = 0; j < 4; ++j) v[i + j] = philox_uniform(words.word[j]);
        }
        return v;
    }
}

// As uniform_lanes, for any element.
template <class V>
__device__ __forceinline__ V uniform_lanes_from(const PhiloxStream& stream, index_t element) {
    PhiloxWords words = philox_words(stream, element / 4);
    return make_lanes<V>([&](int i) {
        const int word = int((element + i) % 4);
        if (i > 0 && word == 0) words = philox_words(stream, (element + i) / 4);
        return philox_uniform(words.word[word]);
    });
}

// As uniform_lanes, but normal: mean 0, variance 1. Words 2p and 2p + 1 make draws 2p and 2p + 1
// (Box and Muller, 1958).
struct NormalPair {
    float cosine, sine;
};

__host__ __device__ inline NormalPair philox_normal(uint32_t first, uint32_t second) {
    const float radius = sqrtf(-2.f * logf(1.f - philox_uniform(first)));
    const float angle = 6.28318530718f * philox_uniform(second);
    return {radius * cosf(angle), radius * sinf(angle)};
}

template <class V>
__device__ __forceinline__ V normal_lanes(const PhiloxStream& stream, index_t element) {
    if constexpr (lane_count<V> == 1) {
        const PhiloxWords words = philox_words(stream, element / 4);
        const int first = int(element % 4) / 2 * 2;
        const NormalPair pair = philox_normal(words.word[first], words.word[first + 1]);
        return element % 2 ? pair.sine : pair.cosine;
    } else {
        V v;
        for (int i = 0; i < lane_count<V>; i += 4) {
            const PhiloxWords words = philox_words(stream, (element + i) / 4);
            for (int j = 0; j < 4; j += 2) {
                const NormalPair pair = philox_normal(words.word[j], words.word[j + 1]);
                v[i + j] = pair.cosine;
                v[i + j + 1] = pair.sine;
            }
        }
        return v;
    }
}
