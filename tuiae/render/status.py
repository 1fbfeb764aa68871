"""How a run stands, in words and signs: colour is never the only cue."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from tuiae import __version__
from tuiae.config import ARGUMENTS, CUSTOM, VARIATIONAL, model_words, settings_of, value_text
from tuiae.images import short_name
from tuiae.render import palette
from tuiae.render.table import GAP, TableColumn, table_line
from tuiae.render.text import (
    MISSING,
    beside,
    clean,
    count,
    duration,
    figure,
    join_lines,
    lines_of,
    number,
    of_epochs,
    progress_bar,
    rate,
    shorten,
    shorten_middle,
    spark,
    wrap,
    wrapped,
)
from tuiae.runs.diagnosis import AUTO_PAUSE
from tuiae.runs.labels import JOB
from tuiae.runs.listing import DATASET, STOPPING, Line, RunRow, StudyRow, named_in
from tuiae.runs.paths import GONE, undated
from tuiae.runs.snapshot import Note, Snapshot, Status, ago

Fact = tuple[str, str, str]
"""Label, value, and the style of the value."""

_LEAST_VALUE = 6
_BLOCK_GAP = 2 * GAP  # cells between two blocks of facts, as an empty column makes them


def draw_facts(facts: Sequence[Fact], width: int, height: int) -> Text:
    """One fact a line, a long value on several where there is room. Facts that outgrow the height flow into as many
    columns as the width takes, or the last of them share lines."""
    if width <= 0 or height <= 0 or not facts:
        return Text(end="")
    facts = [(clean(label), clean(value), style) for label, value, style in facts]
    label_width = min(max(cell_len(label) for label, _, _ in facts), max(width // 2, 1))
    widest = label_width + GAP + max(max(cell_len(value) for _, value, _ in facts), _LEAST_VALUE)
    blocks = min(-(-len(facts) // height), max((width + _BLOCK_GAP) // (widest + _BLOCK_GAP), 1))
    if blocks == 1:
        return join_lines(_one_column(facts, label_width, width, height))
    per_block = -(-len(facts) // blocks)
    value_width = (width + _BLOCK_GAP) // blocks - _BLOCK_GAP - GAP - label_width
    columns = [TableColumn("", label_width), TableColumn("", value_width), TableColumn("", 0)] * blocks
    lines = []
    for row in range(min(per_block, height)):
        shown = [(Text(label, "dim"), Text(value, style), Text()) for label, value, style in facts[row::per_block]]
        lines.append(table_line(chain.from_iterable(shown), columns[: 3 * len(shown)]))
        lines[-1].rstrip()
    return join_lines(lines)


def _one_column(facts: Sequence[Fact], label_width: int, width: int, height: int) -> list[Text]:
    columns = [TableColumn("", label_width), TableColumn("", max(width - GAP - label_width, 0))]
    own, shared = len(facts), list[Text]()  # facts on lines of their own, and the lines that the others share
    for anywhere, last in product((False, True), range(len(facts) - 1, -1, -1)):
        if own + len(shared) > height:
            own, shared = last, _shared_lines(facts[last:], width, anywhere)
    if own + len(shared) > height:
        own, shared = height, []
    spare, lines = height - own - len(shared), list[Text]()
    for label, value, style in facts[:own]:
        room, is_word = max(columns[1].width, 1), " " not in value
        parts = wrap(value, room, hyphens=is_word) or [""]
        if len(parts) > 1 + spare:  # of an id the end tells as much as the beginning
            parts = [shorten_middle(value, room)] if is_word else [*parts[:spare], " ".join(parts[spare:])]
        spare -= len(parts) - 1
        for place, part in enumerate(parts):
            lines.append(table_line((Text("" if place else label, "dim"), Text(part, style)), columns))
            lines[-1].rstrip()
    return [*lines, *shared][:height]


def _shared_lines(facts: Sequence[Fact], width: int, anywhere: bool) -> list[Text]:
    """`dropout 0 · loss mse`: as many facts a line as fit, in their order, or each in the first line with room."""
    lines: list[Text] = []
    for label, value, style in facts:
        fact = Text.assemble((f"{label} ", "dim"), (value, style), end="", no_wrap=True)
        open_lines = lines if anywhere else lines[-1:]
        if line := next((line for line in open_lines if line.cell_len + 3 + fact.cell_len <= width), None):
            line.append(" · ", "dim").append_text(fact)
        else:
            fact.truncate(width, overflow="ellipsis")
            lines.append(fact)
    return lines


SIGNS = {
    "starting": ("◌", palette.YELLOW),
    "running": ("●", palette.GREEN),
    "paused": ("‖", palette.YELLOW),
    "finished": ("✓", palette.SKY),
    "stopped": ("■", palette.ORANGE),
    "pruned": ("◧", palette.ORANGE),
    "failed": ("✗", palette.VERMILLION),
    "lost": ("?", palette.VERMILLION),
    GONE: ("□", palette.VERMILLION),
}
BAR = 10  # cells
LEAST_NAME, MOST_NAME = 8, 32  # cells of the name in the title
MOST_TROUBLE = 44  # cells of what cannot be written: the reason comes first
LEAST_DATASET = 6  # cells of the dataset where it shows at all
EDITED = {
    "training.learning_rate": "rate",
    "noise.level": "noise",
    "training.beta": "beta",
    "model.dropout": "dropout",
}
"""Key -> its name in the status panel, where it shows once it was edited."""
PLACE = 20  # cells of a value in the status panel
LEAST_ID = 16  # cells of a run's id: `20261120-224105…`


def state_sign(state: str) -> tuple[str, str]:
    """The sign and the colour of a state; a dot for one of a newer version."""
    return SIGNS.get(state, ("·", palette.GREY))


def state_text(state: str) -> Text:
    """`● running`, each state with a sign of its own."""
    sign, color = state_sign(state)
    return Text(f"{sign} {clean(state)}", color)


def state_in_list(status: Status) -> Text:
    """`● running`, or `● no sign` where the worker has given none for a minute or longer."""
    return Text(f"{state_sign(status.state)[0]} no sign", palette.BAD) if status.silent else state_text(status.state)


def silence_words(status: Status) -> str:
    """`no sign for 2 min` of a run whose worker lives and has written nothing for so long; empty for any other."""
    return f"no sign for {ago(60.0 * status.silent)}" if status.silent else ""


def state_badge(snapshot: Snapshot) -> tuple[str, str]:
    """` ● running ` and its style: reversed, so that nothing else is as bright."""
    sign, color = state_sign(snapshot.status.state)
    by_itself = " by itself" if own_pause(snapshot) else ""
    return f" {sign} {clean(snapshot.status.state)}{by_itself} ", f"bold reverse {color}"


def title_line(snapshot: Snapshot, width: int) -> Text:
    """The one line above everything: what runs, on what, how far, which run.

    Where the width lacks, a word goes, then the id, the bar, the dataset, the middle of the name; state, epoch and
    share stay.
    """
    head = Text(" tuiae", "bold", no_wrap=True, end="").append("  ", "")
    config = snapshot.config
    name, dataset = (clean(config.name), clean(short_name(config.data.dataset), 24)) if config is not None else ("", "")
    if snapshot.tracked is not None:
        name, dataset = undated(clean(snapshot.id)), clean(named_in(snapshot.tracked, *DATASET), 24)
    job = clean(snapshot.meta.get(JOB, ""))  # what tells it from the others of its study
    name = shorten_middle(clean(snapshot.name) or (f"{name} {job}" if job else name), max(MOST_NAME, width // 3))
    whole = cell_len(name) + (cell_len(dataset) + 3 if dataset else 0) if name else 0
    everything = whole + cell_len(clean(snapshot.id)) + 3
    for word, bar, wanted in (("epoch ", BAR, everything), ("", BAR, whole), ("", 0, whole)):
        standing = _standing(snapshot, word, bar)
        free = width - head.cell_len - standing.cell_len - 2
        if free >= wanted:
            break
    if name:
        name = shorten_middle(name, max(free, LEAST_NAME))
        head.append(name, "bold not dim")
        if dataset and (left := free - cell_len(name) - 3) >= min(LEAST_DATASET, cell_len(dataset)):
            head.append(f" › {shorten(dataset, left)}", "dim")
    line = head.append("  ").append_text(standing)
    # The beginning of an id finds the run as well, once it holds date and time.
    name = shorten(clean(snapshot.id), max(0, width - line.cell_len - 3))
    if cell_len(name) >= min(LEAST_ID, len(snapshot.id)):
        line.append(" " * (width - line.cell_len - cell_len(name) - 1)).append(name, "dim")
    line.truncate(width)
    return line


def _standing(snapshot: Snapshot, word: str, bar: int) -> Text:
    """`● running  epoch 3/10 ━━━━━━━━━━  30%`, with a bar of `bar` cells."""
    status = snapshot.status
    text = Text(end="").append_text(state_text(status.state))
    if status.state == "starting" and status.phase:
        text.append(f" · {clean(status.phase)}", "dim")
    share = status.share
    if share is not None:
        text.append(f"  {word}{of_epochs(status.epoch, status.epochs)}").append(" " if bar else "")
        text.append_text(progress_bar(share, bar)).append(f" {share:4.0%}")
    if status.silent:
        text.append(f" · {silence_words(status)}", palette.BAD)
    if status.live and status.trouble:
        text.append(f" · {shorten(clean(status.trouble), MOST_TROUBLE)}", "yellow")
    return text


def status_facts(snapshot: Snapshot) -> list[Fact]:
    """The facts of the status panel, the most important first; settings show where the panel is tall enough."""
    status, config = snapshot.status, snapshot.current_config
    epoch, step = of_epochs(status.epoch, status.epochs), count(status.step)
    together = f"{epoch}, step {step}"
    last = max(status.step, (status.epochs or 0) * (status.steps_per_epoch or 0))
    # As long as it will ever be: a line that came while a run trains would move the buttons below it.
    fits = len(f"{of_epochs(status.epochs or status.epoch, status.epochs)}, step {count(last)}") <= PLACE
    # Edits in force; one of the number of epochs shows with the epoch.
    edits = {EDITED[one.key]: one for one in snapshot.edits if one.step <= status.step and one.key in EDITED}
    settings = settings_facts(settings_of(config)) if config is not None else []
    if snapshot.tracked is not None:
        settings, edits = own_facts(snapshot.own_settings), {}
    best, host = snapshot.best("test", snapshot.main_metric), clean(snapshot.meta.get("host", ""))
    best_words = f"{figure(snapshot.main_metric, best.value)}, epoch {best.epoch:,g}" if best else MISSING
    memory = f"{count(round(status.memory))} MB" if status.memory else MISSING
    images, _, size = snapshot.image_words.partition(" images of ")
    other = status.live and status.tuiae not in ("", __version__)
    return [
        ("epoch", together if fits else epoch, ""),
        ("time", time_text(status), ""),
        *([("best", best_words, "")] if settings else []),
        *([] if snapshot.tracked is not None else [("speed", speed_text(status), "")]),
        *([] if fits else [("step", step, "")]),
        *((label, f"{edit.new:g} since step {count(edit.step)}", "") for label, edit in edits.items()),
        *([] if snapshot.tracked is not None else [("device", clean(status.device) or MISSING, "")]),
        *([("images", images, "")] if images else []),
        *([] if snapshot.tracked is not None else [("memory", memory, "")]),
        *([("tuiae", f"{clean(status.tuiae, 8)}, this is {__version__}", palette.CAUTION)] if other else []),
        ("run", undated(snapshot.id), ""),
        *([("size", size, "")] if size else []),
        *(fact for fact in settings if fact[0] not in edits),
        *([("host", host, "")] if host and settings else []),
    ]


def idle_facts(worker: str) -> list[Fact]:
    """The facts of the status panel while no run is open; `worker` says how the next one stands."""
    keys = [("start", "r, or the button", "dim"), ("form", "o, then arrows", "dim")]
    return [("run", "none open", ""), ("worker", worker, ""), *keys]


def own_facts(settings: Mapping[str, Any]) -> list[Fact]:
    """The settings of a tracked run, by the names that its program gave them."""
    return [(clean(key, 24), clean(value_text(value), 60), "") for key, value in [*settings.items()][:24]]


def settings_facts(settings: Mapping[str, Any]) -> list[Fact]:
    """The settings of a run (dotted key -> value) that say most of what it trains."""
    family, noise = settings["model.family"], settings["noise.kind"]
    beta, warmup = settings["training.beta"], settings["training.beta_warmup"]
    output_too = ", output too" if settings["model.output_dropout"] else ""
    rising = f", rising for {warmup:g} epochs" if warmup else ""
    return [
        ("model", clean(model_words(family, settings["model.latent"], settings["model.code"]), MOST_NAME), ""),
        *_argument_facts(settings),
        *(_encoder_facts(settings) if family == "classifier" else []),
        *([("beta", f"{beta:g}{rising}", "")] if family in VARIATIONAL else []),
        *([] if family == CUSTOM else [("dropout", f"{settings['model.dropout']:g}{output_too}", "")]),
        ("noise", noise if noise == "none" else f"{noise} {settings['noise.level']:g}", ""),
        ("loss", "cross-entropy" if family == "classifier" else _loss_words(settings), ""),
        ("optim", f"{settings['training.optimizer']}, rate {settings['training.learning_rate']:g}", ""),
        ("batch", f"{count(settings['training.batch_size'])}, seed {settings['training.seed']}", ""),
    ]


def _argument_facts(settings: Mapping[str, Any]) -> list[Fact]:
    """What the class of a custom network is made with."""
    found = {key: value for key, value in settings.items() if key.startswith(f"{ARGUMENTS}.")}
    words = ", ".join(f"{key.rpartition('.')[2]} {value_text(value)}" for key, value in found.items())
    return [("with", clean(words, MOST_NAME), "")] if words else []


def _loss_words(settings: Mapping[str, Any]) -> str:
    """The loss of an autoencoder; only its file knows whether a custom network has one of its own."""
    loss: str = settings["training.loss"]
    return f"its own, else {loss}" if settings["model.family"] == CUSTOM else loss


def _encoder_facts(settings: Mapping[str, Any]) -> list[Fact]:
    """The run whose encoder a classifier stands on, and whether the encoder goes on learning."""
    run, frozen = settings["model.encoder_run"], settings["model.freeze"]
    encoder = f"of {undated(clean(Path(run).name))}" if run else f"{settings['model.encoder']}, from scratch"
    return [("encoder", encoder, ""), ("frozen", "yes: the head learns" if frozen else "no", "")]


def speed_text(status: Status) -> str:
    """`12,345 images/s`."""
    return rate(status.images_per_second) or MISSING


def time_text(status: Status) -> str:
    """`12:34 · 1:02 left`."""
    left = f" · {duration(status.eta)} left" if status.live and status.eta is not None else ""
    return duration(status.elapsed) + left


def note_line(note: Note) -> str:
    """`12:34:56 resumed`: when something happened, in local time, and what."""
    when = time.strftime("%H:%M:%S", time.localtime(note.time)) if note.time else f"{MISSING:8}"
    return f"{when} {note.text}"


def added(before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[Any, ...]:
    """The elements that the later of two tails of one growing list has beyond the earlier; all where none is shared."""
    for start in range(len(before)):
        if before[start:] == after[: len(before) - start]:
            return after[len(before) - start :]
    return after


def own_pause(snapshot: Snapshot) -> str:
    """The finding for which a paused run paused by itself, such as `one picture`; empty when it did not."""
    if snapshot.status.state != "paused":
        return ""
    for note in reversed(snapshot.notes):
        if note.kind == "start" or (note.kind == "command" and note.text.startswith("resumed")):
            break
        if note.kind == "warning" and note.text.startswith(AUTO_PAUSE):
            return note.text.removeprefix(f"{AUTO_PAUSE}, ").partition(":")[0].replace("-", " ")
    return ""


def failure_words(status: Status) -> str:
    """Why a run failed and the next step; empty where nothing is recorded."""
    return _error_words(status.error or {})


def refusal_words(status: Status) -> str:
    """Why a run could not be gone on with the last time, and the next step; empty where it could."""
    words = _error_words(status.refusal or {})
    return f"it could not go on: {words}" if words else ""


def _error_words(error: Mapping[str, Any]) -> str:
    return "; ".join(clean(error[key]) for key in ("cause", "hint") if error.get(key))


def bad_ending(snapshot: Snapshot) -> str:
    """A sentence for a run that did not end well, with the next step; empty for all others."""
    status = snapshot.status
    if status.state == "failed" and status.error:
        return failure_words(status)
    if status.state == "lost" and snapshot.tracked is not None:
        return f"{failure_words(status) or 'its program is gone without a word'}; its curves stay"
    if status.state == "lost":
        how = "goes on from the last checkpoint" if snapshot.checkpoints else "begins again: no checkpoint is known"
        return f"{failure_words(status) or 'its process died without an error'}; R {how}"
    if status.state == GONE:
        return f"{clean(snapshot.id)} is gone: its directory was deleted or moved; 1 lists the runs"
    return ""


# The details of what the cursor of the list stands on.

WIDE_DETAILS = 76  # cells from which words and facts stand beside each other
WORDS_SHARE, STUDY_SHARE = 0.4, 0.5  # of that width, for the words about a run, and about a study with its few facts
MOST_TITLE_LINES = 3
MOST_VALUES = 12  # of a setting that varies, in words


def age_text(row: RunRow, now: float) -> str:
    """How long ago a run was last heard of."""
    if row.status.live and not row.status.silent:
        return "now"
    return ago(max(0.0, now - row.status.heartbeat)) if row.status.heartbeat else MISSING


def draw_details(line: Line, width: int, height: int, now: float, ascii_only: bool = False) -> Text:
    """What a run or a study is and how it stands, in `width` x `height` cells: words above facts, or beside them."""
    if width <= 0 or height <= 0:
        return Text(end="")
    share = STUDY_SHARE if isinstance(line, StudyRow) else WORDS_SHARE
    column = int(width * share) if width >= WIDE_DETAILS else width
    if isinstance(line, StudyRow):
        head, more, facts = _study_words(line, column), [], _study_facts(line)
    else:
        head, more, facts = _run_words(line, column, now, ascii_only), _written(line, column), _run_facts(line)
    if column == width:
        drawn = lines_of(draw_facts(facts, width, len(facts)))
        return join_lines([*head, Text(), *drawn, *([Text(), *more] if more else [])][:height])
    gap = 2 * GAP
    left = join_lines([*head, *([Text(), *more] if more else [])][:height])
    return beside(left, draw_facts(facts, width - column - gap, height), column + gap)


def _run_words(row: RunRow, width: int, now: float, ascii_only: bool) -> list[Text]:
    """What it is called, its state, its error, and its test loss as a line of blocks."""
    state = state_text(row.status.state)
    if row.status.silent:
        state.append(f" · {silence_words(row.status)}", palette.BAD)
    elif not row.status.live and row.status.heartbeat:
        state.append(f" · {age_text(row, now)} ago", "dim")
    title, *others = [text for text in (row.name, row.varies, row.id) if text]
    lines = [*wrapped(clean(title), width, "bold", MOST_TITLE_LINES)]
    lines += [*(Text(shorten(clean(text), width), "dim") for text in others), state]
    if row.status.error:
        lines += [Text(), *wrapped(failure_words(row.status), width, palette.BAD, 6)]
    if row.trend:
        lines += [Text(), Text("test loss", "dim"), Text(spark(row.trend, width, ascii_only), palette.TEST)]
    return lines


def _written(row: RunRow, width: int) -> list[Text]:
    """Where it came from, its tags and its note."""
    parts = []
    if row.parent:
        parts.append([Text("forked from", "dim"), *wrapped(clean(undated(row.parent)), width)])
    if row.tags:
        parts.append(wrapped(clean(" ".join(row.tags)), width, "dim", 3))
    if row.note:
        note = [line for part in row.note.splitlines() for line in wrapped(clean(part), width) or [Text()]]
        parts.append([Text("note", "dim"), *note])
    return [line for part in parts for line in (Text(), *part)][1:]


def _study_words(study: StudyRow, width: int) -> list[Text]:
    tag = wrapped(f"{study.number}, tag {clean(study.tag)}", width, "dim", 3)
    lines = [Text(shorten(clean(study.name), width), "bold"), *tag]
    if study.trains:
        words = "trains in the background, whether or not tuiae is open: x saves and stops it"
        words = f"{STOPPING} · R goes on with it" if study.stops else words
        said = "" if study.stops else _NEWS.sub("", clean(study.said, 200))
        lines += [Text(), *wrapped(words, width, palette.GREEN), *wrapped(said, width, "dim", 3)]
    elif words := _lacking_words(study):
        lines += [Text(), *wrapped(words, width, palette.CAUTION)]
    return lines


_NEWS = re.compile(r"^\d+/\d+\s+|\s+\d{8}-\d{6}-\S+")
"""What the words of the process of a study say beside what has happened: how many runs are over, and an id."""


def _lacking_words(study: StudyRow) -> str:
    """`4 not started, 2 not finished · R goes on`; empty for a study that has all it wants."""
    counts = {"not started": study.missing, "not finished": study.unfinished}
    words = ", ".join(f"{many:,} {what}" for what, many in counts.items() if many)
    return f"{words} · R goes on" if words and study.is_sweep else words


def _study_facts(study: StudyRow) -> list[Fact]:
    """How many runs are in which state, which is the best, and what varies."""
    facts = [(state, count(many), "") for state, many in study.states.items()]
    facts += [("to come", count(study.missing), "")] if study.trains and study.missing else []
    if (best := study.best_run()) is not None:
        known = figure("accuracy", best.status.test_accuracy) if best.model == "classifier" else number(best.best)
        facts.append(("best", f"{known}  {clean(best.varies or undated(best.title))}", ""))
    return [*facts, *((clean(name), clean(values, 200), "") for name, values in study.varied(MOST_VALUES).items())]


def _run_facts(row: RunRow) -> list[Fact]:
    status = row.status
    best = f", best {number(row.best)}" if row.best is not None else ""
    speed = "" if status.tracked else rate(status.images_per_second)
    place = ("host", row.host, "") if status.tracked else ("device", _place_words(row), "")
    return [
        ("epoch", ", ".join(filter(None, (of_epochs(status.epoch, status.epochs), time_text(status), speed))), ""),
        ("test loss", number(status.test_loss) + best, ""),
        ("accuracy", figure("accuracy", status.test_accuracy), ""),
        *([place] if place[1] else []),
        *(own_facts(row.settings) if status.tracked else _settings(row)),
    ]


def _part_words(limit: int) -> str:
    """How many of the images are trained on, where that is a part of them."""
    return f", {count(limit)} to train on" if limit else ""


def _place_words(row: RunRow) -> str:
    return f"{row.status.device or MISSING}{', on ' * bool(row.host)}{row.host}"


def _settings(row: RunRow) -> list[Fact]:
    """The settings that matter; none where the config cannot be read."""
    if not (settings := row.settings_now):
        return [("config", "damaged, or not of this version", palette.CAUTION)]
    hidden = ", ".join(map(str, settings["model.hidden"])) if settings["model.family"] in ("dense", "vae") else ""
    (label, model, style), *others = settings_facts(settings)
    began = row.settings
    changes = [f"{EDITED[key]} {began[key]:g} → {settings[key]:g}" for key in EDITED if settings[key] != began[key]]
    return [
        *([("preset", row.made_from, "")] if row.made_from else []),
        ("dataset", f"{settings['data.dataset']}{_part_words(settings['data.train_limit'])}", ""),
        (label, f"{model}{', hidden ' * bool(hidden)}{hidden}", style),
        *([("edited", ", ".join(changes), "")] if changes else []),
        *others,
    ]
