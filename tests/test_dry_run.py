"""A dry run: what it says is what a run then costs, it leaves nothing behind, and it changes no run."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from textual.message import Message

from tests.conftest import SMALL, Laboratory, wait_until
from tests.golden import Golden
from tests.test_resume import assert_same_end
from tests.training import train
from tuiae.config import RunConfig, build_config, load_config
from tuiae.config.presets import list_presets
from tuiae.data.registry import describe
from tuiae.errors import ConfigError, DataError, TrainingError, TuiaeError
from tuiae.models.geometry import count_parameters
from tuiae.preflight import check, warn, warn_of_change
from tuiae.render.machine import cost_facts, seconds
from tuiae.render.text import megabytes
from tuiae.runs.diagnosis import DIVERGED
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import StandbyWorker
from tuiae.runs.reader import RunReader, read_config
from tuiae.runs.writer import create_run
from tuiae.training.device import give_back_memory
from tuiae.training.rehearsal import PARTS, Abandoned, dry_run
from tuiae.training.setup import Parts, set_up
from tuiae.ui.session import Launcher, PreflightDone

MODELS: dict[str, dict[str, Any]] = {
    "dense": {"family": "dense", "hidden": [32]},
    "conv": {"family": "conv"},
    "conv-vae": {"family": "conv-vae", "channels": [8, 16]},
    "classifier": {"family": "classifier", "encoder": "dense", "hidden": [32]},
}


HUGE: dict[str, Any] = {"family": "dense", "hidden": [65536] * 64, "latent": 65536}
"""8.8 TB with what Adam keeps: more than any machine has."""
HUGE_PARAMETERS = "549,7"  # and millions more


def config_of(**sections: Any) -> RunConfig:
    training = {"batch_size": 100, "device": "cpu", "epochs": 7, **sections.pop("training", {})}
    return build_config({"data": {"dataset": "digits"}, "training": training, **sections})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own for temporary files, for this process and for those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


# Figures


@pytest.mark.parametrize("family", sorted(MODELS))
def test_counts_are_exact_and_estimates_are_there(lab: Laboratory, temporary: Path, family: str) -> None:
    size = 12 if family == "conv" else 0
    config = config_of(model=MODELS[family], data={"dataset": "digits", "image_size": size})
    cost = dry_run(config, lab.runs)
    shape = (1, size or 8, size or 8)
    assert sum(cost.parameters.values()) == cost.trained == count_parameters(config.model, shape, 10)
    assert set(cost.parameters) >= {"encoder", "head" if family == "classifier" else "decoder"}
    assert (cost.images, cost.batch_size, cost.steps_per_epoch, cost.epochs) == (1500, 100, 15, 7)
    assert cost.weights_mb == pytest.approx(4e-6 * cost.trained)
    assert 3 * cost.weights_mb <= cost.state_mb < 3.01 * cost.weights_mb + 0.001  # gradients and Adam's two means
    assert cost.peak_mb > cost.weights_mb + cost.state_mb
    assert 0 < cost.step_seconds < cost.epoch_seconds < cost.total_seconds
    assert cost.epoch_seconds == pytest.approx(15 * cost.step_seconds + cost.evaluation_seconds)
    assert cost.data_mb == 0
    assert list(temporary.glob("tuiae-*")) == []
    assert list_runs(lab.runs) == []


def test_a_larger_batch_takes_more_memory_by_as_much_as_it_keeps(lab: Laboratory) -> None:
    model = {"family": "dense", "hidden": [500], "latent": 8}
    small, large = (
        dry_run(config_of(model=model, training={"batch_size": batch, "precision": "float32"}), lab.runs).peak_mb
        for batch in (100, 1000)
    )
    # Of each image at least its 64 pixels twice over and both hidden layers, in four bytes.
    assert large - small > 900 * 4 * (2 * 64 + 2 * 500) / 1e6


def test_a_batch_beyond_the_set_is_the_set(lab: Laboratory) -> None:
    cost = dry_run(config_of(training={"batch_size": 5000}), lab.runs)
    assert (cost.batch_size, cost.steps_per_epoch) == (1500, 1)
    assert cost.warnings == said(training={"batch_size": 5000})


def test_a_frozen_encoder_from_a_run_counts_and_is_not_trained(lab: Laboratory, finished: RunPaths) -> None:
    model = {"family": "classifier", "encoder_run": str(finished.root), "freeze": True}
    cost = dry_run(config_of(model=model), lab.runs)
    assert cost.trained == cost.parameters["head"] < sum(cost.parameters.values())


def test_random_states_are_afterwards_what_they_were(lab: Laboratory) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    dry_run(config_of(model={"family": "vae", "dropout": 0.2}), lab.runs)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_shares_of_a_step_are_all_of_it(lab: Laboratory) -> None:
    noisy = config_of(model={"family": "vae", "dropout": 0.2}, noise={"kind": "gaussian", "level": 0.3})
    shares = dry_run(noisy, lab.runs, profiled=True).shares
    assert tuple(shares) == PARTS
    assert sum(shares.values()) == pytest.approx(1)
    assert all(share > 0 for share in shares.values())
    assert dry_run(noisy, lab.runs).shares == {}


def test_bench_measures_what_is_here_and_names_what_is_not(lab: Laboratory, golden: Golden) -> None:
    document = lab("bench", "quickstart", "--device", "cpu", "--json").document
    assert document["machine"]["devices"] == ["cpu"]
    found = document["presets"]["quickstart"]
    assert found["shares"].keys() == {*PARTS}
    golden.check(
        "speeds",
        lab.told("bench", "dense_64", check=3),
        lab.told("bench", "denes_64", check=2),
        lab.told("bench", "quickstart", "--device", "cuda:7", check=2),
    )


# Batches that batch norm cannot take

DEEP: dict[str, Any] = {"family": "strided-conv", "channels": [2, 4, 4], "norm": "batch", "latent": 4}
"""Of 8x8 pixels one is left: a lone image has no spread."""


def test_a_lone_image_joins_the_batch_before_it_in_the_dry_run_and_in_the_run(lab: Laboratory) -> None:
    data = {"dataset": "digits", "train_limit": 25, "test_limit": 1}
    config = config_of(model=DEEP, data=data, training={"batch_size": 8, "epochs": 2})
    cost = dry_run(config, lab.runs)
    assert (cost.batch_size, cost.steps_per_epoch) == (8, 3)
    run = create_run(config, lab.runs, [])
    train(run)
    status = RunReader(run.root).read_all().status
    assert (status.state, status.step, status.steps_per_epoch) == ("finished", 6, 3)


@pytest.mark.parametrize(
    ("data", "batch"),
    [({}, 1), ({"train_limit": 1}, 8), ({"validation": 0.9993}, 8), ({"classes": ["3"], "train_limit": 1}, 8)],
    ids=str,
)
def test_batches_of_one_image_are_refused_before_anything_trains(
    lab: Laboratory, data: dict[str, Any], batch: int
) -> None:
    config = config_of(model=DEEP, data={"dataset": "digits", **data}, training={"batch_size": batch})
    for attempt in (check, dry_run):
        with pytest.raises(ConfigError) as caught:
            attempt(config, lab.runs)
        assert ("training.batch_size" in caught.value.hint) == (batch == 1)
    with pytest.raises(ConfigError):
        train(create_run(config, lab.runs, []))


@pytest.mark.parametrize(
    "changed",
    [{"norm": "none"}, {"channels": [2, 4]}, {"stride": [2, 2, 1]}, {"family": "classifier", "freeze": True}],
    ids=str,
)
def test_other_networks_take_a_lone_image(lab: Laboratory, changed: dict[str, Any]) -> None:
    model = {**DEEP, "encoder": "strided-conv", **changed}
    data = {"dataset": "digits", "train_limit": 3}
    cost = dry_run(config_of(model=model, data=data, training={"batch_size": 1}), lab.runs)
    assert cost.steps_per_epoch == 3


ODD: dict[str, tuple[Any, ...]] = {
    "data.dataset": ("digits", "glyphs"),
    "data.train_limit": (1, 2, 3, 5, 101),
    "data.test_limit": (1, 2, 50),
    "data.image_size": (0, 1, 2, 3, 12),
    "data.validation": ("test", "test", 0.001, 0.5, 0.999),
    "noise.kind": ("none", "gaussian", "salt-pepper", "mask", "uniform"),
    "noise.level": (0, 0.5, 1),
    "model.family": ("dense", "conv", "strided-conv", "vae", "conv-vae", "classifier"),
    "model.encoder": ("dense", "conv", "strided-conv"),
    "model.latent": (1, 2, 3, 300),
    "model.hidden": ([], [1], [7]),
    "model.channels": ([1], [4, 8], [2, 2, 2, 2]),
    "model.stride": ([1], [2], [8]),
    "model.kernel": (1, 3, 31),
    "model.norm": ("none", "batch", "batch"),
    "model.dropout": (0, 0.5, 0.999),
    "training.batch_size": (1, 2, 4, 100),
    "training.precision": ("float32", "bfloat16"),
    "training.shift": (0, 3, 64),
    "training.warmup": (0, 1),
    "samples.count": (1, 64),
}
"""Values that lie at an edge, by key."""


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(8))
def test_a_dry_run_and_the_run_agree_on_odd_configs(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("tuiae.training.rehearsal.TIMED_SECONDS", 0.0)
    chance = random.Random(seed)
    for _ in range(20):
        overrides = {key: chance.choice(values) for key, values in ODD.items()}
        try:
            config = build_config({"training": {"epochs": 2, "device": "cpu"}}, overrides)
        except ConfigError:
            continue
        ends = []
        for attempt in (lambda: dry_run(config, lab.runs), lambda: train(create_run(config, lab.runs, []))):  # noqa: B023
            try:
                attempt()
                ends.append("")
            except TuiaeError as error:
                # What a loss comes to in two epochs is not known before.
                ends.append("" if error.cause.startswith(DIVERGED) else type(error).__name__)
        assert ends[0] == ends[1], overrides


def test_a_set_that_is_held_out_whole_is_refused(lab: Laboratory) -> None:
    with pytest.raises(ConfigError):
        check(config_of(data={"dataset": "digits", "validation": 0.9999}), lab.runs)


# Trouble


def test_a_network_that_no_memory_holds_is_not_even_built(lab: Laboratory) -> None:
    with pytest.raises(TrainingError, match=HUGE_PARAMETERS):
        dry_run(config_of(model=HUGE), lab.runs)


# The limit stands for a machine with so much memory: of an address space rather than of a card, but the same error.
SMALL_MACHINE = """
import resource, sys
from pathlib import Path
from tuiae.config import build_config
from tuiae.errors import TuiaeError
from tuiae.training.rehearsal import dry_run
import tuiae.training.loop, torch
torch.ones(10, 10) @ torch.ones(10, 10)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (600 << 20),) * 2)
model = {"family": "conv", "latent": 64}
data = {"dataset": "digits", "image_size": 64}
try:
    dry_run(build_config({"data": data, "model": model, "training": {"batch_size": 1500, "device": "cpu"}}), Path("."))
