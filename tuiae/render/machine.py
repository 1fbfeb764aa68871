"""The machine as bars: cores, memory, cards, and who holds them; and what a run would cost of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from tuiae.config import counted
from tuiae.machine import HISTORY_SECONDS, HISTORY_STEP, Gpu, Machine, MachineHistory, Owner, freest
from tuiae.render import palette
from tuiae.render.status import Fact
from tuiae.render.text import (
    MISSING,
    centred,
    clean,
    count,
    duration,
    fitted,
    join_lines,
    levels,
    megabytes,
    percent,
    progress_bar,
    rate,
    shorten,
    to_ascii,
)

EMPTY = "nothing is known of this machine"
HIGH = 0.9  # from here on a bar takes the colour of caution
LONGEST_BAR = 30  # cells; longer ones say no more
LEAST_BAR = 5
LEAST_HISTORY, LONGEST_HISTORY = 8, 75  # cells
MOST_LOOKS = 4  # in a cell: where there are few cells, they go back less far
ROOMY = 40  # columns from which the load and the number of cores are said as well
_OWNERS_OF_A_CARD = 3

Meter = tuple[str, float | None, str]
"""A label, a share from 0 to 1 or None for a line without a bar, and the words behind."""


def suggestion(gpus: Sequence[Gpu]) -> str:
    """Which card to take: `cuda:2 is freest: 38 of 40 GB`."""
    gpu = freest(gpus)
    if gpu is None:
        return ""
    if len(gpus) == 1:
        return f"{gpu.cuda} has {gigabytes(gpu.free, gpu.total)} free"
    return f"{gpu.cuda} is freest: {gigabytes(gpu.free, gpu.total)}"


def draw_machine(
    machine: Machine | None, width: int, height: int, ascii_only: bool = False, history: MachineHistory | None = None
) -> Text:
    """Bars for what there is, and lines of how busy it was; where the height does not take all, owners go first, then
    the cores one by one, then the history."""
    if machine is None:
        return centred("looking at this machine", width, height)
    lines = _lines(machine, width, ascii_only, history)
    if not lines or width <= 0 or height <= 0:
        return centred(EMPTY, width, height)
    for least in range(max(rank for rank, _ in lines), 0, -1):
        if len(lines) > height:
            lines = [line for line in lines if line[0] != least]
    return join_lines([line for _, line in lines[:height]])


def machine_height(machine: Machine | None, width: int, history: MachineHistory | None = None) -> int:
    """The lines of all that can be said of a machine in a width."""
    return len(_lines(machine, width, False, history)) if machine is not None and width > 0 else 1


def _lines(machine: Machine, width: int, ascii_only: bool, history: MachineHistory | None) -> list[tuple[int, Text]]:
    """Each line with its rank: 0 stays, the highest goes first."""
    system = _system(machine, brief=width < ROOMY)
    cards = [(gpu, _card(gpu)) for gpu in machine.gpus]
    meters = [*system, *(meter for _, meter in cards)]
    head = max((cell_len(label) for label, _, _ in meters), default=0)
    free = width - head - 2 - max((cell_len(words) for *_, words in meters), default=0)
    bar = min(free, LONGEST_BAR) if free >= LEAST_BAR else 0
    lines, advice = [], suggestion(machine.gpus)
    chosen = (int(len(cards) == 1), Text(shorten(advice, width), palette.GOOD))
    if len(cards) > 1 and advice:
        lines.append(chosen)  # the one that matters where there are several
    for meter in system:
        lines.append((0, _meter(meter, head, bar, width, ascii_only)))
        lines += _history(history, meter[0], head, width, ascii_only)
        if meter[0] == "cpu" and len(machine.cores) > 1:
            lines.append((3, _cores(machine.cores, head, width, ascii_only)))
    if len(cards) == 1 and advice:
        lines.append(chosen)
    for gpu, meter in cards:
        lines.append((0, _meter(meter, head, bar, width, ascii_only)))
        lines += _history(history, meter[0], head, width, ascii_only)
        lines += [(4, _owner(owner, head, width, ascii_only)) for owner in gpu.owners[:_OWNERS_OF_A_CARD]]
    return lines


def _system(machine: Machine, brief: bool) -> list[Meter]:
    meters: list[Meter] = []
    count = len(machine.cores)
    load = "" if machine.load is None else f"load {machine.load:.1f}"
    if count:
        busy = sum(machine.cores) / count
        of_cores = f"{percent(busy, 0)} of {counted(count, 'core')}"
        words = percent(busy, 0) if brief else ", ".join(filter(None, [of_cores, load]))
        meters.append(("cpu", busy, words))
    elif load:
        meters.append(("cpu", None, load))
    if machine.used is not None and machine.total:
        meters.append(("memory", machine.used / machine.total, gigabytes(machine.used, machine.total)))
    return meters


def _card(gpu: Gpu) -> Meter:
    words = [gigabytes(gpu.used, gpu.total)]
    if gpu.utilisation is not None:
        words.append(f"{percent(gpu.utilisation, 0)} busy")
    if gpu.temperature is not None:
        words.append(f"{gpu.temperature:.0f} °C")
    if gpu.power is not None:
        words.append(f"{gpu.power:.0f} W")
    return gpu.label, gpu.used / gpu.total if gpu.total else 0.0, ", ".join(words)


def gigabytes(part: float, whole: float) -> str:
    """Two amounts in MB as `5.1 of 16 GB`, the first short enough to be read at a glance."""
    return f"{_short(part)} of {_short(whole)} GB"


def _short(megabytes: float) -> str:
    value = megabytes / 1e3
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"


def _color(share: float) -> str:
    return palette.CAUTION if share >= HIGH else ""


def _meter(meter: Meter, head: int, cells: int, width: int, ascii_only: bool) -> Text:
    """A line with a bar behind its label of `head` cells."""
    label, share, words = meter
    # Not dim as a whole: a dim colour is not fitted to a light screen.
    line = Text(no_wrap=True, end="").append(f"{fitted(label, head)} ", "dim")
    if share is not None and cells:
        line.append_text(progress_bar(share, cells, ascii_only, _color(share) or palette.SKY)).append(" ")
    line.append(to_ascii(words.replace("°", "")) if ascii_only else words, _color(share or 0.0) or "dim")
    line.truncate(width)
    return line


def _cores(cores: Sequence[float], head: int, width: int, ascii_only: bool) -> Text:
    """One sign for each core, its height how busy it is; what does not fit is a number at the end."""
    free = max(width - head - 1, 0)
    shown = cores if len(cores) <= free else cores[: max(free - len(f" +{len(cores)}"), 0)]
    more = f" +{len(cores) - len(shown)}" if len(shown) < len(cores) else ""
    line = Text(f"{fitted('cores', head)} ", "dim", no_wrap=True, end="")
    line.append(levels(shown, ascii_only), f"not dim {palette.SKY}").append(more)
    line.truncate(width)
    return line


def _history(
    history: MachineHistory | None, label: str, head: int, width: int, ascii_only: bool
) -> list[tuple[int, Text]]:
    """A line of how busy that was, and behind it how far it goes back; none while nothing is known of it."""
    cells = min(width - head - len("  5 min"), LONGEST_HISTORY)
    if history is None or cells < LEAST_HISTORY:
        return []
    looks = min(max(HISTORY_SECONDS // HISTORY_STEP // cells, 1), MOST_LOOKS)
    shares = history.line(label, cells, looks)
    if not any(share is not None for share in shares):
        return []
    drawn = "".join(" " if share is None else levels([min(share, 1.0)], ascii_only) for share in shares)
    line = Text(" " * (head + 1), no_wrap=True, end="").append(drawn, palette.SKY)
    return [(2, line.append(f" {cells * looks * HISTORY_STEP // 60} min", "dim"))]


def _owner(owner: Owner, head: int, width: int, ascii_only: bool) -> Text:
    size = "" if owner.megabytes is None else f"{_short(owner.megabytes)} GB "
    words = f"{size}{clean(owner.user, 16) or 'somebody'}: {clean(owner.command, 60) or 'unknown'} ({owner.pid})"
    words = to_ascii(words) if ascii_only else words
    return Text(" " * (head + 1) + shorten(words, max(width - head - 1, 0)), "dim", no_wrap=True, end="")


# What a run would cost of it.

_LEAST_PER_IMAGE = 1e-9  # seconds; keeps a clock that stood still out of the division


_UNSAID: dict[str, Any] = {"device": MISSING, "precision": MISSING, "reason": "", "parameters": {}}
_NUMBERS: tuple[str, ...] = (
    "steps_per_epoch",
    "batch_size",
    "epochs",
    "shards",
    "trained",
    "step_seconds",
    "evaluation_seconds",
)
_NUMBERS += ("epoch_seconds", "total_seconds", "weights_mb", "state_mb", "peak_mb", "data_mb", "evaluation_mb")


def _whole(cost: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cost with something for each field that it does not say: a dashboard that stays open through an update of the
    package starts workers of another version."""
    return {**_UNSAID, **dict.fromkeys(_NUMBERS, 0), **cost}


