# SPDX-License-Identifier: GPL-3.0-or-later
"""The net of the note ear, as it is trained; `dsp/notenet.py` is the same net as it runs.

A convolution over three frames reads each semitone; every pitch gathers its harmonics, then looks at
what its neighbours found, and all share one memory of the whole and one rule of remembering.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from dsp.tones import CHANNELS, PITCHES, SEMITONES

LAGS = (2, 3, 4, 7)  # frames after the one with the onset: decisions of 24, 32, 40, 64 ms at the latest
HARMONICS = (-12, 0, 12, 19, 24, 28, 31, 34, 36, 38, 40)  # semitones above: half, 1 to 10 times the pitch
NEIGHBOURS = (-24, -19, -12, -7, -2, -1, 0, 1, 2, 7, 12, 19, 24, 28)
OUTPUTS = len(LAGS) + 2  # an onset for each lag, whether it sounds, how hard it was struck
SOUNDING, VELOCITY = len(LAGS), len(LAGS) + 1
KERNELS, LOCAL, NEAR, MIX, HIDDEN, WIDE, TOLD = 16, 48, 12, 48, 48, 48, 8
PAST, WIDTH = 3, 7  # frames and bins of the convolution


@njit(cache=False, nogil=True)
def _gather(x, offsets, out):  # type: ignore[no-untyped-def]
    n, pitches, count, features = out.shape
    for row in range(n):
        for p in range(pitches):
            for i in range(count):
                at = p + offsets[i]
                inside = 0 <= at < x.shape[1]
                for k in range(features):
                    out[row, p, i, k] = x[row, at, k] if inside else np.float32(0)


@njit(cache=False, nogil=True)
def _scatter(x, offsets, out):  # type: ignore[no-untyped-def]
    n, pitches, count, features = x.shape
    for row in range(n):
        for p in range(pitches):
            for i in range(count):
                at = p + offsets[i]
                if 0 <= at < out.shape[1]:
                    for k in range(features):
                        out[row, at, k] += x[row, p, i, k]


class Gather(torch.autograd.Function):
    """(n, semitones, features) to (n, PITCHES, offsets * features): what lies so far from each pitch, or 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, offsets: tuple[int, ...]) -> Tensor:
        n, semitones, features = x.shape
        ctx.offsets, ctx.shape = offsets, x.shape
        if x.device.type == "cpu":  # the slices below take a processor five times as long
            out = np.empty((n, PITCHES, len(offsets), features), np.float32)
            _gather(x.numpy(), np.array(offsets), out)
            return torch.from_numpy(out).flatten(2)
        rows = x.new_zeros(n, PITCHES, len(offsets), features)
        for i, offset in enumerate(offsets):
            low, high = max(0, -offset), min(PITCHES, semitones - offset)
            rows[:, low:high, i] = x[:, low + offset : high + offset]
        return rows.flatten(2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        n, semitones, features = ctx.shape
        grad = grads[0].reshape(n, PITCHES, len(ctx.offsets), features)
        if grad.device.type == "cpu":
            sums = np.zeros(ctx.shape, np.float32)
            _scatter(grad.numpy(), np.array(ctx.offsets), sums)
            return torch.from_numpy(sums), None
        out = grad.new_zeros(ctx.shape)
        for i, offset in enumerate(ctx.offsets):
            low, high = max(0, -offset), min(PITCHES, semitones - offset)
            out[:, low + offset : high + offset] += grad[:, low:high, i]
        return out, None


class NoteNet(nn.Module):
    """Frames of inputs, shape (batch, time, CHANNELS, BINS), to (batch, time, PITCHES, OUTPUTS); strictly causal."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, KERNELS, (PAST, WIDTH), stride=(1, 3))
        self.local = nn.Linear(KERNELS * len(HARMONICS), LOCAL)
        self.place = nn.Parameter(torch.zeros(PITCHES, LOCAL))
        self.near = nn.Linear(LOCAL, NEAR)
        self.wide = nn.Linear(SEMITONES // 3 * KERNELS, WIDE)
        self.all = nn.GRU(WIDE, WIDE, batch_first=True)
        self.told = nn.Linear(WIDE, TOLD)
        self.mix_near = nn.Linear(NEAR * len(NEIGHBOURS), MIX, bias=False)
        self.mix_local = nn.Linear(LOCAL, MIX)
        self.mix_told = nn.Linear(TOLD, MIX, bias=False)
        self.gru = nn.GRU(MIX, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN + MIX, OUTPUTS)
        self.register_buffer("mu", torch.zeros(CHANNELS))
        self.register_buffer("sd", torch.ones(CHANNELS))
        with torch.no_grad():
            self.head.bias[:SOUNDING], self.head.bias[SOUNDING] = -5, -3

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(size, CHANNELS, time + PAST - 1, BINS) to (size * time, SEMITONES, KERNELS) and (size * time, WIDE)."""
        y = F.relu(self.conv(F.pad(x, (2, 2)))).permute(0, 2, 3, 1).flatten(0, 1).float()
        top = y.reshape(len(y), SEMITONES // 3, 3, KERNELS).amax(2).flatten(1)
        return y, F.relu(self.wide(top))

    def mixed(self, y: Tensor, told: Tensor) -> Tensor:
        """(n, SEMITONES, KERNELS) and (n, TOLD) to (n, PITCHES, MIX)."""
        z = F.relu(self.local(Gather.apply(y, HARMONICS)) + self.place)
        near = Gather.apply(F.relu(self.near(z)).float(), NEIGHBOURS)
        return F.relu(self.mix_near(near) + self.mix_local(z) + self.mix_told(told)[:, None])

    def forward(self, x: Tensor) -> Tensor:
        size, time = x.shape[:2]
        x = (x - self.mu[:, None]) / self.sd[:, None]
        x = F.pad(x, (0, 0, 0, 0, PAST - 1, 0)).transpose(1, 2)
        y, top = self.seen(x)
        whole = self.remembered(self.all, top.unflatten(0, (size, time)))
        told = F.relu(self.told(whole)).flatten(0, 1)
        m = self.mixed(y, told).unflatten(0, (size, time)).transpose(1, 2).flatten(0, 1)
        h = self.remembered(self.gru, m)
        return self.head(torch.cat([h, m.float()], -1)).unflatten(0, (size, PITCHES)).transpose(1, 2)

    @staticmethod
    def remembered(gru: nn.GRU, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # slower in half precision, and it adds up
            return gru(x.float())[0]


def _gru(gru: nn.GRU, x: Tensor, hidden: Tensor) -> Tensor:
    """One step, in plain sums."""
    reset, update, new = (x @ gru.weight_ih_l0.T + gru.bias_ih_l0).chunk(3, -1)
    old_reset, old_update, old_new = (hidden @ gru.weight_hh_l0.T + gru.bias_hh_l0).chunk(3, -1)
    fresh = torch.tanh(new + torch.sigmoid(reset + old_reset) * old_new)
    return fresh + torch.sigmoid(update + old_update) * (hidden - fresh)


class Streaming(nn.Module):
    """One frame in, one out, its memory in the open: the form that is exported."""

    def __init__(self, net: NoteNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, frames: Tensor, hidden: Tensor, whole: Tensor) -> tuple[Tensor, ...]:
        """x (1, CHANNELS, BINS), frames (PAST - 1, CHANNELS, BINS), hidden (HIDDEN, PITCHES), whole (1, WIDE)."""
        net = self.net
        recent = torch.cat([frames, (x - net.mu[:, None]) / net.sd[:, None]])
        y = F.relu(net.conv(F.pad(recent.transpose(0, 1)[None], (2, 2))))[:, :, 0]  # (1, KERNELS, SEMITONES)
        top = y.reshape(KERNELS, SEMITONES // 3, 3).amax(2).T.reshape(1, -1)
        whole = _gru(net.all, F.relu(net.wide(top)), whole)
        told = F.relu(net.told(whole))
        z = F.relu(net.local(self._near(y[0].T, HARMONICS)) + net.place)
        near = self._near(F.relu(net.near(z)), NEIGHBOURS)
        m = F.relu(net.mix_near(near) + net.mix_local(z) + net.mix_told(told))
        h = _gru(net.gru, m, hidden.T)
        return net.head(torch.cat([h, m], -1)).T, recent[1:], h.T, whole

    @staticmethod
    def _near(x: Tensor, offsets: tuple[int, ...]) -> Tensor:
        rows = []
        for offset in offsets:
            below, above = max(0, -offset), max(0, PITCHES + offset - len(x))
            part = x[max(0, offset) : min(len(x), PITCHES + offset)]
            rows.append(F.pad(part, (0, 0, below, above)))
        return torch.cat(rows, -1)


def arrays_of(net: NoteNet) -> dict[str, Any]:
    """The weights by the names and shapes that ship."""
    state = {key: value.detach().cpu().numpy() for key, value in net.state_dict().items()}
    found = {
        "mu": state["mu"], "sd": state["sd"], "conv.w": state["conv.weight"], "conv.b": state["conv.bias"],
        "local.w": state["local.weight"].reshape(LOCAL, len(HARMONICS), KERNELS),
        "local.b": state["local.bias"][:, None] + state["place"].T,
        "near.w": state["near.weight"], "near.b": state["near.bias"],
        "mix.near": state["mix_near.weight"].reshape(MIX, len(NEIGHBOURS), NEAR),
        "mix.local": state["mix_local.weight"], "mix.told": state["mix_told.weight"], "mix.b": state["mix_local.bias"],
        "wide.w": state["wide.weight"].reshape(WIDE, SEMITONES // 3, KERNELS), "wide.b": state["wide.bias"],
        "told.w": state["told.weight"], "told.b": state["told.bias"],
        "head.w": state["head.weight"], "head.b": state["head.bias"],
        "harmonics": np.array(HARMONICS, np.int64), "neighbours": np.array(NEIGHBOURS, np.int64),
        "lags": np.array(LAGS, np.int64),
    }  # fmt: skip
    for name in ("all", "gru"):
        for part in ("w_ih", "w_hh", "b_ih", "b_hh"):
            kind = "weight" if part[0] == "w" else "bias"
            found[f"{name}.{part}"] = state[f"{name}.{kind}_{part[2:]}_l0"]
    return found
