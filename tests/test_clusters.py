"""Studies on other machines: jobs of SLURM, by submitit's executor for this machine, and nodes of a Ray cluster.

They run where the extras are installed, which `make clusters` does.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import CHECKOUT, Laboratory, wait_until
from tests.small_work import WORK
from tuiae.config import RunConfig, load_config
from tuiae.errors import ConfigError, DataError, TrainingError, UnknownRunError
from tuiae.runs.checkpoints import find_checkpoint
from tuiae.runs.paths import RunPaths, list_runs
from tuiae.runs.reader import read_status
from tuiae.studies.jobs import Job, StudyProgress, run_jobs
from tuiae.studies.places import Resources, Wish, place_of

pytestmark = pytest.mark.clusters
LONG = {"training__epochs": 40, "training__batch_size": 25}


def sweep_text(lab: Laboratory) -> str:
    lab.preset()
    return 'name = "widths"\npreset = "small.toml"\n[set]\ntraining.epochs = 1\n[grid]\nmodel.latent = [2, 4]\n'


def small(lab: Laboratory, **settings: Any) -> RunConfig:
    changes = {"training__epochs": 1, **settings}
    return load_config(Path(lab.preset()), {key.replace("__", "."): value for key, value in changes.items()})


def starts(run: RunPaths) -> list[int]:
    """The steps at which workers began."""
    events = (json.loads(line) for line in run.events.read_text().splitlines())
    return [event["step"] for event in events if event["kind"] == "start"]


# SLURM


@pytest.fixture
def slurm() -> Any:
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    from tuiae.studies.clusters import Slurm

    return Slurm


def test_jobs_of_slurm_train_what_this_machine_would(lab: Laboratory, slurm: Any) -> None:
    place = slurm(lab.runs, "study", Resources(num_cpus=1, minutes=5), cluster="local")
    jobs = [Job("one", small(lab)), Job("two", small(lab, model__latent=4))]
    told: list[tuple[str, str]] = []

    def tell(progress: StudyProgress) -> None:
        told.extend((news.what, news.label) for news in progress.news)

    found = run_jobs(jobs, lab.runs, "study", tell=tell, place=place)
    assert sorted(told) == [(what, label) for what in ("finished", "started") for label in ("one", "two")]
    assert {read_status(run).state for run in found.values()} == {"finished"}
    assert [starts(run) for run in found.values()] == [[0], [0]]
    assert sorted(list_runs(lab.runs), key=str) == sorted(found.values(), key=str)


def test_a_job_that_slurm_warns_is_saved_and_goes_on_in_the_next(lab: Laboratory, slurm: Any) -> None:
    place = slurm(lab.runs, "study", Resources(minutes=5), cluster="local")
    warned: list[int] = []

    def tell(progress: StudyProgress) -> None:
        for _, snapshot in progress.running:
            if snapshot.checkpoints and not warned:
                warned.append(psutil.Process(snapshot.status.pid).ppid())
                os.kill(warned[0], signal.SIGUSR2)  # as `--signal=USR2@120` has it

    found = run_jobs([Job("long", small(lab, **LONG))], lab.runs, "study", tell=tell, place=place)
    begun = starts(found["long"])
    assert begun[0] == 0
    assert len(begun) == 2
    assert begun[1] > 0


def test_what_is_stopped_on_slurm_goes_on_here(lab: Laboratory, slurm: Any) -> None:
    jobs, told = [Job("long", small(lab, **LONG))], list[str]()

    def tell(progress: StudyProgress) -> None:
        if not told and any(snapshot.checkpoints for _, snapshot in progress.running):
            told.append("once: a second Ctrl-C would not wait")
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, lab.runs, "study", tell=tell, place=slurm(lab.runs, "study", Resources(), cluster="local"))
    (run,) = list_runs(lab.runs)
    assert read_status(run).state == "stopped"
    assert run_jobs(jobs, lab.runs, "study") == {"long": run}
    assert len(starts(run)) == 2


STAND_INS = {
    # Each task of an array at once, on this machine, as a job of its own.
    "sbatch": """#!{python}
