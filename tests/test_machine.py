"""The machine: what is read of it, how cards are named and suggested, how it is drawn, and who looks when."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace

import psutil
import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.screen import Screen

from tests.dashboard import HOSTILE, screen_text
from tuiae.machine import (
    Gpu,
    Machine,
    MachineHistory,
    MachineReader,
    Owner,
    cuda_names,
    describe_process,
    freest,
    open_nvml,
    read_gpus,
    short_command,
)
from tuiae.render.machine import draw_machine, suggestion
from tuiae.ui.terminal.mode import TerminalMode
from tuiae.ui.widgets.left import MachinePanel, MachineRead

UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]
SAME = ["NVIDIA A100-SXM4-40GB"] * 3


def gpu(index: int, used: float, **fields: object) -> Gpu:
    known = {"cuda": f"cuda:{index}", "name": SAME[0], "utilisation": 0.5, "total": 40_000.0}
    return Gpu(**{**known, "index": index, "used": used, "temperature": 64.0, "power": 310.0, **fields})  # type: ignore[arg-type]


CARDS = (
    gpu(0, 38_200, utilisation=0.97, owners=(Owner(4711, "ana", "python train.py", 30_500.0), Owner(12, "", "", None))),
    gpu(1, 21_000),
    gpu(2, 2_000, utilisation=0.0),
)
BUSY = Machine(cores=(0.1, 0.5, 0.99, 0.0), load=2.31, used=5_100, total=16_000, gpus=CARDS)


# Reading


def test_this_machine_is_read() -> None:
    reader = MachineReader()
    sum(range(3_000_000))
    machine = reader.read()
    assert len(machine.cores) == psutil.cpu_count()
    assert all(0 <= share <= 1 for share in machine.cores)
    assert max(machine.cores) > 0
    assert machine.total == pytest.approx(psutil.virtual_memory().total / 1e6)
    assert machine.used is not None
    assert 0 < machine.used < machine.total
    assert machine.load == pytest.approx(os.getloadavg()[0], abs=0.5)


def test_without_a_driver_there_are_no_cards_and_no_words_about_it() -> None:
    nvml = open_nvml()
    if nvml is not None and nvml.nvmlDeviceGetCount():
        pytest.skip("this machine has a card")
    assert MachineReader().read().gpus == ()


def test_without_the_library_of_the_cards_the_rest_is_there() -> None:
    code = """
import sys
sys.modules["pynvml"] = None
from tuiae.machine import MachineReader
machine = MachineReader().read()
assert machine.gpus == () and machine.cores and machine.total and machine.load is not None, machine
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_library_of_the_cards_has_what_is_asked_of_it() -> None:
    pynvml = pytest.importorskip("pynvml")
    for name in (
        "nvmlInit",
        "nvmlDeviceGetCount",
        "nvmlDeviceGetHandleByIndex",
        "nvmlDeviceGetName",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetCudaComputeCapability",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetMaxMigDeviceCount",
        "nvmlDeviceGetMigDeviceHandleByIndex",
    ):
        assert callable(getattr(pynvml, name))
    assert pynvml.NVML_TEMPERATURE_GPU == 0
    assert issubclass(pynvml.NVMLError_NotSupported, pynvml.NVMLError)
    assert issubclass(pynvml.NVMLLibraryMismatchError, Exception)


def test_a_driver_that_went_away_leaves_no_cards() -> None:
    pynvml = pytest.importorskip("pynvml")
    if open_nvml() is not None:
        pytest.skip("this machine has a driver")
    # Never started: every question is answered with NVMLError_Uninitialized, as after a driver was unloaded.
    assert read_gpus(pynvml, {}, lambda pid: ("", "")) == []


def test_owners_are_described_and_strangers_are_not() -> None:
    user, command = describe_process(os.getpid())
    assert user == psutil.Process().username()
    assert command
    assert describe_process(2**22 + 1) == ("", "")


def test_a_command_line_is_cut_to_what_says_it() -> None:
    assert short_command(["/usr/bin/python3", "-u", "/home/ana/train.py", "--lr", "1"]) == "python3 -u train.py"
    assert short_command([]) == ""


# Names


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, ["cuda:0", "cuda:1", "cuda:2"]),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, ["cuda:1", "", "cuda:0"]),
        ({"CUDA_VISIBLE_DEVICES": " 1 "}, ["", "cuda:0", ""]),
        ({"CUDA_VISIBLE_DEVICES": ""}, ["", "", ""]),
        ({"CUDA_VISIBLE_DEVICES": "1,7,0"}, ["", "cuda:0", ""]),
        ({"CUDA_VISIBLE_DEVICES": "-1,0"}, ["", "", ""]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-cc,GPU-aa11"}, ["cuda:1", "", "cuda:0"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-a"}, ["", "", ""]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-1"}, ["", "", ""]),
        ({"CUDA_VISIBLE_DEVICES": "2,0,2"}, ["", "", ""]),
    ],
    ids=str,
)
def test_cards_are_named_as_cuda_names_them(environment: dict[str, str], named: list[str]) -> None:
    assert cuda_names(UUIDS, SAME, environment) == named


def test_among_different_cards_a_name_is_given_only_where_it_is_sure() -> None:
    mixed = ["NVIDIA T400", *SAME[:2]]
    fastest = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    assert cuda_names(UUIDS, mixed, fastest) == ["", "", ""]
    assert cuda_names(UUIDS, mixed, {}) == ["cuda:0", "cuda:1", "cuda:2"]
    assert cuda_names(UUIDS, mixed, {**fastest, "CUDA_VISIBLE_DEVICES": "GPU-ab22"}) == ["", "cuda:0", ""]


