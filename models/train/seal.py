# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of the weights that ship, in one file for all of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

SUMS = "SHA256SUMS"


def seal(folder: Path, files: Iterable[str]) -> None:
    """Write down what these files hash to; what is known of others stays."""
    path = folder / SUMS
    lines = path.read_text().splitlines() if path.exists() else []
    known = {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    known |= {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
    path.write_text(
        "".join(f"{digest}  {name}\n" for name, digest in known.items() if (folder / name).exists())
    )
