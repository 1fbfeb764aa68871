"""The dashboard's form and frame: it fits, it says what is wrong in the words of the command line, its keys work."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import Any

import numpy as np
import pytest
from textual import _time, events
from textual.geometry import Size
from textual.widgets import Input, Label

from tests.conftest import Laboratory
from tests.dashboard import SIZES, Desk, open_desk, script
from tuiae.config import RunConfig, load_config, parse_override
from tuiae.config.presets import find_preset, list_presets, own_presets_dir
from tuiae.errors import ConfigError
from tuiae.files import read_json
from tuiae.runs.labels import read_label, tags_of
from tuiae.runs.paths import list_runs
from tuiae.runs.reader import read_config
from tuiae.ui import keys
from tuiae.ui.app import TuiaeApp
from tuiae.ui.draft import Draft, in_form_words
from tuiae.ui.screens.live import LiveScreen
from tuiae.ui.screens.runs import RunsScreen
from tuiae.ui.session import WorkerWarm

ABSURD = [(40, 12), (10, 3), (1, 1), (60, 20), (59, 50), (200, 19)]
FIELDS = [
    *("run-tags", "run-name", "all_settings"),
    *(f"training-{key}" for key in ("seed", "learning_rate", "batch_size", "epochs")),
    *("device", "noise-level", "noise", "dataset", "data-image_size", "model-latent", "model", "preset"),
]
"""The fields of the form, from the last one to the first."""
TOO_SMALL = "is too small: tuiae needs 60x20"


# The frame


@pytest.mark.parametrize("size", SIZES)
async def test_form_status_and_keys_show_at_usual_sizes(size: tuple[int, int]) -> None:
    async with open_desk(size=size) as desk:
        await desk.ready()
        screen = await desk.shows("configure", "preset", "seed", "Start", "status", "loss", "r starts dense", "q Quit")
        assert "parameters" in screen
        assert TOO_SMALL not in screen


async def test_every_size_is_survived_and_too_small_ones_say_so() -> None:
    async with open_desk() as desk:
        await desk.ready()
        for width, height in [*ABSURD, *SIZES, (10, 3), (120, 40)]:
            await desk.pilot.resize_terminal(width, height)
            await desk.pilot.pause()
            fits = width >= 60 and height >= 20
            assert ("Start" in desk.screen) is fits
            if not fits and width >= 40:
                assert f"{width}x{height} {TOO_SMALL}" in desk.screen


async def test_a_machine_that_is_busy_at_the_wrong_moment_loses_no_resize(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()

    def late() -> float:
        """A timer that rings once finds another second gone each time it looks at the clock."""
        task = asyncio.current_task()
        return time.monotonic() + (next(looks) if task is not None and task.get_name().startswith("set_timer") else 0)

    async with open_desk() as desk:
        await desk.ready()
        monkeypatch.setattr(_time, "get_time", late)
        await desk.pilot.resize_terminal(80, 24)
        await desk.until(lambda: len(desk.screen.split("\n")) == 24)
        assert next(looks) > 1


async def test_a_screen_that_hears_late_of_two_sizes_has_the_newer_one() -> None:
    async with open_desk() as desk:
        await desk.ready()
        screen, goes_on = desk.app.screen, asyncio.Event()
        screen.call_next(goes_on.wait)
        for width, height in ((10, 3), (40, 12)):
            waiting = screen.message_queue_size
            desk.app.post_message(events.Resize(Size(width, height), Size(width, height)))
            while screen.message_queue_size == waiting:
                await asyncio.sleep(0)  # the pilot's pause would wait for the screen
            screen.call_later(lambda: None)
        goes_on.set()
        await desk.shows(f"40x12 {TOO_SMALL}")
        await desk.pilot.pause()
        assert screen.size == desk.app.size == (40, 12)


async def test_nothing_is_done_where_nothing_shows(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.pilot.resize_terminal(60, 18)
        await desk.shows(TOO_SMALL)
        await desk.press("r", "c", "enter")
        assert desk.app.session.path is None
        assert not list_runs(lab.runs)
        await desk.press("z")
        await desk.shows("no run is open")
        await desk.press("z")
        await desk.shows(TOO_SMALL)


async def test_arrows_move_through_the_form_and_escape_leaves_it() -> None:
    async with open_desk() as desk:
        await desk.ready()
        before = {key: desk.field(key) for key in ("preset", "dataset", "training-seed", "training-batch_size")}
        await desk.focus("start")
        for place in range(14):
            await desk.press("down" if place % 3 else "up", "right")
        await desk.press("escape", "1")
        await desk.until(lambda: isinstance(desk.app.screen, RunsScreen))
        assert {key: desk.field(key) for key in before} == before


async def test_a_run_dialogs_and_the_list_survive_every_size(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(3)
    async with open_desk(played.run) as desk:
        for key in ("", "question_mark", "q", "1"):
            await desk.press(*filter(None, [key]))
            for width, height in [(10, 3), (120, 40)]:
                await desk.pilot.resize_terminal(width, height)
                await desk.pilot.pause()
            assert desk.screen.strip()
            await desk.press("escape")
        await desk.shows("denoise", "epoch")
    played.writer.close("finished")


async def test_a_screen_that_was_shown_before_is_painted_at_once() -> None:
    async with open_desk() as desk:
        await desk.press("1")
        await desk.until(lambda: isinstance(desk.app.screen, RunsScreen) and not desk.app._batch_count)
        desk.app.switch_mode("live")
        assert not desk.app._batch_count  # else nothing is painted for as long as it is above 0


async def test_one_panel_alone_and_back_draws_no_other_anew() -> None:
    async with open_desk() as desk:
        screen, drawn = desk.app.screen, desk.app.screen.query_one("#status")._styles_cache._cache
        await desk.until(lambda: drawn)
        before = dict(drawn)
        await desk.press("z")
        await desk.until(lambda: screen.maximized is not None)
        assert screen.has_class("-maximized-view")
        await desk.press("z")
        await desk.until(lambda: screen.maximized is None)
        assert not screen.has_class("-maximized-view")
        assert all(drawn[line] is strip for line, strip in before.items())


async def test_the_runs_directory_may_be_empty_or_missing() -> None:
    async with open_desk() as desk:
        assert "none open" in desk.panel("status")
        await desk.press("1")
        await desk.shows("no runs in", "r starts one")
        await desk.press("enter", "escape")
        await desk.shows("configure")


# Filling the form


async def test_every_preset_fills_the_form() -> None:
    async with open_desk() as desk:
        await desk.ready()
        for preset in list_presets():
            config = read_preset(preset.name)
            await desk.until(lambda preset=preset: desk.field("preset") == preset.name)  # type: ignore[misc]
            await desk.until(lambda config=config: desk.field("training-epochs") == str(config.training.epochs))  # type: ignore[misc]
            assert desk.field("dataset") == config.data.dataset
            assert desk.field("model-latent") == str(config.model.latent)
            assert float(desk.field("training-learning_rate")) == config.training.learning_rate
            assert (desk.field("noise"), float(desk.field("noise-level"))) == (config.noise.kind, config.noise.level)
            encoder = [config.model.encoder] if config.is_classifier else []
            assert desk.field("model").split(" · ") == [config.model.family, *encoder]
            await desk.ready()
            await desk.focus("preset")
            await desk.press("enter", "down", "enter")


def read_preset(name: str) -> RunConfig:
    return load_config(find_preset(name))


async def test_what_is_typed_is_what_runs(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.choose("preset", "gly")
        await desk.until(lambda: desk.field("dataset") == "glyphs")
        await desk.choose("dataset", "dig")
        await desk.choose("model", "· d")
        await desk.choose("noise", "ga")
        await desk.choose("device", "cp")
        typed = {
            "noise-level": "0.3",
            "model-latent": "7",
            "data-image_size": "16",
            "training-epochs": "3",
            "training-batch_size": "50",
            "training-learning_rate": "1e-3",
            "training-seed": "9",
        }
        for field, text in typed.items():
            await desk.type(field, text)
        for field, text in (("run-name", "of nine"), ("run-tags", "night nine")):
            await desk.focus(field)
            if field == "run-name":
                await desk.ready()
                await desk.press("enter")
                assert desk.field(field).startswith("classifier-dense-digits image_size=16")
                await desk.press("ctrl+u")
            await desk.press(*("space" if key == " " else key for key in text))
        assert {field: desk.field(field) for field in typed} == typed
        await desk.ready()
        await desk.press("escape", "r")
        (run,) = await desk.until(lambda: list_runs(lab.runs))
        config = read_config(run)
        assert config is not None
        assert (config.data.dataset, config.data.image_size) == ("digits", 16)
        assert (config.noise.kind, config.noise.level) == ("gaussian", 0.3)
        assert (config.model.family, config.model.encoder, config.model.latent) == ("classifier", "dense", 7)
        training = config.training
        assert (training.device, training.epochs, training.batch_size) == ("cpu", 3, 50)
        assert (training.learning_rate, training.seed) == (0.001, 9)
        assert read_label(run).name == "of nine"
        assert tags_of(run) == ("night", "nine")
        assert desk.field("run-name") == ""
        # What the form has no field for comes from the preset; it has a name of its own, as it is something else.
        assert config.name == "classifier-dense-digits"
        assert read_json(run.meta)["preset"] == "glyphs_2d"
        assert config.model.hidden == read_preset("glyphs_2d").model.hidden


async def test_the_form_can_be_filled_with_tab_alone() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.focus("start")
        order = []
        while len(order) < len(FIELDS):
            await desk.pilot.press("shift+tab")
            order.append(str(desk.app.focused.id if desk.app.focused else ""))
        assert order == FIELDS


# Mistakes

WRONG = [
    ("training-epochs", "0", "training.epochs=0"),
    ("training-epochs", "1e", "training.epochs=1e"),
    ("training-epochs", "", "training.epochs="),
    ("training-batch_size", "-5", "training.batch_size=-5"),
    ("training-learning_rate", "0", "training.learning_rate=0"),
    ("training-learning_rate", "1e99", "training.learning_rate=1e99"),
    ("training-seed", "1e999", "training.seed=1e999"),
    ("model-latent", "0", "model.latent=0"),
    ("data-image_size", "99999", "data.image_size=99999"),
    ("noise-level", "11", "noise.level=11"),
]


async def test_a_mistake_is_told_as_the_command_line_tells_it() -> None:
    async with open_desk() as desk:
        await desk.ready()
        for field, text, setting in WRONG:
            before = desk.field(field)
            await desk.type(field, text)
            with pytest.raises(ConfigError) as refused:
                load_config(find_preset("quickstart"), dict([parse_override(setting)]))
            said = in_form_words(str(refused.value).removeprefix("--set: "))
            assert setting.partition("=")[0] not in said
            await desk.until(lambda said=said: desk.message == said)  # type: ignore[misc]
            assert desk.button("start").disabled
            desk.app.live.query_one(f"#{field}", Input).value = before
            await desk.ready()


async def test_a_preset_that_is_chosen_again_brings_its_values_back() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.type("training-epochs", "6000")
        await desk.choose("dataset", "gly")
        await desk.choose("preset", "quick")
        await desk.until(lambda: desk.field("training-epochs") == "150")
        assert (desk.field("preset"), desk.field("dataset")) == ("quickstart", "digits")
        await desk.ready()


async def test_numbers_are_read_as_people_write_them() -> None:
    async with open_desk() as desk:
        await desk.ready()
        for text, rate in ((".001", 0.001), ("5.", 5.0), ("01.5", 1.5)):
            await desk.type("training-learning_rate", text)
            checked = await desk.until(lambda: desk.app.live.form.checked)
            assert checked.config.training.learning_rate == rate


async def test_a_mistake_starts_nothing_and_a_preset_mends_it(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.type("training-epochs", "0")
        await desk.until(lambda: desk.button("start").disabled)
        assert desk.message == told(lab, "run", "quickstart", "--set", "training.epochs=0")
        await desk.press("escape", "r")
        await desk.choose("preset", "gly")
        await desk.ready()
        assert not list_runs(lab.runs)


async def test_a_preset_that_cannot_be_read_leaves_the_form_as_it_was(lab: Laboratory) -> None:
    lab.presets.mkdir(parents=True)
    (lab.presets / "torn.toml").write_text("# Torn.\n[model\n")
    async with open_desk() as desk:
        await desk.ready()
        await desk.choose("preset", "my/t")
        await desk.app.workers.wait_for_complete()
        await desk.until(lambda: "torn.toml: not valid TOML" in desk.message)
        assert desk.field("preset") == "quickstart"
        await desk.type("training-epochs", "7")
        await desk.ready()


def told(lab: Laboratory, *arguments: str, code: int = 2) -> str:
    """The command line's sentence for a mistake, in the words of the form, without what says where it came from."""
    lines = lab(*arguments, check=code).stderr.splitlines()
    cause = lines[0].removeprefix("error: ").removeprefix("--set: ")
    return in_form_words("; ".join([cause, *(line.removeprefix("  try: ") for line in lines[1:])]))


