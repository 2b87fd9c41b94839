// What the two response normalisations, lrn.cu and rnorm.cu, share.
#pragma once

#include "../core/lanes.h"

// x / d^power, d = min_div + scale * sum of x^2 over the window i - size/2 ... i - size/2 + size - 1.
struct Norm {
    int size;
    float scale;  // already divided by the number of squares in a full window
    float power, min_div;
};

// 1/d and d^-power. AlexNet's power is 3/4, alexnet-mini's also 1/2: roots, cheaper than a power.
template <class V>
struct Inverse {
    V of_d, of_power;
    __device__ __forceinline__ Inverse(V d, float power) {
        const V r = rsqrt_lanes(d);
        of_d = r * r;
        if (power == 0.75f)
            of_power = of_d * rsqrt_lanes(r);
        else
            of_power = power == 0.5f ? r : pow_lanes(d, -power);
    }
};
