#!/usr/bin/env bash
# Everything that needs a machine with an NVIDIA GPU, in one call of under ten minutes: builds the CUDA
# target for its GPU, runs the tests there, a few cases of each kernel's under compute-sanitizer, and the
# benchmarks in fp32, TF32 and bfloat16, which become benchmarks/gpu-NAME-*.md. A table of the steps comes
# last; the exit status is 1 if one of them failed.
#
#     tools/gpu_check.sh                  all steps: build torch device tests memcheck racecheck initcheck
#                                         synccheck kernels train tuned inference
#     tools/gpu_check.sh tests memcheck   these alone, and the first three, which they need
#     tools/gpu_check.sh --no-install     fetches nothing: builds in place with what python3 has
#     tools/gpu_check.sh --seconds 300    in less time (570): a step may take its share of what is left
#
# It installs into the virtual environment that python3 belongs to, or else into a new one in OUT. Where
# nothing can be fetched it goes on as with --no-install, which needs the project's dependencies, CuPy,
# pytest, pybind11, cmake and ninja in python3's environment. Without PyTorch the benchmarks show our side
# alone. Needs the driver, nvcc and g++.
#
# Environment: OUT, the folder of logs (build/gpu_check); PYTHON (python3); CUDA_VISIBLE_DEVICES, which GPU
# (the first); ALEXNET_RAW_COMMIT, the commit to name in a copy without .git.
# shellcheck disable=SC2317,SC2329  # the steps' functions are called by name
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
out=${OUT:-$root/build/gpu_check}
python=${PYTHON:-python3}
install=yes
seconds=570
# The steps, and how many of 570 seconds each may take; what one leaves, the later ones share.
steps=(build torch device tests memcheck racecheck initcheck synccheck kernels train tuned inference)
shares=(110 40 10 115 40 25 15 20 50 95 25 25)
needed=(build torch device)

fail() {
    echo "gpu_check.sh: $*" >&2
    exit 1
}
has() { # WORD WORDS...: is the word one of them?
    local word=$1 other
    shift
    for other; do [ "$other" = "$word" ] && return 0; done
    return 1
}

wanted=()
while [ $# -gt 0 ]; do
    case $1 in
        --no-install) install=no ;;
        --seconds)
            seconds=${2:-}
            case $seconds in '' | *[!0-9]*) fail "--seconds needs a whole number" ;; esac
            shift
            ;;
        -h | --help)
            sed -n '2,/^# shellcheck/{/^# shellcheck/!s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        *)
            has "$1" "${steps[@]}" || fail "'$1' is no step and no option (--help)"
            wanted+=("$1")
            ;;
    esac
    shift