except TuiaeError as error:
    sys.exit(f"{error} ({error.exit_code:d})")
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="counts pages as Linux does")
def test_a_batch_that_no_memory_holds_says_what_to_lower(temporary: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SMALL_MACHINE], capture_output=True, text=True, check=False)
    hint = "lower training.batch_size (now 1500), or choose another device"
    assert done.stderr.strip().endswith(f"out of memory in a dry batch of 1500 images; {hint} (4)")
    assert list(temporary.glob("tuiae-*")) == []


def test_a_set_that_is_not_there_is_not_downloaded(lab: Laboratory) -> None:
    with pytest.raises(DataError):
        dry_run(config_of(data={"dataset": "mnist"}), lab.runs)


def test_it_is_given_up_between_two_batches(lab: Laboratory, temporary: Path) -> None:
    asked = []

    def after_a_while() -> bool:
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Abandoned):
        dry_run(config_of(), lab.runs, after_a_while)
    assert len(asked) == 5
    assert list(temporary.glob("tuiae-*")) == []


@pytest.mark.parametrize("end", [Abandoned, MemoryError])
def test_what_ended_it_holds_no_network_when_memory_is_given_back(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    models: list[weakref.ref[Any]] = []
    alive: list[bool] = []

    def after_a_batch() -> bool:
        if models and next(asked) > 3:
            raise end
        return False

    def remembered(*given: Any) -> Parts:
        parts = set_up(*given)
        models.append(weakref.ref(parts.model))
        return parts

    def looked_at(device: torch.device) -> None:
        give_back_memory(device)
        alive.extend(model() is not None for model in models)

    asked = itertools.count()
    monkeypatch.setattr("tuiae.training.rehearsal.set_up", remembered)
    monkeypatch.setattr("tuiae.training.rehearsal.give_back_memory", looked_at)
    with pytest.raises((Abandoned, TrainingError)):
        dry_run(config_of(), lab.runs, after_a_batch)
    assert alive == [False]


# The command


@pytest.mark.thorough
def test_the_command_tells_people_and_programs_and_leaves_no_run(lab: Laboratory, temporary: Path) -> None:
    preset = lab.preset()
    told = lab("run", preset, "--dry-run")
    for word in ("small on digits", "parameters", "memory", "a step", "an epoch", "in all", "encoder 2,"):
        assert word in told.stdout
    document = lab("run", preset, "--dry-run", "--json").document
    assert document["name"] == "small"
    assert document["steps_per_epoch"] == 15
    assert list_runs(lab.runs) == []
    assert list(temporary.glob("tuiae-*")) == []


def test_a_network_without_memory_ends_the_command_with_4(lab: Laboratory) -> None:
    wide = (f"model.hidden={HUGE['hidden']}", f"model.latent={HUGE['latent']}")
    sets = (word for key in wide for word in ("--set", key))
    assert HUGE_PARAMETERS in lab("run", lab.preset(), "--dry-run", *sets, "--json", check=4).document["error"]


def test_words_for_amounts() -> None:
    sizes = [megabytes(1e6 * value) for value in (0, 0.003, 0.4, 3.21, 412.4, 12_500)]
    assert sizes == ["0.0 MB", "under 0.1 MB", "0.4 MB", "3.2 MB", "412 MB", "12.5 GB"]
    assert [seconds(value) for value in (0.0012, 0.052, 0.84, 42.2, 125, 3753)] == [
        "1.2 ms",
        "52 ms",
        "0.84 s",
        "42 s",
        "2:05",
        "1:02:33",
    ]


# The warm worker


@pytest.fixture
def standby(workers: list[subprocess.Popen[Any]], temporary: Path) -> StandbyWorker:
    worker = StandbyWorker()
    workers.append(worker.process)
    return worker


def test_a_standby_that_tried_other_things_trains_the_same_run_to_the_last_bit(
    lab: Laboratory, finished: RunPaths, standby: StandbyWorker
) -> None:
    other = config_of(model={"family": "vae", "latent": 3, "dropout": 0.3}, training={"batch_size": 70, "seed": 3})
    config = load_config(Path(lab.preset()))
    assert standby.dry_run(other, lab.runs)["trained"] > 0
    assert standby.dry_run(config, lab.runs)["steps_per_epoch"] == 15
    with pytest.raises(DataError):
        standby.dry_run(config_of(data={"dataset": "mnist"}), lab.runs)
    run = create_run(config, lab.runs, [])
    assert standby.give(run).wait(60) == 0
    assert_same_end(run, finished)
    assert standby.dry_run(config, lab.runs) == {}


@contextmanager
def ended_dry_run(standby: StandbyWorker, lab: Laboratory, temporary: Path) -> Iterator[None]:
    """A dry run at its steps, which the block ends: it answers nothing and leaves nothing."""
    slow = config_of(model={"family": "dense", "hidden": [3000], "latent": 3000}, training={"batch_size": 1500})
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(standby.dry_run(slow, lab.runs)))
    thread.start()
    wait_until(lambda: list(temporary.glob("tuiae-dry-run-*/*-run-*")))
    yield
    thread.join()
    assert answers == [{}]
    assert list(temporary.glob("tuiae-*")) == []


