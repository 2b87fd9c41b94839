#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if !(defined(__x86_64__) || defined(__aarch64__)) && !defined(ALEXNET_RAW_UCONTEXT)
#define ALEXNET_RAW_UCONTEXT
#endif
#ifdef ALEXNET_RAW_UCONTEXT
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef ALEXNET_RAW_UCONTEXT
// switch_stack(save, load): stores the callee-saved registers on the current stack and its pointer
// in *save, then continues where `load` was saved.
extern "C" __attribute__((visibility("hidden"))) void alexnet_raw_switch_stack(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl alexnet_raw_switch_stack
.hidden alexnet_raw_switch_stack
.type alexnet_raw_switch_stack, @function
alexnet_raw_switch_stack:
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size alexnet_raw_switch_stack, .-alexnet_raw_switch_stack
)");
#else
asm(R"(
.text
.globl alexnet_raw_switch_stack
.hidden alexnet_raw_switch_stack
.type alexnet_raw_switch_stack, %function
alexnet_raw_switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size alexnet_raw_switch_stack, .-alexnet_raw_switch_stack
)");
#endif
#endif

namespace cuda_on_cpu {
namespace {

constexpr size_t kStackBytes = 256 << 10;  // address space; only touched pages take memory

thread_local Fiber* current = nullptr;

}  // namespace

struct Fiber::Context {
    char* memory;  // a guard page, then the stack
    size_t guard;
#ifdef ALEXNET_RAW_UCONTEXT
    ucontext_t own, caller;
#else
    void *own = nullptr, *caller = nullptr;
#endif
#ifdef __SANITIZE_ADDRESS__
    const void* caller_stack = nullptr;
    size_t caller_bytes = 0;
#endif

    Context() : guard(size_t(sysconf(_SC_PAGESIZE))) {
        void* p = mmap(nullptr, guard + kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
        memory = static_cast<char*>(p);
        mprotect(memory, guard, PROT_NONE);  // an overflow faults instead of overwriting a neighbour
    }
    ~Context() { munmap(memory, guard + kStackBytes); }
    char* stack() const { return memory + guard; }

    void enter() {
#ifdef __SANITIZE_ADDRESS__
        void* fake = nullptr;
        __sanitizer_start_switch_fiber(&fake, stack(), kStackBytes);
#endif
#ifdef ALEXNET_RAW_UCONTEXT
        swapcontext(&caller, &own);
#else
        alexnet_raw_switch_stack(&caller, own);
#endif
#ifdef __SANITIZE_ADDRESS__
        __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    }
    void leave([[maybe_unused]] bool for_good) {
#ifdef __SANITIZE_ADDRESS__
        void* fake = nullptr;
        __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, caller_stack, caller_bytes);
#endif
#ifdef ALEXNET_RAW_UCONTEXT
        swapcontext(&own, &caller);
#else
        alexnet_raw_switch_stack(&own, caller);
#endif
        arrived(
#ifdef __SANITIZE_ADDRESS__
            fake
#endif
        );
    }
#ifdef __SANITIZE_ADDRESS__
    void arrived(void* fake = nullptr) {
        __sanitizer_finish_switch_fiber(fake, &caller_stack, &caller_bytes);
    }
#else
    void arrived() {}
#endif
};

Fiber::Fiber() : context_(std::make_unique<Context>()) {}
Fiber::~Fiber() = default;

void Fiber::start(void (*entry)(void*), void* argument) {
    entry_ = entry;
    argument_ = argument;
    finished_ = false;
#ifdef ALEXNET_RAW_UCONTEXT
    getcontext(&context_->own);
    context_->own.uc_stack.ss_sp = context_->stack();
    context_->own.uc_stack.ss_size = kStackBytes;
    context_->own.uc_link = nullptr;
    makecontext(&context_->own, &Fiber::main, 0);
#else
    // A frame as switch_stack() leaves it, whose return address is main().
    auto** top = reinterpret_cast<void**>(context_->stack() + kStackBytes);
#if defined(__x86_64__)
    top -= 8;  // six registers, the return address, and one word that aligns the stack
    for (int i = 0; i < 8; ++i) top[i] = nullptr;
    top[6] = reinterpret_cast<void*>(&Fiber::main);
#else
    top -= 20;  // x19..x30, d8..d15
    for (int i = 0; i < 20; ++i) top[i] = nullptr;
    top[11] = reinterpret_cast<void*>(&Fiber::main);  // x30, the link register
#endif
    context_->own = top;
#endif
}

void Fiber::main() {
    Fiber* self = current;
    self->context_->arrived();
    self->entry_(self->argument_);
    self->finished_ = true;
    self->context_->leave(true);
}

void Fiber::resume() {
    current = this;
    context_->enter();
    current = nullptr;
}

void Fiber::yield() {
    current->context_->leave(false);
}

bool Fiber::inside() {
    return current != nullptr;
}

}  // namespace cuda_on_cpu
