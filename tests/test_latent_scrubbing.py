"""Going back through the codes of a run that was trained, and returning to its newest."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Laboratory, SharedLaboratory
from tests.dashboard import Desk, SharedExplorer, open_desk
from tuiae.render.chrome import place_note
from tuiae.render.code_map import labelled_points, with_room_for
from tuiae.render.text import centred
from tuiae.runs.paths import RunPaths
from tuiae.runs.reader import read_sample
from tuiae.ui.widgets.latent_view import CodeMapPanel


@pytest.fixture(scope="module")
def trained(shared_lab: SharedLaboratory) -> RunPaths:
    """Four epochs of a code of two numbers, which no relu can end."""
    settings = ("name=scrubbed", "model.latent=2", "model.code_activation=identity", "training.epochs=4")
    return shared_lab.train(*(word for setting in settings for word in ("--set", setting)))


def codes(desk: Desk) -> CodeMapPanel:
    return desk.app.screen.query_one(CodeMapPanel)


def drawn(desk: Desk) -> str:
    return str(codes(desk).render())


def note(desk: Desk) -> str:
    return str(codes(desk).border_subtitle or "")


async def open_latent(desk: Desk) -> None:
    await desk.press("3")
    await desk.until(lambda: "here" in str(desk.app.screen.query_one("#decoded").border_title))


def across(text: str) -> str:
    """The numbers below the map."""
    lines = text.split("\n")
    return lines[next(index for index, line in enumerate(lines) if "└" in line) + 1]


async def test_going_back_shows_stored_codes_and_returning_loses_nothing(
    trained: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(trained, explorer=explorer) as desk:
        await open_latent(desk)
        await desk.shows("step", "newest")
        await desk.press("ctrl+right", "b", "plus", "minus")
        newest, view = drawn(desk), codes(desk).view
        await desk.press("comma", "comma")
        await desk.until(lambda: note(desk) == place_note(2, 4))
        await desk.shows("epoch 2 of 4", "Decoding and", "codes of 297 test images")
        assert drawn(desk) != newest
        await desk.press("less_than_sign")
        await desk.until(lambda: note(desk) == place_note(0, 4))
        held = across(drawn(desk))
        await desk.press("full_stop")
        await desk.until(lambda: note(desk) == place_note(1, 4))
        assert across(drawn(desk)) == held
        # What needs weights rests, of which none are kept; looking around does not.
        await desk.until(lambda: not desk.app.session.explorer.busy)
        await desk.press("b", "d", "a", "shift+left")
        assert codes(desk).view.marks == view.marks
        assert not desk.app.session.explorer.busy
        await desk.press("greater_than_sign")
        await desk.until(lambda: "step" in note(desk))
        assert (codes(desk).view, drawn(desk)) == (view, newest)
        await desk.until(lambda: "Decoding and" not in desk.screen)
        await desk.press("d")
        await desk.shows("the plane, decoded")


async def test_an_epoch_that_one_went_back_to_shows_on_the_other_screens_too(
    trained: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(trained, explorer=explorer) as desk:

        def pictured() -> str:
            return str(desk.app.live.query_one("#images").border_subtitle)

        await desk.until(lambda: "epoch 4" in pictured())
        await desk.press("comma", "comma", "3")
        await desk.until(lambda: note(desk) == place_note(2, 4))
        await desk.shows("epoch 2 of 4", "Decoding and")
        await desk.press("4")
        await desk.shows("no weights of epoch 2 are kept (3, 4 are): these are the newest, of epoch 4", "wrong")
        await desk.press("3", "comma", "2")
        await desk.until(lambda: "epoch 1 · newest is 4" in pictured())
        await desk.shows("epoch 1 of 4")
        await desk.press("greater_than_sign", "3")
        await desk.shows("here", "epoch 4 of 4")
        await desk.until(lambda: "step" in note(desk))
        assert "Decoding and" not in desk.screen
        await desk.press("comma")
        await desk.until(lambda: note(desk) == f"weights of {place_note(3, 4)}")
        await desk.press("4")
        async for _ in desk.each_size():
            await desk.shows("weights of epoch 3, where", "weights of epoch 3 · step 45")
        await desk.press("3", "greater_than_sign", "2")
        await desk.shows("epoch 4 of 4")
        await desk.until(lambda: "newest" not in pictured())


async def test_the_weights_of_an_epoch_decode_where_they_are_kept(trained: RunPaths, explorer: SharedExplorer) -> None:
    async with open_desk(trained, explorer=explorer) as desk:
        await open_latent(desk)

        def extra() -> str:
            return str(desk.app.screen.query_one("#more").border_subtitle)

        await desk.press("d")
        await desk.until(lambda: "epoch 4" in extra())
        newest = drawn(desk)
        await desk.press("comma")
        await desk.until(lambda: note(desk) == f"weights of {place_note(3, 4)}" and "epoch 3" in extra())
        assert drawn(desk) != newest
        before = desk.app.screen.query_one("#decoded").render()
        await desk.press("ctrl+right")
        await desk.until(lambda: desk.app.screen.query_one("#decoded").render() != before)
        await desk.press("comma")
        await desk.until(lambda: note(desk) == place_note(2, 4) and "Decoding and" in desk.screen)
        await desk.press("greater_than_sign")
        await desk.until(lambda: "step" in note(desk) and "epoch 4" in extra())
        assert drawn(desk) == newest
        await desk.press("comma")
        async for _ in desk.each_size():
            await desk.shows("weights of epoch 3", "the plane, decoded", "epoch 3 of 4", " epoch 3 · over the range")


async def test_end_and_escape_return_too_and_another_run_begins_at_its_newest(
    trained: RunPaths, finished: RunPaths, explorer: SharedExplorer
) -> None:
    async with open_desk(trained, (80, 24), explorer=explorer) as desk:
        await open_latent(desk)
        for key in ("end", "escape"):
            await desk.press("comma")
            await desk.until(lambda: place_note(3, 4) in note(desk))
            await desk.press(key)
            await desk.until(lambda: "step" in note(desk))
        await desk.press("comma", "question_mark")
        await desk.shows("the sample before", "back to the newest")
        await desk.press("escape")
        await desk.until(lambda: place_note(3, 4) in note(desk))
        desk.app.session.open(finished.root)
        await desk.shows("PC 1 ", "decoded here")
        assert "Decoding and" not in desk.screen
        await desk.press("comma")
        await desk.shows("epoch 3 · newest is 4", "PC 1")


async def test_epochs_without_codes_say_so(lab: Laboratory, trained: RunPaths, explorer: SharedExplorer) -> None:
    run = lab.copy(trained)
    with np.load(run.sample(2)) as stored:
        kept = {name: stored[name] for name in stored.files if name not in ("codes", "code_labels")}
    np.savez(run.sample(2), **kept)
    run.sample(1).unlink()
    async with open_desk(run, explorer=explorer) as desk:
        await open_latent(desk)
        view = codes(desk).view
        await desk.press("comma", "comma")
        await desk.shows("epoch 2 holds no")
        await desk.press("comma")
        await desk.shows("epoch 1 is missing")
        await desk.press("greater_than_sign")
        await desk.until(lambda: "step" in note(desk))
        assert codes(desk).view == view


def test_limits_have_room_for_both(trained: RunPaths) -> None:
    first, last = (read_sample(trained, epoch) for epoch in (0, 4))
    assert first is not None
    assert last is not None
    assert first.codes is not None
    assert last.codes is not None
    parts = [labelled_points(codes, np.zeros(len(codes)), ()).limits for codes in (first.codes, last.codes)]
    limits = with_room_for(*parts)
    for points in (first.codes, last.codes):
        assert (points >= np.array(limits)[:, 0]).all()
        assert (points <= np.array(limits)[:, 1]).all()


def test_a_paragraph_fits() -> None:
    for width, height in ((0, 0), (1, 1), (12, 3), (30, 9), (90, 40)):
        lines = centred("decoding needs the weights of the newest checkpoint", width, height).plain.split("\n")
        assert len(lines) <= max(height, 1)
        assert max(map(len, lines)) <= width
