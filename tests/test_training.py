"""Training in real workers on real digits: what a run leaves, and that it ends where it should."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from tests.conftest import SMALL, Laboratory
from tests.endings import assert_same_end
from tests.training import train
from tuiae.config import build_config, load_config
from tuiae.data.batches import epoch_order, seeded
from tuiae.errors import ConfigError, TrainingError
from tuiae.explore.checkpoint import load
from tuiae.explore.questions import Dispatcher
from tuiae.explore.server import explain
from tuiae.files import read_json, replace_json
from tuiae.preflight import check
from tuiae.runs import control, writer
from tuiae.runs.checkpoints import (
    MANIFEST,
    MODEL,
    STATE,
    all_checkpoints,
    describe_file,
    find_checkpoint,
    need_checkpoint,
    pointed,
    verify,
)
from tuiae.runs.diagnosis import DIVERGED
from tuiae.runs.lineage import fork_config, fork_run, need_config
from tuiae.runs.listing import summarise
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import RunLock
from tuiae.runs.reader import RunReader, read_sample, read_status
from tuiae.runs.writer import RunWriter, create_run, settle_config
from tuiae.training.checkpoint import load_state, load_weights
from tuiae.training.control import Mailbox
from tuiae.training.device import is_out_of_memory
from tuiae.training.evaluate import count_values
from tuiae.training.loop import Trainer
from tuiae.training.setup import in_precision, keep_float32, set_up, suggest_precision

Forge = tuple[str, Callable[[bytes], bytes]]
"""A file of a checkpoint, and what it holds instead."""
STEPS = 15  # of an epoch: 1500 digits in batches of 100


def history(run: RunPaths) -> dict[str, list[float | None]]:
    return summarise(RunReader(run.root).read_all())["history"]


def steps_kept(run: RunPaths) -> list[int]:
    return sorted(int(folder.name[5:]) for folder in all_checkpoints(run))


def settings(**values: object) -> list[str]:
    """`--set` for each; a double underscore stands for the dot."""
    return [word for key, value in values.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]


# What a finished run leaves


def test_a_finished_run_has_a_value_for_every_epoch_and_learned(finished: RunPaths) -> None:
    summary = summarise(RunReader(finished.root).read_all())
    assert (summary["state"], summary["epochs"], summary["steps"]) == ("finished", 4, 4 * STEPS)
    measured = ("loss", "accuracy", "mse", "wrong_pixels", "wrong_pixels_max")
    wanted = {
        "train/loss",
        "train/accuracy",
        *(f"{split}/{name}" for split in ("test", "train-eval") for name in measured),
    }
    assert set(summary["history"]) == wanted
    assert {len(values) for values in summary["history"].values()} == {4}
    assert len(summary["epoch_seconds"]) == len(summary["images_per_second"]) == 4
    assert summary["metrics"] == {key: values[-1] for key, values in summary["history"].items()}
    # Better than the best constant image: the network has seen what it is given.
    digits = set_up(load_config(finished.config)).test.span(0, 297)[0]
    assert summary["metrics"]["test/loss"] < 0.8 * float((digits - digits.mean(0)).square().mean())


def test_the_status_says_where_the_run_stands(finished: RunPaths) -> None:
    status = read_status(finished)
    assert (status.state, status.epoch, status.epochs, status.steps_per_epoch) == ("finished", 4, 4, STEPS)
    assert (status.device.split(",")[0], status.error, status.eta) == ("cpu", None, 0.0)
    assert status.elapsed is not None
    assert status.memory is not None
    assert min(status.elapsed, status.memory) > 0


def test_there_is_a_sample_of_every_epoch_and_of_the_untrained_network(finished: RunPaths) -> None:
    samples = [read_sample(finished, epoch) for epoch in range(5)]
    for sample in samples:
        assert sample is not None
        assert sample.inputs is not None
        assert sample.noisy is not None
        assert sample.reconstructions is not None
        assert sample.labels is not None
        assert sample.inputs.shape == sample.noisy.shape == sample.reconstructions.shape == (8, 1, 8, 8)
        assert sample.inputs.dtype == np.uint8
        # A digit of each class, the same at every epoch, under the same noise.
        assert sample.labels.tolist() == list(range(8))
        np.testing.assert_array_equal(sample.inputs, samples[0].inputs)  # type: ignore[union-attr]
        np.testing.assert_array_equal(sample.noisy, samples[0].noisy)  # type: ignore[union-attr]
        assert not np.array_equal(sample.noisy, sample.inputs)
    errors = [np.square(s.reconstructions.astype(float) - s.inputs).mean() for s in samples]  # type: ignore[union-attr]
    assert errors[4] < errors[0]
    assert sorted(path.name for path in finished.samples.iterdir()) == [f"{n:06d}.npz" for n in range(5)]


def test_the_newest_checkpoints_and_the_best_are_kept_whole(shared_lab: Laboratory, finished: RunPaths) -> None:
    assert steps_kept(finished) == [3 * STEPS, 4 * STEPS]
    assert all(verify(folder) for folder in all_checkpoints(finished))
    assert pointed(finished, "last") == "step-000060"
    assert sorted(p.name for p in finished.weights.iterdir()) == ["best", "last", "step-000045", "step-000060"]


def test_the_best_checkpoint_outlives_the_newer_ones_that_are_worse(lab: Laboratory) -> None:
    # Far too large a step throws away what two epochs have learned, and no later one is any better.
    run = create_run(load_config(Path(lab.preset()), {"training.epochs": 6}), lab.runs, [])
    train(run, {2 * STEPS: [("training.learning_rate", 100.0)]})
    losses = history(run)["test/loss"]
    best = losses.index(min(losses))  # type: ignore[type-var]
    assert best < 2, "the run does not show what it is for"
    assert pointed(run, "best") == f"step-{(best + 1) * STEPS:06d}"
    assert steps_kept(run) == [(best + 1) * STEPS, 5 * STEPS, 6 * STEPS]


@pytest.mark.thorough
def test_the_config_of_a_run_repeats_it_and_another_seed_does_not(lab: Laboratory, finished: RunPaths) -> None:
    again = lab.run(lab("run", str(finished.config), "--json").document["run"])
    assert history(again) == history(finished)
    weights, repeated = (load_weights(find_checkpoint(run)) for run in (finished, again))  # type: ignore[arg-type]
    assert all(torch.equal(weights[name], repeated[name]) for name in weights)
    assert history(lab.train("--seed", "1"))["test/loss"] != history(finished)["test/loss"]


def test_shuffles_depend_on_seed_and_epoch_alone() -> None:
    orders = {(seed, epoch): epoch_order(50, seed, epoch).tolist() for seed in (0, 1) for epoch in (0, 1, 2, 99, 500)}
    torch.manual_seed(99)
    for (seed, epoch), order in orders.items():
        assert order == torch.randperm(50, generator=seeded(torch.device("cpu"), seed, epoch)).tolist()
    assert all(epoch_order(50, *key).tolist() == order for key, order in orders.items())
    assert all(sorted(order) == list(range(50)) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == len(orders)


def test_histograms_count_every_weight_gradient_and_code_and_change_no_bit(
    finished: RunPaths, spread: RunPaths
) -> None:
    assert_same_end(spread, finished)
    assert read_sample(finished, 4).histograms == ()  # type: ignore[union-attr]
    layers = {"encoder.1": 64 * 32, "encoder.3": 32 * 8, "decoder.0": 8 * 32, "decoder.2": 32 * 64}
    weights = {("weights", layer): size for layer, size in layers.items()}
    gradients = {("gradients", layer): size for layer, size in layers.items()}
    for epoch, wanted in ((0, weights), (4, weights | gradients)):
        sample = read_sample(spread, epoch)
        assert sample is not None
        counted = {(one.what, one.layer): int(one.counts.sum()) for one in sample.histograms}
        assert counted == {**wanted, ("code", ""): 297 * 8}
    # A linear layer begins with values spread evenly up to one over the root of what goes in.
    first = read_sample(spread, 0).histograms[0]  # type: ignore[union-attr]
    assert -1 / 8 <= first.low < -0.12 < 0.12 < first.high <= 1 / 8
    assert first.counts.min() > 0.5 * first.counts.max()


def test_values_far_from_all_others_are_counted_and_do_not_press_these_together() -> None:
    (low, high), counts = count_values(torch.cat([torch.linspace(-1, 1, 10_000), torch.tensor([1e6])]))
    assert counts.sum() == 10_001
    assert high < 1e5
    (low, high), counts = count_values(torch.tensor([3.0, math.nan, math.inf, 3.0]))
    assert low < 3 < high
    assert counts.sum() == counts.max() == 2
    assert count_values(torch.tensor([math.nan]))[1].sum() == 0


# Classifiers


def test_a_classifier_takes_over_the_encoder_and_frozen_leaves_it_as_it_was(
    finished: RunPaths, classified: RunPaths
) -> None:
    source, weights = (load_weights(find_checkpoint(run)) for run in (finished, classified))  # type: ignore[arg-type]
    encoder = [name for name in weights if name.startswith("encoder.")]
    assert encoder
    assert all(torch.equal(weights[name], source[name]) for name in encoder)
    assert history(classified)["test/accuracy"][-1] > 2 * 0.1  # type: ignore[operator]
    sample = read_sample(classified, 4)
    assert sample is not None
    assert sample.confusion is not None
    assert sample.confusion.sum() == 297
    assert np.trace(sample.confusion) / 297 == pytest.approx(history(classified)["test/accuracy"][-1])
    assert sample.reconstructions is None
    assert sample.predictions is not None


def test_a_classifier_goes_on_without_the_run_that_its_encoder_came_from(lab: Laboratory, classified: RunPaths) -> None:
    run = lab.copy(classified)
    assert lab("resume", run.id, "--epochs", "5", "--json").document["epochs"] == 5


def test_an_encoder_of_a_run_that_lies_elsewhere_is_taken_by_its_path(
    lab: Laboratory, finished: RunPaths, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / "theirs"
    shutil.copytree(finished.root, elsewhere)
    run = lab.train(*settings(model__family="classifier", model__encoder_run=elsewhere, model__freeze="true"))
    source, weights = (load_weights(find_checkpoint(r)) for r in (finished, run))  # type: ignore[arg-type]
    assert torch.equal(weights["encoder.1.weight"], source["encoder.1.weight"])
    # It is no longer what its preset says, and is not called by that name; yet it came of it.
    assert "-classifier-on-theirs-frozen-" in run.id
    assert read_json(run.meta)["preset"] == "small"


def test_what_was_asked_for_and_the_encoder_would_overrule_is_refused(lab: Laboratory, finished: RunPaths) -> None:
    lab.copy(finished)
    wanted = ["run", lab.preset(), *settings(model__family="classifier", model__encoder_run=finished.id)]
    for asked, key in (
        (("--latent", "64"), "model.latent"),
        (("--set", "model.hidden=[9]", "--dry-run"), "model.hidden"),
    ):
        assert lab(*wanted, *asked, "--json", check=2).document["error"].startswith(f"{asked[0]}: {key} = ")
    assert list_runs(lab.runs) == [RunPaths(lab.runs / finished.id)]
    assert lab(*wanted, "--latent", "8", "--epochs", "1", "--json").document["state"] == "finished"


def test_an_encoder_that_was_trained_on_other_images_is_refused(lab: Laboratory, finished: RunPaths) -> None:
    lab.copy(finished)
    wanted = settings(model__family="classifier", model__encoder_run=finished.id)
    assert "encoder" in lab("run", lab.preset(), *wanted, "--dataset", "glyphs", "--json", check=2).document["error"]
    assert [run.id for run in list_runs(lab.runs)] == [finished.id]


def test_a_network_that_does_not_fit_the_images_is_refused_before_there_is_a_run(lab: Laboratory) -> None:
    lab("run", lab.preset(), "--set", "model.family=conv", "--dataset", "glyphs", check=2)
    assert list_runs(lab.runs) == []


# What can go wrong


def cut_model(folder: Path) -> None:
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-100])


def flip_state(folder: Path) -> None:
    data = bytearray((folder / STATE).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / STATE).write_bytes(bytes(data))


def lose_state(folder: Path) -> None:
    (folder / STATE).unlink()


def cut_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:50])


def forge_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text(json.dumps({"files": {MODEL: 5, STATE: []}}))


@pytest.mark.parametrize("harm", [cut_model, flip_state, lose_state, cut_manifest, forge_manifest])
def test_a_damaged_checkpoint_is_not_taken_for_one(lab: Laboratory, finished: RunPaths, harm) -> None:
    run = lab.copy(finished)
    harm(run.weights / "step-000060")
    assert find_checkpoint(run) == run.weights / "step-000045"
    with pytest.raises(TrainingError, match="60"):
        need_checkpoint(run, "60")


@pytest.mark.thorough
def test_a_resumption_falls_back_to_the_newest_whole_checkpoint_and_ends_the_same(
    lab: Laboratory, finished: RunPaths
) -> None:
    damaged, straight = lab.copy(finished), lab.train("--epochs", "6")
    cut_model(damaged.weights / "step-000060")
    (damaged.weights / "best").write_bytes(b"\xff\0\xfe")
    lab("resume", damaged.id, "--epochs", "6")
    assert [(place.epoch, place.step) for place in RunReader(damaged.root).read_all().resumes] == [(3, 45)]
    assert history(damaged) == history(straight)
    ends = [load_weights(find_checkpoint(run)) for run in (damaged, straight)]  # type: ignore[arg-type]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


# Checkpoints that are as they were written, and of no use

CODE_RAN = "CODE_RAN"


class Evil:
    """What a pickle can do to whoever opens it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (CODE_RAN,)