done
if [ ${#wanted[@]} -eq 0 ]; then wanted=("${steps[@]}"); else wanted+=("${needed[@]}"); fi
for command in timeout nvidia-smi "$python"; do
    command -v "$command" >/dev/null || fail "$command was not found"
done
mkdir -p "$out/benchmarks" || fail "cannot write to $out"
out=$(cd "$out" && pwd)
cd "$root" || fail "cannot go to $root"

# ---- the machine

export CUDA_DEVICE_ORDER=PCI_BUS_ID # as nvidia-smi counts
visible=${CUDA_VISIBLE_DEVICES:-0}
gpu=$(nvidia-smi -i "${visible%%,*}" --query-gpu=name --format=csv,noheader) || fail "no GPU: $gpu"
slug=$(printf %s "${gpu#NVIDIA }" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-')
driver=$(nvidia-smi | sed -n 's/.*CUDA Version: *\([0-9]*\).*/\1/p' | head -n 1)
extra=cuda13
[ "${driver:-13}" -ge 13 ] || extra=cuda12
sanitizer=$(command -v compute-sanitizer)
for folder in "${CUDA_HOME:-}" /usr/local/cuda; do
    if [ -z "$sanitizer" ] && [ -x "$folder/bin/compute-sanitizer" ]; then
        sanitizer=$folder/bin/compute-sanitizer
    fi
done
export PYTHONPATH=$root:$root/tools${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
export ALEXNET_RAW_CUDA=${ALEXNET_RAW_CUDA:-on}
echo "$gpu, driver for CUDA ${driver:-unknown}; logs in $out"

# ---- the steps: the output of each is its log, its status the verdict

do_build() {
    if [ "$install" = no ]; then
        echo "nothing is fetched: built in place with what $python has"
        # From another folder: setuptools older than pyproject.toml wants would stop at it.
        cd "$out" && "$python" "$root/setup.py" build_ext --build-lib "$root"
    else
        "$python" -m pip install --editable ".[$extra,test]"
    fi
}

do_torch() {
    "$python" -c 'import torch' || { [ "$install" = yes ] && "$python" -m pip install 'torch>=2.4'; }
}

do_device() {
    "$python" -m alexnet_raw info
    "$python" -c 'from alexnet_raw.device import Device; Device("cuda:0")'
}

do_tests() {
    local parallel=()
    "$python" -c 'import xdist' && parallel=(-n 4)
    "$python" -m pytest -p no:cacheprovider --continue-on-collection-errors -k cuda:0 \
        ${parallel[@]+"${parallel[@]}"}
}

sanitize() { # TOOL PATTERN OPTIONS...: on the tests of the kernels whose source matches
    local tool=$1 pattern=$2 source name files=()
    shift 2
    for source in cuda/kernels/*.cu; do
        name=tests/test_$(basename "$source" .cu).py
        if [ -f "$name" ] && grep -q "$pattern" "$source"; then files+=("$name"); fi
    done
    # No borders around arrays: what lies beside one must be foreign memory.
    ALEXNET_RAW_TEST_BORDER=0 ALEXNET_RAW_TEST_SEED=2012 \
        "$sanitizer" --tool "$tool" --error-exitcode 86 --print-limit 20 "$@" \
        "$python" -m pytest -p no:cacheprovider -p few_cases --cases 3 -k cuda:0 "${files[@]}"
}
do_memcheck() { sanitize memcheck . --report-api-errors no; }
do_racecheck() { sanitize racecheck launch_with_barriers; } # it knows shared memory only
do_initcheck() { sanitize initcheck .; }
do_synccheck() { sanitize synccheck launch_with_barriers; }

# In OUT, until the file is whole. From there, so that the command in it is the one to repeat.
benchmark() { # NAME PRECISION OPTIONS...
    local name=$1-$2 tool=tools/bench_$1.py precision=$2 file
    shift 2
    if [ "${1:-}" = --batch-size ]; then name=$name-$2; fi
    if has --tune "$@"; then name=$name-tuned; fi
    file=benchmarks/gpu-${slug%-}-$name.md
    ln -sfn "$root/tools" "$out/tools" && cd "$out" || return
    "$python" "$tool" --device cuda:0 --precision "$precision" "$@" --output "$file" && cp "$file" "$root/benchmarks/"
}
# Subshells, for benchmark leaves the folder; all precisions, though one fails.
do_kernels() { precisions kernels; }
do_train() {
    local result=0
    precisions train --profile --towers --compile --channels-last || result=$?
    (benchmark train bf16 --batch-size 256 --towers --compile --channels-last) || result=$?
    return "$result"
}
do_tuned() { (benchmark train bf16 --batch-size 256 --tune --towers --no-torch); }
do_inference() { precisions inference; }
precisions() { # NAME OPTIONS...
    local name=$1 precision result=0
    shift
    for precision in fp32 tf32 bf16; do
        (benchmark "$name" "$precision" "$@") || result=$?
    done
    return "$result"
}

export -f has sanitize benchmark precisions
for step in "${steps[@]}"; do export -f "do_${step?}"; done

# ---- one after the other

begin=$SECONDS
if [ "$install" = yes ]; then
    probe=(-m pip download --quiet --no-deps --no-cache-dir --retries 0 --timeout 8)
    if ! timeout 30 "$python" "${probe[@]}" --dest "$out/probe" 'pybind11>=2.13' >"$out/probe.log" 2>&1; then
        echo "nothing can be fetched (probe.log): going on as with --no-install"
        install=no
    elif "$python" -c 'import sys; sys.exit(sys.prefix != sys.base_prefix)'; then
        "$python" -m venv --system-site-packages "$out/venv" || fail "python3 -m venv does not work"
        python=$out/venv/bin/python
    fi
fi
export root out python install slug extra sanitizer

status=0
blocked=
lines=()
line() { lines+=("$(printf '%-10s %5s   %s' "$@")"); }
for i in "${!steps[@]}"; do
    step=${steps[i]}
    has "$step" "${wanted[@]}" || continue
    if [ -n "$blocked" ]; then
        line "$step" "" "skipped: $blocked"
        continue
    fi
    case $step in
        *check)
            if [ -z "$sanitizer" ]; then
                line "$step" "" "skipped: compute-sanitizer was not found"
                continue
            fi
            ;;
    esac
    ahead=0
    for ((j = i; j < ${#steps[@]}; ++j)); do
        if has "${steps[j]}" "${wanted[@]}"; then ahead=$((ahead + shares[j])); fi
    done
    limit=$(((seconds - SECONDS + begin) * shares[i] / ahead))
    [ "$limit" -gt 0 ] || limit=1
    echo "== $step (at most $limit s)"
    started=$SECONDS
    # As by Ctrl-C: pytest then tells how far it came.
    timeout --signal=INT --kill-after=5 "$limit" bash -c "do_$step" >"$out/$step.log" 2>&1 </dev/null
    result=$?
    case $result in
        0) verdict=ok ;;
        86) verdict="FAILED: errors were found, see $step.log" ;;
        124 | 137) verdict="FAILED: not done after $limit s" ;;
        *) verdict="FAILED ($result): see $step.log" ;;
    esac
    if [ $result -ne 0 ] && [ "$step" = torch ]; then
        verdict="is missing: nothing stands beside our side"
    elif [ $result -ne 0 ]; then
        status=1
        tail -n 15 "$out/$step.log"
        case $step in
            build) blocked="the build failed" ;;
            device) blocked="cuda:0 cannot be used" ;;
        esac
    fi
    line "$step" $((SECONDS - started)) "$verdict"
done

{
    printf '\n%-10s %5s   %s\n' step seconds verdict
    printf '%s\n' "${lines[@]}"
    echo "$gpu, $((SECONDS - begin)) seconds in all"
} | tee "$out/table.txt"
exit $status
