"""`training.fit` in several processes: the rows of each batch are shared out, and the steps are those of one process.

Start it with torchrun, on one machine or many; `python -m recsys_lite.distributed` is an example.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor

from recsys_lite import training
from recsys_lite.distributed.run import Run, place
from recsys_lite.examples import Batch, Examples
from recsys_lite.losses import Loss
from recsys_lite.negatives import Negatives, NegativeSampler
from recsys_lite.vectors import VectorModel, seeded


@contextmanager
def processes() -> Iterator[torch.device]:
    """The process group that torchrun prepared, and this process's device.

    nccl where every process of the machine has a GPU of its own, gloo on the processor otherwise.
    """
    if "LOCAL_RANK" not in os.environ:
        raise ValueError("the process must be started by torchrun; found no LOCAL_RANK in the environment.")
    local, n_local = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    on_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= n_local
    if on_gpus:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if on_gpus else "gloo")
    yield torch.device("cuda", local) if on_gpus else torch.device("cpu")
    dist.destroy_process_group()  # not after an error: the others are then gone, and so is this process


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mine: Tensor) -> Tensor:
        ctx.n = len(mine)
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)  # what every process's rows want of every vector
        return gradient.narrow(0, dist.get_rank() * ctx.n, ctx.n)


def all_gather(mine: Tensor) -> Tensor:
    """The vectors of all processes by rank, (size n, d) from (n, d) each; their gradient is the sum over processes.

    torch's own `dist.all_gather` gives vectors that no gradient goes back through.
    """
    return _Gather.apply(mine) if place()[1] > 1 else mine


def _own(n: int) -> tuple[Tensor, Tensor]:
    """This process's ceil(n / size) of n places, and which of them are real: the last one fills up."""
    rank, size = place()
    each = -(-n // size)
    places = torch.arange(rank * each, (rank + 1) * each)
    return places.clamp(max=n - 1), places < n


class _Part(NamedTuple):
    """What `training.batch_scores` is given for a model: own rows against the items of the whole batch."""

    model: VectorModel
    positives: Tensor  # (B,) of the whole batch
    rows: Tensor  # (B / size,) places of the own ones

    def score(self, batch: Batch, drawn: Negatives) -> tuple[Tensor, Tensor]:
        """Each distinct item of the whole batch is encoded once, in one of the processes."""
        items, where = torch.cat([self.positives, drawn.items]).unique(return_inverse=True)
        own, _ = _own(len(items))
        users, mine = self.model(batch.queries, items[own.to(items.device)])
        vectors = all_gather(mine)[: len(items)]
        positives, columns = where.split([len(self.positives), len(drawn.items)])
        return (users * vectors[positives[self.rows]]).sum(dim=1), users @ vectors[columns].T


class _Summed:
    """An optimizer as `training._step` uses it, that sums the gradients over the processes before it steps."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.optimizer, self.zero_grad = optimizer, optimizer.zero_grad

    def step(self) -> None:
        if place()[1] > 1:
            own = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            found = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
            used = torch.tensor([float(p.grad is not None) for p in own], device=own[0].device)
            total = torch.cat([*(gradient.flatten() for gradient in found), used])
            dist.all_reduce(total)
            *parts, used = total.split([*(p.numel() for p in own), len(own)])
            for parameter, gradient, n_uses in zip(own, parts, used):
                parameter.grad = gradient.view_as(parameter) if n_uses else None
        self.optimizer.step()


def _to(value, device: torch.device):
    """Tensors of a named tuple or mapping, on the device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _to(part, device) for name, part in value.items()}
    return value if value is None else type(value)(*(_to(part, device) for part in value))


def step_loss(model: VectorModel, batch: Batch, loss: Loss, drawn: Negatives) -> tuple[Tensor, Tensor]:
    """This process's part of the batch's loss: (losses l_b of its rows, their shares w_b / sum of all w), (n,) each.

    batch and drawn: the whole batch's, the same in every process. The products summed over the rows, and then over the
    processes, are the loss of the whole batch; a process without rows enough repeats the last one with the share 0.
    """
    if drawn.items.dim() != 1 or drawn.vectors is not None:
        raise ValueError("negatives must be shared by the batch and freshly encoded; got a list a row, or a queue.")
    rows, real = _own(len(batch.positives))
    if drawn.is_negative is not None:
        drawn = drawn._replace(is_negative=drawn.is_negative[rows])
    mine = Batch(batch.queries.take(rows), batch.positives[rows], batch.weight[rows] * real, batch.rows[rows])
    share = mine.weight / batch.weight.sum()
    device = next(model.parameters()).device
    mine, drawn, positives, rows, share = (_to(part, device) for part in (mine, drawn, batch.positives, rows, share))
    return loss(training.batch_scores(_Part(model, positives, rows), mine, drawn)), share


def fit(
    model: VectorModel,
    examples: Examples,
    loss: Loss,
    negatives: NegativeSampler,
    *,
    n_epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    optimizer: type[torch.optim.Optimizer] = torch.optim.AdamW,
    seed: int = 0,
    checkpoint: Path | None = None,
    every: int = 100,
    on_step: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """`training.fit` with the same arguments, in all processes at once; batch_size is that of all processes together.

    Every process draws the same batches and negatives from the seed and takes its part of the rows; negatives come from
    the whole batch. A model that draws nothing itself ends where `training.fit` leaves it, up to rounding; dropout has
    a stream of its own in every process. All begin with the first process's parameters.
    checkpoint: a file that the first process writes every `every` steps and at each epoch's end, and from which a run
    that is started again goes on, in as many processes as it likes: parameters, optimizer, generator and position.
    Samplers with a memory of their own are not in it. on_step: called with the number of steps done.
    """
    if not isinstance(model, VectorModel):
        raise ValueError(f"model must be a VectorModel, so that vectors can be gathered; got {type(model).__name__}.")
    if n_epochs < 1 or every < 1:
        raise ValueError(f"n_epochs and every must be at least 1; got {n_epochs} and {every}.")
    if examples.n_items != model.n_items:
        raise ValueError(
            f"examples and model must have one catalogue; got {examples.n_items} and {model.n_items} items."
        )
    (rank, size), generator = place(), torch.Generator().manual_seed(seed)
    stepper = _Summed(optimizer(model.parameters(), lr=learning_rate, weight_decay=weight_decay))
    setting = {"batch_size": batch_size, "learning_rate": learning_rate, "weight_decay": weight_decay, "seed": seed}
    run = Run(model, stepper.optimizer, generator, setting, checkpoint)
    run.resume()
    if size > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
    model.train()
    while run.now["epoch"] <= n_epochs:
        for batch in run.batches(examples):
            weight = float(batch.weight.sum())
            if weight == 0:
                continue
            with seeded((seed << 32) + run.now["step"] * size + rank):
                values, share = step_loss(model, batch, loss, negatives(batch, generator))
                even = torch.full_like(share, 1 / len(share))  # training._step takes a mean; this makes it the sum
                value = torch.tensor(training._step(stepper, values * share / even, even), dtype=torch.float64)
            value = value.to(share.device)
            if size > 1:
                dist.all_reduce(value)
            run.count(value.item(), weight)
            if run.now["step"] % every == 0:
                run.save()
            if on_step is not None:
                on_step(run.now["step"])
        run.end_epoch()
        run.save()
    model.eval()
    return pd.DataFrame(run.now["history"])
