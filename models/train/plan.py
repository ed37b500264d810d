# SPDX-License-Identifier: GPL-3.0-or-later
"""How a net is fitted, and how the command line says so."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any, NamedTuple


class Plan(NamedTuple):
    """How a net is fitted; whichever of `steps` and `minutes` is over first ends it."""

    steps: int = 8000
    minutes: float = float("inf")  # those of earlier starts count
    rate: float = 2e-3
    steady: float = 0.0  # share of the training after which the rate falls
    warm: int = 200  # steps over which it rises
    keep: float = 0.999  # of the running average, a step
    steepest: float = 1.0  # norm of the gradient
    half: bool = False  # sums in bfloat16
    device: str = "cpu"


def command_line(doc: str | None) -> tuple[ArgumentParser, Any]:
    """A trainer's command line, which says what its module says of itself; its verbs are added to the second."""
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    return parser, parser.add_subparsers(dest="verb", required=True)


def paths(parser: ArgumentParser, *names: str) -> ArgumentParser:
    """The folders that a verb is given, in this order."""
    for name in names:
        parser.add_argument(name, type=Path)
    return parser


def shared(parser: ArgumentParser) -> None:
    """Which share of the work is this one's, where several are at it."""
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)


def rendering(parser: ArgumentParser, hours: float, seed: int) -> None:
    """What every rendering of a corpus takes on its command line."""
    paths(parser, "data", "work")
    parser.add_argument("--hours", type=float, default=hours)
    parser.add_argument("--seed", type=int, default=seed, help="of other performances")
    shared(parser)


def options(parser: ArgumentParser, name: str, batch: int, plan: Plan) -> None:
    """What every training takes on its command line."""
    paths(parser, "work")
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--minutes", type=float, default=plan.minutes, help="end by then, whatever the steps")
    parser.add_argument("--rate", type=float, default=plan.rate)
    parser.add_argument("--half", action="store_true", help="sums in bfloat16, where the processor has them")
    parser.add_argument("--device", default=plan.device)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--name", default=name, help="of the checkpoint in WORK")


def planned(args: Namespace, plan: Plan) -> Plan:
    """The plan as the command line would have it."""
    return plan._replace(
        **{name: getattr(args, name) for name in ("steps", "minutes", "rate", "half", "device")}
    )
