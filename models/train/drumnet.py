# SPDX-License-Identifier: GPL-3.0-or-later
"""The net of the drum ear, as it is trained; `dsp/drumnet.py` is the same net as it runs."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from dsp.bands import BANDS, INPUTS, SHORTS
from dsp.events import LABELS
from models.train.studio import FAMILIES

LAGS = (0, 1, 2, 5, 14)  # frames after the one with the onset: decisions of 4, 8, 12, 24, 60 ms
DETECT = len(FAMILIES) + 1  # and whatever is metal, a hat or a cymbal
OUTPUTS = DETECT + len(LABELS) + len(FAMILIES)
KERNELS, DENSE, HIDDEN = 12, 96, 96
PAST = 3  # frames of both convolutions


class DrumNet(nn.Module):
    """Frames of inputs, shape (batch, time, INPUTS), to (batch, time, lags, OUTPUTS); strictly causal."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.conv_s = nn.Conv2d(2, KERNELS, (PAST, 5), stride=(1, 2), padding=(0, 2))
        self.conv_l = nn.Conv2d(2, KERNELS, (PAST, 7), stride=(1, 3), padding=(0, 3))
        width = KERNELS * ((SHORTS + 1) // 2 + (BANDS - SHORTS + 2) // 3)
        self.dense = nn.Linear(width, DENSE)
        self.conv_t = nn.Conv1d(DENSE, DENSE, PAST)
        self.gru = nn.GRU(DENSE, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN + DENSE, len(LAGS) * OUTPUTS)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mu", torch.zeros(INPUTS))
        self.register_buffer("sd", torch.ones(INPUTS))

    def embed(self, x: Tensor) -> Tensor:
        """What the heads see, shape (batch, time, HIDDEN + DENSE)."""
        x = F.pad((x - self.mu) / self.sd, (0, 0, PAST - 1, 0))
        planes = torch.stack([x[..., :BANDS], x[..., BANDS:]], 1)
        short = F.relu(self.conv_s(planes[..., :SHORTS]))
        long = F.relu(self.conv_l(planes[..., SHORTS:]))
        both = torch.cat([p.permute(0, 2, 1, 3).flatten(2) for p in (short, long)], -1)
        x = self.dropout(F.relu(self.dense(both))).transpose(1, 2)
        c = self.dropout(F.relu(self.conv_t(F.pad(x, (PAST - 1, 0))))).transpose(1, 2)
        h, _ = self.gru(c)
        return torch.cat([self.dropout(h), c], -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x)).unflatten(-1, (len(LAGS), OUTPUTS))


class Streaming(nn.Module):
    """One frame in, one out, its memory in the open: the form that is exported."""

    def __init__(self, net: DrumNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, frames: Tensor, dense: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        """x (1, INPUTS), frames (PAST - 1, INPUTS), dense (PAST - 1, DENSE), hidden (1, HIDDEN)."""
        net = self.net
        recent = torch.cat([frames, (x - net.mu) / net.sd])
        planes = torch.stack([recent[:, :BANDS], recent[:, BANDS:]])[None]
        short = F.relu(net.conv_s(planes[..., :SHORTS])).flatten(1)
        long = F.relu(net.conv_l(planes[..., SHORTS:])).flatten(1)
        denses = torch.cat([dense, F.relu(net.dense(torch.cat([short, long], -1)))])
        c = F.relu(net.conv_t(denses.T[None]))[..., 0]
        reset, update, new = ((c @ w.T + b) for w, b in self._gates("ih"))
        old_reset, old_update, old_new = ((hidden @ w.T + b) for w, b in self._gates("hh"))
        keep = torch.sigmoid(update + old_update)
        fresh = torch.tanh(new + torch.sigmoid(reset + old_reset) * old_new)
        hidden = (1 - keep) * fresh + keep * hidden
        return net.head(torch.cat([hidden, c], -1)), recent[1:], denses[1:], hidden

    def _gates(self, which: str) -> list[tuple[Tensor, Tensor]]:
        gru = self.net.gru
        weights, biases = getattr(gru, f"weight_{which}_l0"), getattr(gru, f"bias_{which}_l0")
        return list(zip(weights.chunk(3), biases.chunk(3), strict=True))
