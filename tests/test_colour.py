"""One run on images in colour, on every surface that shows pictures, and drawing in colour."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textual.content import Content
from textual.style import Style

from tests.conftest import Laboratory, SharedLaboratory
from tests.dashboard import SharedExplorer, open_desk
from tests.test_bench_screen import drag, open_bench, pixels, quiet, view
from tuiae.config import build_config
from tuiae.data.datasets import prepare
from tuiae.errors import ConfigError
from tuiae.preflight import check
from tuiae.runs.lineage import need_config
from tuiae.runs.paths import RunPaths
from tuiae.runs.writer import write_images
from tuiae.training.setup import set_up
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.sketch import INKS, Sketch

SIDE = 12


@pytest.fixture(scope="session")
def coloured(shared_lab: SharedLaboratory) -> RunPaths:
    """A variational autoencoder of discs in eight colours, from an npz. Look, do not touch."""
    path, random = shared_lab.root / "bloodmnist.npz", np.random.default_rng(0)
    if not path.exists():
        rows, columns = np.mgrid[:SIDE, :SIDE]
        colours = (np.array([*INKS.values()]) * 255).astype(np.uint8)
        arrays: dict[str, np.ndarray] = {}
        for split, count in (("train", 160), ("test", 40)):
            own = np.arange(count) % len(colours)
            middles = random.uniform(4, 8, (count, 2, 1, 1))
            discs = np.hypot(rows - middles[:, 0], columns - middles[:, 1]) < 3.5
            images = np.where(discs[..., None], colours[own][:, None, None], np.uint8(235))
            arrays |= {f"{split}_images": images.astype(np.uint8), f"{split}_labels": own[:, None]}
        shared_lab.root.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)
    settings = {"model.family": "vae", "model.latent": 2, "training.loss": "bce", "noise.kind": "none"}
    return shared_lab.train_here("coloured", {"data.dataset": f"file:{path}", **settings, "training.epochs": 8})


def colours_of(drawn: Any) -> list[tuple[int, int, int]]:
    """The colours of a panel, span by span."""
    assert isinstance(drawn, Content)
    styles = [span.style for span in drawn.spans if isinstance(span.style, Style)]
    return [colour.rgb for style in styles for colour in (style.foreground, style.background) if colour is not None]


def shades(drawn: Any) -> int:
    """How many of them are no grey."""
    return sum(max(colour) - min(colour) > 30 for colour in colours_of(drawn))


def greens(drawn: Any) -> int:
    """How many of them are a green, which error maps have none of."""
    return sum(green - max(red, blue) > 20 for red, green, blue in colours_of(drawn))


async def test_every_picture_of_a_run_in_colour_is_in_colour(coloured: RunPaths, explorer: SharedExplorer) -> None:
    async with open_desk(coloured, explorer=explorer) as desk:
        live = desk.app.live
        await desk.until(lambda: greens(live.query_one("#images").render()))
        await desk.press("3")
        await desk.shows("decoded here")
        for panel in ("decoded", "nearest"):
            await desk.until(lambda: shades(desk.app.screen.query_one(f"#{panel}").render()) > 5)  # noqa: B023
        await open_bench(desk)
        await desk.press("t", "t", "t")
        await desk.shows("test image 3")
        await quiet(desk)
        for panel in ("canvas", "tried"):
            assert greens(view(desk).query_one(f"#{panel}").render())
        await desk.until(lambda: shades(view(desk).query_one("#strip").render()) > 5)


async def test_the_brush_paints_in_colours_and_grabs_them(coloured: RunPaths, explorer: SharedExplorer) -> None:
    async with open_desk(coloured, explorer=explorer) as desk:
        await open_bench(desk)
        await desk.shows("medium white brush", "h Ink")
        await desk.press("c", "h", "space", "space")
        await desk.shows("red brush")
        middle = SIDE // 2
        red = (np.array(INKS["red"]) * 255).round()
        np.testing.assert_array_equal(pixels(desk)[:, middle, middle], red)
        await desk.press("h", "right", "right", "right", "space", "space")
        await desk.shows("orange brush")
        assert not np.array_equal(pixels(desk)[:, middle, middle + 3], red)
        await desk.press("left", "left", "left", "g", "left", "left", "left", "space", "space")
        await desk.shows("grabbed brush")
        np.testing.assert_array_equal(pixels(desk)[:, middle, middle - 3], red)
        drawn = pixels(desk)
        await drag(desk, (4, 3), button=2)  # which grabs
        np.testing.assert_array_equal(pixels(desk), drawn)
        await desk.press("u")
        assert not np.array_equal(pixels(desk), drawn)


async def test_grey_images_have_no_inks(finished: RunPaths, explorer: SharedExplorer) -> None:
    async with open_desk(finished, explorer=explorer) as desk:
        await open_bench(desk)
        await desk.press("c", "h", "g", "space", "space")
        drawn = pixels(desk)
        assert (drawn.max(), len(drawn), view(desk).canvas.ink) == (255, 1, "plain")


@pytest.mark.parametrize("mode", [TerminalMode(colors="none"), TerminalMode(ascii=True)])
async def test_without_colours_pictures_and_inks_are_told_apart(
    coloured: RunPaths, explorer: SharedExplorer, mode: TerminalMode
) -> None:
    async with open_desk(coloured, mode=mode, explorer=explorer) as desk:
        await open_bench(desk)
        picture = str(view(desk).query_one("#canvas").render())
        assert len(set(picture) - {" ", "\n"}) > 1
        await desk.press("c", "h", "space", "space")
        await desk.shows("red brush")
        assert str(view(desk).query_one("#canvas").render()) != picture


def test_a_coloured_line_is_as_soft_as_a_plain_one() -> None:
    corner = ((2.0, 2.0), (2.0, 9.0), (9.0, 9.0), (2.0, 9.0))
    blank = Sketch.blank((3, SIDE, SIDE))
    white, plain = blank, blank
    for start, end in pairwise(corner):
        white = white.stroke(start, end, "medium", ink=(1.0, 1.0, 1.0))
        plain = plain.stroke(start, end, "medium")
    np.testing.assert_array_equal(white.pixels, plain.pixels)
    over = white.stroke((2.0, 5.0), (9.0, 5.0), "bold", ink=INKS["blue"])
    assert over.colour_at((6.0, 5.0)) == pytest.approx(INKS["blue"])
    assert over.colour_at((2.0, 9.0)) == white.colour_at((2.0, 9.0))
    assert over.centred().image.shape == over.image.shape


def test_an_encoder_of_images_in_colour_takes_no_grey_ones(coloured: RunPaths, lab: Laboratory) -> None:
    run = lab.copy(coloured)
    write_images(run, prepare(need_config(run).data.dataset).record)
    model = {"family": "classifier", "encoder_run": run.id}
    config = build_config({"data": {"dataset": "digits"}, "model": model, "training": {"device": "cpu"}})
    with pytest.raises(ConfigError, match=f"images of {SIDE}x{SIDE} in colour, and these are 8x8 in grey"):
        set_up(check(config, lab.runs).config, lab.runs)


def test_the_command_line_saves_pictures_in_colour(
    coloured: RunPaths, shared_lab: SharedLaboratory, tmp_path: Path
) -> None:
    file = tmp_path / "plane.png"
    shared_lab("explore", coloured.id, "--plane", "3", "--png", str(file))
    with Image.open(file) as image:
        saved = np.asarray(image).astype(int)
    assert np.ptp(saved, axis=2).max() > 20
    page = tmp_path / "report.html"
    shared_lab("report", coloured.id, "-o", str(page))
    assert "data:image/png" in page.read_text()
