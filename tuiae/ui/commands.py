"""What can be done here, for those who ask: the help, with every key of a screen, and the command palette, which finds
by people's words what has a key on this screen and on the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Mount, Resize
from textual.widget import Widget
from textual.widgets import Static

from tuiae.render import palette
from tuiae.render.text import beside, fitted, join_lines, lines_of
from tuiae.ui.keys import APP, HIDE, MOVING, NAME, SCREENS, Key, find_key, shown
from tuiae.ui.screens.base import BaseScreen
from tuiae.ui.screens.dialogs import Dialog

KeyRow = tuple[str, str]
KeyGroup = tuple[str, Sequence[KeyRow]]
AROUND = (6, 2)
"""Columns and lines of the dialog around the keys, its scrollbar included."""
GAP = 2  # cells between columns
KEY_CELLS = 6  # at least
SAMPLES = [(", .", "the sample before, or after"), ("< >", "the first, or back to the newest")]


def key_rows(keys: Sequence[Key]) -> list[KeyRow]:
    """Keys and what they do; the many that move a cursor are one line, those of the samples two."""
    rows = [(shown(key.key), key.help) for key in keys if not key.action.startswith(("move(", "sample("))]
    rows += SAMPLES if any(key.action.startswith("sample(") for key in keys) else []
    moves = [key for key in keys if key.action.startswith("move(")]
    farther = sorted({key.key.partition("+")[0] for key in moves if "+" in key.key}, reverse=True)
    words = f"cursor; {', '.join(farther)}: farther" if farther else "cursor"
    upright = any(key.key.endswith(("up", "down")) for key in moves)
    return [("arrows" if upright else "left right", words), *rows] if moves else rows


def draw_help(groups: Sequence[KeyGroup], width: int, height: int) -> Text:
    """The groups in columns of `height` lines, or of more where the width asks for it; no group is torn apart."""
    first, *others = [_block(name, rows) for name, rows in groups if rows]
    for lines in count(height):
        columns = [first]
        for block in others:
            longer = Text("\n\n").join([columns[-1], block])
            if len(lines_of(longer)) > lines:
                columns.append(block)
            else:
                columns[-1] = longer
        widths = [max(line.cell_len for line in lines_of(column)) + GAP for column in columns]
        if len(columns) == 1 or sum(widths) - GAP <= width:
            break
    drawn = columns.pop()
    for column, cells in zip(reversed(columns), reversed(widths[:-1]), strict=True):
        drawn = beside(column, drawn, cells)
    return drawn


def _block(name: str, rows: Sequence[KeyRow]) -> Text:
    lines, cells = [Text(name, "bold")], max(KEY_CELLS, *(len(key) for key, _ in rows))
    for key, words in rows:
        lines.append(Text.assemble((fitted(key, cells, right=True), f"bold {palette.SKY}"), f"  {words}"))
    return join_lines(lines)


class HelpDialog(Dialog[None]):
    """The keys in columns; where they do not fit the arrows scroll."""

    BINDINGS = [Binding("question_mark,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._groups = help_groups(mode)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog help") as dialog:
            dialog.border_title = "keys"
            yield Static()

    @on(Mount)
    @on(Resize)
    def _fit(self) -> None:
        width, height = self.app.size.width - AROUND[0], self.app.size.height - AROUND[1]
        drawn = draw_help(self._groups, width, height)
        self.query_one(Static).update(Content.from_rich_text(drawn))
        scrolls = "arrows scroll · " if len(lines_of(drawn)) > height else ""
        self.query_one(VerticalScroll).border_subtitle = f"{scrolls}escape closes"


def help_groups(mode: str) -> list[KeyGroup]:
    """The keys of a screen, of its panels, and those that work everywhere."""
    screen = SCREENS[mode]
    groups = {**screen.own, **screen.panels, "everywhere": APP}
    return [*((name, key_rows(keys)) for name, keys in groups.items()), *screen.more.items(), ("moving", MOVING)]


# The command palette

MOVES = ("left", "right", "up", "down", "home", "end")
TITLE = 32  # cells of the longest title of a command
ON_PANEL, ABROAD = 0.8, 0.7
"""Weights of what belongs to a panel without the focus, and to another screen."""
NAMED = 1.3
"""Weight of what is itself called by the words that are looked for."""


@dataclass(frozen=True)
class PaletteCommand:
    """One thing that can be done."""

    title: str
    hint: str
    """The place where it is done, and its key."""
    do: Callable[[], Any]
    also: str = ""
    """Other words that it is found by."""
    weight: float = 1.0
    """What its score is multiplied by."""
    moves: bool = False
    """Whether it does no more than move a cursor or a level."""


def command_of(key: Key, do: Callable[[], Any], place: str = "", weight: float = 1.0) -> PaletteCommand:
    """What a key does at a place: a screen or panel as the help calls it, empty for the screen that is shown."""
    hint = f"{place} · key {key.printed}" if place else f"key {key.printed}"
    title, moves = f"{key.help[:1].upper()}{key.help[1:]}", key.key.rpartition("+")[2] in MOVES
    return PaletteCommand(title, hint, do, f"{key.name} {place} {key.also}", weight, moves)


class Commands(Provider):
    """Offers what can be done on the screen below the palette and, unless a dialog is open, on the others."""

    async def discover(self) -> Hits:
        # First what people look for by name: keys that move a cursor about are many, and known as they are used.
        for command in sorted(self._here(), key=lambda command: command.moves):
            yield DiscoveryHit(_beside(Content(command.title), command.hint), command.do, command.title)

    async def search(self, query: str) -> Hits:
        """What all words of a query are found in, in whatever order they come."""
        whole, words = self.matcher(query), query.casefold().split()
        for command in chain(self._here(), self._on_panels(), self._elsewhere()):
            text = f"{command.title} {command.also}".casefold()
            # Textual's matcher takes scattered letters for a word as well: every second command has those of `theme`.
            if all(word in text for word in words):
                score = command.weight * sum(self.matcher(word).match(text) for word in words)
                score *= NAMED if all(word in command.title.casefold() for word in words) else 1.0
                found = _beside(whole.highlight(command.title), command.hint)
                yield Hit(score, found, command.do, command.title)

    def _here(self) -> Iterator[PaletteCommand]:
        """What has a key on the screen, on the focused panel, and everywhere."""
        for active in self.screen.active_bindings.values():
            key = find_key(active.binding)
            if key is not None and active.enabled and active.binding.key == key.key.partition(",")[0]:
                yield command_of(key, partial(self.app.run_action, key.action, active.node))

    def _on_panels(self) -> Iterator[PaletteCommand]:
        """What has a key on panels that are in sight without the focus."""
        mode = self.screen.MODE if isinstance(self.screen, BaseScreen) else ""
        for name, keys in SCREENS[mode].panels.items() if mode else ():
            panels = [one for one in self.screen.query("*") if keys[0].binding in one.BINDINGS and one.region.area]
            if panels and not any(panel.has_focus for panel in panels):
                for key in keys:
                    yield command_of(key, partial(_do_on_panel, self.app, panels[0], key.action), name, ON_PANEL)

    def _elsewhere(self) -> Iterator[PaletteCommand]:
        """What has a key on the other screens."""
        if not isinstance(self.screen, BaseScreen):
            return
        offered = {key.help for key in (*APP, *_own_keys(self.screen.MODE))}
        for mode in SCREENS:
            for key in _own_keys(mode):
                if key.help not in offered and key.afar != HIDE:
                    offered.add(key.help)
                    do = partial(_do_on_screen, self.app, mode, key)
                    yield command_of(key, do, f"on {mode.capitalize()}", ABROAD)


def _beside(title: Content, hint: str) -> Content:
    """Both on one line, where Textual has a line for each: twice as many commands are in sight."""
    return Content.assemble(title.pad_right(TITLE - title.cell_length), "  ", (hint, "dim"))


def _own_keys(mode: str) -> Iterator[Key]:
    return chain.from_iterable(SCREENS[mode].own.values())


async def _do_on_panel(app: App[Any], panel: Widget, action: str) -> None:
    panel.focus()
    await app.run_action(action, panel)


async def _do_on_screen(app: App[Any], mode: str, key: Key) -> None:
    """Go to a screen and press a key there, or only name it."""
    await app.switch_mode(mode)
    screen = app.screen_stack[0]
    assert isinstance(screen, BaseScreen)
    if key.afar == NAME:
        screen.message.tell(f"{key.printed} here: {key.help}")
    else:
        await app.run_action(key.action, screen)
