"""`tuiae reproduce` from its first run to its report."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHECKOUT, Laboratory, SharedLaboratory
from tests.small_work import WORK
from tests.training import train
from tuiae.cli.output import Output
from tuiae.cli.reproduce import reproduce_works
from tuiae.errors import ConfigError, ExitCode, TuiaeError
from tuiae.reproduce.work import find_work, load_work, make_plan
from tuiae.runs.paths import list_runs
from tuiae.runs.reader import read_status
from tuiae.runs.writer import create_run

WORKS = ("andruskiewitsch-2020", "magallanes-2022", "pacheco-2023", "politano-2020", "tp5-2022")

TRIFLE = """
title = "A trifle"
source = "Nobody (2026)"

[[run]]
id = "two"
config.data.dataset = "glyphs"
config.model = { family = "dense", latent = 2 }
config.training = { epochs = 2, batch_size = 32, learning_rate = 1e-2, device = "cpu" }

[[claim]]
id = "falls"
text = "The loss falls."
measure = { start = "first('two', 'train/loss')", end = "final('two', 'train/loss')" }
holds = "end < start"
"""
NO_NETWORK = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}


@pytest.fixture(scope="module")
def reproduced(shared_lab: SharedLaboratory) -> tuple[Laboratory, Path, Any]:
    """The small work, run once: its laboratory, its file, and the document that the command printed."""
    lab = Laboratory(shared_lab.root / "reproduced")
    options = ("--json", "--jobs", "2", "--markdown", str(lab.root / "small.md"))

    def make() -> str:
        return reproduce(lab, lab.preset(WORK, "small-work.toml"), *options).stdout

    return lab, lab.root / "small-work.toml", json.loads(shared_lab.once("reproduced", make))


@pytest.fixture(scope="module")
def again(shared_lab: SharedLaboratory, reproduced: tuple[Laboratory, Path, Any]) -> tuple[list[str], Any]:
    """The same work once more: the runs that were there before it, and the document of this second call."""
    lab, path, _ = reproduced
    options = ("--json", "--markdown", str(lab.root / "again.md"))

    def make() -> str:
        before = [run.id for run in list_runs(lab.runs)]
        return json.dumps([before, reproduce(lab, str(path), *options).document])

    before, document = json.loads(shared_lab.once("again", make))
    return before, document


def reproduce(lab: Laboratory, *arguments: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in NO_NETWORK.items():
            patch.setenv(name, value)
        return lab("reproduce", *arguments)


def claims_of(document: Any) -> dict[str, Any]:
    return {claim["id"]: claim for claim in document["works"][0]["claims"]}


@pytest.mark.thorough
def test_a_work_is_run_and_judged_claim_by_claim(reproduced: tuple[Laboratory, Path, Any]) -> None:
    claims = claims_of(reproduced[2])
    assert {name: claim["verdict"] for name, claim in claims.items()} == {
        "falls": "reproduced",
        "wider": "only with a change",
        "never": "not reproduced",
        "answers": "reproduced",
        "classes": "reproduced",
        "gone": "not run",
    }
    assert claims["wider"]["change"] == "a code of 20"
    printed, changed = claims["wider"]["recipes"]
    assert [trial["seed"] for trial in printed["seeds"]] == [0, 1]
    assert printed["seeds"][0]["values"]["measured"] > 0.1 > changed["seeds"][0]["values"]["measured"]
    assert len(claims["classes"]["recipes"][0]["seeds"]) == 1


def test_a_claim_whose_images_are_not_to_be_had_says_why_while_others_go_on(
    reproduced: tuple[Laboratory, Path, Any],
) -> None:
    work = reproduced[2]["works"][0]
    assert any("mnist" in problem and "tuiae data import" in problem for problem in work["problems"])
    assert "'elsewhere' with seed 0 has no finished run" in claims_of(reproduced[2])["gone"]["recipes"][0]["reason"]


def test_a_second_call_trains_nothing_and_comes_to_the_same(
    reproduced: tuple[Laboratory, Path, Any], again: tuple[list[str], Any]
) -> None:
    lab, _, document = reproduced
    before, second = again
    assert len(before) == 6
    assert [run.id for run in list_runs(lab.runs)] == before
    assert second["works"] == document["works"]


def test_the_runs_carry_the_tag_of_their_work_and_the_report_is_no_run(
    reproduced: tuple[Laboratory, Path, Any],
) -> None:
    lab, _, document = reproduced
    listed = lab("runs", "--tag", "work:small-work", "--json").document
    assert len(listed) == len(document["works"][0]["runs"]) == 6
    assert Path(document["report"]).parent == lab.runs / "reports"


@pytest.mark.thorough
def test_plain_output_has_a_line_for_each_recipe_and_no_escape_codes(
    reproduced: tuple[Laboratory, Path, Any],
) -> None:
    lab, path, _ = reproduced
    out = reproduce(lab, str(path), "--plain").stdout
    assert "\x1b" not in out
    assert re.search(r"✗ as printed: 0\.1\d+ ± 0\.\d+ \(0 of 2 seeds\)", out)
    assert re.search(r"✓ a code of 20: 0\.0\d+ ± ", out)


@pytest.mark.usefixtures("again")
def test_the_markdown_holds_verdicts_and_runs_and_is_the_same_every_time(
    reproduced: tuple[Laboratory, Path, Any],
) -> None:
    lab, _, _ = reproduced
    first = (lab.root / "small.md").read_text()
    assert (lab.root / "again.md").read_text() == first


def test_the_report_shows_every_figure_and_needs_nothing_from_elsewhere(
    reproduced: tuple[Laboratory, Path, Any],
) -> None:
    page = Path(reproduced[2]["report"]).read_text()
    for title in re.findall(r'kind = "[\w-]+"\ntitle = "(.+)"', WORK):
        assert f"{title.replace('<', '&lt;').replace('>', '&gt;')}.</b>" in page, title
    assert "<script" not in page
    assert "<link" not in page
    assert "@import" not in page
    fetched = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert all(target.startswith(("#", "data:image/png;base64,")) for target in fetched), set(fetched)


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
)


def browse(page: Path, profile: Path, *options: str) -> tuple[str, int]:
    """The document as a browser has it in the end, and how many requests the page has made.

    No host is found, whatever is asked for. The browser also calls its makers by itself: those requests have no origin.
    """
    log = profile.with_suffix(".json")
    fixed = (*QUIET, f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND", f"--log-net-log={log}")
    seen = subprocess.run(
        [str(CHROMIUM), *fixed, *options, page.as_uri()], capture_output=True, text=True, timeout=180, check=True
    )
    return seen.stdout, len(re.findall(r'"initiator":"(?!not an origin)', log.read_text()))


@pytest.fixture
def browser(tmp_path: Path) -> None:
    """A browser that opens pages of temporary folders: one from a snap does not, nor one without its libraries."""
    if CHROMIUM is None:
        pytest.skip("no chromium or chrome on the PATH")
    page = tmp_path / "hello.html"
    page.write_text("<p>hello</p>")
    try:
        shown, _ = browse(page, tmp_path / "hello", "--dump-dom")
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{CHROMIUM} does not work here: {error}")
    if "<p>hello</p>" not in shown:
        pytest.skip(f"{CHROMIUM} opens no page here")


@pytest.mark.usefixtures("browser")
def test_a_browser_without_network_shows_the_report(reproduced: tuple[Laboratory, Path, Any], tmp_path: Path) -> None:
    report = Path(reproduced[2]["report"])
    document, requests = browse(report, tmp_path / "report", "--dump-dom")
    assert requests == 0
    assert "only with a code of 20" in document
    assert document.count("<figure>") == 9
    greedy = tmp_path / "greedy.html"
    greedy.write_text('<img src="http://tuiae.invalid/picture.png">')
    assert browse(greedy, tmp_path / "greedy", "--dump-dom")[1] == 1
    picture = tmp_path / "page.png"
    browse(report, tmp_path / "shot", "--window-size=1100,1600", f"--screenshot={picture}")
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == (1100, 1600)
        colours = image.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 100


def test_claims_are_listed_without_running_anything(lab: Laboratory) -> None:
    out = lab("reproduce", "andruskiewitsch-2020", "--claims").stdout
    assert "final('adam-64', 'test/mse')" in out
    listed = lab("reproduce", "--claims", "--json").document
    assert [work["work"] for work in listed] == list(WORKS)
    assert list_runs(lab.runs) == []


def test_a_mistaken_work_ends_with_the_exit_code_of_a_config(lab: Laboratory) -> None:
    path = lab.preset(WORK.replace("final('two', 'test/loss')", "final('too', 'test/loss')"), "mistaken.toml")
    with pytest.raises(ConfigError) as told:
        reproduce_works(path, Output())
    assert told.value.exit_code == ExitCode.USAGE
    assert list_runs(lab.runs) == []


def test_a_report_without_matplotlib_says_what_to_install_before_anything_trains(lab: Laboratory) -> None:
    path = lab.preset(WORK, "small-work.toml")
    # To the import system a module that is None in sys.modules is one that is not there.
    hide = "import sys; sys.modules['matplotlib'] = None; from tuiae.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", hide, "reproduce", path, "--report", str(lab.root / "page.html")],
        env=lab.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2
    assert "tuiae[studies]" in result.stderr
    assert list_runs(lab.runs) == []


@pytest.mark.parametrize("place", ["", "nowhere/page.html", "closed/page.html"])
def test_a_report_that_could_not_be_written_is_refused_before_anything_trains(lab: Laboratory, place: str) -> None:
    path = lab.preset(WORK, "small-work.toml")
    (lab.root / "closed").mkdir(mode=0o500)
    if place.startswith("closed") and os.access(lab.root / "closed", os.W_OK):
        pytest.skip("to this user no folder is closed")
    for option in ("html", "markdown"):
        with pytest.raises(ConfigError):
            reproduce_works(path, Output(), **{option: lab.root / place})
    assert list_runs(lab.runs) == []


@pytest.mark.parametrize("name", ["trifle.html", "trifle.json"])
def test_what_cannot_be_written_in_the_end_comes_after_the_verdicts(
    lab: Laboratory, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = Path(lab.preset(TRIFLE, "trifle.toml"))
    plan = make_plan(path)
    train(create_run(plan.jobs[0].config, lab.runs, [], [plan.tag]))
    taken = lab.runs / "reports" / name
    taken.mkdir(parents=True)
    with pytest.raises(TuiaeError, match=str(taken)):
        reproduce_works(str(path), Output(plain=True))
    assert "falls  ✓ " in capsys.readouterr().out
    assert reproduce_works(str(path), Output(json=True)) == ExitCode.USAGE
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["works"][0]["claims"][0]["verdict"] == "reproduced"
    assert (document["report"], document["exit_code"]) == (None, 2)
    for words in (document["error"], told.err):
        assert str(taken) in words


@pytest.mark.thorough
def test_tp5_goes_from_its_last_run_to_its_report_without_a_network(lab: Laboratory) -> None:
    path = find_work("tp5-2022")
    plan = make_plan(path, quick=True)
    jobs = [job for job in plan.jobs if job.config.data.dataset == "glyphs"]
    # A process for each imports torch each time; one is left to the command, as the small work leaves it all.
    for job in jobs[:-1]:
        train(create_run(job.config, lab.runs, [], [plan.tag]))
    done = {run.id for run in list_runs(lab.runs)}
    result = reproduce(lab, "tp5-2022", "--quick", "--jobs", "2", "--json")
    (own,) = {run.id for run in list_runs(lab.runs)} - done
    assert read_status(lab.run(own)).state == "finished"
    document = result.document
    assert document["provisional"] is True
    verdicts = {name: claim["verdict"] for name, claim in claims_of(document).items()}
    # Two hundred epochs settle nothing; what counts is that each was judged, or says why not.
    assert {name for name, verdict in verdicts.items() if verdict == "not run"} == {"c1", "c2"}
    assert any("fashion-mnist" in problem for problem in document["works"][0]["problems"])
    page = Path(document["report"]).read_text()
    assert page.count("<figure>") == sum(1 for figure in load_work(path).figure if "vae" not in figure.runs)
    assert (CHECKOUT / "presets" / "works" / "tp5-2022.toml").is_file()
