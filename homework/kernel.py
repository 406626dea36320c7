"""The kernel that submissions run in, with the book's Python: memory, files and printed text are bounded."""

import os
import resource
import sys
from pathlib import Path

MEMORY, FILE, TEXT = 8 << 30, 100 << 20, 100_000  # bytes of address space, bytes a file, characters a cell

for limit, value in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_FSIZE, FILE), (resource.RLIMIT_CORE, 0)):
    try:
        resource.setrlimit(limit, (value, value))
    except (ValueError, OSError):  # macOS does not bound the address space
        pass
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent))

import problems  # noqa: E402
from ipykernel.iostream import OutStream  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402

for assignment in problems.assignments():  # before a submission can put a module of that name in the way
    problems.problems(assignment)
sys.path.pop(0)
printed, write = 0, OutStream.write


def write_within_bounds(self, text: str) -> int:
    """Write, or RuntimeError once the cell has printed too much."""
    global printed
    printed += len(text)
    if printed > TEXT:
        raise RuntimeError(f"this cell prints more than {TEXT:,} characters")
    return write(self, text)


def start_anew(*_) -> None:
    """Give the next cell its own bounds."""
    global printed
    printed = 0


OutStream.write = write_within_bounds
app = IPKernelApp.instance()
app.initialize(sys.argv[1:])
app.shell.events.register("pre_run_cell", start_anew)
app.start()
