"""Sweeps: what a file stands for, and the runs that come of it; and the jobs beneath them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL, Laboratory, Result, SharedLaboratory, wait_until
from tuiae.config import RunConfig, load_config
from tuiae.config.presets import list_presets, presets_dir
from tuiae.errors import ConfigError, TrainingError, TuiaeError
from tuiae.machine import count_cores
from tuiae.render.sweeps import draw_bars
from tuiae.reproduce.work import load_work
from tuiae.runs import control
from tuiae.runs.labels import read_tags
from tuiae.runs.listing import RunLister
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.process import worker_environment
from tuiae.runs.reader import read_config, read_status
from tuiae.runs.writer import RunWriter, alone, create_run
from tuiae.studies.jobs import Job, StudyProgress, finished_runs, run_jobs
from tuiae.studies.sweep import Sweep, find_sweep, load_sweep

SHORT = """
name = "widths"
preset = "small.toml"
seeds = [0, 1]
[set]
"training.epochs" = 2
[grid]
"model.latent" = [2, 8]
"""


def write(lab: Laboratory, text: str, name: str = "sweep.toml") -> Path:
    lab.preset()
    return Path(lab.preset(text, name))


def sweep_of(lab: Laboratory, text: str) -> Sweep:
    head = 'name = "mine"\npreset = "small.toml"\n'
    return load_sweep(write(lab, head + text))


def labels(sweep: Sweep) -> list[str]:
    return [job.label for job in sweep.jobs]


def values(sweep: Sweep, key: str) -> list[Any]:
    return [combination.values[key] for combination in sweep.combinations]


# What a file stands for


def test_a_file_without_a_name_is_called_after_itself(lab: Laboratory) -> None:
    sweep = load_sweep(write(lab, 'preset = "small.toml"\n[grid]\n"model.latent" = [4]', "codes.toml"))
    assert (sweep.name, sweep.tag) == ("codes", "sweep:codes")


@pytest.mark.parametrize(
    ("read", "file", "command"),
    [
        (load_config, "sweeps/code_size.toml", "sweep"),
        (load_config, "works/politano-2020.toml", "reproduce"),
        (load_sweep, "quickstart.toml", "run"),
        (load_work, "sweeps/code_size.toml", "sweep"),
    ],
)
def test_a_file_for_another_command_names_that_one(read: Callable[[Path], object], file: str, command: str) -> None:
    path = presets_dir() / file
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert caught.value.hint == f"tuiae {command} {path}"


def test_a_grid_is_every_combination_with_every_seed(lab: Laboratory) -> None:
    sweep = sweep_of(lab, 'seeds = [0, 1]\n[grid]\n"model.latent" = [4, 8]\n"model.hidden" = [[16], [32, 16]]')
    assert labels(sweep) == [
        f"latent={latent} hidden={hidden} seed={seed}"
        for latent in (4, 8)
        for hidden in ("[16]", "[32,16]")
        for seed in (0, 1)
    ]
    config = sweep.jobs[-1].config
    assert (config.model.latent, config.model.hidden, config.training.seed) == (8, (32, 16), 1)
    assert (config.name, config.noise.kind, sweep.tag) == ("mine", "gaussian", "sweep:mine")


def test_what_is_set_holds_for_all_and_seeds_default_to_the_presets_own(lab: Laboratory) -> None:
    sweep = sweep_of(lab, '[set]\ntraining.epochs = 7\n"training.seed" = 5\n[grid]\nmodel.latent = [4, 8]')
    assert [(job.config.training.epochs, job.config.training.seed) for job in sweep.jobs] == [(7, 5), (7, 5)]
    assert labels(sweep) == ["latent=4", "latent=8"]


def test_a_list_is_exactly_its_entries_each_once(lab: Laboratory) -> None:
    entry = '[[list]]\n"model.latent" = 4\n"training.learning_rate" = 1e-2\n'
    sweep = sweep_of(lab, f'{entry}[[list]]\n"model.latent" = 8\n{entry}')
    assert labels(sweep) == ["latent=4 learning_rate=0.01", "latent=8"]


def test_figures_of_runs_under_their_own_noise_or_of_their_own_images_rank_none(lab: Laboratory) -> None:
    assert sweep_of(lab, "[grid]\nmodel.latent = [4, 8]").ranked_by == "loss"
    noises = sweep_of(lab, "[grid]\nnoise.level = [0.1, 0.3]")
    assert noises.ranked_by == ""
    assert "gaussian 0.1, gaussian 0.3" in noises.unlike
    assert sweep_of(lab, '[grid]\ndata.dataset = ["glyphs", "digits"]').ranked_by == ""


def test_random_draws_stay_in_their_ranges_and_repeat(lab: Laboratory) -> None:
    text = """[random]
