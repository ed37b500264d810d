# SPDX-License-Identifier: GPL-3.0-or-later
"""What all trainings share: batches made ahead, a net and its running average, checkpoints to go on from."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.train.plan import Plan

SAID, SAVED = 50, 200  # steps between two lines, two checkpoints

T = TypeVar("T")


def ahead(draw: Callable[[], T], depth: int = 4) -> Iterator[T]:
    """What `draw` makes, without end, made ahead by a thread of its own."""
    queue: Queue[T | BaseException] = Queue(depth)

    def make() -> None:
        try:
            while True:
                queue.put(draw())
        except BaseException as error:  # noqa: BLE001 - whoever waits for a batch must hear of it
            queue.put(error)

    threading.Thread(target=make, daemon=True).start()
    while True:
        drawn = queue.get()
        if isinstance(drawn, BaseException):
            raise drawn
        yield drawn


def later(x: Tensor, frames: int) -> Tensor:
    """The same, shape (size, time, ...), so many frames later."""
    if frames == 0:
        return x
    moved = torch.zeros_like(x)
    moved[:, frames:] = x[:, :-frames]
    return moved


def descend(
    net: nn.Module,
    steps: int,
    rate: float,
    stiff: float,
    draw: Callable[[], Tensor],
    kept: Callable[[], Tensor],
) -> None:
    """Fit a net so small that it is done in minutes: the loss of what `draw` draws, and of what is `kept` beside it."""
    fit = torch.optim.AdamW(net.parameters(), rate, weight_decay=stiff)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(fit, steps)
    for step in range(steps):
        loss = draw()
        fit.zero_grad()
        loss.backward()
        fit.step()
        slower.step()
        if step % 1000 == 999:
            net.eval()
            with torch.no_grad():
                beside = float(kept())
            net.train()
            print(f"{step + 1} of {steps}, loss {float(loss.detach()):.4f}, kept {beside:.4f}", flush=True)


class Fit:
    """A net in training, as its last checkpoint left it.

    Parameters
    ----------
    path
        Of the checkpoint.
    make
        A net that knows nothing.
    plan, seed
        How it is fitted; of its first weights.
    """

    def __init__(self, path: Path, make: Callable[[], nn.Module], plan: Plan, seed: int) -> None:
        torch.manual_seed(seed)
        torch.set_flush_denormal(True)
        if plan.device == "cpu":
            torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self.path, self.plan = path, plan
        self.net: Any = make().to(plan.device)
        self.average: Any = make().to(plan.device).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=plan.rate, weight_decay=1e-3)
        self.done, self.spent = 0, 0.0  # steps, minutes
        if path.exists():
            saved = torch.load(path, weights_only=True, map_location=plan.device)
            self.net.load_state_dict(saved["net"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.done, self.spent = saved["done"], saved.get("spent", 0.0)

    def begin(self, inputs: np.ndarray, least: float = 0.0) -> None:
        """Have the net see inputs like these, shape (n, size), with mean 0 and deviation 1."""
        self.net.mu[:], self.net.sd[:] = torch.tensor(inputs.mean(0)), torch.tensor(inputs.std(0) + least)

    def run(
        self, batches: Iterator[T], losses: Callable[[Any, T], Sequence[Tensor]], weights: Sequence[float]
    ) -> None:
        """Fit until the plan is over.

        Parameters
        ----------
        batches
            Without end.
        losses
            Of the net over a batch; told as they go.
        weights
            Of each loss in the sum that falls.
        """
        plan, first, began, before = self.plan, self.done, time.monotonic(), self.spent
        if first == 0:
            self.average.load_state_dict(self.net.state_dict())
        running = np.zeros(len(weights))
        print(f"{sum(p.numel() for p in self.net.parameters())} weights", flush=True)
        for batch in batches:
            self.spent = before + (time.monotonic() - began) / 60
            share = max(self.done / plan.steps, self.spent / plan.minutes)
            if share >= 1:
                break
            with torch.autocast(plan.device, torch.bfloat16, enabled=plan.half):
                found = losses(self.net, batch)
            self._step(sum(w * loss for w, loss in zip(weights, found, strict=True)), share)
            running += [float(loss.detach()) for loss in found]
            if self.done % SAID == 0:
                speed = (time.monotonic() - began) / (self.done - first)
                shown = ", ".join(f"{x:.5f}" for x in running / SAID)
                print(f"{self.done} ({100 * share:.0f} %), {speed:.2f} s a step, losses {shown}", flush=True)
                running[:] = 0
            if self.done % SAVED == 0:
                self.save()
        self.save()

    def _step(self, loss: Any, share: float) -> None:
        plan = self.plan
        fall = max(0.0, share - plan.steady) / (1 - plan.steady)
        rate = plan.rate * min(1, self.done / plan.warm + 0.02) * (0.51 + 0.5 * np.cos(np.pi * fall))
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), plan.steepest)
        self.optimiser.step()
        self.done += 1
        keep = min(plan.keep, self.done / (self.done + 20))
        with torch.no_grad():
            pairs = zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True)
            for mean, new in pairs:
                mean.lerp_(new, 1 - keep)

    def save(self) -> None:
        """Write the checkpoint, all of it or nothing."""
        nets = {"net": self.net, "average": self.average, "optimiser": self.optimiser}
        state = {name: part.state_dict() for name, part in nets.items()}
        torch.save(state | {"done": self.done, "spent": self.spent}, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").rename(self.path)


def averaged(path: Path, net: Any) -> Any:
    """The net with the running average of a checkpoint, ready to be exported."""
    net.load_state_dict(torch.load(path, weights_only=True, map_location="cpu")["average"])
    return net.eval()
