"""What stands around the panels of every screen: the line of keys, the message, the tabs of the screens, the finding.

And, for small screens, the bar that chooses which panel shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, ClassVar

from rich.cells import cell_len
from textual.actions import parse
from textual.app import App
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.dom import DOMNode
from textual.events import Click
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from tuiae.config import counted
from tuiae.render.chrome import ShownKey, fit_keys
from tuiae.render.status import bad_ending, own_pause, refusal_words
from tuiae.render.text import clean, duration, figure, wrap
from tuiae.runs.control import label_of
from tuiae.runs.diagnosis import Finding, Severity
from tuiae.runs.paths import LIVE_STATES
from tuiae.runs.reader import NO_CONFIG
from tuiae.runs.snapshot import Snapshot
from tuiae.ui.keys import ADVICE_KEY, KEPT, NEEDED, SCREENS, Key, find_key, shown
from tuiae.ui.terminal.screen_diff import Lasting, bound_keys

ALWAYS, USUAL, PANEL, SCREEN, LATER = range(5)
"""Ranks: keys that are never left out, those of the screen and the first ones of the focused panel, then where there is
room the panel's others, the screen's, and the rest."""

OF_FIELDS = {"submit": "Done", "show_overlay": "List", "select": "Choose", "dismiss": "Close"}
"""Actions of Textual's fields and lists -> what the line calls them while one has the focus."""


@dataclass(frozen=True)
class BoundKey:
    """What of a binding the line needs, as long as the focus stays."""

    node: DOMNode
    """Whom to ask whether the action can be done."""
    name: str
    parameters: tuple[Any, ...]
    action: str
    """Name and parameters as in the table of keys."""
    place: int
    """The lower, the further left."""
    named: ShownKey
    """As the line has it; without words where it is not there."""
    of_field: bool
    """Whether it belongs to the field or list that has the focus: that always does something."""


class KeyLine(Widget):
    """The keys that do something now, as many as there is room for; a click on one presses it.

    Textual's Footer makes its dozen widgets anew, 30 ms of work, with every step of the focus; and where it has no room
    for all keys it shows the first ones, not those that are needed.
    """

    DEFAULT_CSS = """
        KeyLine {
            dock: bottom;
            width: 1fr;
            height: 1;
            background: $panel;
            text-wrap: nowrap;
        }
    """

    def __init__(self, is_enabled: Callable[[str], bool], name_of: Callable[[str], str]) -> None:
        """`is_enabled` says of an action whether it does something now, `name_of` what it is called now, empty for its
        name in the table of keys."""
        super().__init__()
        self._is_enabled, self._name_of = is_enabled, name_of
        self.keys: tuple[ShownKey, ...] = ()
        """Those that did something when the screen last looked."""
        self._bound: tuple[DOMNode, Sequence[BoundKey]] | None = None
        """What is bound where the focus was, and where that was."""

    def follow(self) -> None:
        """Show what can be done now. The screen calls it whenever it has nothing else to do: what a key does follows
        from more than anybody would remember to tell."""
        # The keys stay in sight while the terminal has lost the focus.
        if self.app.app_focus and (keys := self.keys_now()) != self.keys:
            self.keys = keys
            self.refresh()

    def keys_now(self) -> tuple[ShownKey, ...]:
        """The keys that do something now, in the order of the line.

        Which keys are bound is looked up when the focus moves: that takes a millisecond, and asking them a tenth.
        """
        place = self.screen.focused or self.screen
        if self._bound is None or self._bound[0] is not place:
            bound = bound_keys(self.screen)
            if bound is None:
                return self.keys_of((active.node, active.binding) for active in self.screen.active_bindings.values())
            self._bound = place, self._sorted(bound)
        return self._asked(self._bound[1])

    def keys_of(self, bound: Iterable[tuple[DOMNode, Binding]]) -> tuple[ShownKey, ...]:
        """Those of some bindings that do something now, in the order of the line."""
        return self._asked(self._sorted(bound))

    def _sorted(self, bound: Iterable[tuple[DOMNode, Binding]]) -> Sequence[BoundKey]:
        """What the line needs of bindings, in their order."""
        app, screen, focused = self.app, self.screen, self.screen.focused
        namespaces = {"app": app, "screen": screen}
        found = []
        for node, binding in bound:
            destination, name, parameters = parse(binding.action)
            face, rank = app.get_key_display(binding), _rank(find_key(binding), node)
            # Keys that come and go with the room stand in the middle, so that others keep their places.
            place = 2 if binding.action in KEPT else int(isinstance(node, App) or rank > PANEL)
            words = binding.description if binding.show and not _is_typed(binding, focused) else ""
            of_field = node is focused and binding.action in OF_FIELDS
            if of_field:
                place, words, rank = 0, OF_FIELDS[binding.action], USUAL
            named, asked = ShownKey(binding.key, face, words, rank=rank), namespaces.get(destination, node)
            found.append(BoundKey(asked, name, parameters, binding.action, place, named, of_field))
        keys = {one.named.key for one in found if one.named.does}
        return [one for one in found if one.named.key in keys]  # the others keep no key of the line from anybody

    def _asked(self, bound: Iterable[BoundKey]) -> tuple[ShownKey, ...]:
        alone, taken, seen = self.screen.maximized is not None, set[str](), dict[str, tuple[int, ShownKey]]()
        for one in bound:
            named = one.named
            if named.key in taken:
                continue
            state = one.node.check_action(one.name, one.parameters)  # None: it is there, and rests
            if state is False:
                continue
            taken.add(named.key)
            if not named.does or one.action in seen or not (one.of_field or self._is_enabled(one.action)):
                continue
            place, words = one.place, self._name_of(one.action)
            if one.action == "zoom" and alone:  # it led to one panel alone: before all others
                place, named = -1, replace(named, does="Back", rank=ALWAYS)
            elif words or state is None:
                named = replace(named, does=words or named.does, enabled=bool(state))
            seen[one.action] = place, named
        return tuple(named for _, named in sorted(seen.values(), key=lambda placed: placed[0]))

    @property
    def shown(self) -> tuple[ShownKey, ...]:
        """The keys that there is room for."""
        return fit_keys(self.keys, self.size.width)

    def render(self) -> Content:
        parts = []
        for key in self.shown:
            dim = "" if key.enabled else " dim"
            face, does = key.parts
            parts += [(face, f"bold $footer-key-foreground{dim}"), (does, f"$footer-description-foreground{dim}")]
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        shown = self.shown
        ends = accumulate((key.width for key in shown), initial=0)
        for (first, end), key in zip(pairwise(ends), shown, strict=True):
            if first <= event.x < end:
                self.app.simulate_key(key.key) if key.enabled else self.app.bell()


