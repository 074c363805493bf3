#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Checks and times the CUDA kernels on the GPU of this machine, from the bundle that `make gpu-bundle` gathers:
# no Rust, no Python, no CUDA toolkit are needed. PYTHON=path of one with a torch that has CUDA times PyTorch beside
# them. Writes results.txt beside itself; ends with 1 if anything failed.
set -uo pipefail
cd "$(dirname "$0")"
export MLFF_TEST_GPU=1 MLFF_TEST_ROOT="$PWD/project"
rounds=${ROUNDS:-5}
# The published students are there only if they were where the bundle was made.
mapfile -t students < <(ls shared/reference/models/student-{427k,77k,21k}.onnx project/models/organics-{large,medium,small}.safetensors 2>/dev/null)

# check WHAT COMMAND...: one line, and the output where it fails; status 124, by `timeout`, is no failure.
check() {
  local what=$1 log status=0
  shift
  log=$(mktemp)
  "$@" >"$log" 2>&1 || status=$?
  case $status in
    0) echo "ok      $what" ;;
    124) echo "no end  $what, within the time that it was given" ;;
    *)
      echo "FAILED  $what"
      tail -n 40 "$log"
      ;;
  esac
  # What tests measured.
  sed -n 's/^NVE, /        NVE, /p' "$log"
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

# box SIDE HEIGHT: the same, periodic.
box() {
  printf '%d\nLattice="%d 0 0 0 %d 0 0 0 %d" Properties=species:S:1:pos:R:3 pbc="T T T"\n' \
    $((9 * $1 * $1 * $2 / 3)) $((3 * $1)) $((3 * $1)) $((3 * $2))
  waters "$1" "$2"
}

# For the sanitizers, which are slow: a droplet, a box whose atoms are sorted into bins, and one of 52,728 atoms, for
# which every GPU takes the kernels for many atoms.
{ printf '48\nProperties=species:S:1:pos:R:3\n' && waters 4 1 && box 5 7 && box 26 26; } >structures.xyz

# bench STUDENT ATOMS ARGUMENTS...: figures of one run, `name value` a line; nothing where it fails.
bench() {
  local student=$1 atoms=$2
  shift 2
  bin/mlff-student bench "$student" --atoms "$atoms" --rounds "$rounds" "$@" |
    awk '/^µs/ { print "step", $2 } /^memory/ { print "kib", $2 } /^ethanol/ { print "call", $6; print "each", $13 }
         /^PyTorch/ { for (k = 2; k < NF; ++k) if ($k == "µs/atom/step") print "eager", $(k + 1) }
         /^TorchScript/ { for (k = 2; k < NF; ++k) if ($k == "µs/atom/step") print "script", $(k + 1) }'
}

# row STUDENT ATOMS: one line of the table, or why there is none.
row() {
  local student=$1 atoms=$2 gpu cpu='' python=()
  [ "$atoms" -le 12288 ] && cpu=$(bench "$student" "$atoms" --threads "$(nproc)" 2>/dev/null </dev/null)
  [ -n "${PYTHON:-}" ] && [ "$atoms" -le 12288 ] && python=(--python "$PYTHON")
  gpu=$(bench "$student" "$atoms" --device cuda "${python[@]}" 2>error.txt </dev/null)
  { echo "$gpu" && echo "$cpu" | sed 's/^/cpu_/'; } |
    awk -v student="$(basename "${student%.*}")" -v atoms="$atoms" '
      { of[$1] = $2 }
      function known(name) { return of[name] == "" ? "-" : of[name] }
      END {
        if (of["step"] + 0 == 0) { printf "%-16s %8d FAILED\n", student, atoms; exit }
        printf "%-16s %8d %10s %10.1f %12.3f %10s %10s %10s %10s %10s %10s %10s %10s\n", student, atoms, of["step"],
          of["step"] * atoms, 1 / of["step"], known("cpu_step"), known("eager"), known("script"), known("kib"),
          known("call"), known("each"), known("cpu_call"), known("cpu_each")
      }'
  # Why there is none, or no PyTorch.
  if [ -z "$gpu" ] || [ -n "${python[*]}" ]; then sed 's/^/        /' error.txt; fi
  rm -f error.txt
}

report() {
  local student atoms
  echo "# $(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi here')"
  echo "# processor: $(nproc) threads of $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
  echo
  [ -d shared/reference/cases ] && check "reference cases within the default precision's tolerance" bin/numbers --include-ignored cuda
  check "any number of channels against float64; the same bits twice" bin/numbers random_models::
  check "pairs found on the GPU against the processor's; the same bits twice" bin/cuda lists::
  check "50,653 atoms against the processor; the same bits twice" bin/cuda systems::
  check "batches against single calls; the same bits twice" bin/numbers a_batch_on_a_gpu
  [ -d shared/reference/cases ] && check "ranks against one calculator" bin/numbers --include-ignored gpus
  check "energy over 50 ps without a thermostat, as on the processor" bin/cuda --include-ignored --nocapture over_50
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      for student in $(printf '%s\n' "${students[@]}" | grep -e medium -e 77k); do
        check "compute-sanitizer $tool, $(basename "$student")" timeout 600 compute-sanitizer --tool $tool --error-exitcode 9 \
          bin/mlff-student eval --device cuda $student structures.xyz
      done
    done
  else
    echo "        compute-sanitizer is not installed here: not run"
  fi
  echo
  echo "µs/atom/step of water with its list on the GPU, the processor's threads together, PyTorch and TorchScript on the GPU;"
  echo "ethanol (9 atoms) from positions alone: µs a call, and for each of 1,024 in a batch."
  echo
  printf '%-16s %8s %10s %10s %12s %10s %10s %10s %10s %10s %10s %10s %10s\n' student atoms GPU µs/step \
    'M atom-st./s' CPU PyTorch TorchScr. KiB/atom 'GPU call' 'in batch' 'CPU call' 'in batch'
  for student in "${students[@]}"; do
    for atoms in 12 999 12288 98304; do
      row $student $atoms
    done
  done
  # As much as the aim says: 40 GB.
  if [ "$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | sort -n | head -n 1)" -ge 40000 ] 2>/dev/null; then
    row "$(printf '%s\n' "${students[@]}" | grep -m 1 -e 77k -e medium)" 1000000
  else
    echo "        a million atoms: no GPU of 40 GB here, not run"
  fi
}

report | tee results.txt
! grep -q FAILED results.txt
