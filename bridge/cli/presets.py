# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire presets`: what comes with it, what one says, what one may say."""

import argparse
import json

from bridge import preset

EPILOG = """\
examples:
  earwire presets                    all that come with it
  earwire presets voice > mine.toml  a copy to edit
  earwire presets --keys             every key, with its range and meaning

keys of --json:
  list    [{name, description, default}]
  PRESET  every key of the preset with its value, nested as in the file
  --keys  [{key, default, range, doc}]
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("preset", nargs="?", metavar="PRESET", help="show this one: a name or a .toml file")
    parser.add_argument("--keys", action="store_true", help="list every key a preset may set")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def execute(args: argparse.Namespace) -> int:
    if args.keys:
        keys = list(preset.keys())
        if args.json:
            print(json.dumps([row._asdict() for row in keys]))
        for row in keys if not args.json else ():
            print(f"{row.key}\n    {row.doc} ({row.range}; left out: {shown(row.default)})")
    elif args.preset is not None:
        chosen = preset.load(args.preset)
        print(json.dumps(preset.as_table(chosen)) if args.json else preset.text(args.preset).rstrip("\n"))
    else:
        found = [preset.load(name) for name in preset.shipped()]
        if args.json:
            rows = [
                {"name": p.name, "description": p.description, "default": p.name == "drums"} for p in found
            ]
            print(json.dumps(rows))
        width = 2 + max(len(p.name) for p in found)
        for p in found if not args.json else ():
            print(f"{p.name:<{width}}{p.description}")
    return 0


def shown(value: object) -> str:
    """A default as TOML would write it."""
    return json.dumps(value) if value not in ((), {}, "") else "none"
