"""Rooms of their own for runs and data, the command line, and runs that several tests look at."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from tests.golden import WIDTH, Golden
from tests.warm import Nursery
from tuiae.__main__ import main
from tuiae.config import load_config
from tuiae.files import read_json, replace_json
from tuiae.runs.control import Value, describe_edit
from tuiae.runs.paths import CONFIG_DIGEST, RunPaths, list_runs
from tuiae.runs.reader import read_status
from tuiae.runs.writer import create_run

CHECKOUT = Path(__file__).parents[1]
PATIENCE = 60.0  # seconds until a condition counts as never met; the machine may be busy

# Small, and with everything random that a training can have: shuffles, dropout, noise.
SMALL = """
name = "small"
[data]
dataset = "digits"
[noise]
kind = "gaussian"
level = 0.2
[model]
family = "dense"
hidden = [32]
latent = 8
dropout = 0.05
[training]
epochs = 4
batch_size = 100
learning_rate = 2e-2
device = "cpu"
[checkpoint]
keep = 2
"""


# What a shell, a terminal or an administrator may have set, and no test may depend on.
FOREIGN = re.compile(
    r"COLUMNS|LINES|TERM|TERM_PROGRAM.*|COLORTERM|COLORFGBG|NO_COLOR|FORCE_COLOR|CLICOLOR.*|TTY_.*|TMUX.*|STY|SSH_.*"
    r"|TEXTUAL_(?!SNAPSHOT).*|LANG|LANGUAGE|LC_.*|(https?|ftp|all|no)_proxy|TUIAE_(?!TEST_).*|(OMP|GOMP|KMP)_.*|.*_NUM_THREADS"
    r"|PYTHON(IOENCODING|UTF8|WARNINGS|DEVMODE|TRACEMALLOC|ASYNCIODEBUG|PROFILEIMPORTTIME|OPTIMIZE|BREAKPOINT)",
    re.IGNORECASE,
)
FIXED = {
    # Two threads each of several small trainings at once spend their time waiting for one another.
    "OMP_NUM_THREADS": "1",
    # A card would be taken from others, and gives other last bits.
    "CUDA_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "",
    "LC_ALL": "C.UTF-8",
    # The hour that comes twice a year would put runs in another order.
    "TZ": "UTC",
}


def pytest_configure(config: pytest.Config) -> None:
    # Before torch is imported, and inherited by the workers.
    for name in filter(FOREIGN.fullmatch, list(os.environ)):
        del os.environ[name]
    on_cards = config.option.markexpr == "gpu"  # `make gpu`
    os.environ |= {name: value for name, value in FIXED.items() if not (on_cards and name.endswith("VISIBLE_DEVICES"))}
    time.tzset()


def pytest_collection_finish() -> None:
    gc.freeze()  # what imports made stays; looking through it for garbage took a tenth of the time of the tests
    gc.set_threshold(50_000, 20, 20)  # and looking after every 700 objects a quarter of that of a dashboard


# Long enough to be interrupted on the way: 40 epochs of 60 steps, two seconds or more.
LONG = ("--epochs", "40", "--set", "training.batch_size=25")


def wait_until(condition: Callable[[], Any], deadline: float = PATIENCE) -> Any:
    """Poll until `condition` gives something true, and return that; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline:.0f} s: {condition}")
        time.sleep(0.01)
    return found


