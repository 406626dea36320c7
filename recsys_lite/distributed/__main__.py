"""A two-tower model of ids on the films, in several processes; a run that was cut off goes on from its checkpoint.

torchrun --standalone --nproc-per-node 2 -m recsys_lite.distributed FOLDER
"""

import argparse
from pathlib import Path

from recsys_lite import datasets, distributed, losses, negatives, splits, towers
from recsys_lite.examples import Interactions
from recsys_lite.vectors import Cosine


def main(arguments: list[str] | None = None) -> None:
    """Train a two-tower model of ids on the films; FOLDER gets checkpoint.pt and history.csv."""
    parser = argparse.ArgumentParser(prog="recsys_lite.distributed", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    for name, default in (("epochs", 3), ("batch", 256), ("dim", 64), ("every", 100)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args(arguments)
    known = splits.protocol(datasets.movielens())[1].known
    pair = towers.UserIds(known.n_users, chosen.dim), towers.ItemIds(known.n_items, chosen.dim)
    sampler = negatives.in_batch(negatives.log_share(known))
    how = {"n_epochs": chosen.epochs, "batch_size": chosen.batch, "learning_rate": 0.005, "weight_decay": 0.1}
    with distributed.processes() as device:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        how |= {"checkpoint": chosen.folder / "checkpoint.pt", "every": chosen.every}
        model = Cosine(towers.TwoTower(*pair), temperature=0.1).to(device)
        history = distributed.fit(model, Interactions(known), losses.logq_loss, sampler, **how)
        if distributed.place()[0] == 0:
            history.to_csv(chosen.folder / "history.csv", index=False)


if __name__ == "__main__":
    main()
