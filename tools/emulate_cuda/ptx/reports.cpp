// Reports of what is wrong: a line that begins with EMULATOR, and one that says where.
#include <cxxabi.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>

#include "machine.h"

namespace emulator {
namespace {

constexpr int kLaunchFailure = 719;  // cudaErrorLaunchFailure
int error = 0;

std::string demangled(const char* name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    const std::string result = status == 0 ? text : name;
    free(text);
    return result;
}

}  // namespace

void report(const Thread& t, int site, const char* kind, const char* format, ...) {
    static std::set<std::string> reported;
    error = kLaunchFailure;
    const Kernel& kernel = *t.block->kernel;
    const Site& at = kernel.sites[site];
    const std::string place = at.file + (":" + std::to_string(at.line));
    if (!reported.insert(place + kind + kernel.name).second) return;
    char message[1024];  // may hold mangled names
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    const Dimensions block = t.block->index;
    fprintf(stderr,
            "EMULATOR %s: %s, at %s\n    block (%u, %u, %u) thread (%u, %u, %u) of %s\n    %s\n", kind,
            message, place.c_str(), block.x, block.y, block.z, t.x, t.y, t.z,
            demangled(kernel.name).c_str(), at.text);
}

void report_on_host(const char* message, const char* subject) {
    fprintf(stderr, "EMULATOR %s: %s\n", message, subject);
}

void give_up(Thread& t) {
    t.block->stopped = true;
    exit_thread(t);
}

int take_error() {
    return std::exchange(error, 0);
}

void set_error(int status) {
    error = status;
}

}  // namespace emulator