def _is_typed(binding: Binding, focused: Widget | None) -> bool:
    """Returns whether a key is typed where the focus is.

    Textual asks the same, but knows the characters of some keys by other names than the keys have.
    """
    face = binding.key_display or shown(binding.key)
    return focused is not None and len(face) == 1 and focused.check_consume_key(binding.key, face)


def _rank(key: Key | None, node: DOMNode) -> int:
    """The rank of a key: the higher, the sooner it is left out. A key that is not in the table ranks as a usual one."""
    if key is None or key.label:
        return ALWAYS if key is not None and key.action in (*KEPT, *NEEDED) else USUAL
    if key.later or isinstance(node, App):
        return LATER
    return SCREEN if isinstance(node, Screen) else PANEL


class MessageLine(Static):
    """One sentence. The kinds are `good`, `caution`, `bad` and `quiet`.

    What was told or remarked stays: with `good` and `quiet` until the next key, which brings back what could be done,
    with `caution` and `bad` until `release` or `answered`.
    """

    PASSING = ("good", "quiet")
    """Kinds of what was told that the next key lets go."""
    long = False
    """Whether quiet hints too may take several lines, though panels move for them."""
    _told = ""
    """The kind of what was told and stays; empty where a hint may take its place."""
    _hinted = _shown = ("", "")
    _whole = _passing = False
    """Whether all of it shows, and whether it goes with the next key."""

    def hint(self, text: str, kind: str = "quiet") -> None:
        """Say what could be done now, unless what was said stays; of a hint without a doubt the parts before a ` · `
        show that fit into one line."""
        self._hinted = text, kind
        if not self._told and not self._passing:
            self._show(text, kind, whole=kind not in self.PASSING)

    def remark(self, text: str) -> None:
        """Say what a key has changed on the screen, unless something went wrong."""
        if self._told != "bad":
            self.release()
            self._show(text, "quiet", whole=True, passes=True)

    def tell(self, text: str, kind: str = "quiet") -> None:
        """Say what was done or went wrong."""
        self._told = kind
        self._show(text, kind, whole=True, passes=kind in self.PASSING)

    def release(self) -> None:
        """Let hints take the place of what was said."""
        self._told, self._passing = "", False

    def answered(self) -> None:
        """Let hints take the place of what went wrong, now that an answer has come."""
        if not self._passing:
            self.release()

    def key_pressed(self) -> None:
        """Let hints take the place of what was told of an earlier key: it would look like an answer to this one."""
        if self._passing:
            self.release()
            self.hint(*self._hinted)

    def _show(self, text: str, kind: str, whole: bool, passes: bool = False) -> None:
        self._passing = passes  # also where the same was said, and let go, before
        if (text, kind) == self._shown:
            return
        self._shown, self._whole = (text, kind), whole or self.long
        self.set_classes(f"-{kind}")
        self.update(Content(self._fitting()), layout=self._wrap())

    def _wrap(self) -> bool:
        """Take several lines where the sentence has them; returns whether it does. For what goes with the next key no
        panel moves: it lies over them."""
        wraps = self._whole and cell_len(clean(self._shown[0])) > self.content_size.width > 0
        self.set_class(wraps, "-long")
        over = wraps and self._passing and not self.long
        self.set_class(over, "-over")
        # Else the panels would take the line that it had among them.
        self.screen.query(KeyLine).set_class(over, "-apart")
        return wraps

    def _fitting(self) -> str:
        """The whole sentence, or of one that may take a line alone the first parts, as many as fit."""
        text, width = clean(self._shown[0]), self.content_size.width
        while not self._whole and cell_len(text) > width > 0 and " · " in text:
            text = text.rpartition(" · ")[0].rstrip()
        return text

    def on_resize(self) -> None:
        self._wrap()
        self.update(Content(self._fitting()), layout=False)


