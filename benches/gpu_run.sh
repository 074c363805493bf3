#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Checks and times the CUDA kernels on the GPU of this machine, from the bundle that `make gpu-bundle` gathers:
# no Rust, no Python, no CUDA toolkit are needed. Writes results.txt beside itself.
set -uo pipefail
cd "$(dirname "$0")"
export MLFF_TEST_GPU=1 MLFF_TEST_ROOT="$PWD/project"

# check WHAT COMMAND...: one line, and the output where it fails.
check() {
  local what=$1 log
  shift
  log=$(mktemp)
  if "$@" >"$log" 2>&1; then echo "ok      $what"; else
    echo "FAILED  $what"
    tail -n 40 "$log"
  fi
  rm -f "$log"
}

# waters SIDE HEIGHT: water molecules off a lattice.
waters() {
  local k x y z
  for ((k = 0; k < $1 * $1 * $2; k++)); do
    x=$((k % $1 * 3)) y=$((k / $1 % $1 * 3)) z=$((k / $1 / $1 * 3))
    printf 'O %d.1 %d.0 %d.0\nH %d.9 %d.6 %d.1\nH %d.6 %d.9 %d.4\n' $x $y $z $x $y $z $x $y $z
  done
}

# For the sanitizers, which are slow: a droplet, and a box whose atoms are sorted into bins.
{ printf '48\nProperties=species:S:1:pos:R:3\n' && waters 4 1; } >droplet.xyz
{ printf '525\nLattice="15 0 0 0 15 0 0 0 21" Properties=species:S:1:pos:R:3 pbc="T T T"\n' && waters 5 7; } >box.xyz

report() {
  echo "# $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi here')"
  echo
  check "reference cases within the default precision's tolerance" bin/reference_cases --include-ignored cuda
  check "any number of channels against float64; the same bits twice" bin/random_models
  check "pairs found on the GPU against the processor's; the same bits twice" bin/cuda_lists
  check "batches against single calls; the same bits twice" bin/batches a_batch_on_a_gpu
  check "ranks against one calculator" bin/ranks --include-ignored gpus
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      check "compute-sanitizer $tool" compute-sanitizer --tool $tool --error-exitcode 9 \
        bin/mlff-student eval --device cuda project/models/organics-small.safetensors droplet.xyz box.xyz
    done
  else
    echo "        compute-sanitizer is not installed here: not run"
  fi
  echo
  printf '%-18s %8s %14s %22s\n' student atoms µs/atom/step 'million atom-steps/s'
  for student in shared/reference/models/student-{427k,77k,21k}.onnx project/models/organics-{large,medium,small}.safetensors; do
    for atoms in 12 999 12288 98304; do
      bin/mlff-student bench "$student" --device cuda --atoms $atoms --rounds "${ROUNDS:-5}" 2>/dev/null |
        awk -v student="$(basename "${student%.*}")" -v atoms=$atoms \
          '/^µs/ { printf "%-18s %8d %14s %22.3f\n", student, atoms, $2, 1 / $2; found = 1 }
           END { if (!found) printf "%-18s %8d failed\n", student, atoms }'
    done
  done
}

report | tee results.txt
grep -q FAILED results.txt && exit 1
exit 0