async def test_keys_that_do_not_go_together_are_told_alike(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.choose("noise", "salt")
        await desk.type("noise-level", "3")
        await desk.until(lambda: desk.button("start").disabled)
        settings = ("--set", "noise.kind=salt-pepper", "--set", "noise.level=3")
        # Both keys are named by a check across sections, so the command line puts its source in front.
        assert told(lab, "run", "quickstart", *settings).endswith(desk.message.removeprefix("preset: "))
        assert "noise = 3: " in desk.message


async def test_a_network_too_deep_for_the_images_names_the_key_that_mends_it(lab: Laboratory) -> None:
    async with open_desk(size=(80, 24)) as desk:
        await desk.ready()
        await desk.choose("model", "conv")
        await desk.until(lambda: desk.button("start").disabled)
        assert desk.message == told(lab, "run", "quickstart", "--set", "model.family=conv")
        assert "resize" in desk.message
        # Whole, though it is longer than the line.
        await desk.shows("the second pooling", "resize", "model = 'dense'")
        await desk.type("data-image_size", "28")
        await desk.ready()
        assert "conv" in desk.message


async def test_a_dataset_that_is_not_here_is_offered_as_a_download() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.choose("dataset", "fash")
        await desk.until(lambda: "fashion-mnist" in desk.message)
        assert "download" in desk.message


async def test_a_device_that_is_not_there_is_refused_once_the_worker_has_said_what_is() -> None:
    async with open_desk() as desk:
        await desk.ready()
        assert offered(desk, "device") == ["auto", "cpu"]
        devices = ("cpu", "cuda:0 NVIDIA H100 80GB", "cuda:1 NVIDIA H100 80GB")
        desk.app.live.post_message(WorkerWarm(devices, "2.10"))
        await desk.until(lambda: offered(desk, "device") == ["auto", "cpu", "cuda:0", "cuda:1"])
        await desk.shows("warm · torch 2.10")
        assert "updated" not in desk.message
        desk.app.live.post_message(WorkerWarm(devices, "2.10", tuiae="9.9.9"))
        await desk.until(lambda: "updated to 9.9.9" in desk.message)
        await desk.choose("device", "cuda:1")
        assert desk.field("device") == "cuda:1"
        await desk.ready()
        desk.app.session.launcher.devices = ["cpu"]
        await desk.type("training-epochs", "4")
        await desk.until(lambda: "this machine has cpu" in desk.message)


def offered(desk: Desk, field: str) -> list[str]:
    return [str(value) for _, value in desk.app.live.query_one(f"#{field}")._options]  # type: ignore[attr-defined]


# A folder of pictures


async def test_a_folder_is_asked_for_checked_and_kept(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for name in ("cats", "dogs"):
        (lab.root / "zoo" / name).mkdir(parents=True)
        for index in range(5):
            Image.new("L", (12, 12), 40 * index).save(lab.root / "zoo" / name / f"{index}.png")
    monkeypatch.chdir(lab.root)
    async with open_desk() as desk:
        await desk.ready()
        await ask_for_folder(desk, "zoo")
        await desk.until(lambda: "takes all 8 training images" in desk.message)
        assert desk.field("dataset") == "folder:zoo"
        await desk.type("training-batch_size", "4")
        await desk.until(lambda: "8 + 2 images of 12x12" in desk.message)
        await desk.type("data-image_size", "8")
        await desk.until(lambda: "8 + 2 images of 8x8" in desk.message)
        await ask_for_folder(desk, "nix")
        await desk.until(lambda: desk.button("start").disabled)
        assert "nix" in desk.message
        await ask_for_folder(desk, "")
        assert desk.field("dataset") == "folder:nix"
        await ask_for_folder(desk, "/a/long/way/to/my_zoo")
        await desk.shows("…to/my_zoo")


async def test_names_that_are_not_utf_8_are_read_and_a_path_is_refused_in_a_sentence(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    zoo = lab.root / "zoo"
    for name in (b"fran\xe7ais", b"plain"):
        (zoo / os.fsdecode(name)).mkdir(parents=True)
        for index in range(6):
            Image.new("L", (8, 8), 40 * index).save(zoo / os.fsdecode(name) / os.fsdecode(b"caf\xe9%d.png" % index))
    async with open_desk() as desk:
        await desk.ready()
        await ask_for_folder(desk, str(zoo))
        await desk.until(lambda: "takes all 10 training images" in desk.message)
        assert not desk.button("start").disabled
        other = zoo.with_name(os.fsdecode(b"donn\xe9es"))
        zoo.rename(other)
        monkeypatch.chdir(other)
        await ask_for_folder(desk, ".")
        await desk.until(lambda: "a config holds UTF-8 and this path does not" in desk.message)
        assert r"donn\xe9es" in desk.message
        assert desk.button("start").disabled
        await desk.press("escape", "c")
        assert "a config holds UTF-8" in desk.message


async def test_pictures_of_several_sizes_start_nothing_before_they_are_resized(lab: Laboratory) -> None:
    from PIL import Image

    for side in range(8, 16):
        (lab.root / "zoo" / "cats").mkdir(parents=True, exist_ok=True)
        Image.new("L", (side, 12), side).save(lab.root / "zoo" / "cats" / f"{side}.png")
    async with open_desk() as desk:
        await desk.ready()
        await ask_for_folder(desk, str(lab.root / "zoo"))
        await desk.until(lambda: "the pictures differ in size: 1 of 8 are" in desk.message)
        assert "resize in the form" in desk.message
        assert desk.button("start").disabled
        await desk.press("escape", "c")
        assert "differ in size" in desk.message
        await desk.type("data-image_size", "8")
        await desk.until(lambda: not desk.button("start").disabled)
        # What was seen of the folder holds until a file of it changes.
        await desk.type("data-image_size", "0")
        await desk.until(lambda: "differ in size" in desk.message)
        for file in (lab.root / "zoo" / "cats").iterdir():
            Image.new("L", (12, 12), 3).save(file)
        await desk.type("training-epochs", "7")
        await desk.until(lambda: not desk.button("start").disabled)
    assert not list_runs(lab.runs)


async def test_a_file_of_arrays_is_asked_for_and_checked(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.root.mkdir(parents=True)
    monkeypatch.chdir(lab.root)
    np.savez("own.npz", images=np.zeros((12, 8, 8, 3), np.uint8), labels=np.arange(12) % 2)
    async with open_desk() as desk:
        await desk.ready()
        for path, ready in (("own.npz", True), ("nix.npz", False)):
            await desk.choose("dataset", "file of")
            await desk.shows("file of arrays", "An npz, an npy or a CSV")
            await desk.press(*("full_stop" if key == "." else key for key in path), "enter")
            await desk.until(lambda: desk.field("dataset") == f"file:{path}")  # noqa: B023
            await desk.until(lambda: desk.button("start").disabled != ready)  # noqa: B023
        assert "nix.npz" in desk.message


async def ask_for_folder(desk: Desk, path: str) -> None:
    await desk.choose("dataset", "folder of")
    await desk.shows("folder of pictures", "One sub-folder a class")
    await desk.press(*path, "enter" if path else "escape")


# Keys


async def test_a_choice_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, check = [], Draft.check

    def check_and_note(*asked: Any) -> Any:
        checks.append(asked)
        return check(*asked)

    monkeypatch.setattr(Draft, "check", check_and_note)
    async with open_desk() as desk:
        await desk.ready()
        for field, words in (("dataset", "glyphs"), ("preset", "denois"), ("model", "vae")):
            before = len(checks)
            value = desk.field(field)
            await desk.choose(field, words)
            await desk.until(lambda field=field, value=value: desk.field(field) != value)  # type: ignore[misc]
            await desk.ready()
            assert len(checks) == before + 1


async def test_a_letter_in_a_number_field_acts_on_nothing() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.focus("training-epochs")
        await desk.press("question_mark")
        await desk.shows("write a checkpoint")
        await desk.press("escape")
        await desk.press(*"arqcp")
        await desk.until(lambda: "no number has p in it" in desk.message)
        assert (desk.field("training-epochs"), desk.app.live.view.look.unit) == ("150", "epoch")
        assert desk.app.screen is desk.app.live
        await desk.press("escape", "p")
        await desk.until(lambda: "no run is open: 1 lists all, r on Live starts" in desk.message)
        await desk.press("q")
        await desk.until(lambda: desk.app.return_value is not None)
    assert desk.app.return_value == ""


async def test_the_form_kept_as_a_preset(lab: Laboratory) -> None:
    async with open_desk(size=(200, 40)) as desk:
        await desk.type("training-epochs", "7")
        await desk.press("escape", "S")
        await desk.shows("save as a preset")
        await desk.press("enter")
        await desk.shows("preset name ''")
        await desk.press(*"a/b", "enter")
        await desk.shows("preset name 'a/b': allowed: letters")
        # What a config may not be called could never be loaded again.
        for name in ("v1.0", "-tab"):
            await desk.press("ctrl+u", *({"-": "minus", ".": "full_stop"}.get(key, key) for key in name), "enter")
            await desk.shows(f"preset name '{name}': allowed: letters")
        await desk.press("ctrl+u", *"mine", "enter")
        await desk.until(lambda: "kept as my/mine" in desk.message)
        assert desk.field("preset") == "my/mine"
        await desk.press("Y")
        await desk.until(lambda: desk.message == "copied: tuiae run my/mine")
        checked = desk.app.live.form.check_now()
        assert checked is not None
        assert checked.config.name == "mine"
        await desk.until(lambda: desk.app.live.form.checked == checked)
    path = find_preset("my/mine")
    assert path.parent == own_presets_dir()
    config = load_config(path)
    assert (config.name, config.training.epochs) == ("mine", 7)
    assert "after quickstart" in {preset.name: preset.teaches for preset in list_presets()}["my/mine"]


async def test_the_line_that_does_the_same(lab: Laboratory) -> None:
    async with open_desk(size=(200, 40)) as desk:
        await desk.press("Y")
        await desk.until(lambda: desk.message == "copied: tuiae run quickstart")
        await desk.type("training-epochs", "7")
        await desk.press("escape", "Y")
        await desk.until(lambda: desk.message == "copied: tuiae run quickstart --set training.epochs=7")
        assert desk.app.clipboard == "tuiae run quickstart --set training.epochs=7"
        for key, words in (("s", "smooth"), ("y", "logarithmic"), ("n", "no confusion matrix")):
            await desk.press(key)
            await desk.until(lambda words=words: words in desk.message)
            await desk.press("Y")
            await desk.until(lambda: "copied" in desk.message)


async def test_letters_are_no_numbers() -> None:
    async with open_desk() as desk:
        await desk.type("training-epochs", "4jkh2")
        assert desk.field("training-epochs") == "42"


@pytest.mark.parametrize("key", [*keys.LIVE, *keys.APP, *keys.RUNS], ids=lambda key: key.key)
def test_every_key_has_an_action(key: keys.Key) -> None:
    owners: dict[tuple[keys.Key, ...], type] = {keys.LIVE: LiveScreen, keys.APP: TuiaeApp, keys.RUNS: RunsScreen}
    owner = next(owner for group, owner in owners.items() if key in group)
    if key.action.startswith("app."):
        owner = TuiaeApp
    assert callable(getattr(owner, f"action_{key.action.removeprefix('app.').partition('(')[0]}"))


def test_no_key_means_two_things() -> None:
    for group in (keys.LIVE, keys.RUNS):
        used = [key.key for key in (*group, *keys.APP)]
        assert len(used) == len(set(used))


async def test_the_help_names_every_key() -> None:
    async with open_desk(size=(120, 50)) as desk:
        for mode in ("runs", "live", "latent", "bench", "compare", "works"):
            desk.app.switch_mode(mode)
            await desk.pilot.pause()
            await desk.press("question_mark")
            screen = await desk.shows("keys", "escape closes")
            for key in (*getattr(keys, mode.upper()), *keys.APP):
                # Those that move a cursor are one line, and so are the two that go on and back.
                assert key.help in screen or key.action.startswith(("move(", "sample(")), mode
            await desk.press("escape")
            assert "escape closes" not in desk.screen
        for close in ("q", "enter"):
            await desk.press("question_mark")
            await desk.shows("escape closes")
            await desk.press(close)
            assert "escape closes" not in desk.screen


async def test_every_label_of_the_form_is_whole() -> None:
    async with open_desk(size=(80, 24)) as desk:
        await desk.ready()
        for label in desk.app.live.query("#fields Label").results(Label):
            assert f" {label.content} " in desk.screen
