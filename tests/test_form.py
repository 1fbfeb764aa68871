"""The form as it folds, remembers and names what it starts; all settings; and what the curves advise, filled in."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets import Button, Input

from tests.conftest import Laboratory
from tests.dashboard import AUTOENCODER, SIZES, Desk, open_desk, script
from tests.golden import Golden, titled
from tests.test_bursts import COST
from tests.test_live import overfit
from tuiae.config import RunConfig, build_config, list_settings, load_config, settings_of
from tuiae.config.presets import find_preset, list_presets
from tuiae.files import read_json
from tuiae.runs.advice import BEST, START, Remedy
from tuiae.runs.checkpoints import all_checkpoints
from tuiae.runs.diagnosis import Finding, Severity
from tuiae.runs.labels import named_for
from tuiae.runs.lineage import fork_may_change
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import read_status
from tuiae.runs.writer import create_run
from tuiae.studies.labels import suggest_name
from tuiae.ui.draft import REMEMBERED, Draft
from tuiae.ui.screens.changes import EditDialog, ForkDialog
from tuiae.ui.screens.dialogs import ChoiceDialog, CostDialog
from tuiae.ui.screens.settings import SettingsDialog, setting_line
from tuiae.ui.session import PreflightDone

RATE = "training.learning_rate"


def asked(desk: Desk) -> RunConfig:
    """The config that the form asks for."""
    return desk.app.live.form.ask({})


def more(desk: Desk) -> str:
    """What the form says of the settings that it has no field for."""
    return str(desk.app.live.query_one("#all_settings", Button).label)


def told(dialog: SettingsDialog) -> str:
    """What stands below the settings."""
    return " ".join(str(dialog.query_one(f"{name}").render()) for name in ("#settings-says", ".wrong"))


# All settings


async def find(desk: Desk, words: str) -> SettingsDialog:
    """Find a setting in the list of all, in place of what was found before."""
    dialog = desk.app.screen
    assert isinstance(dialog, SettingsDialog)
    await desk.press("ctrl+u", *({" ": "space", ".": "full_stop", "_": "underscore"}.get(key, key) for key in words))
    await desk.until(lambda: dialog.query_one("#settings-find", Input).value == words and dialog.chosen)
    return dialog


async def test_any_setting_is_found_changed_where_it_stands_and_started_with() -> None:
    async with open_desk() as desk:
        await desk.ready()
        assert more(desk) == f"all {len(list_settings())} settings: O"
        await desk.press("O")
        await desk.shows("all settings of the next run", "latent", "enter changes it")
        dialog = await find(desk, "gradient norm")
        assert dialog.chosen.key == "training.clip_norm"  # type: ignore[union-attr]
        assert "0 does not clip" in told(dialog)
        await desk.press("enter")
        await desk.shows("enter keeps it", "escape gives it up")
        await desk.press(*"much", "enter")
        await desk.until(lambda: "training.clip_norm = 'much'" in told(dialog))
        await desk.press("ctrl+u", *"0.5", "enter")
        await desk.until(lambda: "it was 0" in told(dialog))
        await find(desk, "schedule")
        await desk.press("enter")
        await desk.press(*"cos", "enter")
        await desk.until(lambda: "it was constant" in told(dialog))
        await find(desk, "flip")
        await desk.press("enter")
        await desk.until(lambda: "it was false" in told(dialog))
        await find(desk, "training epochs")
        await desk.press("enter", *"7", "enter")
        await desk.until(lambda: "it was 150" in told(dialog))
        await desk.press("escape")
        await desk.until(lambda: desk.app.screen is desk.app.live)
        await desk.ready()
        training = asked(desk).training
        assert (training.clip_norm, training.schedule, training.flip, training.epochs) == (0.5, "cosine", True, 7)
        assert (more(desk), desk.field("training-epochs")) == ("3 changed of all 62: O", "7")
        await desk.shows("quickstart changed")
        await desk.press("Y")
        await desk.until(lambda: "training.clip_norm=0.5" in desk.message and "training.flip=true" in desk.message)
        await desk.press("O")
        dialog = await find(desk, "clip")
        await desk.press("ctrl+z", "escape")
        await desk.until(lambda: more(desk) == "2 changed of all 62: O")
        assert asked(desk).training.clip_norm == 0


async def test_a_setting_that_does_not_go_with_another_says_so_and_is_not_taken() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.press("O")
        dialog = await find(desk, "output")
        assert dialog.chosen.key == "model.output"  # type: ignore[union-attr]
        await desk.press("enter")
        await desk.press(*"id", "enter")
        await find(desk, "training.loss")
        await desk.press("enter")
        await desk.press(*"bce", "enter")
        await desk.until(lambda: "training.loss = 'bce' needs model.output = 'sigmoid'" in told(dialog))
        for _ in range(3):  # out of the list of choices, the field and the dialog
            await desk.press("escape")
        assert (asked(desk).training.loss, asked(desk).model.output) == ("mse", "identity")


async def test_the_arguments_of_a_custom_network_are_settings_like_all_others() -> None:
    async with open_desk() as desk:
        await desk.ready()
        desk.app.live.form.load_preset("custom")
        await desk.until(lambda: desk.field("model") == "custom")
        await desk.ready()
        await desk.press("O")
        dialog = await find(desk, "arguments width")
        assert dialog.chosen.key == "model.arguments.width"  # type: ignore[union-attr]
        await desk.press("enter", *"32", "enter")
        await desk.until(lambda: "it was 64" in told(dialog))
        await desk.press("escape")
        await desk.until(lambda: desk.app.screen is desk.app.live)
        await desk.ready()
        assert asked(desk).model.arguments == {"width": 32, "code": 12}
        assert more(desk) == "1 changed of all 64: O"
        await desk.press("Y")
        await desk.until(lambda: "tuiae run custom --set model.arguments.width=32" in desk.message)


async def test_settings_show_at_usual_sizes() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.press("O")
        await desk.shows("all settings of the next run", "dataset", "digits", "escape closes")
        for key in ("training.loss", "training.precision"):  # which have the longest sentences
            assert (await find(desk, key)).chosen.key == key  # type: ignore[union-attr]
            *_, last = next(one.sentence for one in list_settings() if one.key == key).split()
            await desk.dialog_shows(key.removeprefix("training."), last)
        for name, key in (("step_epochs", "training.step_epochs"), ("every", "checkpoint.every")):
            assert (await find(desk, name)).chosen.key == key  # type: ignore[union-attr]
        await desk.press(*"qqq")
        await desk.shows("no setting has these words")


def test_the_words_about_every_setting(golden: Golden) -> None:
    base, changed = RunConfig(), build_config({}, {"training.clip_norm": 1.0, "model.channels": [8, 16, 32]})
    before, now = settings_of(base), settings_of(changed)
    lines = [setting_line(one, now[one.key], before[one.key], 400).plain for one in list_settings()]
    few = [one for one in list_settings() if one.section in ("noise", "checkpoint")]
    narrow = {width: [setting_line(one, 1, 0, width).plain for one in few] for width in (64, 100, 118)}
    assert all(len(line) <= width for width, found in narrow.items() for line in found)
    parts = [titled(f"in {width} columns", *found) for width, found in narrow.items()]
    golden.check("settings", titled("every setting", *lines), *parts)


# One line while a run is open


async def test_the_list_of_presets_says_what_each_teaches() -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.focus("preset")
        await desk.press("enter")
        async for _ in desk.each_size():
            for preset in list_presets()[:3]:
                await desk.shows(f"{preset.name} ", " ".join(preset.teaches.split()[:3]))


@pytest.mark.parametrize("size", SIZES)
async def test_the_form_is_one_line_while_a_run_is_open(lab: Laboratory, size: tuple[int, int]) -> None:
    played = script(lab.runs)
    played.play(2)
    played.writer.close("finished")
    async with open_desk(played.run, size) as desk:
        form = desk.app.live.form
        await desk.until(lambda: form.region.height in (1, 2))
        await desk.shows("o  ", "quickstart · dense · digits")
        await desk.press("o")
        await desk.until(lambda: form.region.height > 10 and desk.app.focused.id == "preset")  # type: ignore[union-attr]
        await desk.shows("configure the next run", "Start")
        await desk.press("down", "down", "down", "escape")
        await desk.until(lambda: form.region.height in (1, 2))
        await desk.press("F")
        await desk.shows("run denoise")
        await desk.click("#folded")
        await desk.until(lambda: desk.app.focused.id == "preset")  # type: ignore[union-attr]
        await desk.type("training-epochs", "9")
        await desk.shows("changed")
        await desk.choose("preset", "run")
        await desk.until(lambda: desk.field("training-epochs") == "6")


@pytest.mark.parametrize("size", SIZES)
async def test_arrows_go_to_the_field_that_the_eye_sees_there(size: tuple[int, int]) -> None:
    async with open_desk(size=size) as desk:
        await desk.ready()
        await desk.focus("model-latent")
        for keys, field in (
            ("right", "data-image_size"),
            ("down", "dataset"),
            ("up", "model-latent"),
            ("down down", "noise"),
            ("right", "noise-level"),
            ("down", "device"),
            ("down right", "training-batch_size"),
            ("down", "training-seed"),
            ("left", "training-seed"),  # to the beginning of what stands there
            ("left", "training-learning_rate"),
            ("down down down down", "start"),
            ("down", "preset"),
            ("up", "start"),
        ):
            await desk.press(*keys.split())
            assert desk.app.focused is not None
            assert (keys, desk.app.focused.id) == (keys, field)


# What starts, and what does not


async def test_the_first_enter_starts_nothing_and_letters_choose_in_a_list(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.focus("model")
        await desk.press(*"vae")
        await desk.press("enter")
        await desk.until(lambda: desk.field("model") == "vae")
        async for width, _ in desk.each_size():
            await desk.press("escape", "enter")
            dataset = "digits" if width == 120 else "glyphs"
            await desk.focus("dataset")
            await desk.press(dataset[0], "enter")
            await desk.until(lambda dataset=dataset: desk.field("dataset") == dataset)  # type: ignore[misc]
            await desk.shows(f"dataset {dataset} ")
        assert not list_runs(lab.runs)
        assert desk.app.screen is desk.app.live


async def test_lists_and_fields_say_their_keys_and_how_to_start_from_there() -> None:
    async with open_desk(size=(80, 24)) as desk:
        await desk.ready()
        await desk.press("o")
        await desk.shows("⏎ List", "esc Panels", "esc, then r starts dense")
        await desk.press("enter")
        await desk.shows("⏎ Choose", "esc Close")
        await desk.press("escape", "down", "down")
        await desk.shows("⏎ Next", "esc Panels", "esc, then r starts dense")
        await desk.press("enter")
        await desk.until(lambda: desk.app.focused and desk.app.focused.id == "data-image_size")
        await desk.press("escape")
        await desk.until(lambda: not desk.app.live.form.is_entered)


async def test_the_key_that_starts_works_in_the_check_too() -> None:
    async with open_desk() as desk:
        await desk.ready()
        checked = desk.app.live.form.check_now()
        assert checked is not None
        await desk.press("c")
        desk.app.post_message(PreflightDone(checked.config, COST))
        await desk.until(lambda: isinstance(desk.app.screen, CostDialog))
        await desk.dialog_shows("parameters", "memory")
        await desk.shows("what quickstart costs", "r starts it")
        desk.app.live._start = lambda: desk.app.exit("started")  # type: ignore[method-assign]
        await desk.press("r")
        await desk.until(lambda: desk.app.return_value == "started")


async def test_what_would_start_beside_a_live_run_is_said(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(2)
    async with open_desk(played.run) as desk:
        await desk.running()
        await desk.ready()
        await desk.type("model-latent", "5")
        await desk.press("escape", "r")
        await desk.until(lambda: isinstance(desk.app.screen, ChoiceDialog))
        await desk.shows("is still running", "dense_5-digits: dense, code 5, on digits, 150 epochs")
        await desk.press("escape")
    played.writer.close("finished")
    assert len(list_runs(lab.runs)) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "quickstart"),
        ({"training.epochs": 9, "training.learning_rate": 0.01}, "quickstart epochs=9 learning_rate=0.01"),
        ({"model.latent": 32, "training.learning_rate": 0.01}, "dense_32-digits learning_rate=0.01"),
        ({"noise.kind": "gaussian", "noise.level": 0.3}, "denoising-dense_12-digits noise=0.3"),
        ({"training.seed": 4, "training.device": "cpu"}, "quickstart seed=4"),
        (
            {
                "model.family": "classifier",
                "model.encoder_run": "20261120-224105-conv_64-a3f9",
                "model.freeze": True,
                "training.epochs": 9,
            },
            "classifier-on-conv_64-a3f9-frozen epochs=9",
        ),
    ],
)
def test_a_name_is_made_of_what_differs(changes: dict[str, Any], name: str) -> None:
    config = load_config(find_preset("quickstart"))
    assert suggest_name(config, build_config(config.model_dump(mode="json"), changes)) == name


async def test_a_folded_form_says_why_nothing_starts(finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await desk.ready()
        await desk.type("training-batch_size", "0.3")
        await desk.press("escape")
        await desk.until(lambda: desk.app.live.form.has_class("-folded"))
        await desk.press("r")
        await desk.shows("not started: batch", "o opens the form")
        await desk.press("o")
        await desk.until(lambda: "not started" not in desk.message and "batch" in desk.message)


async def test_a_tag_that_cannot_be_starts_nothing(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.ready()
        await desk.focus("run-tags")
        await desk.press(*"a/b")
        await desk.until(lambda: desk.button("start").disabled and "tag 'a/b'" in desk.message)
        await desk.press("escape", "r")
        assert not list_runs(lab.runs)


# As it was left


async def test_changes_of_the_preset_that_a_form_begins_with_come_back_too(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.type("model-latent", "9")
        await desk.until(lambda: read_json(lab.runs / REMEMBERED).get("changed"))
    async with open_desk() as desk:
        await desk.ready()
        assert (desk.field("preset"), desk.field("model-latent")) == ("quickstart", "9")
        await desk.shows("quickstart changed", "r starts dense, code 9")
        async with open_desk() as other:
            await other.ready()
            await other.type("model-latent", "10")
            await other.until(lambda: read_json(lab.runs / REMEMBERED)["changed"] == {"model.latent": 10})
        desk.app.live.form.recheck()
        await desk.ready()
        assert read_json(lab.runs / REMEMBERED)["changed"] == {"model.latent": 10}


async def test_the_form_comes_back_as_it_was_left(lab: Laboratory) -> None:
    async with open_desk() as desk:
        await desk.choose("preset", "gly")
        await desk.type("training-epochs", "77")
        desk.app.live.form.change({"training.clip_norm": 2.0})
        await desk.focus("run-tags")
        await desk.press(*"night")
        await desk.until(lambda: read_json(lab.runs / REMEMBERED).get("tags") == "night")
    async with open_desk() as desk:
        await desk.ready()
        assert (desk.field("preset"), desk.field("training-epochs")) == ("glyphs_2d", "77")
        assert (asked(desk).training.clip_norm, desk.field("run-tags")) == (2.0, "night")
        await desk.shows("glyphs_2d changed", "1 changed of all 62: O", "glyphs_2d epochs=77…")
        await desk.choose("preset", "gly")
        await desk.until(lambda: desk.field("training-epochs") != "77")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"source": 3}',
        '{"source": "quickstart", "base": {}, "changed": {"training.epochs": "x"}, "tags": []}',
        '{"source": "/nowhere/config.toml", "base": {"model": 1}, "changed": {}}',
    ],
)
async def test_a_damaged_memory_is_ignored(lab: Laboratory, content: str) -> None:
    lab.runs.mkdir(parents=True)
    (lab.runs / REMEMBERED).write_text(content)
    async with open_desk() as desk:
        await desk.ready()
        assert (desk.field("preset"), desk.field("training-epochs")) == ("quickstart", "150")


# What the curves advise


async def test_an_advice_is_an_edit_of_a_live_run_and_a_form_for_one_without_weights(lab: Laboratory) -> None:
    played = script(lab.runs, {**AUTOENCODER, "training": {**AUTOENCODER["training"], "epochs": 50}})
    overfit(played)
    async with open_desk(played.run) as desk:
        await desk.shows("tries dropout 0.2 or")
        await desk.press("u")
        await desk.shows("dropout 0.2 in this training", "weight_decay 0.0001 in a new run")
        await desk.press("enter")
        await desk.until(lambda: isinstance(desk.app.screen, EditDialog))
        await desk.shows("dropout becomes 0.2")
        await desk.press("escape")
        played.writer.close("stopped")
        await desk.until(lambda: desk.state == "stopped")
        await desk.press("u")
        await desk.shows("dropout 0.2 in a new run")
        await desk.press("enter")
        await desk.until(lambda: "with dropout 0.2: r or enter" in desk.message)
        assert asked(desk) == build_config(settings_as_document(played.run), {"model.dropout": 0.2})
        await desk.shows("denoise", "1 changed of all 62: O", "r Start")
        await desk.until(lambda: desk.app.focused is desk.button("start"))


def settings_as_document(run: RunPaths) -> dict[str, Any]:
    return load_config(run.config).model_dump(mode="json")


async def test_what_somebody_filled_in_comes_back_after_the_form_was_filled_anew(lab: Laboratory) -> None:
    played = script(lab.runs)
    overfit(played)
    played.writer.close("stopped")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "stopped")
        await desk.ready()
        await desk.press("F")
        assert "U brings back" not in desk.message  # nobody had changed anything
        await desk.choose("preset", "quick")
        await desk.type("training-epochs", "77")
        await desk.press("escape", "u", "enter")
        await desk.shows("U brings back what the form asked for")
        assert (asked(desk).name, asked(desk).model.dropout) == ("denoise", 0.2)
        await desk.press("U")
        await desk.until(lambda: desk.field("training-epochs") == "77" and desk.field("preset") == "quickstart")
        assert asked(desk).name == "quickstart"
        await desk.press("U")
        await desk.until(lambda: asked(desk).model.dropout == 0.2)
        await desk.press("U")
        await desk.choose("preset", "gly")
        await desk.until(lambda: "U brings back" in desk.message and desk.field("training-epochs") != "77")
        await desk.press("escape", "U")
        await desk.until(lambda: desk.field("training-epochs") == "77")


def test_a_run_without_a_name_of_its_own_is_called_by_what_tells_it_from_its_preset(lab: Laboratory) -> None:
    draft = Draft(lab.runs)
    base = draft.load_preset("quickstart")
    assert draft.label({}, "", "").name == ""
    assert draft.label({"training.epochs": 9}, "", "").name == "quickstart epochs=9"
    assert draft.label({"model.latent": 32}, "", "").name == ""  # which the name in its config says
    assert draft.label({"training.epochs": 9}, " night ", "").name == "night"
    changes = {"model.latent": 32, "training.epochs": 9, "training.precision": "float32"}
    other = named_for(build_config(base.model_dump(mode="json"), changes), base)
    run = create_run(other, lab.runs, [], meta={"preset": "quickstart"})
    draft.take(other, run.config)
    assert draft.label({}, "", "").name == "dense_32-digits epochs=9"
    assert draft.label({"training.epochs": 5}, "", "").name == "dense_32-digits epochs=5"


async def test_an_advice_about_a_finished_run_is_a_fork(lab: Laboratory, finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await desk.shows("✓ finished")
        advised = Remedy({RATE: 0.0007, "training.clip_norm": 1.0}, BEST)
        desk.app.session.findings = (Finding("divergence", Severity.SERIOUS, "it rises", "lower it", (advised,)),)
        await desk.press("u")
        await desk.until(lambda: isinstance(desk.app.screen, ForkDialog))
        dialog = desk.app.screen
        assert isinstance(dialog, ForkDialog)
        await desk.shows("goes on up to epoch", "1 more setting changed")
        assert dialog.overrides.items() >= {RATE: 0.0007, "training.clip_norm": 1.0}.items()
        await desk.press("O")
        await desk.shows("settings of the fork")
        listed = {one.key for one in desk.app.screen._settings}  # type: ignore[attr-defined]
        assert listed == {one.key for one in list_settings() if fork_may_change(one.key)}
        await find(desk, "weight_decay")
        await desk.press("enter", *"0.1", "enter", "escape")
        await desk.shows("2 more settings changed")
        assert dialog.overrides["training.weight_decay"] == 0.1
        await desk.press("escape")
        first = all_checkpoints(finished)[-1]
        advised = Remedy({RATE: 0.0007}, int(first.name[5:]))
        desk.app.session.findings = (Finding("divergence", Severity.SERIOUS, "it rises", "lower it", (advised,)),)
        await desk.press("u")
        await desk.until(lambda: isinstance(desk.app.screen, ForkDialog))
        assert desk.app.screen._folder(desk.app.screen.checkpoint) == first  # type: ignore[attr-defined]
        await desk.press("escape")
        desk.app.session.findings = (
            Finding("dead-units", Severity.WARNING, "dead", "again", (Remedy({RATE: 1e-4}, START),)),
        )
        await desk.press("u")
        await desk.until(lambda: desk.field("training-learning_rate") == "0.0001")
        assert desk.app.focused is desk.button("start")


async def test_an_advice_of_more_epochs_lets_the_same_run_train_on(lab: Laboratory, finished: RunPaths) -> None:
    run, done = lab.copy(finished), load_config(finished.config).training.epochs
    async with open_desk(run) as desk:
        await desk.shows("✓ finished")
        advised = Remedy({"training.epochs": 2 * done})
        desk.app.session.findings = (Finding("unfinished", Severity.NOTE, "it fell", "train on", (advised,)),)
        await desk.press("u")
        await desk.shows("The same run trains on", str(2 * done))
        await desk.press(*str(done), "enter")
        await desk.shows(f"a whole number above {done}")
        await desk.press("ctrl+u", *str(done + 1), "enter")
        await desk.until(lambda: (read_status(run).state, read_status(run).epoch) == ("finished", done + 1))


async def test_of_several_things_that_are_advised_one_is_chosen(lab: Laboratory, finished: RunPaths) -> None:
    async with open_desk(finished) as desk:
        await desk.shows("✓ finished")
        advised = Remedy({RATE: 0.0007}, BEST), Remedy({"model.latent": 24}, START)
        found = Finding("plateau", Severity.NOTE, "it is flat", "lower it, or widen it", advised)
        desk.app.session.findings = (found,)
        await desk.press("u")
        await desk.shows("it is flat", "learning_rate 0.0007 in a fork from its best", "latent 24 in a new run")
        await desk.press("down", "enter")
        await desk.until(lambda: desk.field("model-latent") == "24")
        await desk.press("escape", "u", "enter")
        await desk.until(lambda: isinstance(desk.app.screen, ForkDialog))


async def test_a_classifier_is_not_given_the_noise_that_the_form_was_filled_with(lab: Laboratory) -> None:
    played = script(lab.runs)
    played.play(1)
    played.writer.close("finished")
    async with open_desk(played.run) as desk:
        await desk.until(lambda: desk.state == "finished")
        await desk.press("F")
        await desk.until(lambda: desk.field("noise") == "gaussian")
        await desk.choose("model", "· dense")
        await desk.until(lambda: desk.field("noise") == "none" and "noise is none now" in desk.message)
        await desk.choose("model", "dense")
        await desk.until(lambda: desk.field("noise") == "gaussian" and "noise is gaussian 0.3 again" in desk.message)
        await desk.choose("noise", "mask")
        await desk.choose("model", "· dense")
        await desk.ready()
        assert desk.field("noise") == "mask"