ROOMY, WIDE = 110, 180  # columns from which all names show, and stand further apart


def tabs(mode: str, width: int) -> Content:
    """`1 2 live 3 4 5 6`, with the names of all where a screen has the columns for it; a click on one shows it."""
    words = []
    for number, name in enumerate(SCREENS, 1):
        shown = f"{number} {name}" if width >= ROOMY or name == mode else f"{number}"
        style = "bold underline $accent" if name == mode else "$foreground 65%"
        words.append(f"[{style}][@click=app.show('{name}')]{shown}[/][/]")
    apart = 3 if width >= WIDE else 2 if width >= ROOMY else 1
    return Content.from_markup((" " * apart).join(words))


def title_width(mode: str, width: int) -> int:
    """The columns that the tabs leave for the title on a screen of this width."""
    return width - len(tabs(mode, width).plain) - 3


SIGNS = {Severity.NOTE: "·", Severity.WARNING: "!", Severity.SERIOUS: "!!"}


def _tries(finding: Finding) -> str:
    """` · u tries epochs 30 or 1 other`; empty where nothing of its advice is a matter of settings."""
    if not finding.remedies:
        return ""
    first, *others = finding.remedies
    more = f" or {counted(len(others), 'other')}" if others else ""
    return f" · {ADVICE_KEY} tries {clean(first.words, 60)}{more}"


class FindingLine(Widget, can_focus=True):
    """The most serious finding and the next thing to try; all findings when it is alone on the screen, and no line when
    there are none."""

    BINDINGS = [Binding("enter", "screen.zoom", "All of it", show=False)]

    BORDER_TITLE = "what the curves say"

    _shown: tuple[Finding, ...] = ()

    def __init__(self, id: str, most: int = 0) -> None:  # noqa: A002
        """With `most` it takes no more lines, and says how to see what it leaves out."""
        super().__init__(id=id)
        self._most = most

    def show(self, findings: Sequence[Finding]) -> None:
        """Show these findings; the same ones again cost nothing."""
        found = tuple(findings)
        if found == self._shown:
            return
        self._shown = found
        if not found and self.screen.maximized is self:
            self.screen.minimize()
        self.set_class(bool(found), "-said")
        for severity in Severity:
            self.set_class(bool(found) and found[0].severity == severity, f"-{severity.name.lower()}")
        self.tooltip = "\n".join(clean(str(finding), 400) for finding in found) or None
        self.refresh(layout=True)

    def render(self) -> Content:
        said = [f"{SIGNS[finding.severity]} {clean(str(finding), 400)}" for finding in self._shown]
        tries = [*map(_tries, self._shown)]
        if self.has_class("-maximized") or not said:
            return Content("\n\n".join(map(str.__add__, said, tries)))
        others, how = len(said) - 1, "enter" if self.has_focus else "click or tab"
        more = f"  (+{others} more: {how})" if others else ""
        words, end = said[0], tries[0] + more
        if not self._fits(words + end):
            end = f"…{tries[0]}{more or f'  (all: {how})'}"
            while " " in words and not self._fits(words + end):
                words = words.rpartition(" ")[0].rstrip(",:(")
        return Content(words + end)

    def _fits(self, words: str) -> bool:
        width = self.content_size.width
        return not (self._most and width) or len(wrap(words, width, hyphens=False)) <= self._most

    async def on_click(self) -> None:
        await self.run_action("screen.zoom")  # a press has given it the focus

    def on_focus(self) -> None:
        self.refresh(layout=True)  # for the words that say how to see more

    on_blur = on_focus