import os, re, subprocess, sys
text = open(sys.argv[1]).read()
found = re.search(r"--array=0-(\\d+)", text)
print("Submitted batch job", os.getpid())
for task in range(int(found[1]) + 1 if found else 1):
    job = {{"SLURM_ARRAY_JOB_ID": str(os.getpid()), "SLURM_ARRAY_TASK_ID": str(task)}} if found else {{}}
    null = subprocess.DEVNULL
    environment = {{**os.environ, "SLURM_JOB_ID": str(os.getpid()), **job}}
    subprocess.Popen(["bash", "-c", text], env=environment, stdin=null, stdout=null, stderr=null)
""",
    "srun": '#!/bin/sh\nwhile :; do case $1 in --output|--error) shift 2;; -*) shift;; *) exec "$@";; esac; done\n',
    "scontrol": '#!/bin/sh\necho "$3"\n',  # show hostnames LIST
    "sacct": "#!/bin/sh\necho 'JobID|State|NodeList'\n",
    "tuiae": '#!/bin/sh\nexec {python} -m tuiae "$@"\n',
}
"""SLURM's commands as far as submitit uses them, and ours."""


def run_script(lab: Laboratory, folder: Path, words: str, *changes: tuple[str, str]) -> None:
    """Run the script of docs/servers.md that has these words, on a machine that takes itself for a cluster of SLURM."""
    for name, text in STAND_INS.items():
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    (lab.root / "best.toml").write_text(sweep_text(lab))
    scripts = re.findall(
        r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", (CHECKOUT / "docs/servers.md").read_text(), re.DOTALL
    )
    (script,) = [text for text in scripts if words in text]
    places = (("/path/on/shared/disk/runs", str(lab.runs)), ("/path/on/shared/disk", str(lab.root)))
    for before, after in (*places, *changes):
        assert before in script
        script = script.replace(before, after)
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    nodes = {"SLURM_JOB_NODELIST": "127.0.0.1", "SLURM_JOB_NUM_NODES": "2"}
    environment = {**lab.environment, **nodes, "PATH": path, "PYTHONPATH": str(CHECKOUT)}
    with open(folder / "job.log", "wb") as log:
        job = subprocess.Popen(
            ["bash", "-c", script], cwd=lab.root, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        assert job.wait(200) == 0, (folder / "job.log").read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGTERM)  # as SLURM ends what a job has left behind
    assert [read_status(run).state for run in list_runs(lab.runs)] == ["finished"] * 2


@pytest.mark.usefixtures("slurm")
def test_the_script_for_a_job_array_trains_a_sweep(lab: Laboratory, tmp_path: Path) -> None:
    run_script(lab, tmp_path, "--on slurm")
    (submitted,) = (lab.runs / "reports" / "slurm").glob("*_submission.sh")
    assert "#SBATCH --array=0-1%" in submitted.read_text()


@pytest.mark.parametrize(("devices", "gpus", "fits"), [(1, 0.5, True), (2, 2, True), (2, 1, False), (2, 0, True)])
def test_a_training_gets_a_card_for_each_of_its_devices(
    lab: Laboratory, slurm: Any, devices: int, gpus: float, fits: bool
) -> None:
    config = small(lab, training__devices=devices, training__device="auto", training__shards=2)
    wish, given = Wish("slurm", gpus=gpus), Resources()
    with pytest.raises(ConfigError) as refused, place_of(wish, given, lab.runs, "study", 1, [Job("one", config)]):
        pass  # which SLURM, that is not here, would refuse as well
    assert ("training.devices" in refused.value.cause) is not fits


def test_slurm_refuses_what_it_cannot_give(lab: Laboratory, slurm: Any) -> None:
    for resources in (Resources(num_gpus=0.5), Resources(slurm={"partitoin": "gpu"})):
        with pytest.raises(ConfigError):
            slurm(lab.runs, "study", resources, cluster="local")
    (lab.root / "sweep.toml").write_text(sweep_text(lab))
    assert "sbatch" in lab("sweep", "sweep.toml", "--on", "slurm", "--json", check=2).document["error"]
    assert not list_runs(lab.runs)