def test_a_number_means_the_first_part_of_a_divided_card() -> None:
    parts = ["MIG-11", "MIG-22", "GPU-33"]
    assert cuda_names(parts, SAME, {}, [0, 0, 1]) == ["cuda:0", "cuda:1", "cuda:2"]
    assert cuda_names(parts, SAME, {"CUDA_VISIBLE_DEVICES": "1,0"}, [0, 0, 1]) == ["cuda:1", "", "cuda:0"]
    assert cuda_names(parts, SAME, {"CUDA_VISIBLE_DEVICES": "MIG-22"}, [0, 0, 1]) == ["", "cuda:0", ""]


def test_the_freest_card_is_suggested() -> None:
    assert freest(CARDS) is CARDS[2]
    assert suggestion(CARDS).startswith("cuda:2 ")
    calm, working = gpu(1, 10, utilisation=0.1), gpu(0, 10, utilisation=0.9)
    assert freest([working, calm]) is calm


# Drawing


def test_what_is_less_important_goes_first_where_there_is_little_room() -> None:
    lines = [draw_machine(BUSY, 70, height).plain.split("\n") for height in range(1, 12)]
    assert [len(found) for found in lines] == [1, 2, 3, 4, 5, 6, 7, 7, 9, 9, 9]
    assert all("freest" in line[0] for line in lines)
    assert all(line[1].startswith("cpu") for line in lines[1:])
    assert "ana" not in str(lines[7])
    alone = [draw_machine(replace(BUSY, gpus=CARDS[:1]), 70, height).plain.split("\n") for height in range(1, 6)]
    assert all(line[0].startswith("cpu") for line in alone)
    assert ["free" in str(line) for line in alone] == [False, False, False, True, True]


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("machine", [BUSY, Machine(), Machine(load=1.0), Machine(cores=(0.5,) * 256), None])
def test_every_size_is_kept_to(machine: Machine | None, ascii_only: bool) -> None:
    for width, height in [(0, 0), (1, 1), (5, 2), (20, 3), (40, 12), (80, 24), (200, 60)]:
        lines = draw_machine(machine, width, height, ascii_only).plain.split("\n")
        assert len(lines) <= max(height, 1)
        assert max(map(cell_len, lines)) <= width


def test_ascii_is_ascii_and_what_comes_from_outside_is_harmless() -> None:
    owner = Owner(1, HOSTILE, f"ñandú {HOSTILE}", 5.0)
    machine = Machine((0.2, 0.9), 1.0, 1.0, 2.0, (gpu(0, 1, name=HOSTILE, owners=(owner,)),))
    assert draw_machine(machine, 100, 20, ascii_only=True).plain.isascii()
    text = draw_machine(machine, 100, 20).plain
    assert "\x1b" not in text
    assert "\x07" not in text


def test_the_history_keeps_the_last_minutes_and_says_where_nobody_looked() -> None:
    history = MachineHistory()
    assert history.line("cpu", 4, 1) == (None,) * 4
    assert history.line("cpu", -1, 1) == ()
    for look in range(200):  # of two seconds each, over six minutes
        history.add(Machine(cores=(float(look >= 190), 0.0)), 2.0 * look)
    assert history.line("cpu", 150, 1)[-11:] == (0.0, *[0.5] * 10)
    assert None not in history.line("cpu", 150, 1)
    assert history.line("cpu", 4, 5) == (0.0, 0.0, 0.5, 0.5)
    assert history.line("memory", 3, 2) == (None,) * 3
    history.add(Machine(cores=(1.0,)), 2.0 * 260)
    assert history.line("cpu", 150, 1)[-61:] == (*[None] * 60, 1.0)


def test_history_goes_before_bars_and_after_cores_where_there_is_little_room() -> None:
    history = MachineHistory()
    history.add(BUSY, 10.0)
    lines = [draw_machine(BUSY, 70, height, history=history).plain.split("\n") for height in range(1, 20)]
    assert max(map(len, lines)) == 14
    assert [" min" in str(found) for found in lines] == [height >= 11 for height in range(1, 20)]
    assert [any(line.startswith("cores") for line in found) for found in lines] == [
        height >= 12 for height in range(1, 20)
    ]
    assert max(cell_len(line) for line in lines[-1]) <= 70


# The panel


class MachineApp(App[None]):
    """The panel alone."""

    terminal_mode = TerminalMode()

    def compose(self) -> ComposeResult:
        yield MachinePanel(id="machine")


async def test_the_panel_reads_while_it_is_seen_and_not_otherwise() -> None:
    before, app = set(threading.enumerate()), MachineApp()  # one of another test's may still be ending
    async with app.run_test(size=(60, 12)) as pilot:
        panel = app.query_one(MachinePanel)
        while panel.machine is None:
            await pilot.pause(0.02)
        (thread,) = (thread for thread in set(threading.enumerate()) - before if thread.name == "machine")
        await pilot.pause()
        assert "memory" in screen_text(app)
        panel.display = False
        await pilot.pause()
        assert not panel.is_seen
        panel.display = True
        await pilot.pause()
        assert panel.is_seen
        await app.push_screen(Screen())
        assert not panel.is_seen
        await app.pop_screen()
        await pilot.pause()
        assert panel.is_seen
        while "cuda:2 is freest" not in screen_text(app):  # what the thread reads meanwhile may come in between
            panel.post_message(MachineRead(BUSY))
            await pilot.pause()
        app.terminal_mode = TerminalMode(ascii=True)
        panel.changed()
        await pilot.pause()
        assert "#" in screen_text(app)
    thread.join(10)
    assert not thread.is_alive()