@pytest.mark.thorough
def test_a_run_does_not_wait_for_a_dry_run_to_end(
    lab: Laboratory, finished: RunPaths, standby: StandbyWorker, temporary: Path
) -> None:
    with ended_dry_run(standby, lab, temporary):
        run = create_run(load_config(Path(lab.preset())), lab.runs, [])
        assert standby.give(run).wait(60) == 0
    assert_same_end(run, finished)


def test_a_standby_that_is_let_go_in_the_middle_takes_its_directory_along(
    lab: Laboratory, standby: StandbyWorker, temporary: Path
) -> None:
    with ended_dry_run(standby, lab, temporary):
        standby.dismiss()
        standby.process.wait(60)


def test_a_batch_that_takes_the_process_with_it_says_so(lab: Laboratory, standby: StandbyWorker) -> None:
    standby.hello()
    os.kill(standby.process.pid, signal.SIGKILL)
    with pytest.raises(TrainingError, match="9"):
        standby.dry_run(config_of(), lab.runs)


def test_the_launcher_posts_the_newest_answer_and_starts_runs_as_before(
    lab: Laboratory, workers: list[subprocess.Popen[Any]]
) -> None:
    posted: list[Message] = []
    launcher = Launcher(lab.runs, posted.append)
    launcher.preflight(config_of(training={"batch_size": 10}))
    launcher.preflight(config_of(training={"batch_size": 20}))
    launcher.preflight(config_of(training={"batch_size": 30}))

    def answers() -> list[PreflightDone]:
        return [message for message in posted if isinstance(message, PreflightDone)]

    def sizes() -> list[int]:
        return [message.config.training.batch_size for message in answers()]

    wait_until(lambda: sizes()[-1:] == [30])
    assert 20 not in sizes()[1:]
    cost = answers()[-1].outcome
    assert not isinstance(cost, TuiaeError)
    assert [label for label, _, _ in cost_facts(cost)][:3] == ["device", "computed", "parameters"]
    for key in cost:  # of a worker of another version
        there = cost_facts({name: value for name, value in cost.items() if name != key})
        assert len(cost_facts(cost)) - 1 <= len(there) <= len(cost_facts(cost))
    launcher.preflight(config_of(data={"dataset": "mnist"}))
    wait_until(lambda: isinstance(answers()[-1].outcome, DataError))
    assert "not on this machine" in str(answers()[-1].outcome)
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    launcher.begin(run)
    wait_until(lambda: RunReader(run.root).poll().status.state == "finished")
    launcher.close()


