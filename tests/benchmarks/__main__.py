"""`python -m tests.benchmarks [NAME...] [--quick]`: measure, and print a line for each figure.

Ends with 0 whatever the figures are, and with 1 when a benchmark could not be carried out.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

from tests.benchmarks.bench import Bench, describe_machine, import_real_data, real_data

SUBJECTS = (
    "startup",
    "first_point",
    "scale",
    "memory",
    "history",
    "attached",
    "traffic",
    "keys",
    "answers",
    "tracking",
    "training",
    "ranks",
    "epochs",
    "gpu",
)
LONG = ("precision",)  # hours: only where it is named
IN_TORCH = "gpu"  # it brings torch and its threads into this process: after those that start others


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(SUBJECTS)}; all of these without one; or {', '.join(LONG)}, which takes hours",
    )
    parser.add_argument(
        "--preset", action="append", default=[], help="of precision: this preset alone; the rows of the others stay"
    )
    parser.add_argument("--quick", action="store_true", help="a try: few images, few rounds, figures of no worth")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - {*SUBJECTS, *LONG}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join((*SUBJECTS, *LONG))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that no training is left behind
    print(describe_machine())
    if arguments.quick:
        print("quick: figures of no worth")
    with tempfile.TemporaryDirectory(prefix="tuiae-bench-", ignore_cleanup_errors=True) as folder:
        return run(
            [name for name in (*SUBJECTS, *LONG) if name in (arguments.names or SUBJECTS)],
            Path(folder),
            arguments.quick,
            tuple(arguments.preset),
        )


def run(names: list[str], root: Path, quick: bool, presets: tuple[str, ...]) -> int:
    """Measure each subject in its turn; one that breaks does not keep the others from theirs."""
    settle_in(root)
    bench, source, code = Bench(root, quick, presets), real_data(), 0
    modules = {name: importlib.import_module(f"tests.benchmarks.{name}") for name in names if name != IN_TORCH}
    if source is not None and set(names) - {"startup", "first_point", "scale"}:
        import_real_data(source)
    for name in names:
        print(f"\n{name}", flush=True)
        module = modules.get(name) or importlib.import_module(f"tests.benchmarks.{name}")
        if module.NEEDS_DATA and source is None:
            print("  skipped: no mnist/ and fashion-mnist/ with idx files where TUIAE_TEST_DATA says")
            continue
        try:
            module.measure(bench)
        except Exception:  # noqa: BLE001 - shown, and told by the exit code
            traceback.print_exc(file=sys.stdout)
            code = 1
    return code


def settle_in(root: Path) -> None:
    """Point this process and all it starts to `root`, and let Python keep its byte code as it does for users."""
    for variable, folder in (
        ("TUIAE_DATA_DIR", "data"),
        ("TUIAE_RUNS_DIR", "runs"),
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_STATE_HOME", "state"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DATA_HOME", "share"),
    ):
        os.environ[variable] = str(root / folder)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


if __name__ == "__main__":
    sys.exit(main())
