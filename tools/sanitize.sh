#!/bin/sh
# Runs the tests of the ops, bindings, CUDA-on-CPU layer and a small network with the CPU target built
# under AddressSanitizer and UndefinedBehaviorSanitizer. Any report fails the run.
#
#     tools/sanitize.sh                      all of them
#     tools/sanitize.sh -k conv -x           pytest's arguments: a selection
#     tools/sanitize.sh tests/test_lrn.py    or files
#
# Builds a private copy of the sources in build/sanitize (SANITIZE_DIR), once in about ten minutes of a
# core and then what changed; the installed package is not touched. Needs g++ with its sanitizer
# libraries, cmake, ninja, and alexnet-raw's dependencies and pytest in PYTHON's environment.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
work=${SANITIZE_DIR:-$root/build/sanitize}
python=${PYTHON:-python3}
compiler=${CXX:-g++}

# A copy, because tests import the package that lies beside them.
mkdir -p "$work/tree"
rm -rf "$work/tree/tests"
(cd "$root" && cp -Rp alexnet_raw bindings cuda tests setup.py pyproject.toml CMakeLists.txt README.md \
    LICENSE "$work/tree")
rm -f "$work"/tree/alexnet_raw/_c*.so
cd "$work/tree"
ALEXNET_RAW_CUDA=off ALEXNET_RAW_SANITIZE=address,undefined ALEXNET_RAW_BUILD_DIR="$work/cmake" \
    "$python" setup.py --quiet build_ext --inplace

# With no file among the arguments, these.
network=tests/test_network.py
files="tests/test_execution.py tests/test_bindings.py tests/test_picture_host.py
    $network::test_ragged_batches_leave_nothing_behind
    $network::test_exchanged_copies_are_renewed_in_every_pass"
for kernel in cuda/kernels/*.cu; do
    files="$files tests/test_$(basename "$kernel" .cu).py"
done
for argument in "$@"; do
    case $argument in tests/*) files= ;; esac
done

# Python itself is not built with the sanitizers, so that their libraries must be loaded before it; and
# it does not free all of its memory. Borders around test arrays go: ASan sees what lies beside one.
preload=
for library in libasan.so libubsan.so libstdc++.so; do
    preload="$preload $("$compiler" -print-file-name=$library)"
done
exec env LD_PRELOAD="${preload# }" \
    ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    ALEXNET_RAW_TEST_BORDER=0 \
    "$python" -m pytest -p no:cacheprovider $files "$@"
