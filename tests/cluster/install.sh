#!/usr/bin/env bash
# Installs what the tests of this folder need: Slurm and munge, from Debian's or Ubuntu's packages. To be run as root.
set -euo pipefail
programs=(munged slurmctld slurmd srun sbatch squeue scontrol scancel sinfo)
if ! PATH="$PATH:/usr/sbin" command -v "${programs[@]}" > /dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet=2
  apt-get install --yes --quiet=2 --no-install-recommends munge slurm-wlm > /dev/null
fi
PATH="$PATH:/usr/sbin" command -v "${programs[@]}" > /dev/null