draws = {draws}
seed = 3
"training.learning_rate" = {{ low = 1e-4, high = 1e-1, log = true }}
"model.latent" = {{ low = 1, high = 4 }}
"training.optimizer" = {{ choices = ["adam", "sgd"] }}
"""
    sweep = sweep_of(lab, text.format(draws=200))
    rates = values(sweep, "training.learning_rate")
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    # Even in the logarithm: a third of the draws in each of the three decades.
    assert 0.2 < sum(rate < 1e-3 for rate in rates) / len(rates) < 0.47
    assert set(values(sweep, "model.latent")) == {1, 2, 3, 4}
    assert set(values(sweep, "training.optimizer")) == {"adam", "sgd"}
    fewer = sweep_of(lab, text.format(draws=20))
    assert values(fewer, "training.learning_rate") == rates[:20]


def test_the_sweeps_that_come_along_are_valid_and_no_presets(lab: Laboratory) -> None:
    files = sorted((presets_dir() / "sweeps").glob("*.toml"))
    assert files
    for file in files:
        assert load_sweep(find_sweep(file.stem)).jobs
        assert file.read_text().startswith("#")
    assert not {preset.name for preset in list_presets()} & {file.stem for file in files}


def test_bad_input_leaves_no_run(lab: Laboratory) -> None:
    write(lab, SHORT.replace("[2, 8]", "[2, 0]"))
    result = lab("sweep", "sweep.toml", "--json", check=2)
    assert "model.latent = 0" in result.document["error"]
    assert not list_runs(lab.runs)
    lab("sweep", "missing.toml", check=2)


def test_what_does_not_fit_the_images_is_refused_before_anything_trains(lab: Laboratory) -> None:
    write(lab, SHORT.replace('"model.latent" = [2, 8]', '"model.family" = ["dense", "conv"]'))
    lab("sweep", "sweep.toml", check=2)
    assert not list_runs(lab.runs)


def test_a_missing_data_set_is_the_code_for_data(lab: Laboratory) -> None:
    write(lab, SHORT.replace("[set]", '[set]\n"data.dataset" = "folder:/nowhere/at/all"'))
    lab("sweep", "sweep.toml", check=3)
    assert not list_runs(lab.runs)


# Training one


@pytest.fixture(scope="module")
def swept(shared_lab: SharedLaboratory) -> tuple[Laboratory, Result]:
    """A sweep of four runs, two at a time, to its end. Look, do not touch."""
    lab = Laboratory(shared_lab.root / "swept")

    def make() -> str:
        write(lab, SHORT)
        return json.dumps(asdict(lab("sweep", "sweep.toml", "--jobs", "2", "--json")))

    return lab, Result(**json.loads(shared_lab.once("swept", make)))


def test_a_sweep_ends_with_one_document(swept: tuple[Laboratory, Result]) -> None:
    lab, result = swept
    document = result.document
    assert (document["sweep"], document["tag"]) == ("widths", "sweep:widths")
    runs = document["runs"]
    assert [(run["values"]["model.latent"], run["seed"]) for run in runs] == [(2, 0), (2, 1), (8, 0), (8, 1)]
    assert {run["state"] for run in runs} == {"finished"}
    for run in runs:
        config = read_config(lab.run(run["run"]))
        assert config is not None
        assert (config.model.latent, config.training.seed) == (run["values"]["model.latent"], run["seed"])
        assert run["metrics"]["test/loss"] > 0
    narrow, wide = (
        [run["metrics"]["test/loss"] for run in runs if run["values"]["model.latent"] == latent] for latent in (2, 8)
    )
    best = document["best"]
    assert best["label"] == ("latent=8" if sum(wide) < sum(narrow) else "latent=2")
    assert best["loss"]["mean"] == pytest.approx(min(sum(wide), sum(narrow)) / 2)
    assert (best["loss"]["min"], best["by"]) == (min(wide if best["label"] == "latent=8" else narrow), "loss")
    assert result.stderr.count("finished") == 4
    assert "\x1b" not in result.stderr


def test_the_same_command_again_trains_nothing(swept: tuple[Laboratory, Result]) -> None:
    lab, first = swept
    before = {run.id: run.status.stat().st_mtime_ns for run in list_runs(lab.runs)}
    again = lab("sweep", "sweep.toml", "--json")
    assert again.document == first.document
    assert {run.id: run.status.stat().st_mtime_ns for run in list_runs(lab.runs)} == before


def test_a_wider_grid_trains_only_what_is_new(swept: tuple[Laboratory, Result]) -> None:
    lab, first = swept
    (lab.root / "wider.toml").write_text(SHORT.replace("[2, 8]", "[2, 8, 4]"))
    plan = lab("sweep", "wider.toml", "--dry-run", "--json").document
    known = {run["label"]: run["run"] for run in first.document["runs"]}
    assert {run["label"]: run["run"] for run in plan["runs"] if run["state"] == "finished"} == known
    assert [run["label"] for run in plan["runs"] if run["state"] == "missing"] == ["latent=4 seed=0", "latent=4 seed=1"]
    assert len(list_runs(lab.runs)) == 4


def test_the_table_has_a_row_a_combination_and_the_key_as_bars(swept: tuple[Laboratory, Result]) -> None:
    lab, first = swept
    assert "model.latent against test loss" not in lab("sweep", "sweep.toml", "--plain").stdout
    lines = lab("sweep", "sweep.toml", "--plain", "--plot").stdout.splitlines()
    assert lines[0].split()[:2] == ["latent", "runs"]
    assert [line.split()[:2] for line in lines[1:3]] == [["2", "2/2"], ["8", "2/2"]]
    assert sum(line.rstrip().endswith("best") for line in lines[1:3]) == 1
    assert "model.latent against test loss" in lines
    assert sum("##" in line for line in lines) == 2
    assert f"best by test loss over 2 seeds: {first.document['best']['label']}" in lines


def test_the_runs_of_a_sweep_are_found_by_their_tag(swept: tuple[Laboratory, Result]) -> None:
    lab, first = swept
    listed = lab("runs", "--tag", "sweep:widths", "--json").document
    assert {run["run"] for run in listed} == {run["run"] for run in first.document["runs"]}
    assert all(run["tags"] == ["sweep:widths"] for run in listed)
    assert {row.made_from for row in RunLister(lab.runs).rows()} == {"small"}
    assert lab("runs", "--tag", "other", "--json").document == []


@pytest.mark.thorough
def test_an_interrupted_sweep_goes_on_without_repeating_itself(lab: Laboratory) -> None:
    head = SHORT[: SHORT.index("[set]")].replace("[0, 1]", "[0]")
    rows = [(2, 1, 100), (8, 60, 25), (4, 1, 100)]
    entry = '[[list]]\n"model.latent" = {}\n"training.epochs" = {}\n"training.batch_size" = {}\n'
    write(lab, head + "".join(entry.format(*row) for row in rows))

    def states() -> list[str]:
        return [read_status(run).state for run in reversed(list_runs(lab.runs))]

    process = lab.start("sweep", "sweep.toml", "--json", "--jobs", "1")
    wait_until(lambda: states() == ["finished", "running"])
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    stopped = Result(process.returncode, stdout, stderr)
    assert stopped.rc == 5
    assert "tuiae sweep" in stderr
    assert [run["state"] for run in stopped.document["runs"]] == ["finished", "stopped", "missing"]
    finished, halted = (lab.run(run["run"]) for run in stopped.document["runs"][:2])
    stamp = finished.events.stat().st_mtime_ns
    document = lab("sweep", "sweep.toml", "--json", "--jobs", "2").document
    assert [run["state"] for run in document["runs"]] == ["finished"] * 3
    assert [run["run"] for run in document["runs"][:2]] == [finished.id, halted.id]
    assert len(list_runs(lab.runs)) == 3
    assert finished.events.stat().st_mtime_ns == stamp
    assert halted.events.read_text().count('"kind":"start"') == 2


def test_two_processes_carry_out_no_sweep_together(lab: Laboratory) -> None:
    write(lab, SHORT)
    with alone(lab.runs, "sweep:widths"):
        lab("sweep", "sweep.toml", "--json", check=6)
    (lock,) = lab.runs.iterdir()
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 7, "heartbeat": time.time()}))
    assert "elsewhere" in lab("sweep", "sweep.toml", "--json", check=6).document["error"]
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 7, "heartbeat": time.time() - 3600}))
    with alone(lab.runs, "sweep:widths"):
        assert not list_runs(lab.runs)


@pytest.mark.thorough
def test_runs_that_fail_are_named_and_the_others_seen_through(lab: Laboratory) -> None:
    write(
        lab, SHORT.replace('"model.latent" = [2, 8]', '"training.learning_rate" = [1e-3, 1e6]').replace("[0, 1]", "[0]")
    )
    extra = SMALL.replace("learning_rate", "#").replace('family = "dense"', 'family = "dense"\noutput = "identity"')
    lab.preset(extra.replace("[training]", '[training]\noptimizer = "sgd"'))
    result = lab("sweep", "sweep.toml", "--json", "--jobs", "2", check=4)
    document = result.document
    assert [run["state"] for run in document["runs"]] == ["finished", "failed"]
    assert "learning_rate=1e+06: " in document["error"]
    assert document["exit_code"] == 4
    assert "1/1" in lab("sweep", "sweep.toml", "--plain", check=4).stdout


# The jobs beneath


def small(lab: Laboratory, **settings: Any) -> RunConfig:
    changes = {key.replace("__", "."): value for key, value in settings.items()}
    return load_config(Path(lab.preset()), {"training.epochs": 1, **changes})


def run_all(lab: Laboratory, jobs: list[Job], **options: Any) -> tuple[dict[str, RunPaths], list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []

    def tell(moment: StudyProgress) -> None:
        told.extend((news.what, news.label) for news in moment.news)

    return run_jobs(jobs, lab.runs, "study", tell=tell, **options), told


def test_a_job_takes_its_encoder_from_the_job_before(lab: Laboratory) -> None:
    head = small(lab, model__family="classifier", model__freeze=True, model__latent=3)
    jobs = [Job("encoder", small(lab)), Job("twin", small(lab)), Job("head", head, encoder="twin")]
    found, told = run_all(lab, jobs, workers=2, tags=("more",))
    assert found["twin"] == found["encoder"]
    assert [what for what, _ in told] == ["started", "finished", "started", "finished"]
    config = read_config(found["head"])
    assert config is not None
    assert (config.model.encoder_run, config.model.latent, config.model.hidden) == (found["encoder"].id, 8, (32,))
    assert finished_runs(jobs, lab.runs, "study") == found
    assert finished_runs(jobs, lab.runs, "another") == {}
    again, told = run_all(lab, jobs)
    assert again == found
    assert {what for what, _ in told} == {"kept"}


def test_a_run_that_somebody_else_trains_is_waited_for(lab: Laboratory) -> None:
    run = lab.detach("--tag", "study", "--epochs", "1")
    control.send(run, "pause")  # heard before the first step
    wait_until(lambda: read_status(run).state == "paused")
    told: list[tuple[str, str]] = []

    def tell(moment: StudyProgress) -> None:
        told.extend((news.what, news.label) for news in moment.news)
        if [news.what for news in moment.news] == ["waiting"]:
            control.send(run, "resume")

    assert run_jobs([Job("theirs", small(lab))], lab.runs, "study", tell=tell) == {"theirs": run}
    assert told == [("waiting", "theirs"), ("finished", "theirs")]


def test_a_run_of_somebody_else_that_cannot_be_gone_on_with_is_a_failed_job(lab: Laboratory) -> None:
    theirs = create_run(small(lab), lab.runs, [], ("study",))
    RunWriter(theirs).close("stopped")
    for path in (theirs.lock, theirs.log):
        path.mkdir()  # nobody can open it for writing, whoever runs this test
    with pytest.raises(TrainingError, match="theirs"):
        run_all(lab, [Job("theirs", small(lab))])


@pytest.mark.parametrize(
    ("second", "encoder"),
    [
        ({"model__family": "classifier"}, "missing"),
        ({}, "first"),
        ({"data__dataset": "nowhere"}, ""),
        ({"training__device": "cuda:99"}, ""),
    ],
)
def test_all_jobs_are_checked_before_one_trains(lab: Laboratory, second: dict[str, Any], encoder: str) -> None:
    with pytest.raises(TuiaeError, match="second"):
        run_all(lab, [Job("first", small(lab)), Job("second", small(lab, **second), encoder)])
    assert not list_runs(lab.runs)


def test_a_head_whose_encoder_failed_is_not_tried(lab: Laboratory) -> None:
    diverging = small(lab, training__learning_rate=1e6, training__optimizer="sgd", model__output="identity")
    jobs = [Job("encoder", diverging), Job("head", small(lab, model__family="classifier"), "encoder")]
    with pytest.raises(TrainingError, match=r"(?s)encoder.*head"):
        run_all(lab, jobs)


def test_workers_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP_NUM_THREADS" not in worker_environment()
    assert worker_environment(2)["OMP_NUM_THREADS"] == str(max(1, count_cores() // 2))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert worker_environment(2)["OMP_NUM_THREADS"] == "7"


# Tags


@pytest.mark.thorough
def test_tags_come_with_a_run_and_find_it(lab: Laboratory) -> None:
    run = lab.train("--epochs", "1", "--tag", "first:try", "--tag", "mine", "--tag", "mine")
    other = lab.train("--epochs", "1")
    assert lab("show", run.id, "--json").document["tags"] == ["first:try", "mine"]
    listed = {entry["run"]: entry["tags"] for entry in lab("runs", "--json").document}
    assert listed == {run.id: ["first:try", "mine"], other.id: []}
    plain = lab("runs", "--tag", "mine").stdout
    assert "first:try mine" in plain
    assert other.id not in plain
    lab("run", lab.preset(), "--tag", "no good", check=2)
    assert len(list_runs(lab.runs)) == 2


@pytest.mark.parametrize(
    ("meta", "tags"),
    [
        ({}, ()),
        ({"tags": "word"}, ()),
        ({"tags": {"a": 1}}, ()),
        ({"tags": [1, None, ["x"]]}, ()),
        ({"tags": ["good", "no good", "x" * 65, "\x1b[31m"]}, ("good",)),
    ],
)
def test_nonsense_in_tags_is_passed_over(meta: dict[str, Any], tags: tuple[str, ...]) -> None:
    assert read_tags(meta) == tags


# Bars


def test_bars_start_at_zero_and_fill_the_width() -> None:
    lines = draw_bars([("2", 0.5, "0.5"), ("16", 1.0, "1.0"), ("32", 0.0, "0")], 30).plain.splitlines()
    assert [line.index("█") for line in lines[:2]] == [4, 4]
    assert (lines[1].count("█"), lines[0].count("█")) == (22, 11)
    assert max(map(len, lines)) <= 30
    assert draw_bars([], 30).plain == ""
