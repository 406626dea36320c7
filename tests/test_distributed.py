"""Two real processes are one: the same parameters after steps, also where one was killed and the run goes on."""

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recsys_lite import distributed, losses, synthetic, training
from recsys_lite.examples import Interactions, Prefixes, Sequences
from recsys_lite.ncf import NCF
from recsys_lite.negatives import Queue, in_batch, log_share, mixed, uniform
from recsys_lite.towers import ItemIds, TwoTower, UserIds, mlp
from recsys_lite.vectors import Cosine, LearnedTemperature

ROOT = Path(__file__).resolve().parent.parent
HOW = {"n_epochs": 2, "batch_size": 60, "learning_rate": 0.01, "weight_decay": 0.1, "seed": 4}


@cache
def case():
    """Weights of 0 to 3 and 341 events, so that 60 does not divide them and the last batch of 41 leaves one over."""
    events = synthetic.World(40, 30, seed=1).interactions(per_user=11)
    events = events.take(np.arange(341))
    weights = np.random.default_rng(0).integers(0, 4, size=341).astype(float)
    return events, Interactions(events, weights), mixed(in_batch(log_share(events)), uniform(events.n_items, 7))


def model(events=None):
    events = events or case()[0]
    users = torch.nn.Sequential(UserIds(events.n_users, 8), mlp(8, 8, 8, seed=5))
    return Cosine(TwoTower(users, ItemIds(events.n_items, 8)), LearnedTemperature(0.3))


def weights_of(trained):
    return torch.cat([parameter.detach().flatten() for parameter in trained.parameters()])


@cache
def single():
    trained = model()
    history = training.fit(trained, *case()[1:2], losses.logq_loss, case()[2], **HOW)
    return weights_of(trained), history


def fit(trained=None, *, source=None, sampler=None, **options):
    trained = trained or model()
    source, sampler = source or case()[1], sampler or case()[2]
    return trained, distributed.fit(trained, source, losses.logq_loss, sampler, **HOW | options)


