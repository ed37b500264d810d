# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire doctor`: what is well on this machine, and the command that mends what is not."""

import argparse
import json
import textwrap
from collections import Counter
from shutil import get_terminal_size

from bridge.doctor import diagnose, examine

EPILOG = """\
examples:
  earwire doctor

keys of --json:
  {system, ok, warn, bad: how many of each,
   findings: [{level: ok|warn|bad, key, what, mend}]}
ok is well, warn works but could be better, bad will not work; it always ends with 0.
"""
MARKS = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def execute(args: argparse.Namespace) -> int:
    machine = examine()
    findings = diagnose(machine)
    count = Counter(finding.level for finding in findings)
    counts = {level: count[level] for level in MARKS}
    if args.json:
        rows = [finding._asdict() for finding in findings]
        print(json.dumps({"system": machine.system, **counts, "findings": rows}))
        return 0
    for finding in findings:
        print(_wrapped(f"{MARKS[finding.level]}  {finding.key:<14}", finding.what))
        if finding.mend:
            print(f"{'':20}-> {finding.mend}")
    if counts["bad"]:
        print("mend what is BAD first")
    elif counts["warn"]:
        print("all works; what is marked warn could be better")
    else:
        print("all is well")
    return 0


def _wrapped(head: str, text: str) -> str:
    """A finding within the terminal; what mends it stays one line, to be copied."""
    return textwrap.fill(
        text,
        max(60, get_terminal_size().columns),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