@pytest.mark.parametrize(("place", "module", "extra"), [("ray", "ray", "ray"), ("slurm", "submitit", "slurm")])
def test_without_the_library_the_extra_is_named(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch, place: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (lab.root / "sweep.toml").write_text(sweep_text(lab))
    for command in (("sweep", "sweep.toml"), ("reproduce",)):
        document = lab(*command, "--on", place, "--json", check=2).document
        assert f"tuiae[{extra}]" in document["hint"]
    assert not list_runs(lab.runs)


# Ray


@pytest.mark.usefixtures("slurm")
def test_the_script_for_ray_on_slurm_trains_a_sweep(lab: Laboratory, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run_script(lab, tmp_path, "--on ray", ("6379", str(port)))


HERE_ALONE = {"TUIAE_TEST_NODE": "broken"}
"""In the environment of one of two nodes."""
NET = """
import os
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        if os.environ.get("TUIAE_TEST_NODE"):
            raise RuntimeError("this node has no luck")
        return self.layer(x)
"""


@dataclass(frozen=True)
class TwoNodes:
    """A cluster of two nodes with a core each, beside a head that trains nothing."""

    cluster: Any
    place: Any

    def pid(self, node: Any) -> int:
        return node.all_processes["raylet"][0].process.pid


@pytest.fixture
def ray(lab: Laboratory, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    from ray.cluster_utils import Cluster

    from tuiae.studies.clusters import Ray

    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False)
    for environment in getattr(request, "param", ({}, {})):
        cluster.add_node(num_cpus=1, env_vars=environment)
    place = None
    try:
        place = Ray(cluster.address, Resources())
        yield TwoNodes(cluster, place)
    finally:
        if place is not None:
            place.close()
        cluster.shutdown()


def test_a_node_that_dies_loses_no_trial_and_none_is_trained_twice(lab: Laboratory, ray: TwoNodes) -> None:
    jobs = [Job(f"{latent}", small(lab, **LONG, model__latent=latent)) for latent in (2, 3, 4)]
    moved: list[str] = []
    told: list[tuple[str, str]] = []

    def tell(progress: StudyProgress) -> None:
        told.extend((news.what, news.label) for news in progress.news)
        under_way = [snapshot for _, snapshot in progress.running if snapshot.checkpoints]
        if moved or len(under_way) < 2:
            return
        for snapshot in under_way:
            above = {parent.pid for parent in psutil.Process(snapshot.status.pid).parents()}
            for node in list(ray.cluster.worker_nodes):
                if not moved and ray.pid(node) in above:
                    moved.append(snapshot.id)
                    os.kill(snapshot.status.pid, signal.SIGKILL)
                    ray.cluster.remove_node(node, allow_graceful=False)

    ray.place.check_nodes(lab.runs, [("digits", 0)])
    assert ray.place.most == 2
    found = run_jobs(jobs, lab.runs, "study", tell=tell, place=ray.place)
    assert len(list_runs(lab.runs)) == len(found) == 3
    assert {read_status(run).state for run in found.values()} == {"finished"}
    for run in found.values():
        begun = starts(run)
        assert (len(begun), begun[0]) == (1 + (run.id in moved), 0)
        assert begun[-1] > 0 or run.id not in moved
    assert [what for what, _ in told].count("lost") == 1


def test_ray_finds_out_what_its_nodes_lack_before_anything_trains(
    lab: Laboratory, ray: TwoNodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ray.place.check_nodes(lab.runs, [("digits", 0)])
    with pytest.raises(DataError):
        ray.place.check_nodes(lab.runs, [("digits", 0), (f"folder:{tmp_path}/gone", 0)])
    # What one machine cannot have: a folder that the nodes see with another content, and another version.
    for name, value, error in (("look", look_elsewhere, UnknownRunError), ("__version__", "0.0", ConfigError)):
        with monkeypatch.context() as patch:
            patch.setattr(f"tuiae.studies.clusters.{name}", value)
            with pytest.raises(error):
                ray.place.check_nodes(lab.runs, [])
    assert list(lab.runs.iterdir()) == []
    ray.place.close()
    address = ray.cluster.address
    with monkeypatch.context() as patch:
        patch.setattr("ray.__version__", "9.9")
        with pytest.raises(ConfigError, match=r"Ray 9\.9"):
            type(ray.place)(address, Resources())
    (lab.root / "sweep.toml").write_text(sweep_text(lab))
    for words in ((address, "--gpus", "0.5"), ("127.0.0.1:9",), ("ray://127.0.0.1:10001",), ("nowhere",)):
        lab("sweep", "sweep.toml", "--json", "--on", "ray", "--address", *words, check=2)
    assert not list_runs(lab.runs)


def test_a_killed_study_on_ray_goes_on_and_an_interrupted_one_saves(lab: Laboratory, ray: TwoNodes) -> None:
    (lab.root / "sweep.toml").write_text(sweep_text(lab).replace("training.epochs = 1", "training.epochs = 20000"))
    command = ("sweep", "sweep.toml", "--json", "--on", "ray", "--address", ray.cluster.address)
    process = lab.start(*command)
    wait_until(lambda: sum(find_checkpoint(run) is not None for run in list_runs(lab.runs)) == 2)
    process.kill()
    process.communicate()
    runs = list_runs(lab.runs)
    wait_until(lambda: not any(read_status(run).live for run in runs))
    process = lab.start(*command)
    wait_until(lambda: [len(starts(run)) for run in runs] == [2, 2])
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 5, stderr
    assert [read_status(run).state for run in list_runs(lab.runs)] == ["stopped"] * 2
    assert all(starts(run)[1] > 0 for run in runs)


@pytest.mark.parametrize("ray", [({}, HERE_ALONE), (HERE_ALONE, HERE_ALONE)], indirect=True, ids=["one", "both"])
def test_what_fails_on_one_node_is_trained_on_the_other_and_what_fails_on_both_has_failed(
    lab: Laboratory, ray: TwoNodes, request: pytest.FixtureRequest
) -> None:
    lab.preset()
    (lab.root / "net.py").write_text(NET)
    settings = {"model__family": "custom", "model__code": f"{lab.root}/net.py:Net", "training__loss": "mse"}
    jobs = [Job(f"{seed}", small(lab, **settings, training__seed=seed)) for seed in range(2)]
    told: list[str] = []

    def tell(progress: StudyProgress) -> None:
        told.extend(news.what for news in progress.news)

    if request.node.callspec.id == "both":
        with pytest.raises(TrainingError, match="no luck"):
            run_jobs(jobs, lab.runs, "study", tell=tell, place=ray.place)
        assert (told.count("lost"), told.count("failed")) == (2, 2)
    else:
        found = run_jobs(jobs, lab.runs, "study", tell=tell, place=ray.place)
        assert {read_status(run).state for run in found.values()} == {"finished"}
        assert told.count("lost") == 1
    assert len(list_runs(lab.runs)) == 2


def test_a_work_trains_on_ray(lab: Laboratory, ray: TwoNodes) -> None:
    lab.preset()
    (lab.root / "work.toml").write_text(WORK)
    ray.place.close()
    where = ("--on", "ray", "--address", ray.cluster.address)
    document = lab("reproduce", "work.toml", "--quick", "--json", *where).document
    (work,) = document["works"]
    runs = [lab.run(one["run"]) for one in work["runs"]]
    assert len(runs) > 2
    assert {read_status(run).state for run in runs} == {"finished"}
    assert [starts(run) for run in runs] == [[0]] * len(runs)
    assert len(list_runs(lab.runs)) == len(runs)


def look_elsewhere(token: str, words: str, *rest: Any) -> Any:
    """What a node says that does not share the folder."""
    from tuiae.studies.clusters import look

    return look(token + ".elsewhere", words, *rest)
