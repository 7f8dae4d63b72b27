#!/usr/bin/env bash
# Quantizes a model as an array job of Slurm: PARTS tasks, each `quantize --part I/PARTS`, and a job
# after them that runs `quantize --finish`.
#
# usage: PARTS=8 scripts/slurm_quantize.sh MODEL_DIR OUT_DIR [OPTIONS OF quantize]
#
# On a node from which jobs are submitted, with `fouroversix` on the PATH and all three paths on a
# file system that the nodes share. Partition, account, cores and the like come from sbatch's own
# variables (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT, …). After a failure the same command
# goes on where it stopped; TASKS=3,5 submits these tasks alone.
set -euo pipefail
: "${PARTS:?say how many parts, as in PARTS=8}"

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    # A task. A number of parts that Slurm counts (SLURM_ARRAY_TASK_COUNT) would be that of TASKS.
    exec fouroversix quantize "$@" --part "$SLURM_ARRAY_TASK_ID/$PARTS"
fi
if [ -n "${SLURM_JOB_ID:-}" ]; then
    exec fouroversix quantize "$@" --finish
fi
array=$(sbatch --parsable --requeue --array="${TASKS:-1-$PARTS}" --export=ALL "$0" "$@")
end=$(sbatch --parsable --dependency="afterany:${array%%;*}" --export=ALL "$0" "$@")
echo "array job ${array%%;*}, then job ${end%%;*}"