# Warnings


def said(**sections: Any) -> tuple[str, ...]:
    config = config_of(**sections)
    return warn(config, describe(config.data.dataset))


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"model": {"family": "vae", "latent": 64}, "training": {"loss": "bce"}},
        {"model": {"family": "vae"}, "training": {"beta": 0.1}},
        {"model": {"family": "vae"}, "data": {"dataset": "digits", "image_size": 28}},
        {"model": {"family": "classifier", "latent": 64}},
        {"model": {"latent": 80}, "noise": {"kind": "gaussian", "level": 0.3}},
        {"training": {"optimizer": "sgd", "learning_rate": 0.5}},
        {"training": {"optimizer": "sgd", "learning_rate": 0.02, "momentum": 0.9}},
        {"training": {"optimizer": "sgd", "learning_rate": 1e-3, "loss": "sse"}},
        {"training": {"patience": 2}, "data": {"validation": 0.1}},
        {"training": {"patience": 2, "warmup": 5}, "data": {"validation": 0.1}},
        {"training": {"schedule": "step", "warmup": 2, "step_epochs": 4}},
        {"training": {"schedule": "step", "warmup": 4, "step_epochs": 4, "step_from": "start"}},
        {"training": {"evaluate_every": 3}},
    ],
    ids=str,
)
def test_nothing_is_said_of_what_is_fine(sections: dict[str, Any]) -> None:
    assert said(**{"model": {"latent": 12}, **sections}) == ()