# --- in one process -------------------------------------------------------------------------------------------------
def test_alone_it_is_training_fit():
    trained, history = fit()
    torch.testing.assert_close(weights_of(trained), single()[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(history["loss"], single()[1]["loss"], rtol=1e-5)
    assert list(history) == list(single()[1]) and not trained.training


class Stop(Exception):
    pass


def stop_at(step):
    def on_step(done):
        if done == step:
            raise Stop

    return on_step


@pytest.mark.parametrize("steps", [(1,), (4,), (6,), (7,), (10,), (12,), (3, 5), (5, 11), (9, 11)])
def test_a_run_goes_on_bit_for_bit_wherever_and_however_often_it_was_stopped(tmp_path, steps):
    whole, history = fit()
    path, state = tmp_path / "checkpoint.pt", torch.get_rng_state()
    for step in steps:
        with pytest.raises(Stop):
            fit(checkpoint=path, every=2, on_step=stop_at(step))
    resumed, again = fit(checkpoint=path, every=2)
    assert torch.equal(weights_of(resumed), weights_of(whole))
    pd.testing.assert_series_equal(again["loss"], history["loss"], check_exact=True)
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_goes_on_as_well(tmp_path):
    def dropping():
        users = torch.nn.Sequential(UserIds(40, 8), mlp(8, 8, 8, seed=5, dropout=0.5))
        return TwoTower(users, ItemIds(30, 8))

    whole, _ = fit(dropping())
    with pytest.raises(Stop):
        fit(dropping(), checkpoint=tmp_path / "c.pt", every=3, on_step=stop_at(5))
    resumed, _ = fit(dropping(), checkpoint=tmp_path / "c.pt")
    assert torch.equal(weights_of(resumed), weights_of(whole))


def test_what_a_model_draws_is_new_in_every_step():
    drawn = []

    def loss(scores):
        drawn.append(torch.rand(1).item())
        return losses.softmax_loss(scores)

    distributed.fit(model(), case()[1], loss, case()[2], **HOW)
    assert len(set(drawn)) == len(drawn) == 12


def test_a_finished_run_is_only_read_and_more_epochs_go_on_from_it(tmp_path):
    path = tmp_path / "checkpoint.pt"
    fit(checkpoint=path, n_epochs=1)
    trained, history = fit(checkpoint=path)
    torch.testing.assert_close(weights_of(trained), weights_of(fit()[0]), rtol=0, atol=0)
    read, same = fit(checkpoint=path, on_step=stop_at(1))
    assert torch.equal(weights_of(read), weights_of(trained)) and same.equals(history)


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    """A writer that dies half way leaves the last checkpoint as it was."""
    path = tmp_path / "checkpoint.pt"
    fit(checkpoint=path, n_epochs=1)
    before = path.read_bytes()

    def half(state, file):
        file.write(b"half")
        raise Stop

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(Stop):
        fit(checkpoint=path)
    assert path.read_bytes() == before


def test_rows_are_shared_out_without_loss_or_repetition(monkeypatch):
    for size in (1, 2, 3, 5, 8):
        found = []
        for rank in range(size):
            monkeypatch.setattr(distributed, "place", lambda: (rank, size))
            places, real = distributed._own(6)
            assert len(places) == -(-6 // size)
            found += places[real].tolist()
        assert found == list(range(6))


def test_shares_sum_to_one_over_the_processes(monkeypatch):
    """Weights 1, 2, 3, 4, 0 in two processes: three rows each, the last one filled up."""
    events = case()[0].take(np.arange(5))
    source = Interactions(events, np.array([1.0, 2, 3, 4, 0]))
    batch = next(source.batches(5, torch.Generator().manual_seed(0)))
    found = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "place", lambda: (rank, 2))
        monkeypatch.setattr(distributed, "all_gather", lambda mine: torch.cat([mine, mine]))
        drawn = in_batch(log_share(events))(batch, torch.Generator())
        found.append(distributed.step_loss(model(events), batch, losses.logq_loss, drawn)[1])
    assert [len(shares) for shares in found] == [3, 3] and found[1][-1] == 0
    torch.testing.assert_close(torch.cat(found)[:5], batch.weight / 10)


def test_errors(tmp_path):
    events = case()[0]
    with pytest.raises(ValueError, match="model must be a VectorModel.*NCF"):
        fit(NCF(40, 30, 4))
    with pytest.raises(ValueError, match="n_epochs and every must be at least 1; got 0 and 100"):
        fit(n_epochs=0)
    with pytest.raises(ValueError, match="n_epochs and every must be at least 1; got 2 and 0"):
        fit(every=0)
    with pytest.raises(ValueError, match="one catalogue; got 30 and 31 items"):
        fit(TwoTower(UserIds(40, 4), ItemIds(31, 4)))
    with pytest.raises(ValueError, match="shared by the batch"):
        fit(sampler=uniform(30, 5, shared=False))
    queued = model()
    with pytest.raises(ValueError, match="freshly encoded"):
        fit(queued, sampler=mixed(in_batch(log_share(events)), Queue(queued, 50, log_share(events))))
    with pytest.raises(ValueError, match="Build one row a positive"):
        fit(source=Sequences(events, 5))
    with pytest.raises(ValueError, match="at least one positive of positive weight"):
        fit(source=Interactions(events, np.zeros(341)))
    fit(checkpoint=tmp_path / "c.pt", n_epochs=1)
    with pytest.raises(ValueError, match="checkpoint must be of a run with .*'seed': 5.* got .*'seed': 4"):
        fit(checkpoint=tmp_path / "c.pt", seed=5)


def test_it_asks_for_torchrun(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ValueError, match="started by torchrun"), distributed.processes():
        pass


def test_histories_are_shared_out_too():
    """Whatever queries carry is cut by rows."""
    source = Prefixes(case()[0], 5)
    batch = next(source.batches(9, torch.Generator().manual_seed(0)))
    moved = distributed._to(batch, torch.device("cpu"))
    assert isinstance(moved.queries, type(batch.queries)) and torch.equal(moved.queries.history, batch.queries.history)


# --- in two processes -----------------------------------------------------------------------------------------------
PROGRAM = """
import os, signal, sys, types
from pathlib import Path
import torch
import test_distributed as t
from recsys_lite import distributed, losses
folder, what = Path(sys.argv[1]), sys.argv[2:]


def keep(name, **options):
    trained, history = t.fit(**options)
    if distributed.place()[0] == 0:
        torch.save([t.weights_of(trained), history["loss"].tolist()], folder / f"{name}.pt")


def kill(step):
    if step == 10 and distributed.place()[0] == 1:
        os.kill(os.getpid(), signal.SIGKILL)


with distributed.processes():
    if "kill" in what:
        keep("killed", checkpoint=folder / "checkpoint.pt", every=4, on_step=kill)
    if "resume" in what:
        keep("resumed", checkpoint=folder / "checkpoint.pt", every=4)
    if "whole" in what:
        keep("whole")
        gather = distributed.all_gather
        distributed.all_gather = lambda mine: distributed._Gather.forward(types.SimpleNamespace(), mine.detach())
        keep("no way back")
        def own_only(mine):
            vectors = gather(mine).detach()
            start = distributed.place()[0] * len(mine)
            return torch.cat([vectors[:start], mine, vectors[start + len(mine):]])
        distributed.all_gather = own_only
        keep("own only")
        distributed.all_gather = gather
        whole = t.case()[2]
        def local(batch, generator):
            drawn, rows = whole(batch, generator), len(batch.positives)
            side = torch.arange(rows) >= -(-rows // 2)
            same = torch.ones_like(drawn.is_negative)
            same[:, :rows] = side[:, None] == side[None, :]
            return drawn._replace(is_negative=drawn.is_negative & same)
        keep("local negatives", sampler=local)
        batch_sum = distributed.step_loss
        def of_own_rows(*arguments):
            values, share = batch_sum(*arguments)
            return values, share / share.sum() / 2
        distributed.step_loss = of_own_rows
        keep("mean of means")
"""


def launch(folder, *what):
    """torchrun's exit code and what it said; its processes are ended whatever happens."""
    (folder / "program.py").write_text(PROGRAM)
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    env = os.environ | ({"GLOO_SOCKET_IFNAME": loopback} if loopback else {}) | {"OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += ["--nproc-per-node", "2", str(folder / "program.py"), str(folder), *what]
    run = subprocess.Popen(
        command, env=env, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        said, _ = run.communicate(timeout=120)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    return run.returncode, said


@pytest.mark.slow
def test_two_processes_end_where_one_does_and_the_slips_do_not(tmp_path):
    code, said = launch(tmp_path, "whole")
    assert code == 0, said
    found = {path.stem: torch.load(path) for path in tmp_path.glob("*.pt")}
    expected, history = single()
    weights, loss = found.pop("whole")
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(loss, history["loss"], rtol=1e-5)
    off = {name: (slipped - expected).abs().max().item() for name, (slipped, _) in found.items()}
    assert set(off) == {"no way back", "own only", "local negatives", "mean of means"} and min(off.values()) > 1e-3, off


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_the_next_one_ends_as_if_it_had_not(tmp_path):
    code, said = launch(tmp_path, "kill")
    assert code != 0 and "SIGKILL" in said and not (tmp_path / "killed.pt").exists()
    saved = torch.load(tmp_path / "checkpoint.pt")
    assert saved["now"]["step"] == 8
    code, said = launch(tmp_path, "resume", "whole")
    assert code == 0, said
    resumed, whole = (torch.load(tmp_path / f"{name}.pt") for name in ("resumed", "whole"))
    assert torch.equal(resumed[0], whole[0]) and resumed[1] == whole[1]
    # and one process alone goes on from what two had written
    torch.save(saved, tmp_path / "of two.pt")
    torch.testing.assert_close(weights_of(fit(checkpoint=tmp_path / "of two.pt")[0]), single()[0], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_film_model_trains_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += ["--nproc-per-node", "1", "-m", "recsys_lite.distributed", str(tmp_path / "run"), "--epochs", "1", "--dim", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "history.csv"]
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 1
