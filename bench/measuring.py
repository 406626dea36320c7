"""Times of two sides taken in turn, the memory of one call, and where a profile says that time goes."""

import cProfile
import ctypes
import gc
import multiprocessing
import pstats
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

OURS, THEIRS = "ours", "theirs"


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """(what the call returns, seconds by the clock, seconds of the processor)."""
    gc.collect()
    clock, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - clock, time.process_time() - processor


def in_turn(sides: Mapping[str, Callable[[], Any]], n_runs: int, warm: bool = True) -> tuple[dict, list[dict]]:
    """Each side n_runs times, the first alternating: (the last result of each side, a row a run).

    warm: one run of each that does not count, before.
    """
    results, rows = {}, []
    for run in range(-int(warm), n_runs):
        for side in list(sides) if run % 2 == 0 else list(sides)[::-1]:
            results[side], clock, processor = timed(sides[side])
            if run >= 0:
                rows.append({"side": side, "run": run, "clock": round(clock, 6), "processor": round(processor, 6)})
    return results, rows


def heaviest(call: Callable[[], Any], n: int = 3) -> list[tuple[str, float]]:
    """[(function, its own share of the time)], the n heaviest by cProfile, file paths left out."""
    profile = cProfile.Profile()
    profile.runcall(call)
    stats = pstats.Stats(profile)
    own = sorted(((row[2], name) for name, row in stats.stats.items()), reverse=True)[:n]
    return [(readable(name), seconds / stats.total_tt) for seconds, name in own]


def readable(function: tuple[str, int, str]) -> str:
    """A function of a profile, such as "factorization._solve", without the folders of this machine."""
    path, _, name = function
    if path == "~":
        return name.strip("<>").replace("built-in method ", "").split(" of ")[0].replace("method ", "").strip("'")
    return f"{path.replace(chr(92), '/').rpartition('/')[2].removesuffix('.py')}.{name}"


def forget_peak() -> None:
    """Let the largest memory of this process be what it has now, on Linux; elsewhere what came before stays in it."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def peak_bytes() -> int:
    """The largest memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _child(prepare, n_runs, warm, pipe) -> None:
    call = prepare()
    forget_peak()
    before = peak_bytes()
    seconds = [timed(call)[2] for _ in range(n_runs + warm)][int(warm) :]
    pipe.send((seconds, (peak_bytes() - before) / 2**20))
    pipe.close()


def in_a_child(
    prepare: Callable[[], Callable[[], Any]], n_runs: int, warm: bool = True
) -> tuple[list[float], float]:
    """(seconds of the processor of each run, MB that the call added at its peak).

    prepare() makes the data and gives the call; both run in a process of their own, so that memory starts afresh.
    warm: one run that does not count in the seconds, before.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(prepare, n_runs, warm, sender))
    child.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        raise RuntimeError("a case died in its process; is there memory enough?") from None
    finally:
        child.join()
    return result


def peaks(sides: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """{side: MB that a call of it adds at its peak}, each side in a process of its own."""
    return {side: in_a_child(lambda: call, 1, warm=False)[1] for side, call in sides.items()}
