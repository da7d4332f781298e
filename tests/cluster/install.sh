#!/usr/bin/env bash
# Installs what the tests of this folder need: Slurm and munge, from Debian's or Ubuntu's packages. To be run as root.
set -euo pipefail
export PATH="$PATH:/usr/sbin"

missing() {
  for program in munged slurmctld slurmd srun sbatch squeue scontrol scancel sinfo; do
    command -v "$program" > /dev/null || echo "$program"
  done
}

if [[ -n "$(missing)" ]]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet=2
  apt-get install --yes --quiet=2 --no-install-recommends munge slurm-wlm > /dev/null
fi
if [[ -n "$(missing)" ]]; then
  echo "error: not installed: $(missing | tr '\n' ' ')" >&2
  exit 1
fi
