"""The explorer as the dashboard has it: a process of its own that is asked, killed, and handed garbage."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.conftest import Laboratory, wait_until
from tuiae.explore import protocol, questions
from tuiae.explore.checkpoint import load
from tuiae.explore.client import Explorer, ExplorerError, Notice, Reply
from tuiae.explore.protocol import Answer, encode_frame, read_frame
from tuiae.runs.checkpoints import kept_epochs
from tuiae.runs.paths import RunPaths, undated
from tuiae.runs.reader import RunReader

PATIENCE = 60.0


class Listener:
    """An explorer, and what it told in the order in which it told it."""

    def __init__(self) -> None:
        self.replies: queue.Queue[Reply] = queue.Queue()
        self.notices: list[str] = []
        self.explorer = Explorer(self._take)

    def _take(self, told: Reply | Notice) -> None:
        if isinstance(told, Notice):
            self.notices.append(told.text)
        else:
            self.replies.put(told)

    def next(self) -> Reply:
        return self.replies.get(timeout=PATIENCE)

    def ask(self, question: str, **arguments: Any) -> Any:
        """The answer; an error fails."""
        self.explorer.ask(question, **arguments)
        reply = self.next()
        assert reply.error is None, reply.error
        assert reply.question == question
        return reply.answer

    def refused(self, question: str, **arguments: Any) -> ExplorerError:
        self.explorer.ask(question, **arguments)
        error = self.next().error
        assert error is not None
        assert error.cause
        return error


@contextlib.contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    try:
        yield listener
    finally:
        listener.explorer.close()


def trained(lab: Laboratory, name: str, *settings: str) -> RunPaths:
    base = (f"name={name}", "training.epochs=2", *settings)
    return lab.train(*(word for setting in base for word in ("--set", setting)))


@pytest.fixture(scope="module")
def one() -> Iterator[Listener]:
    """One process for all the tests that leave it as it was: importing torch takes seconds."""
    with listening() as listener:
        yield listener


# What is asked, on each family


def test_opening_says_what_it_is(one: Listener, plane_vae: RunPaths) -> None:
    opened = one.ask("open", run=str(plane_vae.root))
    assert (opened.latent, opened.shape, opened.tests) == (2, (1, 8, 8), 297)
    assert (opened.is_autoencoder, opened.is_variational, opened.family) == (True, True, "vae")
    assert opened.classes == tuple("0123456789")
    assert opened.checkpoint == f"step-{opened.step:06d}"
    assert opened.epoch == 3
    assert "opening the weights" in one.notices
    assert f"loading {undated(plane_vae.id)}" in one.notices


def test_the_map_of_a_plane_and_what_stands_at_a_place(one: Listener, plane_vae: RunPaths) -> None:
    one.ask("open", run=str(plane_vae.root))
    shown = one.ask("codes", count=200)
    assert (shown.kind, shown.axes, shown.points.shape) == ("code", ("code 0", "code 1"), (200, 2))
    loaded = load(plane_vae, device="cpu")
    np.testing.assert_allclose(shown.points, loaded.encode(loaded.images("test", shown.indices)), atol=1e-5)
    np.testing.assert_array_equal(shown.labels, loaded.labels("test", shown.indices))
    x, y = map(float, shown.points[7])
    place = one.ask("at", x=x, y=y)
    assert place.indices[0] == shown.indices[7]
    assert place.distances[0] == pytest.approx(0, abs=1e-5)
    assert list(place.distances) == sorted(place.distances)
    assert place.images.shape == (5, 1, 8, 8)
    wanted = loaded.decode(np.array([[x, y]]))[0] * 255
    np.testing.assert_allclose(place.image, wanted, atol=1)


def test_a_wide_code_is_decoded_on_its_principal_plane_and_on_two_of_its_numbers(
    one: Listener, finished: RunPaths
) -> None:
    one.ask("open", run=str(finished.root))
    loaded = load(finished, device="cpu")
    shown = one.ask("codes")
    assert shown.kind == "principal"
    codes = loaded.encode(loaded.images("test", shown.indices)).astype(np.float64)
    mean = codes.mean(axis=0)
    components = np.linalg.svd(codes - mean, full_matrices=False)[2][:2]
    back = mean + (codes[3] - mean) @ components.T @ components  # whatever the signs of the components are
    place = one.ask("at", x=float(shown.points[3, 0]), y=float(shown.points[3, 1]))
    np.testing.assert_allclose(place.image, loaded.decode(back[None])[0] * 255, atol=1)
    shown = one.ask("codes", by="axes", axes=(4, 1))
    assert (shown.kind, shown.axes) == ("dims", ("code 4", "code 1"))
    np.testing.assert_allclose(shown.points, codes[:, [4, 1]], atol=1e-4)
    replaced = mean.copy()
    replaced[[4, 1]] = 0.5, 0.25
    place = one.ask("at", x=0.5, y=0.25)
    np.testing.assert_allclose(place.image, loaded.decode(replaced[None])[0] * 255, atol=1)
    assert "two numbers" in place.source


def test_t_sne_is_worked_out_beside_the_other_questions(one: Listener, finished: RunPaths) -> None:
    one.ask("open", run=str(finished.root))
    one.ask("codes", count=150)
    one.explorer.ask("codes", count=150, by="tsne")
    one.explorer.ask("at", x=0.0, y=0.0)
    replies = [one.next(), one.next()]
    assert [reply.question for reply in replies] == ["at", "codes"]
    shown = replies[1].answer
    assert isinstance(shown, protocol.Codes)
    assert (shown.kind, shown.points.shape) == ("tsne", (150, 2))
    place = one.ask("at", x=float(shown.points[9, 0]), y=float(shown.points[9, 1]))
    loaded = load(finished, device="cpu")
    own = loaded.decode(loaded.encode(loaded.images("test", shown.indices[9:10])))[0] * 255
    np.testing.assert_allclose(place.image, own, atol=1)


def test_ways_samples_and_planes(one: Listener, plane_vae: RunPaths, finished: RunPaths) -> None:
    one.ask("open", run=str(plane_vae.root))
    shown = one.ask("codes")
    strip = one.ask("between", a=(0.0, 0.0), b=(3.0, 4.0), count=6)
    assert strip.images.shape == (6, 1, 8, 8)
    assert strip.distance == pytest.approx(5)
    of_images = one.ask("between", a=0, b=int(shown.indices[1]), count=3)
    loaded = load(plane_vae, device="cpu")
    np.testing.assert_allclose(of_images.images[:1], loaded.reconstruct(loaded.images("test", [0]))[1] * 255, atol=1)
    drawn = one.ask("prior", count=4, seed=3)
    np.testing.assert_array_equal(drawn.images, one.ask("prior", count=4, seed=3).images)
    assert (drawn.images != one.ask("prior", count=4, seed=4).images).any()
    plane = one.ask("plane", count=5)
    assert (plane.images.shape, plane.origin) == ((5, 5, 1, 8, 8), "prior")
    assert plane.y[0] > plane.y[-1]
    np.testing.assert_allclose(plane.images[1, 2], loaded.decode([[plane.x[2], plane.y[1]]])[0] * 255, atol=1)
    one.ask("open", run=str(finished.root))
    assert one.ask("plane", count=3).origin == "range"
    assert "prior" in one.refused("prior").cause


def test_noise_reconstruction_and_errors(one: Listener, finished: RunPaths) -> None:
    one.ask("open", run=str(finished.root))
    picture = one.ask("image", index=5)
    loaded = load(finished, device="cpu")
    np.testing.assert_array_equal(picture.image, (loaded.images("test", [5])[0] * 255).round())
    assert picture.label == loaded.labels("test", [5])[0]
    given = picture.image[None]
    clean = one.ask("reconstruct", images=given)
    np.testing.assert_array_equal(clean.noisy, given)
    noisy = one.ask("reconstruct", images=given, kind="gaussian", level=0.8, seed=1)
    assert (noisy.noisy != given).any()
    assert noisy.mse[0] > clean.mse[0]
    again = one.ask("reconstruct", images=given / np.float32(255), kind="gaussian", level=0.8, seed=1)
    np.testing.assert_array_equal(again.reconstructions, noisy.reconstructions)
    curve = one.ask("noise_curve", kind="gaussian", levels=(0.0, 0.2, 0.9), count=100)
    assert (curve.metric, curve.images, len(curve.errors)) == ("mse", 100, 3)
    assert curve.errors[2] > curve.errors[0]
    worst = one.ask("worst", count=9)
    assert list(worst.errors) == sorted(worst.errors, reverse=True)
    assert worst.predicted is None
    error = np.square(worst.reconstructions / 255 - worst.images / 255).reshape(9, -1).mean(axis=1)
    np.testing.assert_allclose(error, worst.errors, atol=0.01)
    mean = RunReader(finished.root).read_all().latest("test", "loss")
    assert mean is not None
    assert worst.errors.min() > mean


def test_an_autoencoder_classifies_by_its_neighbours_and_a_classifier_by_itself(
    one: Listener, finished: RunPaths, classified: RunPaths
) -> None:
    one.ask("open", run=str(finished.root))
    images = load(finished, device="cpu").images("test", 40)
    found = one.ask("classify", images=images)
    assert (found.by, found.neighbours, found.shares.shape) == ("neighbours", 15, (40, 10))
    np.testing.assert_allclose(found.shares.sum(axis=1), 1, atol=1e-5)
    assert "confuses no classes" in one.refused("confused", true=0, predicted=1).cause
    one.ask("open", run=str(classified.root))
    found = one.ask("classify", images=images)
    assert (found.by, found.neighbours) == ("classifier", 0)
    loaded = load(classified, device="cpu")
    np.testing.assert_array_equal(found.shares.argmax(axis=1), loaded.predict(images).argmax(axis=1))


def test_a_classifier_shows_where_its_codes_lie_and_what_it_confuses(one: Listener, classified: RunPaths) -> None:
    one.ask("open", run=str(classified.root))
    shown = one.ask("codes")
    place = one.ask("at", x=float(shown.points[0, 0]), y=float(shown.points[0, 1]))
    assert place.image is None
    assert place.shares.shape == (10,)
    assert place.shares.sum() == pytest.approx(1)
    assert "classifier" in one.refused("prior").cause + one.refused("plane").cause
    worst = one.ask("worst", count=5)
    assert worst.reconstructions is None
    assert (worst.predicted != worst.labels).all()
    true, predicted = int(worst.labels[0]), int(worst.predicted[0])
    cell = one.ask("confused", true=true, predicted=predicted)
    assert worst.indices[0] == cell.indices[0]
    assert cell.total >= len(cell.images) > 0
    assert cell.shares[0] == pytest.approx(worst.errors[0])
    curve = one.ask("noise_curve", kind="mask", levels=[0.0, 0.9])
    assert curve.metric == "error"
    assert curve.errors[1] > curve.errors[0]


def test_what_cannot_be_answered_is_said_and_the_next_is_answered(one: Listener, finished: RunPaths) -> None:
    assert one.refused("open", run="/nowhere/at/all").cause
    assert "no run is open" in one.refused("at", x=0.0, y=0.0).cause
    one.ask("open", run=str(finished.root))
    assert "image" in one.refused("image", index=10**9).cause
    assert "axes" in one.refused("codes", by="axes", axes=(0, 99)).cause
    assert one.refused("at", x="left", y=None).cause
    assert one.refused("at", z=1).cause
    assert one.refused("no-such-question").cause
    assert "shape" in one.refused("reconstruct", images=np.zeros((1, 1, 3, 3), np.uint8)).cause
    assert "noise" in one.refused("noise_curve", kind="mask", levels=[7.0]).cause
    assert one.ask("at", x=0.0, y=0.0).image is not None


# Runs that change or are no runs


def test_the_weights_of_an_epoch_answer_or_the_newest_in_their_place(one: Listener, finished: RunPaths) -> None:
    kept = kept_epochs(finished)
    assert kept
    assert kept[-1] == 4
    for epoch in kept:
        opened = one.ask("open", run=str(finished.root), epoch=int(epoch))
        assert (opened.epoch, opened.asked, opened.kept) == (epoch, epoch, ())
    opened = one.ask("open", run=str(finished.root), epoch=0)
    assert (opened.epoch, opened.asked, opened.kept) == (4, 0, kept)
    opened = one.ask("open", run=str(finished.root))
    assert (opened.epoch, opened.asked) == (4, None)


def test_a_newer_checkpoint_is_loaded_when_it_is_asked_for(one: Listener, lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    kept = sorted(folder.name for folder in run.weights.glob("step-*"))
    one.ask("open", run=str(run.root), epoch=int(kept_epochs(run)[0]))
    assert one.ask("at", x=0.0, y=0.0).checkpoint == kept[0]
    opened = one.ask("open", run=str(run.root))
    assert (opened.checkpoint, one.ask("at", x=0.0, y=0.0).checkpoint) == (kept[-1], kept[-1])
    shutil.rmtree(run.weights / kept[-1])
    assert kept[-1] in one.ask("at", x=0.0, y=0.0).checkpoint


def test_directories_that_are_no_runs_are_told_as_a_sentence(
    one: Listener, lab: Laboratory, finished: RunPaths
) -> None:
    garbage = lab.root / "garbage"
    garbage.mkdir(parents=True)
    assert one.refused("open", run=str(garbage)).cause
    (garbage / "config.toml").write_bytes(b"\0\xff[[[")
    assert one.refused("open", run=str(garbage)).cause
    shutil.copy(finished.config, garbage / "config.toml")
    assert "has no checkpoint" in one.refused("open", run=str(garbage)).cause
    assert "no run is open" in one.refused("codes").cause
    run = lab.copy(finished)
    for folder in run.weights.glob("step-*"):
        (folder / "model.safetensors").write_bytes(b"garbage")
    assert "has no checkpoint" in one.refused("open", run=str(run.root)).cause
    assert one.refused("open", run=str(lab.root / "gone")).cause


# The process


def test_it_is_started_again_once_when_it_is_killed_and_then_that_is_said(finished: RunPaths) -> None:
    with listening() as listener:
        listener.ask("open", run=str(finished.root))
        listener.ask("codes", by="axes", axes=(2, 3))
        before = listener.ask("at", x=0.1, y=0.2)
        first = listener.explorer.pid
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: listener.explorer.pid != first)
        # It opens the run and shows the plane again by itself, and says so; then the next question is answered.
        assert [listener.next().question for _ in range(2)] == ["open", "codes"]
        np.testing.assert_array_equal(listener.ask("at", x=0.1, y=0.2).image, before.image)
        assert "the explorer ended (killed by SIGKILL) and is started again" in listener.notices
        os.kill(listener.explorer.pid, signal.SIGKILL)
        wait_until(lambda: not listener.explorer.pid)
        assert "ended" in listener.refused("at", x=0.0, y=0.0).cause
        listener.explorer.revive()
        assert listener.ask("open", run=str(finished.root)).latent == 8


def test_a_question_that_was_on_its_way_when_it_died_is_answered_by_the_next_process(finished: RunPaths) -> None:
    with listening() as listener:
        listener.explorer.ask("open", run=str(finished.root))
        first = wait_until(lambda: listener.explorer.pid)
        os.kill(first, signal.SIGKILL)
        assert isinstance(listener.next().answer, protocol.OpenedRun)
        assert listener.explorer.pid != first


def test_only_the_newest_question_of_a_slot_is_answered(finished: RunPaths) -> None:
    with listening() as listener:
        listener.explorer.ask("open", run=str(finished.root))
        for step in range(50):
            listener.explorer.ask("at", slot="cursor", x=float(step), y=0.0)
        listener.explorer.ask("image", index=1)
        assert [listener.next().question for _ in range(3)] == ["open", "at", "image"]
        listener.explorer.ask("at", slot="cursor", x=1.0, y=1.0)
        place = listener.next()
        assert isinstance(place.answer, protocol.Place)
        assert place.answer.y == 1.0
        assert listener.replies.empty()
        assert not listener.explorer.busy


@pytest.mark.usefixtures("cold")
def test_it_ends_with_its_client_and_with_its_stdin(finished: RunPaths) -> None:
    with listening() as listener:
        listener.ask("open", run=str(finished.root))
        process = psutil.Process(listener.explorer.pid)
        assert process.num_threads() < 16
        assert process.nice() > min(psutil.Process().nice(), 18)  # there is nothing above 19
    assert not process.is_running()
    listener.explorer.ask("at", x=0.0, y=0.0)  # after the end nothing is asked, and nothing breaks
    command = [sys.executable, "-m", "tuiae.explore.server"]
    alone = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert alone.stdin is not None
    alone.stdin.close()
    assert alone.wait(PATIENCE) == 0
    assert alone.stdout is not None
    alone.stdout.close()


def test_what_a_library_prints_gets_between_no_answers(tmp_path: Path) -> None:
    code = """
