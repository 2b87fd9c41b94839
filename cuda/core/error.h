// Errors of kernels and launches, as C++ exceptions: bindings turn them into Python's RuntimeError.
#pragma once

#include <stdexcept>
#include <string>

struct KernelError : std::runtime_error {
    using std::runtime_error::runtime_error;
};
