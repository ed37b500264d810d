# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory that the engine and the keeper of the MIDI ports both map."""

import mmap
import os
import tempfile
from pathlib import Path

import numpy as np

from bridge.midi.outbox import BYTES, Outbox, outbox
from bridge.native import SEMAPHORE_BYTES, open_semaphore

SIZE = BYTES + SEMAPHORE_BYTES


class Shared:
    """An outbox and a semaphore in memory of two processes.

    The file's name is needed only until the other side has mapped it.
    """

    def __init__(self, path: str | None = None) -> None:
        self.created = path is None
        if path is None:
            folder = "/dev/shm" if Path("/dev/shm").is_dir() else None
            handle, path = tempfile.mkstemp(prefix="earwire-", dir=folder)
            os.ftruncate(handle, SIZE)
        else:
            handle = os.open(path, os.O_RDWR)
        self.path = Path(path)
        self._map = mmap.mmap(handle, SIZE)
        os.close(handle)
        self._memory = np.frombuffer(self._map, np.uint8)
        self.outbox: Outbox = outbox(self._memory[:BYTES])
        self.semaphore = self._memory[BYTES:]
        if self.created:
            open_semaphore(self.semaphore)

    def forget_name(self) -> None:
        """Take the file out of the folder; the memory stays for who has mapped it."""
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:  # Windows holds a mapped file; the temporary folder is swept there
            pass