import os, sys
import numpy as np
from tuiae.explore import questions, server
from tuiae.explore.protocol import Samples
def answer(self, opened, question, arguments):
    print("a library says hello")
    os.write(1, b"and a C library, too")
    return Samples("", np.zeros(2, np.uint8), 7)
questions.Dispatcher.answer = answer
server.main()
"""
    frames = encode_frame({"id": 1, "question": "prior", "arguments": {}}) + b"\xff\xff\xff\xff garbage"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, stderr=-1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(frames)
        process.stdin.flush()  # and not closed: it ends with its parent
        assert read_frame(process.stdout) is not None
        answered = read_frame(process.stdout)
        process.stdin.close()
        rest, said = process.stdout.read(), process.stderr.read() if process.stderr else b""
    assert answered is not None
    assert answered.fields == {"id": 1, "answer": {"class": "Samples", "checkpoint": "", "seed": 7}}
    assert rest == b""
    assert b"C library" in said


def test_frames_carry_arrays_and_a_broken_one_is_the_end() -> None:
    sent = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0, 2), np.uint8)}
    data = encode_frame({"id": 1, "deep": {"x": [1, None]}, "n": np.int64(4)}, sent)
    frame = read_frame(io.BytesIO(data))
    assert frame is not None
    assert frame.fields == {"id": 1, "deep": {"x": [1, None]}, "n": 4}
    np.testing.assert_array_equal(frame.arrays["a"], sent["a"])
    assert frame.arrays["b"].shape == (0, 2)
    for length in range(len(data)):
        assert read_frame(io.BytesIO(data[:length])) is None
    pickled = encode_frame({"id": 1}, {"a": np.array([None, "a pickle"], dtype=object)})
    nameless = encode_frame({"id": 1}).replace(b"fields.npy", b"felids.npy")
    for hostile in (pickled, nameless, b"\0\0\0\3[1]", b"\0\0\0\0", data[:4] + data[:4] * len(data)):
        assert read_frame(io.BytesIO(hostile)) is None
    with pytest.raises(TypeError):
        encode_frame({"x": object()})


def test_every_answer_survives_the_way() -> None:
    strip = protocol.Between("step-000001", np.ones((2, 1, 3, 3), np.uint8), np.array([[0.0], [1.5]]))
    values, arrays = protocol.pack(strip)
    back: Answer = protocol.unpack({**values, "of another version": 1}, arrays)
    assert isinstance(back, protocol.Between)
    assert (back.checkpoint, back.distance) == ("step-000001", 1.5)
    assert set(protocol.SLOW) < set(questions.QUESTIONS)
