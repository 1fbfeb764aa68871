"""Networks of the user's own: what works with them, what never runs, and how their mistakes are told."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from textual.widgets import TextArea

from tests.conftest import Laboratory
from tests.dashboard import open_desk
from tests.endings import assert_same_end
from tests.golden import Golden, titled
from tests.training import train
from tuiae.config import RunConfig, build_config, load_config
from tuiae.errors import CodeError, CodeFailedError, ConfigError, TuiaeError
from tuiae.explore import questions
from tuiae.explore.checkpoint import load
from tuiae.models import custom
from tuiae.models.custom import CustomNetwork
from tuiae.models.networks import Classifier
from tuiae.preflight import check
from tuiae.render.legend import second_metrics
from tuiae.runs.checkpoints import need_checkpoint
from tuiae.runs.lineage import changes, fork_config, fork_run, repeat_line
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import RunReader, read_config, read_sample, read_status
from tuiae.runs.writer import create_run
from tuiae.source import argument_settings, is_trusted, read_source, with_absolute_code
from tuiae.studies.labels import recipe_labels
from tuiae.studies.library import Library
from tuiae.studies.sweep import load_sweep
from tuiae.training.evaluate import evaluate
from tuiae.training.setup import set_up
from tuiae.ui.screens.dialogs import TrustDialog

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, image_shape, width=16, code=3):
        super().__init__()
        pixels, shape = torch.Size(image_shape).numel(), nn.Unflatten(1, image_shape)
        self.down = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.BatchNorm1d(width), nn.ReLU())
        self.mean, self.unused = nn.Linear(width, code), nn.Linear(2, 2)
        self.up = nn.Sequential(nn.Linear(code, width), nn.Dropout(0.2), nn.Linear(width, pixels), nn.Sigmoid(), shape)

    def encode(self, x):
        return self.mean(self.down(x))

    def decode(self, code):
        return self.up(code)

    def forward(self, x):
        mean = self.encode(x)
        self.kept = mean.detach()
        return self.decode(mean + 0.1 * torch.randn_like(mean)), mean

    def loss(self, x, output):
        image, mean = output
        return {"mse": (image - x).square().mean(), "size": 0.01 * mean.square().mean()}
"""
"""Everything at once that makes trouble: a batch norm, dropout and draws of its own, weights without a part in it,
something kept of the last batch, a tuple, a term with the name of a measure."""

