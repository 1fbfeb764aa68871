"""What is said of weights, and where there are none, word for word (`tests/golden`): of weights that nobody trained."""

from __future__ import annotations

import errno
import re
import signal
from typing import Any

import pytest

from tests.comparing import settings
from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, CLASSIFIER, Script, fixed, script
from tests.golden import Golden, refusal, titled
from tests.test_disks import largest_file
from tests.training import save_whole_weights
from tuiae.config import RunConfig
from tuiae.errors import UnknownRunError
from tuiae.images import ImageRecord
from tuiae.runs import control
from tuiae.runs.paths import RunPaths, unwritable
from tuiae.runs.reader import describe_death, read_status
from tuiae.runs.writer import RunWriter, create_run, write_images
from tuiae.training.failure import explain

PLAIN, NETS, SAMPLES = "20261120-115900-denoise-a3f9", "20261120-120000-letters-b7c1", "20261120-130000-samples-c001"
HALVES = [[int(place < 15) for place in range(35)], [int(place >= 20) for place in range(35)]]
"""Weights that count the lit pixels of the upper and of the lower three rows."""


def weighted(lab: Laboratory, name: str, document: dict[str, Any], **rows: Any) -> RunPaths:
    """A finished run of six epochs, and its last checkpoint."""
    played = script(lab.runs, document, name)
    played.play(6)
    played.writer.close("finished")
    return save_whole_weights(fixed(played.run), **rows)


def plain(lab: Laboratory) -> RunPaths:
    """An autoencoder with a code of two numbers, of four classes."""
    document = settings(model__latent=2, model__hidden=[], data__classes=["A", "B", "C", "D"])
    return weighted(lab, PLAIN, settings(document, model__code_activation="identity"), encoder__1__weight=HALVES)


def test_eval(lab: Laboratory, golden: Golden) -> None:
    plain(lab)
    weighted(lab, NETS, settings(CLASSIFIER, data__classes=["A", "B", "C"]))
    sweep = ("eval", PLAIN, "--device", "cpu", "--noise-kind")
    golden.check(
        "eval",
        # The last digits of SSIM are other ones elsewhere.
        re.sub(r"(6\.021 +)\S+", r"\1(SSIM)", lab.told("eval", PLAIN, "--device", "cpu", "--baseline")),
        lab.told(*sweep, "mask", "--noise-levels", "0,0.2,0.4", "--plot"),
        lab.told("eval", NETS, "--device", "cpu"),
        titled("noise that cannot be"),
        *(
            lab.told(*sweep, *words, check=2)
            for words in (
                ("salt-peper", "--noise-levels", "0"),
                ("none", "--noise-levels", "0"),
                ("mask", "--noise-levels", "0,x"),
                ("mask", "--noise-levels", ""),
                ("salt-pepper", "--noise-levels", "0,1.5"),
                ("uniform", "--noise-probability", "1.5"),
                ("gaussian", "--noise-levels", "-0.1"),
                ("gaussian", "--noise-levels", "nan"),
                ("gaussian", "--noise-levels", "0.1", "--noise-probability", "0.5"),
                ("gaussian", "--noise-levels", "0.1", "--noise", "mask:0.1"),
            )
        ),
        lab.told("eval", PLAIN, "--noise", "salt:0.1", check=2),
        titled("what a run does not have"),
        lab.told("eval", PLAIN, "--weights", "7", check=2),
        lab.told("eval", NETS, "--baseline", check=2),
    )


