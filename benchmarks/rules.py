"""How often the rules of automatic settings choose about as well as the best of a grid, on systems made for that.

    python benchmarks/rules.py strengths [--systems linear ...] [--methods l1 ...] [--seeds 2] [--minutes 30]
    python benchmarks/rules.py choices [--rules windows hidden ...] [--minutes 30]
    python benchmarks/rules.py rankings [--groups derivatives vanishing costs fit] [--noises 0.05] [--minutes 30]

The systems (`linear`, `hill`, `lotka_volterra`, `kuramoto`; seeds from 8000 on) are in no benchmark. A choice counts as
good where its error is at most 5 % above that of the best of the grid, by validation and by the noise-free test data,
or its AUPRC at most 5 % below. For `choices` a grid of values of each rule is fitted, everything else chosen
automatically. For `rankings` edges are ranked by several importances, and by their mean ranks, beside the truth (seeds
from 7000 on, and `circuit`, of whose variables only some have an effect on themselves). Finished rows are in a CSV
file, from which a run goes on.
"""

from __future__ import annotations

import argparse

import rules_choices
import rules_rankings
import rules_strengths

COMMANDS = {"choices": rules_choices, "rankings": rules_rankings, "strengths": rules_strengths}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.add_arguments(subparsers.add_parser(name))
    arguments = parser.parse_args()
    COMMANDS[arguments.command].run(arguments)


if __name__ == "__main__":
    main()
