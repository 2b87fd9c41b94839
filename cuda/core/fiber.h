// A fiber: a function with a stack of its own, which runs until it yields to the one that resumed it.
//
// CUDA threads of a block become fibers on the CPU target (cuda_on_cpu.h). The switch is a dozen
// instructions on x86-64 and arm64; other machines use POSIX ucontext (ALEXNET_RAW_UCONTEXT forces it).
#pragma once

#include <cstddef>
#include <memory>

namespace cuda_on_cpu {

class Fiber {
   public:
    Fiber();
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // Makes the next resume() call entry(argument) on this fiber's stack. `entry` must not throw.
    void start(void (*entry)(void*), void* argument);
    void resume();         // runs the fiber until it yields or returns; called from outside
    static void yield();   // back to the caller of resume(); called inside a fiber
    static bool inside();  // whether the caller runs on a fiber
    bool finished() const { return finished_; }

   private:
    struct Context;
    static void main();
    std::unique_ptr<Context> context_;
    void (*entry_)(void*) = nullptr;
    void* argument_ = nullptr;
    bool finished_ = true;
};

}  // namespace cuda_on_cpu