PLAIN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.layer(x)
"""
PRESET = """
name = "own"
[data]
dataset = "digits"
train_limit = 200
test_limit = 100
[model]
family = "custom"
code = "my_model.py:Net"
[training]
epochs = 2
batch_size = 50
device = "cpu"
"""


def own(lab: Laboratory, code: str = NET, **overrides: Any) -> RunConfig:
    """The config of a preset with a file beside it."""
    path = Path(lab.preset(PRESET, "own.toml"))
    (lab.root / "my_model.py").write_text(code)
    return load_config(path, {key.replace("__", "."): value for key, value in overrides.items()})


def trained(lab: Laboratory, code: str = NET, **overrides: Any) -> RunPaths:
    run = create_run(own(lab, code, **overrides), lab.runs, [])
    train(run)
    return run


# What works


def test_a_worker_trains_it_and_keeps_the_file_its_terms_and_the_width_of_its_code(lab: Laboratory) -> None:
    own(lab)
    found = lab("run", "own.toml", "--json", "--set", "model.arguments.code=5").document
    run = lab.run(found["run"])
    config = read_config(run)
    assert config is not None
    assert (config.model.latent, config.model.arguments) == (5, {"code": 5})
    assert config.model.code == "code/my_model.py:Net"
    assert (run.code / "my_model.py").read_text() == NET
    snapshot = RunReader(run.root).read_all()
    for split in ("train", "test", "train-eval", "live"):
        assert {name for of, name in snapshot.series if of == split} >= {"loss", "accuracy", "mse", "size"}
    loss, mse, size = (snapshot.latest("test", name) for name in ("loss", "mse", "size"))
    assert loss == pytest.approx(mse + size)  # type: ignore[operator]
    assert second_metrics(snapshot)[0] == "size"
    layers = lab("show", run.id, "--network", "--json").document["layers"]
    assert [(one["part"], one["name"]) for one in layers if one["kind"] == "Linear"] == [
        ("encoder", "down.1"),
        ("encoder", "mean"),
        ("decoder", "up.0"),
        ("decoder", "up.2"),
        ("other", "unused"),
    ]
    weights = load(run, "last", "cpu").parts.model.parameters()
    assert sum(one["parameters"] for one in layers) == sum(one.numel() for one in weights)
    sample = read_sample(run, 2)
    assert sample is not None
    assert sample.codes is not None
    assert f"tuiae run {run.config}" in repeat_line(run)


def test_it_goes_on_from_any_step_to_the_same_bits(lab: Laboratory) -> None:
    whole, cut = trained(lab), create_run(own(lab), lab.runs, [])
    for stop in (3, 4, None):
        train(cut, stop=stop)
    assert_same_end(cut, whole)


def test_the_same_config_is_the_same_run_until_its_file_changes(lab: Laboratory) -> None:
    run = trained(lab)
    config, library = check(own(lab), lab.runs).config, Library(lab.runs, "own")
    labelled = {"name": "", "note": "", "tags": ["own"]}
    run.label.write_text(json.dumps(labelled))
    again = read_config(run)
    assert again is not None
    assert library.find(config) == run
    assert check(load_config(run.config), lab.runs).config.model.code_sha256 == again.model.code_sha256
    assert Library(lab.runs, "own").find(check(own(lab, NET + "\n"), lab.runs).config) is None


def test_its_code_is_mapped_decoded_and_classified(lab: Laboratory) -> None:
    run = trained(lab)
    loaded = load(run, "last", "cpu")
    codes, _ = loaded.codes()
    assert codes.shape == (100, 3)
    assert loaded.decode(codes[:2]).shape == (2, 1, 8, 8)
    answer = questions.Dispatcher(lambda text: None).open(str(run.root))
    assert (answer.latent, answer.has_code, answer.is_variational) == (3, True, False)
    assert evaluate(loaded.parts, loaded.parts.test).metrics.keys() >= {"size", "wrong_pixels"}
    config = build_config(
        {**own(lab).model_dump(mode="json"), "model": {"family": "classifier", "encoder_run": run.id, "freeze": True}}
    )
    checked = check(config, lab.runs)
    assert not any("shards" in warning for warning in checked.warnings)  # which nobody asked for
    classifier = create_run(checked.config, lab.runs, [])
    parts = set_up(load_config(classifier.config), lab.runs)
    assert (parts.config.model.encoder, parts.config.model.latent) == ("custom", 3)
    assert isinstance(parts.model, Classifier)
    again = parts.model.eval().encode(torch.as_tensor(loaded.images("test", 4)))
    torch.testing.assert_close(again, torch.as_tensor(codes[:4]))
    shutil.rmtree(run.root)
    train_from(classifier, parts)
    assert load(classifier, "last", "cpu").predict(loaded.images("test", 4)).shape == (4, 10)


def train_from(run: RunPaths, parts: Any) -> None:
    from tuiae.runs.writer import RunWriter
    from tuiae.training.control import Mailbox
    from tuiae.training.loop import Trainer

    writer = RunWriter(run)
    assert Trainer(parts, writer, Mailbox(run, lambda: False)).run() == "finished"
    writer.close("finished")


def test_one_that_only_reconstructs_has_no_codes_and_everything_else(lab: Laboratory) -> None:
    run = trained(lab, PLAIN, training__loss="bce")
    snapshot = RunReader(run.root).read_all()
    assert snapshot.latest("test", "loss") != snapshot.latest("test", "mse")
    assert ("code", "dead") not in snapshot.series
    sample = read_sample(run, 2)
    assert sample is not None
    assert sample.reconstructions is not None
    assert sample.codes is None
    opened = questions.Dispatcher(lambda text: None)
    assert not opened.open(str(run.root)).has_code
    assert opened.opened is not None
    clean = opened.opened.loaded.images("test", 2)
    assert questions.reconstruct(opened.opened, clean).reconstructions.shape == (2, 1, 8, 8)
    with pytest.raises(CodeError):
        questions.codes(opened.opened)
    assert lab("explore", run.id, "--codes", check=2).stdout == ""


def test_a_code_of_several_dimensions_is_flattened_and_gets_its_shape_back(lab: Laboratory) -> None:
    code = PLAIN.replace("def forward", "def decode").replace("def decode", "def encode") + (
        "\n    def decode(self, code):\n        assert code.shape[1:] == (1, 8, 8)\n        return code.sigmoid()\n"
    )
    model = set_up(own(lab, code)).model
    codes = model.encode(torch.zeros(3, 1, 8, 8))
    assert codes.shape == (3, 64)
    assert isinstance(model, CustomNetwork)
    assert model.decode(codes).shape == (3, 1, 8, 8)


def test_a_fork_goes_on_with_the_file_of_its_parent_and_other_arguments(lab: Laboratory) -> None:
    code = NET.replace("nn.Dropout(0.2)", "nn.Dropout(p)").replace("code=3)", "code=3, p=0.2)")
    run = trained(lab, code)
    (lab.root / "my_model.py").unlink()
    checkpoint = need_checkpoint(run)
    wanted = {"training.epochs": 3, "model.arguments.p": 0.5}
    config = fork_config(run, checkpoint, wanted)
    fork = fork_run(run, checkpoint, config, lab.runs, [])
    train(fork)
    assert (fork.code / "my_model.py").read_text() == code
    assert RunReader(fork.root).read_all().parent.changed == ("training.epochs", "model.arguments.p")  # type: ignore[union-attr]
    with pytest.raises(ConfigError):
        fork_config(run, checkpoint, {**wanted, "model.code": "other.py:Net"})
    # Only the network itself tells that an argument gives it weights of other shapes: its worker, which has a run then.
    before = list_runs(lab.runs)
    words = ("--set", "model.arguments.code=4", "--epochs", "3")
    refused = lab("fork", run.id, *words, "--json", check=2).document
    assert refused["error"].startswith("model.arguments.code=4 ")
    assert shlex.split(refused["hint"].partition(": ")[2]) == ["tuiae", "run", str(run.config), *words[:2]]
    assert list_runs(lab.runs) == before


def test_a_sweep_over_its_arguments_names_what_differs(lab: Laboratory) -> None:
    own(lab)
    text = 'name = "widths"\npreset = "own.toml"\n[grid]\n"model.arguments.width" = [4, 8]\n'
    sweep = load_sweep(Path(lab.preset(text, "widths.toml")))
    configs = [job.config for job in sweep.jobs]
    assert [config.model.arguments for config in configs] == [{"width": 4}, {"width": 8}]
    assert [job.label for job in sweep.jobs] == ["width=4", "width=8"]
    runs = [create_run(config, lab.runs, []) for config in configs]
    assert recipe_labels([read_config(run) for run in runs], ["a", "b"]) == ["width=4", "width=8"]
    assert changes(configs[0], configs[1]) == {"model.arguments.width": 8}
    assert changes(configs[1], own(lab)) == {"name": "own", "model.arguments": {}}
    other = create_run(own(lab, NET + "\n"), lab.runs, [])
    assert "code_sha256=" in recipe_labels([read_config(runs[0]), read_config(other)], ["a", "b"])[0]
    listed = lab("runs", "--columns", "arguments.width", "--json").document
    assert len(listed["runs"] if isinstance(listed, dict) else listed) == 3


@pytest.mark.parametrize("key", ['"model.arguments.width"', "model.arguments.width", '"model.arguments".width'])
def test_a_sweep_takes_its_arguments_with_quotes_and_without(lab: Laboratory, key: str) -> None:
    own(lab)
    asked = {
        f"[grid]\n{key} = [4, 8]": {4, 8},
        f"[[list]]\n{key} = 4\n[[list]]\n{key} = 8": {4, 8},
        f"[random]\ndraws = 20\n{key} = {{ choices = [4, 8] }}": {4, 8},
        f"[search]\ntrials = 5\n{key} = {{ low = 4, high = 8 }}": {4, 8},
        f"[[list]]\n{key} = 4\nmodel.latent = 4": {4},
    }
    for table, widths in asked.items():
        text = f'name = "widths"\npreset = "own.toml"\n[set]\nmodel.arguments.code = 6\n{table}\n'
        sweep = load_sweep(Path(lab.preset(text, "widths.toml")))
        found = [job.config.model.arguments for job in sweep.jobs]
        assert {one["width"] for one in found} == widths
        assert {one["code"] for one in found} == {6}
        assert "model.arguments.width" in sweep.keys


def test_its_arguments_are_settings_with_the_defaults_of_its_class(lab: Laboratory) -> None:
    config = own(lab, model__arguments={"width": 4})
    settings = {one.key: (one.default, one.kind) for one in argument_settings(config)}
    assert settings == {"model.arguments.width": (16, int), "model.arguments.code": (3, int)}


# What never runs


MARK = "\nfrom pathlib import Path\nPath({!r}).touch()\n"


def test_code_that_this_user_has_not_started_runs_nowhere_until_it_is_trusted(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "it ran"
    run = trained(lab, NET + MARK.format(str(mark)))
    lab("stop", run.id, check=None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    mark.unlink()
    for command in (
        ("eval", run.id),
        ("explore", run.id),
        ("resume", run.id, "--epochs", "3"),
        ("fork", run.id, "--epochs", "3"),
        ("run", str(run.config)),
        ("run", str(run.config), "--dry-run"),
        ("run", "own.toml", "--set", "model.family=classifier", "--set", f"model.encoder_run={run.id}"),
    ):
        refused = lab(*command, check=2)
        assert "--trust" in refused.stderr
        assert "my_model.py" in refused.stderr
    with pytest.raises(ConfigError):
        questions.Dispatcher(lambda text: None).open(str(run.root))
    from tuiae.runs.process import start_worker

    assert start_worker(run, asked={"training.epochs": 3}).wait() == 2
    assert "not started" in str(read_status(run).refusal)
    for command in (("show", run.id), ("runs",), ("compare", run.id, run.id), ("status", run.id, "--once")):
        lab(*command, check=None)
    assert argument_settings(with_absolute_code(load_config(run.config)))
    assert not mark.exists()
    assert [other.root for other in list_runs(lab.runs)] == [run.root]
    lab("eval", run.id, "--trust")
    assert mark.exists()
    lab("explore", run.id, "--codes")
    lab("resume", run.id, "--epochs", "3")


async def test_the_dashboard_shows_such_code_and_asks_before_it_runs(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mark = tmp_path / "it ran"
    run = create_run(own(lab, NET + MARK.format(str(mark)) + "#" + "\x1b[2J"), lab.runs, [])
    train(run, stop=6)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    mark.unlink()
    async with open_desk(run, size=(120, 40)) as desk:
        await desk.until(lambda: desk.app.session.snapshot)

        async def is_asked(*keys: str) -> None:
            for key in keys:
                await desk.press(key)
            dialog = await desk.until(lambda: desk.app.screen if isinstance(desk.app.screen, TrustDialog) else None)
            text = dialog.query_one(TextArea).text
            assert "class Net(nn.Module):" in text
            assert "\x1b" not in text
            assert not mark.exists()
            await desk.press("escape")
            await desk.until(lambda: not isinstance(desk.app.screen, TrustDialog))

        await is_asked("3")
        await is_asked("enter")
        await is_asked("4")
        await is_asked("2", "F", "r")
        await is_asked("c")
        await is_asked("f", "tab", "enter")
        await is_asked("1", "R")
        assert list(lab.runs.glob("[0-9]*")) == [run.root]
        for key in ("3", "enter", "right", "enter"):
            await desk.press(key)
        await desk.until(lambda: mark.exists())
        await desk.shows("decoded here")


def test_a_copy_that_was_changed_does_not_run(lab: Laboratory) -> None:
    run = trained(lab)
    (run.code / "my_model.py").write_text(NET + "\n")
    with pytest.raises(ConfigError, match="not the file"):
        load(run, "last", "cpu")
    assert lab("resume", run.id, "--epochs", "3", "--trust", check=2).stdout == ""
    assert not is_trusted(read_source(own(lab, NET + "\n").model))


# What goes wrong


BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a mistake in it": (PLAIN.replace("def __init__(self):", "def __init__(self)"), {}),
    "no such class": (PLAIN.replace("class Net", "class Nets"), {}),
    "no network": ("class Net:\n    pass\n", {}),
    "an argument that it has not": (NET, {"model__arguments__widht": 3}),
    "an argument of another class": (PLAIN, {"model__arguments__latent": 3}),
    "an argument that it lacks": (NET.replace("width=16", "width"), {}),
    "a value of another kind": (NET, {"model__arguments__width": "wide"}),
    "a file beside it": (PLAIN.replace("import torch\n", "import torch\nfrom blocks import Block\n"), {}),
    "a module that there is not": (PLAIN.replace("import torch\n", "import torch\nimport tuiae_nothing\n"), {}),
    "it raises where it is made": (
        PLAIN.replace("super().__init__()", "raise ValueError('no\\x1b[2J, not today')"),
        {},
    ),
    "it leaves": (PLAIN.replace("super().__init__()", "raise SystemExit(3)"), {}),
    "shapes that do not fit": (PLAIN.replace("Conv2d(1, 1", "Conv2d(3, 1"), {}),
    "an image of another size": (PLAIN.replace("padding=1", "padding=0"), {}),
    "nothing returned": (PLAIN.replace("return self", "self"), {}),
    "a code for too few images": (
        NET.replace("return self.mean(self.down(x))", "return self.mean(self.down(x))[:1]"),
        {},
    ),
    "no way through": (PLAIN.replace("def forward", "def encode"), {}),
    "no weights": (PLAIN.replace("self.layer = nn.Conv2d(1, 1, 3, padding=1)", "self.layer = nn.Identity()"), {}),
    "a loss of each image": (PLAIN + "\n    def loss(self, x, output):\n        return (output - x).square()\n", {}),
    "a loss without a name": (PLAIN + "\n    def loss(self, x, output):\n        return {3: output.mean()}\n", {}),
    "a digest of another file": (PLAIN, {"model__code_sha256": "0" * 64}),
    "no file": (PLAIN, {"model__code": "other.py:Net"}),
    "no module": (PLAIN, {"model__code": "tuiae_nothing.nets:Net"}),
    "neither file nor module": (PLAIN, {"model__code": "Net"}),
    "it does not come back": (PLAIN.replace("super().__init__()", "super().__init__()\n        while True: pass"), {}),
}


def test_mistakes_point_at_the_line(lab: Laboratory, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "BUILD_SECONDS", 0.5)
    lab.root.mkdir(parents=True)
    monkeypatch.chdir(lab.root)
    (lab.root / "blocks.py").touch()
    parts = []
    for title, (code, settings) in BROKEN.items():
        with pytest.raises(TuiaeError) as caught:
            set_up(check(own(lab, code, **settings), lab.runs).config)
        assert caught.value.exit_code == 2
        # What Python and PyTorch say is another thing in another version.
        lines = [
            re.sub(r"^(error: my_model.py:\d+: (Type|Runtime)Error): .*", r"\1: (why)", line)
            for line in caught.value.lines()
        ]
        lines = [re.sub("expected ':'", "(why)", line) for line in lines]
        parts.append(titled(title, *lines))
    golden.check("own-networks", *parts)


def test_debug_shows_where_its_constructor_failed_though_nothing_is_kept(lab: Laboratory) -> None:
    own(lab, PLAIN.replace("        self.layer", "        self.made = self.make()\n        self.layer"))
    refused = lab("run", "own.toml", "--debug", check=2)
    assert "in __init__" in refused.stderr
    assert "self.made = self.make()" in refused.stderr
    assert not list(lab.runs.iterdir())


LATER = """
    def forward(self, x):
        print("\\x1b[2J\\x00 binary: \\xff", flush=True)
        import os, sys
        os.write(1, b"\\xff\\xfe{\\n")
        sys.stdout.buffer.write(b"\\xff" * 3_000_000)
        if self.training:
            self.count = getattr(self, "count", 0) + 1
            if self.count == 3:
                raise RuntimeError("enough\\nsecond line")
        return self.layer(x)
