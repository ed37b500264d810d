# SPDX-License-Identifier: GPL-3.0-or-later
"""A kit made of numbers, and a configuration folder of a test's own."""

import numpy as np
import pytest

from bridge.kit import learning, pages
from bridge.kit.teacher import Ear
from dsp.events import LABELS
from dsp.timbre import TIMBRE
from models.kit import Kit, Prior

SIZE = 16  # of an embedding
ALL = SIZE + TIMBRE
PRIOR = Prior(np.eye(SIZE), np.zeros((len(LABELS), SIZE)))
EAR = Ear("this-ear", PRIOR, (np.eye(2, SIZE), np.array([0.5, 0.25])))


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A configuration folder of the test's own."""
    monkeypatch.setattr(pages, "user_config_path", lambda name: tmp_path / "config" / name)
    return tmp_path / "config" / "earwire" / "kits"


@pytest.fixture
def one_ear(monkeypatch):
    monkeypatch.setattr("bridge.kit.teacher.ear", lambda: EAR)
    monkeypatch.setattr(learning, "ear", lambda: EAR)


def made(name="mine", pads=("kick", "table"), each=4):
    """A kit whose pads lie along the axes."""
    kit = Kit(name, ear="this-ear")
    for k, pad in enumerate(pads):
        e = np.zeros((each, ALL), np.float32)
        e[:, k] = 5
        kit = kit.with_pad(pages.new_pad(kit, pad)).with_strokes(k, e)
    return kit


def axis(k, size=5.0):
    e = np.zeros(SIZE, np.float32)
    e[k] = size
    return e