def test_more_epochs_are_warned_of_where_they_lift_the_rate_again() -> None:
    def said_of(epochs: int, done: float, **training: Any) -> list[str]:
        before = config_of(training={"schedule": "cosine", "learning_rate": 0.01, "epochs": 10, **training})
        after = build_config(before.model_dump(mode="json"), {"training.epochs": epochs})
        return [words.partition(":")[0] for words in warn_of_change(before, after, done)]

    assert said_of(20, 10) == ["the learning rate goes up from 0 to 0.005"]
    assert said_of(20, 5.5) == ["the learning rate goes up from 0.0042 to 0.0082"]
    assert said_of(20, 0) == said_of(6, 5) == said_of(10, 10) == said_of(20, 10, schedule="constant") == []


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_no_preset_is_warned_about_but_for_what_it_teaches(preset: Any) -> None:
    config = load_config(preset.path)
    taught = ["dropout on the output"] if config.model.output_dropout else []
    assert [text.partition(":")[0] for text in warn(config, describe(config.data.dataset))] == taught


def test_an_encoder_of_other_images_is_named(lab: Laboratory, finished: RunPaths) -> None:
    model = {"family": "classifier", "encoder_run": str(finished.root), "freeze": True}
    glyphs = build_config({"data": {"dataset": "glyphs"}, "model": model, "training": {"batch_size": 8}})
    words = "the frozen encoder was trained on digits, and this is glyphs"
    trained = read_config(finished)
    assert warn(glyphs, describe("glyphs"), trained) == (words,)
    assert words in check(glyphs, lab.runs).warnings


def test_the_small_preset_of_the_tests_is_fine() -> None:
    import tomllib

    config = build_config(tomllib.loads(SMALL))
    assert warn(config, describe("digits")) == ()
