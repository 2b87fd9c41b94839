// Philox 4x32-10: random numbers as a pure function of (seed, layer, step, element).
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// There is no state to keep or to order, so a draw does not depend on threads, tuning or device,
// and a mask can be drawn again in the backward pass instead of being stored.
#pragma once

#include "lanes.h"
#include "platform.h"

// Where the images of an array (..., images) stand in a batch that several machines share: it takes the
// draws that it would take as a part of the whole array (..., batch).
struct BatchShare {
    index_t images = 0;  // of the array; 0: the batch is all its own
    index_t first = 0, batch = 0;
};

// The key is the seed. The counter's lower two words are the number of a block of four elements,
// the upper two are layer and step: streams of one seed never overlap.
struct PhiloxStream {
    uint64_t seed;
    uint32_t layer, step;
    const uint32_t* step_in_memory = nullptr;  // where it stands instead, once the kernel runs
    BatchShare share = {};
};

// A kernel's own copy of its argument, whose step is known.
__device__ __forceinline__ PhiloxStream of_this_step(PhiloxStream stream) {
    if (stream.step_in_memory) stream.step = *stream.step_in_memory;
    return stream;
}

struct PhiloxWords {
    uint32_t word[4];

    // word[i], without a place in a GPU's memory.
    __host__ __device__ uint32_t operator[](int i) const {
        return i < 2 ? (i == 0 ? word[0] : word[1]) : (i == 2 ? word[2] : word[3]);
    }
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

// The place of an array's element in the whole batch's.
__device__ __forceinline__ index_t in_batch(const BatchShare& share, index_t element) {
    if (!share.images) return element;
    return element / share.images * share.batch + share.first + element % share.images;
}

// f(words, word) as lanes, of the block in which each of an array's elements from `element` on has its
// draw, and the draw's word there.
template <class V, class F>
__device__ __forceinline__ V draw_lanes(const PhiloxStream& stream, index_t element, F f) {
    index_t place = in_batch(stream.share, element);
    PhiloxWords words = philox_words(stream, place / 4);
    return make_lanes<V>([&](int i) {
        const index_t before = place;
        if (i > 0) place = in_batch(stream.share, element + i);
        if (place / 4 != before / 4) words = philox_words(stream, place / 4);
        return f(words, int(place % 4));
    });
}

// The draws of an array's elements from `element` on, as lanes.
template <class V>
__device__ __forceinline__ V uniform_lanes_from(const PhiloxStream& stream, index_t element) {
    return draw_lanes<V>(stream, element, [](const PhiloxWords& words, int word) {
        return philox_uniform(words[word]);
    });
}

// The same where `element` is a multiple of L, in fewer steps for a batch that is whole.
template <class V>
__device__ __forceinline__ V uniform_lanes(const PhiloxStream& stream, index_t element) {
    if constexpr (lane_count<V> > 1) {
        if (!stream.share.images) {
            V v;
            for (int i = 0; i < lane_count<V>; i += 4) {
                const PhiloxWords words = philox_words(stream, (element + i) / 4);
                for (int j = 0; j < 4; ++j) v[i + j] = philox_uniform(words.word[j]);
            }
            return v;
        }
    }
    return uniform_lanes_from<V>(stream, element);
}

// As uniform_lanes_from, but normal: mean 0, variance 1. Words 2p and 2p + 1 make draws 2p and 2p + 1
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
    return draw_lanes<V>(stream, element, [](const PhiloxWords& words, int word) {
        const int first = word / 2 * 2;
        const NormalPair pair = philox_normal(words[first], words[first + 1]);
        return word % 2 ? pair.sine : pair.cosine;
    });
}