"""


def test_what_it_raises_and_prints_while_it_trains(lab: Laboratory) -> None:
    own(lab, PLAIN[: PLAIN.index("    def forward")] + LATER)
    cost = lab("run", "own.toml", "--dry-run", "--json", check=None)
    assert cost.rc == 4
    assert cost.document["error"].startswith("my_model.py:19: RuntimeError: enough")
    assert "worker.log" not in cost.document["hint"]  # there is no run
    found = lab("run", "own.toml", "--json", check=4)
    (run,) = (RunPaths(path) for path in lab.runs.iterdir())
    assert str(read_status(run).error["cause"]) == "my_model.py:19: RuntimeError: enough"  # type: ignore[index]
    assert "Traceback" not in found.stderr
    log = run.log.read_bytes()
    assert b"Traceback" in log
    assert len(log) < 5_000_000
    assert b"\x1b" not in log


@pytest.mark.parametrize(
    "returned",
    ["{'a': output.mean()} if self.training else {'b': output.mean()}", "output.detach().mean()"],
    ids=["other terms", "no gradient"],
)
def test_a_loss_that_cannot_be_trained_on_is_refused_at_its_line(lab: Laboratory, returned: str) -> None:
    parts = set_up(own(lab, f"{PLAIN}\n    def loss(self, x, output):\n        return {returned}\n"))
    assert isinstance(parts.model, CustomNetwork)
    clean, _ = parts.train.span(0, 4)
    with pytest.raises(CodeFailedError, match=r"^my_model\.py:13: Net\.loss"):
        parts.model.loss(clean, parts.model(clean).returned)


def test_what_two_layers_share_is_saved_and_shared_again(lab: Laboratory) -> None:
    code = PLAIN.replace(
        "padding=1)",
        "padding=1)\n        self.again = nn.Conv2d(1, 1, 3)\n        self.again.weight = self.layer.weight",
    )
    run = trained(lab, code, training__epochs=1)
    weights = load(run, "last", "cpu").parts.model.state_dict()
    np.testing.assert_array_equal(weights["network.again.weight"], weights["network.layer.weight"])
