"""What leaves, each opened by the program whose format it is."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

from tests.conftest import Laboratory, SharedLaboratory, record_edit
from tests.test_custom import PLAIN
from tests.test_custom import trained as trained_own
from tests.test_reproduce import browse, browser  # noqa: F401 - a fixture
from tuiae.config import RunConfig, load_config
from tuiae.explore.checkpoint import load
from tuiae.exports import script
from tuiae.exports.formats import COLUMNS, FORMATS
from tuiae.exports.weights import Portable
from tuiae.models.networks import build_model
from tuiae.runs.labels import relabel
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import RunReader
from tuiae.runs.writer import create_run


def export(lab: Laboratory, run: RunPaths, to: str, *options: str, check: int = 0) -> Any:
    """What the command says of an export of a run."""
    return lab("export", str(run.root), "--to", to, *options, "--json", check=check).document


def written(lab: Laboratory, run: RunPaths, to: str, *options: str) -> str:
    """The path of the one file of an export."""
    (file,) = export(lab, run, to, *options)["files"]
    assert file["bytes"] > 0
    return str(lab.root / file["path"])


@pytest.fixture(params=["finished", "classified", "plane_vae"])
def trained(request: pytest.FixtureRequest) -> RunPaths:
    """A run of each kind of network."""
    run: RunPaths = request.getfixturevalue(request.param)
    return run


def expected(run: RunPaths, images: np.ndarray) -> dict[str, np.ndarray]:
    """What tuiae makes of images."""
    loaded = load(run, device="cpu")
    made = {"code": loaded.encode(images)}
    if not loaded.is_autoencoder:
        return {**made, "logits": loaded.predict(images)}
    return {**made, "reconstruction": loaded.reconstruct(images)[1]}


def some_images(run: RunPaths, count: int) -> np.ndarray:
    return load(run, device="cpu").images("test", count)


def test_an_exported_program_gives_what_the_network_gives_for_batches_of_any_size(
    lab: Laboratory, trained: RunPaths
) -> None:
    program = torch.export.load(written(lab, trained, "torch-export")).module()
    for count in (1, 7):
        images = some_images(trained, count)
        for made, wanted in zip(program(torch.from_numpy(images)), expected(trained, images).values(), strict=False):
            np.testing.assert_allclose(made.detach().numpy(), wanted, atol=1e-5)


def test_onnx_runtime_gives_what_the_network_gives_for_batches_of_any_size(lab: Laboratory, trained: RunPaths) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    session = runtime.InferenceSession(written(lab, trained, "onnx", "--checkpoint", "best"))
    assert session.get_modelmeta().custom_metadata_map["run"] == trained.id
    for count in (1, 7):
        images = some_images(trained, count)
        wanted = expected(trained, images)
        assert wanted.keys() <= {output.name for output in session.get_outputs()}
        for made, name in zip(session.run([*wanted], {"images": images}), wanted, strict=True):
            np.testing.assert_allclose(made, wanted[name], atol=1e-5)


def test_a_decoder_leaves_alone(lab: Laboratory, plane_vae: RunPaths) -> None:
    program = torch.export.load(written(lab, plane_vae, "torch-export", "--part", "decoder")).module()
    codes = np.linspace(-2, 2, 6, dtype=np.float32).reshape(3, 2)
    (made,) = program(torch.from_numpy(codes))
    np.testing.assert_allclose(made.detach().numpy(), load(plane_vae, device="cpu").decode(codes), atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        {"family": "conv", "dropout": 0.2, "output_dropout": True},
        {"family": "strided-conv", "channels": (4, 8), "norm": "batch", "activation": "gelu", "dropout": 0.1},
        {"family": "conv-vae", "channels": (4,), "latent": 3},
        {"family": "classifier", "encoder": "conv", "head": "relu-dropout", "dropout": 0.1},
    ],
    ids=lambda model: model["family"],
)
def test_layers_of_pytorch_alone_compute_the_same(model: dict[str, Any]) -> None:
    config = RunConfig.model_validate({"model": model}, strict=False)
    network = build_model(config.model, (1, 16, 16), 10).eval()
    portable = Portable(network, "whole", (1, 16, 16), {})
    assert {type(layer).__module__.partition(".")[0] for layer in portable.modules()} <= {"torch", "tuiae"}
    assert {type(layer) for layer in portable.modules() if type(layer).__module__.startswith("tuiae")} == {Portable}
    assert portable.state_dict().keys() == network.state_dict().keys()
    images = torch.rand(3, 1, 16, 16)
    wanted = network(images)._asdict()
    for name, made in zip(portable.gives, portable(images), strict=True):
        torch.testing.assert_close(made, wanted[name])


def test_safetensors_hold_what_a_stranger_needs_to_build_the_network(lab: Laboratory, finished: RunPaths) -> None:
    with safe_open(written(lab, finished, "safetensors"), "pt") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = json.loads(about["config"])
    pixels = int(np.prod(json.loads(about["image_shape"])))
    (width,), code = config["model"]["hidden"], config["model"]["latent"]
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, code), nn.ReLU())
    encoder.load_state_dict(
        {name.removeprefix("encoder."): one for name, one in tensors.items() if name.startswith("encoder.")}
    )
    images = some_images(finished, 5)
    made = encoder(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(made, expected(finished, images)["code"], atol=1e-5)


def test_a_network_of_the_user_s_own_leaves_as_far_as_it_can(lab: Laboratory) -> None:
    run = trained_own(lab, PLAIN)
    program = torch.export.load(written(lab, run, "torch-export")).module()
    images = some_images(run, 3)
    made = program(torch.from_numpy(images))[-1].detach().numpy()
    np.testing.assert_allclose(made, load(run, device="cpu").reconstruct(images)[1], atol=1e-5)
    assert "--to safetensors" in export(lab, run, "script", check=2)["hint"]
    choosing = PLAIN.replace("return self.layer(x)", "return self.layer(x) if x.sum() > 3 else self.layer(-x)")
    before = sorted(lab.root.iterdir())
    assert "cannot be recorded" in export(lab, trained_own(lab, choosing), "torch-export", check=2)["error"]
    assert sorted(lab.root.iterdir()) == before


def test_a_network_without_an_onnx_form_says_so_and_leaves_nothing(lab: Laboratory) -> None:
    pytest.importorskip("onnxscript")
    run = trained_own(lab, PLAIN.replace("return self.layer(x)", "return self.layer(torch.special.bessel_j0(x))"))
    before = sorted(lab.root.iterdir())
    assert "no ONNX form" in export(lab, run, "onnx", check=2)["error"]
    assert sorted(lab.root.iterdir()) == before


SCRIPTED: dict[str, dict[str, Any]] = {
    "plain": {"noise.kind": "none", "model.dropout": 0.0, "training.epochs": 2},
    "everything": {
        "model.family": "strided-conv",
        "model.channels": [4, 8, 8],
        "model.norm": "batch",
        "model.dropout": 0.05,
        "model.activation": "gelu",
        "model.initialisation": "kaiming-normal",
        "noise.kind": "uniform",
        "noise.level": 0.3,
        "noise.probability": 0.5,
        "training.schedule": "cosine",
        "training.warmup": 1.0,
        "training.optimizer": "adamw",
        "training.weight_decay": 0.01,
        "training.clip_norm": 1.0,
        "training.loss": "sse",
        "training.patience": 5,
        "training.flip": True,
        "training.shift": 1,
        "training.batch_size": 50,
        "training.evaluate_every": 2,
        "training.epochs": 4,
    },
}


def script_of(lab: Laboratory, run: RunPaths) -> Any:
    """The module that a script is, which knows nothing of tuiae."""
    first, *beside = export(lab, run, "script", "-o", "train_it.py")["files"]
    assert [file["path"] for file in beside] == ["train_it.npz"]
    text = (lab.root / first["path"]).read_text()
    assert not re.search(r"^\s*(import|from) tuiae", text, re.MULTILINE)
    spec = importlib.util.spec_from_file_location("train_it", lab.root / first["path"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_script_has_the_network_of_its_run(lab: Laboratory, trained: RunPaths) -> None:
    network = script_of(lab, trained).Net().eval()
    with safe_open(written(lab, trained, "safetensors"), "pt") as file:
        network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    images = some_images(trained, 5)
    wanted = expected(trained, images)
    if hasattr(network, "log_variance"):
        network = nn.Sequential(network.encoder, network.decoder)  # whole it draws its codes
    made = network(torch.from_numpy(images)).detach().numpy()
    np.testing.assert_allclose(made, [*wanted.values()][-1], atol=1e-5)


def test_a_script_draws_the_same_weights_and_batches_and_reaches_the_same_loss(
    lab: Laboratory, shared_lab: SharedLaboratory
) -> None:
    """Without noise and dropout nothing else is drawn, and only the order of sums differs."""
    run = shared_lab.train_here("scripted plain", {**SCRIPTED["plain"], "name": "plain"})
    wanted = RunReader(run.root).read_all().latest("test", "loss")
    assert script_of(lab, run).train()[1] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(
    "kind", ["finished", "classified", "plane_vae", pytest.param("everything", marks=pytest.mark.thorough)]
)
def test_a_script_that_draws_its_own_noise_reaches_a_like_loss(
    lab: Laboratory, shared_lab: SharedLaboratory, kind: str, request: pytest.FixtureRequest
) -> None:
    """What noise, dropout and codes are drawn differs: within a tenth of the loss, which untrained is far away."""
    if kind in SCRIPTED:
        run = shared_lab.train_here(f"scripted {kind}", {**SCRIPTED[kind], "name": kind})
    else:
        run = request.getfixturevalue(kind)
    wanted = RunReader(run.root).read_all().latest("test", "loss")
    assert script_of(lab, run).train()[1] == pytest.approx(wanted, rel=0.1)


def test_a_script_takes_the_images_of_torchvision_where_it_has_them() -> None:
    config = RunConfig.model_validate({"data": {"dataset": "fashion-mnist"}})
    assert script.data_of(config) == ({}, "FashionMNIST")


def test_tensorboard_reads_curves_and_pictures(lab: Laboratory, finished: RunPaths) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = Path(written(lab, finished, "tensorboard"))
    snapshot = RunReader(finished.root).read_all()
    test = accumulator.EventAccumulator(str(folder / "test"))
    test.Reload()
    losses = snapshot.series["test", "loss"]
    events = test.Scalars("loss")
    assert [event.step for event in events] == losses.steps.tolist()
    np.testing.assert_allclose([event.value for event in events], losses.values, rtol=1e-6)
    assert events[0].wall_time < events[-1].wall_time
    samples = accumulator.EventAccumulator(str(folder / "samples"), {"images": 0})  # 0: all of them
    samples.Reload()
    assert [event.step for event in samples.Images("images")] == [0, 15, 30, 45, 60]
    again = export(lab, finished, "tensorboard", "--force")
    assert len(again["files"]) == 1
    (folder / "mine.txt").write_text("mine")
    assert "other files" in export(lab, finished, "tensorboard", "--force", check=2)["error"]
    assert (folder / "mine.txt").exists()


def test_csv_and_parquet_hold_every_point_in_the_long_form(lab: Laboratory, finished: RunPaths) -> None:
    with open(written(lab, finished, "csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    series = RunReader(finished.root).read_all().series
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(one.values) for one in series.values())
    losses = [row for row in rows if (row["split"], row["metric"]) == ("test", "loss")]
    assert [float(row["value"]) for row in losses] == series["test", "loss"].values.tolist()
    times = [float(row["time"]) for row in losses]
    assert times == sorted(times)
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(written(lab, finished, "parquet"))
    assert tuple(table.column_names) == COLUMNS
    assert table["value"].to_pylist() == [float(row["value"]) for row in rows]


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_there_stays_without_force(lab: Laboratory, finished: RunPaths, to: str) -> None:
    if FORMATS[to].needs:
        pytest.importorskip(FORMATS[to].needs)
    lab.root.mkdir(exist_ok=True)
    (lab.root / "mine").write_text("mine")
    export(lab, finished, to, "-o", "mine", check=2)
    assert (lab.root / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("to", "options", "code"),
    [
        ("pickle", (), 2),
        ("safetensors", ("--part", "half"), 2),
        ("csv", ("--part", "encoder"), 2),
        ("csv", ("--checkpoint", "best"), 2),
        ("safetensors", ("--checkpoint", "7"), 2),
        ("safetensors", ("-o", "nowhere/run.safetensors"), 2),
        ("torch-export", ("--part", "decoder"), 2),
        ("safetensors", ("--part", "decoder"), 2),
    ],
)
def test_what_cannot_be_exported_is_one_sentence_and_leaves_nothing(
    lab: Laboratory, classified: RunPaths, to: str, options: tuple[str, ...], code: int
) -> None:
    lab.root.mkdir(exist_ok=True)
    before = sorted(lab.root.rglob("*"))
    assert export(lab, classified, to, *options, check=code)["error"]
    assert sorted(lab.root.rglob("*")) == before


def test_a_run_without_weights_or_curves_says_so(lab: Laboratory) -> None:
    run = create_run(load_config(Path(lab.preset())), lab.runs, ["tuiae"])
    for to in ("safetensors", "csv"):
        assert run.id in export(lab, run, to, check=2)["error"]
    assert sorted(path.name for path in lab.root.iterdir()) == ["runs", "small.toml"]


@pytest.mark.parametrize("to", [name for name, one in FORMATS.items() if one.needs])
def test_without_its_library_a_format_names_the_extra(
    lab: Laboratory, finished: RunPaths, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To the import system a module that is None in sys.modules is one that is not there.
    monkeypatch.setitem(__import__("sys").modules, FORMATS[to].needs, None)
    assert "tuiae[export]" in export(lab, finished, to, check=2)["hint"]


# `tuiae report`


def page_of(lab: Laboratory, *runs: RunPaths, options: tuple[str, ...] = ()) -> tuple[Path, str]:
    """The page about runs, and its text."""
    path = lab.root / lab("report", *(str(run.root) for run in runs), *options, "--json").document["report"]
    return path, path.read_text()


def test_a_report_shows_runs_beside_each_other_and_what_each_is(
    lab: Laboratory, finished: RunPaths, classified: RunPaths
) -> None:
    edited = lab.copy(finished)
    record_edit(edited, "training.learning_rate", 2e-2, 1e-2, 30, 2.0)
    relabel(edited, name="<b>mine</b>")
    _, page = page_of(lab, edited, classified)
    assert "<h1>2 runs, side by side</h1>" in page
    assert "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "<b>mine</b>" not in page
    for words in (
        "Loss (mse).</b>",
        "Loss (cross-entropy).</b>",
        "Accuracy (share of images).</b>",
        "different measures",
        "Test images.</b>",
        "Confusion matrix.</b>",
        "Codes of test images.</b>",
    ):
        assert words in page, words
    assert "training.learning_rate went from 0.02 to 0.01 at step 30" in page
    for value in ("<code>model.family</code>", "learning_rate = 0.02", torch.__version__.partition("+")[0]):
        assert value in page, value
    assert str(lab.root) not in page


def test_a_report_of_a_damaged_run_shows_what_is_left(lab: Laboratory, finished: RunPaths) -> None:
    run = lab.copy(finished)
    run.config.write_text("[data")
    for sample in run.samples.iterdir():
        sample.write_bytes(b"torn")
    path, page = page_of(lab, run)
    assert "Loss.</b>" in page
    assert "Test images.</b>" not in page
    assert lab("report", run.id, check=2).stderr
    assert path.read_text() == page
    relabel(run, tag=["torn"])
    assert page_of(lab, options=("--tag", "torn", "--force"))[0] == path
    lab("report", check=2)


@pytest.mark.usefixtures("browser")
def test_a_browser_shows_the_report_of_runs_and_asks_nobody(
    lab: Laboratory, finished: RunPaths, plane_vae: RunPaths, tmp_path: Path
) -> None:
    path, _ = page_of(lab, finished, plane_vae)
    document, requests = browse(path, tmp_path / "report", "--dump-dom")
    assert requests == 0
    assert document.count("<figure>") == document.count("<svg") >= 8
    picture = tmp_path / "page.png"
    browse(path, tmp_path / "shot", "--window-size=1100,1600", f"--screenshot={picture}")
    with Image.open(picture) as image:
        assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 100