def record_edit(run: RunPaths, key: str, old: Value, new: Value, step: int, epoch: float) -> None:
    """Put an edit into the history of a run that nobody trains."""
    record = {"kind": "command", **describe_edit(key, old, new, step, epoch, "me")}
    with open(run.events, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def begin_with(run: RunPaths, text: str) -> None:
    """Let a run have begun with another config.toml."""
    run.config.write_text(text)
    replace_json(run.meta, {key: value for key, value in read_json(run.meta).items() if key != CONFIG_DIGEST})


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    rc: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """stdout as exactly one JSON document; anything beside it fails."""
        return json.loads(self.stdout)

    def checked(self, code: int | None) -> Result:
        assert code is None or self.rc == code, f"exit code {self.rc}, not {code}\n{self.stdout}\n{self.stderr}"
        return self


@dataclass(frozen=True)
class Laboratory:
    """The command line with its own runs and data: `lab("run", ...)`."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def presets(self) -> Path:
        return self.root / "presets"

    @property
    def own_environment(self) -> dict[str, str]:
        return {
            "TUIAE_RUNS_DIR": str(self.runs),
            "TUIAE_DATA_DIR": str(self.data),
            "TUIAE_PRESETS_DIR": str(self.presets),
            "PYTHONPATH": str(CHECKOUT),
        }

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.own_environment}

    def __call__(self, *arguments: str, check: int | None = 0) -> Result:
        """Carry out a command in this process, which has imported torch already."""
        self.root.mkdir(parents=True, exist_ok=True)
        stdout, stderr, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, open(os.devnull, encoding="utf-8") as nothing:
            for name, value in self.own_environment.items():
                patch.setenv(name, value)
            patch.chdir(self.root)
            patch.setattr(sys, "argv", ["tuiae", *arguments])
            for name, stream in (("stdin", nothing), ("stdout", stdout), ("stderr", stderr)):
                patch.setattr(sys, name, stream)
            try:
                main()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                gc.enable()  # which the dashboard switches off before it looks for a terminal
        return Result(code, stdout.getvalue(), stderr.getvalue()).checked(check)

    def told(self, *arguments: str, check: int = 0) -> str:
        """A command as in a shell, what it prints, and its exit code where that is not 0."""
        result = self(*arguments, check=check)
        assert "Traceback" not in result.stderr
        assert "\x1b" not in result.stdout + result.stderr
        assert not (check and result.stdout)
        ending = [f"(exit code {check})"] if check else []
        lines = [*result.stdout.splitlines(), *result.stderr.splitlines(), *ending]
        shown = (word if re.fullmatch(r"[^\s\"\[\]']+", word) else f'"{word}"' for word in arguments)
        return "\n".join([" ".join(["$ tuiae", *shown]), *lines])

    def process(self, *arguments: str, check: int | None = 0, **options: Any) -> Result:
        """Carry out a command in a process of its own, as a shell does; `options` are those of Popen."""
        process = self.start(*arguments, **options)
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE * 2)
        finally:
            process.kill()
        return Result(process.returncode, stdout, stderr).checked(check)

    def start(self, *arguments: str, module: str = "tuiae", **options: Any) -> subprocess.Popen[str]:
        self.root.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "env": self.environment,
                "cwd": self.root,
                **options,
            },
        )

    def preset(self, text: str = SMALL, name: str = "small.toml") -> str:
        """Write a preset and give its path."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)
        return str(self.root / name)

    def train(self, *arguments: str, check: int = 0) -> RunPaths:
        """Train the small preset to its end."""
        return self.run(self("run", self.preset(), "--json", *arguments, check=check).document["run"])

    def detach(self, *arguments: str) -> RunPaths:
        """Start the small preset and leave it."""
        return self.run(self("run", self.preset(), "--detach", "--json", *arguments).document["run"])

    def run(self, name: str) -> RunPaths:
        return RunPaths(self.runs / name)

    def copy(self, run: RunPaths) -> RunPaths:
        """A run of one's own to go on with or to damage."""
        shutil.copytree(run.root, self.runs / run.id)
        return self.run(run.id)


STARTERS = ("tuiae.runs.process", "tuiae.explore.client")


@pytest.fixture(scope="session", autouse=True)
def nursery(request: pytest.FixtureRequest) -> Iterator[Nursery]:
    """Where the workers and explorers come from that this process starts; not those of commands in other processes, nor
    those that use cards. Elsewhere than on Linux what has imported so much is not to be forked."""
    warm = Nursery()
    with pytest.MonkeyPatch.context() as patch:
        for module in STARTERS if sys.platform == "linux" and request.config.option.markexpr != "gpu" else ():
            patch.setattr(f"{module}.subprocess", warm)
        yield warm
    warm.end()


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and explorers that import torch themselves, as everybody else starts them."""
    for module in STARTERS:
        monkeypatch.setattr(f"{module}.subprocess", subprocess)


@pytest.fixture(autouse=True)
def usual_arithmetic() -> Iterator[None]:
    """No test has subnormal numbers as zero because another one has trained in this process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    """Each test's own runs and data, for this process and for those that it starts; no dashboard may have failed."""
    laboratory = Laboratory(tmp_path / "lab")
    monkeypatch.setenv("TUIAE_RUNS_DIR", str(laboratory.runs))
    monkeypatch.setenv("TUIAE_DATA_DIR", str(laboratory.data))
    monkeypatch.setenv("TUIAE_PRESETS_DIR", str(laboratory.presets))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(laboratory.root / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(laboratory.root / "state"))
    yield laboratory
    failures = laboratory.root / "state" / "tuiae" / "dashboard.log"
    assert not failures.exists(), failures.read_text()


@pytest.fixture
def tuiae(lab: Laboratory) -> Laboratory:
    return lab


@pytest.fixture
def runs_root(lab: Laboratory) -> Path:
    return lab.runs


@pytest.fixture
def data_root(lab: Laboratory) -> Path:
    return lab.data


class SharedLaboratory(Laboratory):
    """For runs that many tests only read; one for all processes that pytest tests in, which train each run once."""

    def once(self, name: str, make: Callable[[], str]) -> str:
        """What `make` returned in the process that asked for `name` first."""
        made = self.root / "made" / name
        made.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{made}.lock"):
            if not made.exists():
                made.write_text(make())
            return made.read_text()

    def train(self, *arguments: str, check: int = 0) -> RunPaths:
        train = super().train
        name = re.sub(r"[^\w.=-]+", "_", f"run {arguments}")
        return self.run(self.once(name, lambda: train(*arguments, check=check).id))

    def train_here(self, name: str, settings: dict[str, Any]) -> RunPaths:
        """Train the small preset with other settings in this process, which has imported torch already."""
        from tests.training import train  # and torch, once the number of its threads is settled

        def make() -> str:
            run = create_run(load_config(Path(self.preset()), {"name": name, **settings}), self.runs, ["tuiae"])
            train(run)
            return run.id

        return self.run(self.once(name, make))


@pytest.fixture
def golden(request: pytest.FixtureRequest, lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Golden:
    """The golden texts; `--snapshot-update` renews them, as it does the pictures."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    texts = Golden(request.config.getoption("update_snapshots"))
    texts.hide(str(lab.root), "/home/ana")
    return texts


@pytest.fixture(scope="session")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> SharedLaboratory:
    root = tmp_path_factory.getbasetemp()
    return SharedLaboratory((root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "shared")


@pytest.fixture(scope="session")
def finished(shared_lab: SharedLaboratory) -> RunPaths:
    """Four epochs of an autoencoder on `digits`, as `tuiae run` leaves them. Look, do not touch."""
    return shared_lab.train()


@pytest.fixture(scope="session")
def uninterrupted(shared_lab: SharedLaboratory) -> RunPaths:
    """The LONG run, from its first step to its last in one go. Look, do not touch."""
    return shared_lab.train_here("uninterrupted", {"training.epochs": 40, "training.batch_size": 25})


@pytest.fixture(scope="session")
def plane_vae(shared_lab: SharedLaboratory) -> RunPaths:
    """A variational autoencoder with a code of two numbers. Look, do not touch."""
    settings = {"model.family": "vae", "model.latent": 2, "training.loss": "bce", "noise.kind": "none"}
    return shared_lab.train_here("plane_vae", {**settings, "training.epochs": 3})


@pytest.fixture(scope="session")
def spread(shared_lab: SharedLaboratory) -> RunPaths:
    """The small run with histograms. Look, do not touch."""
    return shared_lab.train_here("spread", {"samples.histograms": True})


@pytest.fixture(scope="session")
def classified(shared_lab: SharedLaboratory, finished: RunPaths) -> RunPaths:
    """A classifier on the frozen encoder of `finished`. Look, do not touch."""
    frozen = ("model.family=classifier", f"model.encoder_run={finished.id}", "model.freeze=true", "name=classified")
    return shared_lab.train(*(word for setting in frozen for word in ("--set", setting)))


@pytest.fixture(scope="session")
def explorer() -> Iterator[Any]:
    """The process that answers the dashboards of all tests that do nothing to it: a `SharedExplorer`."""
    from tests.dashboard import SharedExplorer  # not where no test has a screen

    shared = SharedExplorer()
    yield shared
    shared.end()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the idx files of MNIST and Fashion-MNIST, `mnist/` and `fashion-mnist/`."""
    folder = Path(os.environ.get("TUIAE_TEST_DATA") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no MNIST in {folder}: set TUIAE_TEST_DATA")
    return folder


@pytest.fixture
def workers() -> Iterator[list[subprocess.Popen[Any]]]:
    """Processes put here are ended with the test, whatever becomes of it."""
    started: list[subprocess.Popen[Any]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            with contextlib.suppress(BrokenPipeError):  # what was written to a process that had died
                pipe.close()


@pytest.fixture
def no_worker_left(lab: Laboratory, nursery: Nursery) -> Iterator[None]:
    """What a dashboard left running is ended with its test."""
    yield
    for run in list_runs(lab.runs):
        status = read_status(run)
        if status.live and status.pid not in (0, os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGKILL)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "tuiae.training.worker" in child.cmdline() or child.ppid() == nursery.pid:
                child.kill()