def cost_facts(cost: Mapping[str, Any]) -> list[Fact]:
    """What a run would cost, of the fields of a dry run (`training/rehearsal.py`); all times are estimates."""
    said = cost.keys()
    cost = _whole(cost)
    steps, step = cost["steps_per_epoch"], cost["step_seconds"]
    images = rate(cost["batch_size"] / max(step, _LEAST_PER_IMAGE))
    evaluation, epochs = f"then {seconds(cost['evaluation_seconds'])} of evaluation", counted(cost["epochs"], "epoch")
    facts = {
        "device": ("device", clean(cost["device"]), ""),
        "precision": ("computed", _arithmetic(cost), ""),
        "parameters": ("parameters", _parameters(cost), ""),
        "peak_mb": ("memory", _memory(cost), ""),
        "step_seconds": ("a step", f"{seconds(step)} for {counted(cost['batch_size'], 'image')}, {images}", ""),
        "epoch_seconds": (
            "an epoch",
            f"about {seconds(cost['epoch_seconds'])}: {counted(steps, 'step')}, {evaluation}",
            "",
        ),
        "total_seconds": ("in all", f"about {seconds(cost['total_seconds'])}: {epochs}, samples and saving", ""),
    }
    return [fact for field, fact in facts.items() if field in said]


def _arithmetic(cost: Mapping[str, Any]) -> str:
    """`in float32 (this processor has no instructions for bfloat16), 2 shards of 500 images, each on a core`."""
    why = f" ({clean(cost['reason'])})" if cost["reason"] else ""
    each = -(-cost["batch_size"] // max(cost["shards"], 1))
    cut = f", {counted(cost['shards'], 'shard')} of {counted(each, 'image')}" if cost["shards"] else ""
    return f"in {clean(cost['precision'])}{why}{cut}"


def cost_line(name: str, cost: Mapping[str, Any]) -> str:
    """The times and the peak memory of `cost_facts` in one line."""
    cost = _whole(cost)
    epoch, total = seconds(cost["epoch_seconds"]), seconds(cost["total_seconds"])
    peak = megabytes(1e6 * max(cost["peak_mb"], cost["evaluation_mb"]))
    return f"{clean(name, 40)}: about {epoch} an epoch, {total} in all, {peak} at the peak"


def _parameters(cost: Mapping[str, Any]) -> str:
    parts = {clean(name).replace("_", "-"): number for name, number in cost["parameters"].items() if number}
    total = sum(parts.values())
    words = ", ".join(f"{name} {count(number)}" for name, number in parts.items())
    trained = "" if cost["trained"] == total else f"; {count(cost['trained'])} of them are trained"
    return f"{count(total)} ({words}){trained}"


def _memory(cost: Mapping[str, Any]) -> str:
    kept, peak = 1e6 * (cost["weights_mb"] + cost["state_mb"]), 1e6 * cost["peak_mb"]
    data = f", {megabytes(1e6 * cost['data_mb'])} of images" if cost["data_mb"] else ""
    evaluation = cost["evaluation_mb"]
    and_of = f", {megabytes(1e6 * evaluation)} of an evaluation" if evaluation else ""
    return (
        f"{megabytes(kept)} for weights, gradients and optimizer{data}, about {megabytes(peak)} at the peak of a step"
        f"{and_of}"
    )


def seconds(value: float) -> str:
    """`5.2 ms`, `0.84 s`, `42 s`, and from two minutes on `2:05` or `1:02:33`."""
    if value < 0.1:
        return f"{1e3 * value:.2g} ms" if value < 0.01 else f"{1e3 * value:.0f} ms"
    return duration(value) if value >= 120 else f"{value:.2g} s" if value < 10 else f"{value:.0f} s"
