#!/usr/bin/env bash
# One node with several GPUs, one sweep: a process for each GPU, which share the runs.
#
#   GPUS=8 bash examples/eight_gpus.sh budgets.yaml runs/budgets
#
# The folder may lie on the node's own disk. Each process trains one run at a time on its GPU.
set -euo pipefail
sweep=${1:?the file of the sweep} out=${2:?the folder of the sweep}

# Wait for a process through every signal, and leave its exit code in $code.
finish() {
  local before
  heard=
  code=0
  wait "$1" || code=$?
  while [ -n "$heard" ]; do # the wait was cut short by the signal
    heard= before=$code code=0
    wait "$1" || code=$?
    [ "$code" != 127 ] || code=$before
  done
}

workers=()
for ((gpu = 0; gpu < ${GPUS:-8}; gpu++)); do
  CUDA_VISIBLE_DEVICES=$gpu peftsearch sweep "$sweep" --out "$out" --jobs 1 &
  workers+=("$!")
done
trap 'heard=1; kill -TERM "${workers[@]}" 2>/dev/null || true' TERM INT

first=0
for worker in "${workers[@]}"; do
  finish "$worker"
  [ "$first" != 0 ] || first=$code
done
exit "$first"