class ViewBar(Horizontal):
    """The names of the panels; the chosen one is marked, and a click chooses another."""

    view: reactive[str] = reactive("")

    def __init__(self, views: Iterable[str]) -> None:
        super().__init__(*(Static(view, name=view, id=f"tab-{view}", classes="tab") for view in views))

    def on_mount(self) -> None:
        self.next()

    def watch_view(self, view: str) -> None:
        for tab in self.children:
            tab.set_class(tab.name == view, "-active")
            if tab.name == view:
                # A narrow screen has no room for every name.
                self.call_after_refresh(self.scroll_to_widget, tab, animate=False, force=True)

    def offer(self, view: str, wanted: bool) -> None:
        """Show a name, or hide it; a hidden one is never chosen."""
        self.query_one(f"#tab-{view}").display = wanted
        if not wanted and self.view == view:
            self.next()

    def next(self) -> None:
        """Choose the next panel, and after the last the first."""
        names = [tab.name or "" for tab in self.children if tab.display or tab.name == self.view]
        self.view = names[(names.index(self.view) + 1) % len(names)] if self.view else names[0]

    def on_click(self, event: Click) -> None:
        if event.widget is not None and event.widget.name:
            self.view = event.widget.name


ONE_AT_A_TIME = ("-narrow", "-short")
"""Classes of a screen on which one panel shows at a time."""


class Views(Lasting, Vertical):
    """Panels of which one shows at a time where the screen is small, chosen in the ViewBar that it holds."""

    MAIN_PANELS: ClassVar[Mapping[str, str]] = {}
    """Name of each view -> selector of the panel that `z` shows alone."""

    def on_mount(self) -> None:
        self.watch(self.query_one(ViewBar), "view", self.show_view)

    def show_view(self, chosen: str) -> None:
        for view in self.MAIN_PANELS:
            self.set_class(view == chosen, f"-{view}")

    def reveal(self, view: str) -> None:
        """Show one of the panels, where there is no room for all."""
        self.query_one(ViewBar).view = view

    def next_view(self) -> None:
        """The next panel, where there is no room for all."""
        self.query_one(ViewBar).next()

    @property
    def main_panel(self) -> Widget:
        """What `z` shows alone when no panel has the focus."""
        return self.query_one(self.MAIN_PANELS[self.query_one(ViewBar).view])


def ending_words(snapshot: Snapshot) -> str:
    """`finished after 0:24, best test loss 0.01392 at epoch 146 · f forks it`: what came of a run that was watched."""
    metric, status = snapshot.main_metric, snapshot.status
    words = f"finished after {duration(status.elapsed)}"
    if best := snapshot.best("test", metric):
        words += f", best test {clean(metric, 24)} {figure(metric, best.value)} at epoch {best.epoch:,g}"
    return words if snapshot.tracked is not None else f"{words} · f forks it"


def standing(snapshot: Snapshot) -> tuple[object, ...]:
    """What a key asks a worker to change: its state, at which step it is paused, whether it hangs, and the last
    checkpoint saved on request."""
    status = snapshot.status
    return status.state, status.step if status.state == "paused" else None, status.silent, _saved(snapshot)


def _saved(snapshot: Snapshot) -> str:
    """The last of a run's notes on a checkpoint that somebody asked for."""
    return next((note.text for note in reversed(snapshot.notes) if note.text.startswith("checkpoint saved")), "")


def tell_news(message: MessageLine, before: Snapshot | None, now: Snapshot) -> bool:
    """Tell what has become of the open run since the snapshot before, None where there is none.

    Returns whether the form should say again what can be done now, in place of what it said of the run as it was.
    """
    state, was = now.status.state, before.status.state if before is not None else ""
    cause, old_cause = own_pause(now), own_pause(before) if before is not None else ""
    says_again = False
    if state != was:
        if problem := bad_ending(now):
            message.tell(problem, "bad")
        elif now.config is None and now.tracked is None:
            message.tell(f"{now.id}: {NO_CONFIG}; 1 lists the others, D there deletes it", "bad")
        elif state == "stopped" and now.tracked is None:
            message.tell("R goes on with this run from where it stopped, r starts a new one", "caution")
        elif state == "finished" and was in LIVE_STATES:
            message.tell(ending_words(now), "good")
        elif state == "starting" and was and was not in LIVE_STATES:
            message.tell("it goes on from its last checkpoint…", "good")
        if now.status.refusal:
            message.tell(refusal_words(now.status), "bad")
        says_again = was != "" and (was in LIVE_STATES) != now.status.live
        if says_again and now.status.live:
            message.release()
    if cause and cause != old_cause:
        message.tell(f"it paused by itself: {cause} · p goes on, e changes it, x saves and stops", "caution")
    if old_cause and not cause:
        message.release()
        says_again = True
    if before is not None and (saved := _saved(now)) and saved != _saved(before):
        message.tell(f"{saved}, and f offers it", "good")
    new_edits = now.edits[len(before.edits) :] if before is not None else ()
    if new_edits and now.status.live:
        words = ", ".join(f"{label_of(edit.key)} is {edit.new:g}" for edit in new_edits)
        message.hint(f"{words} from step {now.edits[-1].step:,} on", "good")
    return says_again
