# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the operating system for a thread that is not kept waiting; carry on without."""

import ctypes
import os
import sys


def promote(priority: int = 60) -> bool:
    """Give the calling thread a realtime priority; whether it was granted."""
    if sys.platform == "win32":
        kernel32 = ctypes.windll.kernel32
        return bool(kernel32.SetThreadPriority(kernel32.GetCurrentThread(), 15))
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
            return True
        except OSError:
            return False
    return False  # macOS schedules by its own lights


def may() -> bool:
    """Whether a realtime priority would be granted; asked on a thread of its own."""
    import threading

    answer: list[bool] = []
    thread = threading.Thread(target=lambda: answer.append(promote()))
    thread.start()
    thread.join()
    return answer[0]