def with_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Forge:
    def forged(content: bytes) -> bytes:
        tensors = load_tensors(content)
        change(tensors)
        return save_tensors(tensors)

    return MODEL, forged


def with_state(change: Callable[[dict[str, Any]], object]) -> Forge:
    def forged(content: bytes) -> bytes:
        state, buffer = torch.load(io.BytesIO(content), weights_only=True), io.BytesIO()
        change(state)
        torch.save(state, buffer)
        return buffer.getvalue()

    return STATE, forged


HEAD = "encoder.1.weight"
UNREADABLE: dict[str, Forge] = {
    "promises more": (MODEL, lambda content: content[: -len(content) // 2]),
    "no header": (MODEL, lambda content: b"\xff" * 64),
    "an evil model": (MODEL, lambda content: pickle.dumps(Evil())),
}
OTHERS: dict[str, Forge] = {
    "not a number": with_tensors(lambda tensors: tensors[HEAD].view(-1)[:1].fill_(torch.nan)),
    "a tensor less": with_tensors(lambda tensors: tensors.pop(HEAD)),
    "another shape": with_tensors(lambda tensors: tensors.update({HEAD: torch.zeros(3)})),
    "an evil state": (STATE, lambda content: pickle.dumps(Evil(), 2)),
    "an evil entry": with_state(lambda state: state.update(more=Evil())),
    "no sums": with_state(lambda state: state.pop("totals")),
    "no random state": with_state(lambda state: state.update(rng=torch.zeros(5056, dtype=torch.uint8))),
    "another optimizer": with_state(lambda state: state["optimizer"]["state"][0].pop("exp_avg")),
    "another step": with_state(lambda state: state.update(step=-5)),
    "more images than there are": with_state(lambda state: state.update(position=1501)),
}


def forge(folder: Path, part: Forge) -> None:
    """Put something else into a checkpoint, and its digest into the manifest."""
    file, change = part
    content = change((folder / file).read_bytes())
    (folder / file).unlink()  # a run copied by links shares it
    (folder / file).write_bytes(content)
    manifest = read_json(folder / MANIFEST)
    replace_json(folder / MANIFEST, {**manifest, "files": {**manifest["files"], file: describe_file(content)}})


def go_on(run: RunPaths) -> Trainer:
    """A trainer as a resumed worker makes it."""
    return Trainer(set_up(load_config(run.config)), RunWriter(run), Mailbox(run, lambda: False))


@pytest.mark.parametrize("part", [*UNREADABLE.values(), *OTHERS.values()], ids=[*UNREADABLE, *OTHERS])
def test_a_training_goes_on_from_the_checkpoint_before_one_that_is_of_no_use(
    lab: Laboratory, finished: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: Forge
) -> None:
    monkeypatch.chdir(tmp_path)
    run = lab.copy(finished)
    forge(run.weights / "step-000060", part)
    assert go_on(run).state.step == 45
    (note,) = (note.text for note in RunReader(run.root).read_all().notes if note.kind == "warning")
    assert note.startswith("step-000060 is ")
    assert find_checkpoint(run) == run.weights / "step-000045"
    assert (run.weights / "damaged-000060" / MODEL).exists()
    assert not os.path.exists(CODE_RAN)


def test_a_training_without_a_checkpoint_of_use_says_so_and_leaves_all(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    for folder in all_checkpoints(run):
        forge(folder, OTHERS["another shape"])
    with pytest.raises(TrainingError, match="step-000060"):
        go_on(run)
    assert steps_kept(run) == [45, 60]
    for folder in all_checkpoints(run):
        cut_model(folder)
    with pytest.raises(TrainingError, match="step-000060 is damaged, and there is no other") as caught:
        go_on(run)
    assert caught.value.hint == f"train it anew: tuiae run {run.config}"


def test_a_fork_never_begins_without_what_it_was_forked_from(lab: Laboratory, finished: RunPaths) -> None:
    folder = need_checkpoint(finished)
    config = fork_config(finished, folder, {"training.epochs": 9})
    for harm in (lambda path: forge(path, UNREADABLE["no header"]), lose_state):
        run = fork_run(finished, folder, config, lab.runs, [])
        harm(run.weights / folder.name)
        with pytest.raises(TrainingError) as caught:
            go_on(run)
        assert finished.id in caught.value.hint


@pytest.mark.parametrize("part", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_said_and_the_checkpoint_before_it_evaluated(
    lab: Laboratory, finished: RunPaths, part: Forge
) -> None:
    run = lab.copy(finished)
    forge(run.weights / "step-000060", part)
    loaded = load(run, "last", "cpu")
    assert loaded.checkpoint == "step-000045"
    assert re.findall(r"step-\d+", loaded.caution) == ["step-000060", "step-000045"]
    with pytest.raises(TrainingError, match="step-000060"):
        load(run, "60", "cpu")


def test_weights_that_are_no_numbers_are_measured_with_a_word_and_shown_and_taken_over_never(
    lab: Laboratory, finished: RunPaths
) -> None:
    run = lab.copy(finished)
    forge(run.weights / "step-000060", OTHERS["not a number"])
    assert HEAD in lab("eval", run.id, "--device", "cpu", "--noise-levels", "0").stderr
    with pytest.raises(ConfigError):
        Dispatcher(lambda notice: None).open(str(run.root))
    config = build_config({"data": {"dataset": "digits"}, "model": {"family": "classifier", "encoder_run": run.id}})
    with pytest.raises(TrainingError, match="step-000060"):
        set_up(check(config, lab.runs).config, lab.runs)


def test_a_training_that_diverges_keeps_its_last_good_weights(lab: Laboratory) -> None:
    wild = settings(
        training__optimizer="sgd",
        training__learning_rate=1e3,
        training__batch_size=1500,
        training__epochs=200,
        model__activation="identity",
        model__code_activation="identity",
        model__output="identity",
    )
    result = lab("run", lab.preset(), *wild, "--json", check=4)
    assert result.document["error"].startswith(DIVERGED)
    (run,) = list_runs(lab.runs)
    assert f"tuiae fork {run.id} --from last --set training.learning_rate=100" in result.document["hint"]
    assert read_status(run).state == "failed"
    folder = find_checkpoint(run)
    assert folder is not None
    assert all(tensor.isfinite().all() for tensor in load_weights(folder).values())
    assert load_state(folder)["epoch"] == len(history(run)["test/loss"])


@pytest.mark.parametrize("command", ["stop", "save"])
def test_weights_that_are_no_numbers_are_never_saved(lab: Laboratory, command: str) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    writer = RunWriter(run)
    control.send(run, command)
    fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(run, lambda: False))
    with torch.no_grad():
        next(fit.parts.model.parameters())[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=DIVERGED):
        fit.run()
    writer.close("failed")
    assert steps_kept(run) == []


def test_a_save_on_request_looks_at_what_the_device_knows_of_a_loss_that_is_no_number(lab: Laboratory) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    writer = RunWriter(run)
    control.send(run, "save")
    fit = Trainer(set_up(load_config(run.config)), writer, Mailbox(run, lambda: False))
    # As on CUDA, where such a step and all after it leave the weights alone, and nobody is told at once.
    fit.training_step._on_cuda = True
    fit.training_step._diverged.fill_(1.0)
    with pytest.raises(TrainingError, match=DIVERGED):
        fit.run()
    writer.close("failed")
    assert steps_kept(run) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18.1 GB)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_want_of_memory_is_known_by_each_of_its_names(error: Exception) -> None:
    assert is_out_of_memory(error)
    other = RuntimeError("CUDA error: an illegal memory access was encountered")
    assert not is_out_of_memory(other)
    assert "illegal memory access" in explain(other).cause


def test_a_full_disk_fails_in_a_sentence_and_the_run_goes_on_when_there_is_space(
    lab: Laboratory, finished: RunPaths
) -> None:
    run = lab.copy(finished)

    def leave_no_space() -> None:
        # Less than a checkpoint needs, more than a line or a status does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, resource.RLIM_INFINITY))

    result = lab.process("resume", run.id, "--epochs", "6", "--json", check=4, preexec_fn=leave_no_space)
    assert result.document["exit_code"] == 4
    assert sorted(p.name for p in run.weights.iterdir()) == ["best", "last", "step-000045", "step-000060"]
    assert all(verify(folder) for folder in all_checkpoints(run))
    assert read_status(run).state == "failed"
    assert lab("resume", run.id, "--json").document["epochs"] == 6
    assert read_status(run).error is None


def test_a_worker_does_not_touch_a_run_that_another_holds(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    lock = RunLock(run)
    assert lock.acquire()
    before = read_json(run.status), run.events.read_bytes()
    process = lab.start(str(run.root), module="tuiae.training.worker")
    assert "is held by another process" in process.communicate()[1]
    assert process.returncode == 6
    assert (read_json(run.status), run.events.read_bytes()) == before
    lock.close()


def test_what_a_killed_worker_left_half_saved_is_swept_up(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    draft = run.weights / ".step-000075.4711.tmp"
    draft.mkdir()
    (draft / MODEL).write_bytes(b"half")
    lab("resume", run.id, "--epochs", "5")
    assert sorted(p.name for p in run.weights.iterdir()) == ["best", "last", "step-000060", "step-000075"]


def test_the_corruption_differs_from_step_to_step_and_not_from_run_to_run(lab: Laboratory) -> None:
    # At level 1 every pixel becomes black or white by chance, so that the input is the corruption alone.
    overrides = {"noise.kind": "salt-pepper", "noise.level": 1.0, "data.train_limit": 100, "training.epochs": 3}
    overrides |= {"training.loss": "l1"}  # computed by the layers, which can be listened to
    config = load_config(Path(lab.preset()), overrides)
    seen: list[list[torch.Tensor]] = []
    for _ in range(2):
        run = create_run(config, lab.runs, [])
        writer, inputs = RunWriter(run), []
        fit = Trainer(set_up(config), writer, Mailbox(run, lambda: False))
        fit.parts.model.register_forward_pre_hook(
            lambda model, given, inputs=inputs: inputs.append(given[0]) if model.training else None  # type: ignore[misc]
        )
        writer.close(fit.run())
        seen.append(inputs)
    assert len({images.numpy().tobytes() for images in seen[0]}) == 3
    assert all(map(torch.equal, *seen))


def test_held_out_validation_is_measured_and_never_trained_on(lab: Laboratory) -> None:
    run = lab.train("--epochs", "1", "--set", "data.validation=0.2")
    assert read_status(run).steps_per_epoch == 12  # 1200 of the 1500
    assert len(history(run)["test/loss"]) == 1


def test_the_small_preset_is_random_in_every_way_that_a_resumption_must_keep() -> None:
    assert 'kind = "gaussian"' in SMALL
    assert "dropout = 0.05" in SMALL


@pytest.mark.parametrize(("device", "left"), [("cuda:0", "ieee"), ("cpu", "tf32")])
def test_float32_on_cuda_is_kept_from_tf32(monkeypatch: pytest.MonkeyPatch, device: str, left: str) -> None:
    backends = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
    for backend in backends:
        monkeypatch.setattr(backend, "fp32_precision", "tf32")
    keep_float32(torch.device(device))
    assert [backend.fp32_precision for backend in backends] == [left, left]


@pytest.mark.parametrize(
    ("instructions", "settings", "precision"),
    [
        ({"amx_bf16": True}, {"model.latent": 512, "training.batch_size": 1000}, "bfloat16"),
        ({"avx512_bf16": True}, {"model.family": "conv", "training.batch_size": 8}, "bfloat16"),
        ({"amx_bf16": True}, {"model.latent": 2, "training.batch_size": 50}, "float32"),
        ({"avx512_bf16": False}, {"model.latent": 512, "training.batch_size": 1000}, "float32"),
    ],
)
def test_bfloat16_is_for_processors_that_have_it_and_networks_that_gain(
    monkeypatch: pytest.MonkeyPatch, instructions: dict[str, bool], settings: dict[str, Any], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    config = build_config({}, settings)
    assert suggest_precision(config, torch.device("cpu"), 2 * 64 * config.model.latent)[0] == precision


def test_a_run_writes_down_what_auto_stood_for(finished: RunPaths) -> None:
    assert "precision" not in SMALL
    assert need_config(finished).training.precision in ("float32", "bfloat16")
    assert finished.config.read_text() == finished.config_copy.read_text()


@pytest.mark.parametrize("written", range(4))
def test_a_config_is_readable_at_every_moment_of_its_settling(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, [])
    settled = in_precision(need_config(run), "bfloat16")
    left = iter(range(written))

    def interrupted(write: Callable[..., None]) -> Callable[..., None]:
        def carry_out(path: Path, contents: Any) -> None:
            if path.parent == run.root and next(left, None) is None:
                raise KeyboardInterrupt
            write(path, contents)

        return carry_out

    monkeypatch.setattr(writer, "replace_text", interrupted(writer.replace_text))
    monkeypatch.setattr(writer, "replace_json", interrupted(writer.replace_json))
    with pytest.raises(KeyboardInterrupt):
        settle_config(run, settled)
    assert need_config(run) in (settled, in_precision(settled, "auto"))
