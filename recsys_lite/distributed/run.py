"""Where a training in several processes stands, and the checkpoint from which it can go on."""

import os
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from recsys_lite.examples import Batch, Examples
from recsys_lite.vectors import VectorModel


def place() -> tuple[int, int]:
    """(rank, number of processes); (0, 1) where there is no process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def _write(state: Mapping, path: Path) -> None:
    """Whole or not at all: another file first, on the disk, then one rename."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _read(path: Path | None) -> dict | None:
    """The checkpoint as the first process finds it, in all processes."""
    found = [None]
    if path is not None and place()[0] == 0 and path.exists():
        found = [torch.load(path, map_location="cpu", weights_only=True)]
    if place()[1] > 1:
        dist.broadcast_object_list(found)
    return found[0]


class Run:
    """Where a training stands, and the file from which it can go on. `now` is all of it but the tensors."""

    def __init__(self, model: VectorModel, optimizer, generator: torch.Generator, setting: dict, path: Path | None):
        self.model, self.optimizer, self.generator = model, optimizer, generator
        self.setting, self.path = setting, path
        self.now = {"epoch": 1, "batch": 0, "step": 0, "total": 0.0, "weight": 0.0, "seconds": 0.0, "history": []}
        self.begun = generator.get_state()
        self.within: Tensor | None = None  # of a run that goes on inside an epoch
        self.started = time.perf_counter()

    def resume(self) -> None:
        """Go on from the file, if there is one; ValueError if it is of another setting."""
        saved = _read(self.path)
        if saved is None:
            return
        if saved["setting"] != self.setting:
            raise ValueError(
                f"checkpoint must be of a run with {self.setting}; got {saved['setting']}. Use another file."
            )
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.now, self.within = saved["now"], saved["generator"]
        self.generator.set_state(saved["begun"])

    def save(self) -> None:
        if self.path is not None and place()[0] == 0:
            tensors = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            states = {"begun": self.begun, "generator": self.generator.get_state()}
            _write(tensors | states | {"setting": self.setting, "now": self.now}, Path(self.path))

    def batches(self, examples: Examples) -> Iterator[Batch]:
        """Those of the epoch that are still to come."""
        self.begun, self.started = self.generator.get_state(), time.perf_counter() - self.now["seconds"]
        batches = examples.batches(self.setting["batch_size"], self.generator)
        for _ in islice(batches, self.now["batch"]):  # done before; the order was drawn when the epoch began
            pass
        if self.within is not None:
            self.generator.set_state(self.within)
            self.within = None
        for batch in batches:
            self.now["batch"] += 1
            yield batch

    def count(self, value: float, weight: float) -> None:
        """A step of this loss and weight is done."""
        self.now["step"] += 1
        self.now["total"] += weight * value
        self.now["weight"] += weight
        self.now["seconds"] = time.perf_counter() - self.started

    def end_epoch(self) -> None:
        if self.now["weight"] == 0:
            raise ValueError("examples must give at least one positive of positive weight an epoch; got none.")
        epoch, mean = self.now["epoch"], self.now["total"] / self.now["weight"]
        row = {"epoch": epoch, "loss": mean, "seconds": self.now["seconds"]}
        self.now |= {"epoch": epoch + 1, "batch": 0, "total": 0.0, "weight": 0.0, "seconds": 0.0}
        self.now["history"] = [*self.now["history"], row]
        self.begun = self.generator.get_state()