def test_explore(lab: Laboratory, golden: Golden) -> None:
    plain(lab)
    vae = settings(model__family="vae", model__latent=2, model__hidden=[], training__loss="bce")
    weighted(lab, SAMPLES, settings(vae, data__classes=["A", "B", "C"]), encoder__1__weight=HALVES)
    weighted(lab, NETS, settings(CLASSIFIER, data__classes=["A", "B", "C"]))
    golden.check(
        "explore",
        lab.told("explore", PLAIN, "--codes", "--plane", "2", "--between", "A,2"),
        lab.told("explore", SAMPLES, "--plane", "2", "--samples", "2"),
        titled("a view that a run does not have"),
        lab.told("explore", NETS, "--plane", check=2),
        lab.told("explore", NETS, "--samples", "3", check=2),
        lab.told("explore", NETS, "--between", "0,1", check=2),
        lab.told("explore", PLAIN, "--samples", check=2),
        lab.told("explore", PLAIN, "--codes", "--png", "a.png", check=2),
        *(lab.told("explore", PLAIN, "--dims", words, check=2) for words in ("0,8", "1", "-1,2", "1,1")),
        titled("images that are not there"),
        *(lab.told("explore", PLAIN, "--between", words, check=2) for words in ("1", "1,", "0,4", "0,E", "A,0")),
        titled("weights that are not there"),
        lab.told("explore", PLAIN, "--weights", "12345", check=2),
    )


def stopped(lab: Laboratory, document: dict[str, Any], name: str) -> Script:
    """A run that was stopped after two epochs."""
    played = script(lab.runs, document, name)
    played.play(2)
    played.writer.close("stopped")
    return played


def test_resume_and_fork(lab: Laboratory, golden: Golden) -> None:
    done = plain(lab)
    save_whole_weights(done, 12, encoder__1__weight=HALVES)
    absent = settings(AUTOENCODER, data__dataset="folder:/nowhere/at/all")
    for document, dataset, name in (
        (absent, "folder:/nowhere/at/all", "20261120-140000-pictures-d004"),
        (AUTOENCODER, "glyphs", "20261120-150000-changed-e005"),
    ):
        images = ImageRecord(dataset, "/nowhere/at/all", ("A", "B", "C"), (1, 7, 5), 30, 6, "0123456789abcdef")
        write_images(stopped(lab, document, name).run, images, None)
    locked = stopped(lab, AUTOENCODER, "20261120-160000-locked-f006")
    locked.run.lock.unlink(missing_ok=True)
    locked.run.lock.mkdir()  # nobody can open it for writing, whoever runs this test
    sets = {
        "model.latent=4": "12",
        "data.dataset=digits": "12",
        "model.activation=tanh": "12",
        "training.epoch=9": "12",
        "training.epochs=2": "12",
        "training.learning_rate=1": "last",
        "training.learning_rate=0.1": "31",
        "training.learning_rate=0.2": "first",
    }
    golden.check(
        "resume-and-fork",
        titled("what a fork cannot do"),
        *(lab.told("fork", PLAIN, "--from", start, "--set", key, check=2) for key, start in sets.items()),
        titled("what cannot be resumed"),
        lab.told("resume", PLAIN, check=2),
        lab.told("resume", PLAIN, "--epochs", "1000001", check=2),
        lab.told("resume", "pictures", check=3),
        lab.told("resume", "changed", check=3),
        lab.told("resume", "locked", check=2),
    )


def test_disks(lab: Laboratory, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(RunConfig(name="mine"), lab.runs, [])
    golden.hide(run.id, "RUN")
    full, broken = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")
    writer = RunWriter(run)
    troubles = []
    for waiting in ("events", "samples"):
        writer.note_unwritten(waiting, full)
        writer.status(now=True, state="running")
        troubles.append(read_status(run).trouble)
    writer.close("failed")
    ends = [explain(error, run) for error in (full, broken, MemoryError(), KeyError("x"))]
    save_whole_weights(run)
    ends.append(explain(full, run))
    codes = (None, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGKILL)
    deaths = [describe_death(run, code).replace(f"signal {signal.SIGBUS:d}", "signal SIGBUS") for code in codes]
    with largest_file(1000):
        deaths.append(describe_death(run, None))
    monkeypatch.setattr("tuiae.runs.control._is_ours", lambda *_: False)
    others = [refusal(UnknownRunError, lambda: control.send(run, "stop"))]
    others += unwritable(run, PermissionError(errno.EACCES, "Permission denied"), "resume").lines()
    golden.check(
        "disks",
        titled("what waits for space", *troubles),
        titled("how a training ends", *(line for error in ends for line in error.lines())),
        titled("how a worker died", *deaths),
        titled("a run of somebody else", *others),
    )
