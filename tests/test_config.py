"""The config: what a preset may say, and the sentence that answers one that may not."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tuiae.config import (
    RunConfig,
    build_config,
    dump_config,
    known_keys,
    list_settings,
    load_config,
    parse_override,
    read_value,
    settings_of,
    typed,
)
from tuiae.config.presets import DEFAULT, find_preset, list_presets
from tuiae.errors import ConfigError
from tuiae.preflight import check

PRESETS = [preset.path for preset in list_presets()]


def refused(document: dict[str, Any], overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(document, overrides, source="mine.toml")
    return caught.value.cause


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_loads_fits_its_images_and_round_trips(path: Path, runs_root: Path) -> None:
    config = load_config(path)
    assert build_config(tomllib.loads(dump_config(config))) == config
    assert config.name == path.stem
    checked = check(config, runs_root)
    if not config.model.is_custom:  # whose file alone knows
        assert checked.parameters is not None
        assert checked.parameters > 0


def test_every_preset_says_what_it_teaches_and_the_default_comes_first() -> None:
    presets = list_presets()
    assert presets[0].name == DEFAULT
    assert all(len(preset.teaches.split()) > 4 for preset in presets)


def test_a_config_with_every_kind_of_value_round_trips() -> None:
    config = build_config(
        {
            "data": {"dataset": 'folder:/tmp/a "b" \\ ñ', "validation": 0.25, "classes": ["a", 'quote"', "newline\n"]},
            "model": {"hidden": [512, 1], "freeze": True},
            "training": {"seed": 2**63 - 1, "learning_rate": 1e-30, "device": "cuda:3"},
        }
    )
    assert build_config(tomllib.loads(dump_config(config))) == config


def test_malformed_toml_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[training]\nepochs = 3\nseed = = 4\n")
    with pytest.raises(ConfigError, match=r"mine\.toml.*3"):
        load_config(path)


def test_a_preset_may_begin_with_a_mark_of_its_encoding_and_come_through_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('\ufeffname = "marked"\n', encoding="utf-8")
    assert load_config(path).name == "marked"
    reading, writing = os.pipe()
    os.write(writing, path.read_bytes())
    os.close(writing)
    assert load_config(find_preset(f"/dev/fd/{reading}")).name == "marked"
    os.close(reading)


@pytest.mark.parametrize(
    "value", ["9" * 4400, "0x" + "f" * 5000, str(2**63), "[" * 2000 + "]" * 2000, "1\n" + "a." * 20_000 + "b = 1"]
)
def test_what_no_parser_likes_is_a_sentence_in_files_and_in_overrides(tmp_path: Path, value: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"epochs = {value}\n")
    with pytest.raises(ConfigError, match=r"mine\.toml"):
        load_config(path)
    key, word = parse_override(f"training.epochs={value}")
    with pytest.raises(ConfigError, match=r"training\.epochs"):
        build_config({}, {key: word})


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", None])
def test_a_file_that_is_no_preset_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in caught.value.cause


@pytest.mark.parametrize("table", ["grid", "random", "search"])
def test_a_sweep_in_the_place_of_a_preset_is_known_as_one(tmp_path: Path, table: str) -> None:
    path = tmp_path / "best.toml"
    path.write_text(f"preset = 'quickstart'\n[{table}]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.hint == f"tuiae sweep {path}"


@pytest.mark.parametrize(
    ("document", "key", "meant"),
    [
        ({"training": {"epoch": 3}}, "training.epoch", "training.epochs"),
        ({"trainig": {"epochs": 3}}, "trainig", "training"),
        ({"latent": 3}, "latent", "model.latent"),
        ({"training": {"latnet": 3}}, "training.latnet", "model.latent"),
        ({"model": {"zzzz": 3}}, "model.zzzz", None),
    ],
)
def test_an_unknown_key_comes_with_the_one_that_was_meant(document: dict[str, Any], key: str, meant: str) -> None:
    hint = f" (did you mean '{meant}'?)" if meant else ""
    assert refused(document) == f"mine.toml: unknown key '{key}'{hint}"


OUT_OF_RANGE = [
    ("training.epochs", 0),
    ("training.epochs", 1_000_001),
    ("training.batch_size", -1),
    ("training.learning_rate", 0.0),
    ("training.learning_rate", float("nan")),
    ("training.learning_rate", float("inf")),
    ("training.seed", -1),
    ("training.seed", 2**63),
    ("training.momentum", 1.0),
    ("noise.level", -0.1),
    ("noise.probability", 1.5),
    ("model.latent", 0),
    ("model.dropout", 1.0),
    ("data.validation", 1.0),
    ("data.validation", "tset"),
    ("data.train_limit", -5),
    ("data.image_size", 4096),
    ("checkpoint.keep", 0),
    ("samples.count", 65),
    ("name", "../escape"),
    ("name", ""),
]
WRONG_KIND = [
    ("training.epochs", "five"),
    ("training.epochs", "5"),
    ("training.epochs", True),
    ("training.epochs", 2.5),
    ("training.epochs", [1]),
    ("model.freeze", "yes"),
    ("model.freeze", 1),
    ("model.latent", {"a": 1}),
    ("model.dropout", False),
    ("data.dataset", 5),
    ("training", 5),
    ("training.loss", 5),
]
NOT_A_CHOICE = [
    ("model.family", "denes", "dense"),
    ("model.activation", "rleu", "relu"),
    ("noise.kind", "salt_pepper", "salt-pepper"),
    ("training.optimizer", "Adam", "adam"),
    ("training.loss", "msee", "mse"),
    ("training.precision", "float3", "float32"),
]


@pytest.mark.parametrize("by", ["preset", "--set"])
@pytest.mark.parametrize(("key", "value"), OUT_OF_RANGE + WRONG_KIND)
def test_a_value_that_cannot_be_is_named_with_its_key_and_where_it_came_from(by: str, key: str, value: Any) -> None:
    section, dot, leaf = key.partition(".")
    document = {section: {leaf: value} if dot else value}
    said = refused(document) if by == "preset" else refused({}, {key: value})
    assert said.startswith(f"{'mine.toml' if by == 'preset' else '--set'}: {key} = {value!r}: ")
    assert len(said.splitlines()) == 1
    assert "Section" not in said


@pytest.mark.parametrize(("key", "value", "meant"), NOT_A_CHOICE)
def test_a_word_that_is_no_choice_is_answered_with_the_choices(key: str, value: str, meant: str) -> None:
    said = refused({}, {key: value})
    assert said.startswith(f"--set: {key} = {value!r}: allowed: ")
    assert said.endswith(f"(did you mean '{meant}'?)")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:a", "CPU", "cpu:0", "cuda:0 "])
def test_a_device_that_is_no_device_is_answered_with_the_words_for_one(device: str) -> None:
    assert refused({}, {"training.device": device}).endswith("allowed: auto, cpu, cuda, cuda:N, mps")


def test_every_mistake_of_a_document_is_told_at_once() -> None:
    said = refused({"training": {"epochs": 0, "sede": 1}, "model": {"latent": "x"}}).splitlines()
    assert sorted(line.split()[1].strip("'") for line in said) == ["model.latent", "training.epochs", "unknown"]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.epochs=5", "training.epochs", 5),
        ("training.learning_rate=1e-4", "training.learning_rate", 1e-4),
        (" data.dataset = mnist", "data.dataset", "mnist"),
        ("data.dataset=folder:/a=b", "data.dataset", "folder:/a=b"),
        ("model.hidden=[256, 32]", "model.hidden", [256, 32]),
        ("model.freeze=true", "model.freeze", True),
        ("training.learning_rate=.001", "training.learning_rate", 0.001),
        ("training.beta=5.", "training.beta", 5.0),
        ("noise.level= -01.5e-1 ", "noise.level", -0.15),
        ("data.dataset=.", "data.dataset", "."),
        ("data.dataset=1.5.2", "data.dataset", "1.5.2"),
        ("model.encoder_run=", "model.encoder_run", ""),
        ('name="5"', "name", "5"),
    ],
)
def test_an_override_is_read_as_toml_or_as_a_word(text: str, key: str, value: Any) -> None:
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["training.epochs", "=5", ""])
def test_an_override_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_override(text)


def test_an_override_wins_over_the_document_and_leaves_its_neighbours() -> None:
    document = {"training": {"epochs": 3, "seed": 4}}
    config = build_config(document, {"training.epochs": 9, "model.latent": 2})
    assert (config.training.epochs, config.training.seed, config.model.latent) == (9, 4, 2)
    assert document == {"training": {"epochs": 3, "seed": 4}}


def test_an_override_inside_something_that_is_no_table_is_refused() -> None:
    for document, key in (({"training": 5}, "training.epochs"), ({}, "training.epochs.more"), ({}, "name.first")):
        assert key.rpartition(".")[0] in refused(document, {key: 3})


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"noise.kind": "salt-pepper", "noise.level": 1.5}, "noise.level = 1.5: salt-pepper noise takes 0 to 1"),
        ({"training.loss": "bce", "model.output": "relu"}, "needs model.output = 'sigmoid', not 'relu'"),
        ({"training.loss": "bce", "model.output_dropout": True}, "does not go with model.output_dropout"),
        ({"model.encoder_run": "last"}, "model.encoder_run is for model.family = 'classifier' only"),
    ],
)
def test_keys_that_are_wrong_together_are_told_by_name(overrides: dict[str, Any], said: str) -> None:
    assert said in refused({}, overrides)


def test_keys_that_look_wrong_together_and_are_right_pass() -> None:
    build_config({}, {"noise.kind": "gaussian", "noise.level": 1.5})
    build_config({}, {"training.loss": "bce", "model.output": "relu", "model.family": "classifier"})


def test_every_key_can_be_overridden_by_the_name_it_is_known_by() -> None:
    whole = tomllib.loads(dump_config(RunConfig()))
    leaves = {f"{section}.{key}" for section, table in whole.items() if section != "name" for key in table} | {"name"}
    assert leaves == set(known_keys()) - set(whole) | {"name"}
    for key in leaves:
        section, _, leaf = key.partition(".")
        value = whole[section][leaf] if leaf else whole[section]
        assert build_config({}, {key: value}) == RunConfig(), key


def test_a_frozen_config_cannot_be_changed_under_a_run() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().training.epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize("text", ["quickstart", "quickstart.toml", "presets/quickstart.toml", "presets/quickstart"])
def test_a_preset_is_found_by_name_from_any_directory(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_preset(text).name == "quickstart.toml"
    assert find_preset(text).is_file()


def test_a_users_own_file_comes_before_the_preset_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart.toml").write_text("")
    assert find_preset("quickstart.toml").absolute() == tmp_path / "quickstart.toml"


def test_the_best_recipes_are_found_by_folder_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = [preset for preset in list_presets() if preset.name.startswith("best/")]
    assert found
    for preset in found:
        assert find_preset(preset.name) == find_preset(f"presets/{preset.name}.toml") == preset.path
        assert load_config(preset.path).name == preset.path.stem


@pytest.mark.parametrize("text", ["quikstart", "elsewhere/quickstart.toml", "~nobody-of-that-name/x", "x" * 5000, ""])
def test_a_preset_that_is_not_there_is_answered_with_where_to_look(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_preset(text)
    assert "tuiae presets" in caught.value.hint
    meant = "quickstart" in caught.value.cause.replace(text or "-", "")
    assert meant == ("quickstart" in text or text == "quikstart")


# Every setting, for those who list them


def test_every_setting_has_a_sentence_and_its_default_is_typed_as_it_is_read() -> None:
    settings = list_settings()
    assert {setting.key for setting in settings} == set(settings_of(RunConfig()))
    for setting in settings:
        assert setting.sentence.endswith("."), setting.key
        if setting.key != "training.shards":  # a config puts a number in place of auto
            assert setting.default == settings_of(RunConfig())[setting.key]
        assert read_value(setting, typed(setting.default)) == setting.default
        assert not setting.choices or typed(setting.default) in setting.choices


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("training.flip", "true", True),
        ("training.clip_norm", ".5", 0.5),
        ("model.channels", "[8, 16]", [8, 16]),
        ("model.stride", "2 1", [2, 1]),
        ("data.classes", "ankle boot, bag", ["ankle boot", "bag"]),
        ("data.classes", "3, 8", ["3", "8"]),
        ("data.dataset", "1234", "1234"),
        ("data.validation", "0.1", 0.1),
        ("data.validation", "test", "test"),
        ("training.schedule", "cosine", "cosine"),
    ],
)
def test_what_is_typed_for_a_setting_is_what_it_takes(key: str, text: str, value: Any) -> None:
    setting = next(setting for setting in list_settings() if setting.key == key)
    assert read_value(setting, text) == value
    assert settings_of(build_config({}, {key: read_value(setting, text)}))[key] == value
