// Division by a number that a kernel is launched with: a multiplication instead of a division.
#pragma once

#include "platform.h"

// Exact for dividends below 2^31 (Granlund and Montgomery, PLDI 1994).
class Divisor {
   public:
    __host__ __device__ Divisor() : Divisor(1) {}
    __host__ __device__ explicit Divisor(int d) : divisor_(unsigned(d)) {
        while ((1ull << shift_) < divisor_) ++shift_;
        multiplier_ = unsigned((((1ull << shift_) - divisor_) << 32) / divisor_ + 1);
    }
    __device__ __forceinline__ int quotient(int n) const {
        return int((__umulhi(unsigned(n), multiplier_) + unsigned(n)) >> shift_);
    }
    __device__ __forceinline__ int remainder(int n, int quotient) const {
        return n - quotient * int(divisor_);
    }
    __host__ __device__ int value() const { return int(divisor_); }

   private:
    unsigned divisor_, multiplier_ = 0, shift_ = 0;
};
