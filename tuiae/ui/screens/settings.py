"""All settings of a config: found by typing, each with its sentence and its default, and changed in place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import groupby
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tuiae.config import RunConfig, Setting, find_settings, list_settings, read_value, settings_of, typed
from tuiae.errors import TuiaeError
from tuiae.render.text import clean, shorten
from tuiae.source import argument_settings
from tuiae.ui.screens.dialogs import Dialog
from tuiae.ui.widgets.fields import Choice, named

MARK, NAME, VALUE = 2, 17, 18  # columns; the default has as many as the value, and the sentence the rest
ROOMY = 90  # columns from which the default has its own


def setting_line(setting: Setting, value: Any, base: Any, width: int) -> Text:
    """A setting in one line: whether it differs from `base`, its name, its value, its default where the value is
    another one and there is room, and as much of its sentence as fits."""
    changed = value != base
    default = "" if value == setting.default else f"default {typed(setting.default) or 'empty'}"
    line = Text.assemble(
        f"{'●' * changed:<{MARK}}",
        f"{setting.leaf:<{NAME}}",
        (f"{shorten(clean(typed(value)), VALUE - 1):<{VALUE}}", "bold" if changed else ""),
        (f"{shorten(default, VALUE - 1):<{VALUE}}" if width >= ROOMY else "", "dim"),
        (setting.sentence, "dim"),
        no_wrap=True,
    )
    line.truncate(width, overflow="ellipsis")
    return line


def _distance(setting: Setting, query: str) -> int:
    """How far a setting is from what was typed: called so, beginning so, with it in its name, or only in its words."""
    asked, names = query.casefold().replace("_", " ").strip(), (setting.leaf, setting.key)
    called = [name.replace("_", " ") for name in names]
    if not asked or asked in called:
        return 0
    return 1 if any(name.startswith(asked) for name in called) else 2 if asked in called[0] else 3


CHOOSING = "enter changes it · ctrl+z takes it back · escape closes"
EDITING = "enter keeps it · escape gives it up"
"""What the keys do, in the frame: in the list, and in the field over a value."""


class SettingsDialog(Dialog[dict[str, Any]]):
    """The answer holds what was changed, by dotted key; there is none where nothing was."""

    BINDINGS = [
        Binding("up", "move('cursor_up')", show=False),
        Binding("down", "move('cursor_down')", show=False),
        Binding("pageup", "move('page_up')", show=False),
        Binding("pagedown", "move('page_down')", show=False),
        Binding("ctrl+z", "take_back", show=False),
        Binding("escape", "leave", show=False),
    ]

    def __init__(
        self,
        title: str,
        config: RunConfig,
        base: RunConfig,
        ask: Callable[[Mapping[str, Any]], RunConfig],
        keys: Collection[str] = (),
    ) -> None:
        """`config` is what is asked for so far, and `base` what that was made from; `ask` gives the config with changes
        on top, or raises a TuiaeError that says why there is none. `keys` are those that may be changed, empty for
        all."""
        super().__init__()
        self._title, self._ask = title, ask
        self._base, self._values = settings_of(base), settings_of(config)
        self._keys = keys
        self._find_settings(config)
        self._changes: dict[str, Any] = {}

    def _find_settings(self, config: RunConfig) -> None:
        """Take every setting that may be changed, the arguments of a custom network included."""
        every = [*list_settings(), *argument_settings(config)]
        self._settings = [setting for setting in every if not self._keys or setting.key in self._keys]
        for known in (self._base, self._values):
            known.update({setting.key: setting.default for setting in self._settings if setting.key not in known})

    def compose(self) -> ComposeResult:
        with self.frame("settings", self._title, CHOOSING):
            yield Input(placeholder="type to find: rate, schedule, warm-up, dropout…", compact=True, id="settings-find")
            with Vertical(id="settings-rows"):
                rows = OptionList(compact=True, id="settings-list")
                rows.can_focus = False  # keys go to the field above
                yield rows
                yield Input(compact=True, id="settings-value", classes="editor")
                yield Choice("settings-choice", [("", "")])
            yield Static(id="settings-says")
            yield Static(classes="wrong")

    def on_mount(self) -> None:
        self._edit_nothing()

    def on_resize(self) -> None:
        self.call_after_refresh(self._list)

    @property
    def _rows(self) -> OptionList:
        return self.query_one("#settings-list", OptionList)

    @property
    def chosen(self) -> Setting | None:
        """The setting under the cursor."""
        option = self._rows.highlighted_option
        return next((setting for setting in self._settings if option and setting.key == option.id), None)

    def _list(self) -> None:
        """List what is found of the settings, by section; the cursor stays where it was, or goes to the first."""
        width = self._rows.scrollable_content_region.width - 2
        before, query = self.chosen, self.query_one("#settings-find", Input).value
        found = find_settings(self._settings, query)
        options: list[Option] = []
        for section, members in groupby(found, key=lambda setting: setting.section):
            options.append(Option(Text(section or "run", "bold underline"), disabled=True))
            for setting in members:
                line = setting_line(setting, self._values[setting.key], self._base[setting.key], width)
                options.append(Option(line, id=setting.key))
        self._rows.clear_options().add_options(options)
        first = before if before in found else min(found, key=lambda setting: _distance(setting, query), default=None)
        self._rows.highlighted = None if first is None else self._rows.get_option_index(first.key)
        self._describe()

    @on(OptionList.OptionHighlighted)
    def _describe(self) -> None:
        """Say of the setting under the cursor what it does, its default, and what it was before."""
        setting = self.chosen
        if setting is None:
            self.query_one("#settings-says", Static).update("no setting has these words")
            return
        base, choices = self._base[setting.key], ", ".join(setting.choices)
        facts = [f"default {typed(setting.default) or 'empty'}"]
        facts += [f"it was {typed(base) or 'empty'}"] * (self._values[setting.key] != base)
        facts += [choices] * bool(choices)
        words = Content.assemble(
            (f"{setting.key}  ", "bold"), (clean(" · ".join(facts), 200), "$foreground 65%"), f"\n{setting.sentence}"
        )
        self.query_one("#settings-says", Static).update(words)

    @on(Input.Changed, "#settings-find")
    def _find(self) -> None:
        self._rows.highlighted = None
        self._list()

    def action_move(self, where: str) -> None:
        """Move the cursor in the list, whatever has the focus."""
        self._edit_nothing()
        getattr(self._rows, f"action_{where}")()

    # Changing one

    @on(Input.Submitted, "#settings-find")
    @on(OptionList.OptionSelected)
    def _edit(self) -> None:
        """Show a field over the value under the cursor; what is on or off changes at once."""
        setting = self.chosen
        if setting is None:
            return
        value = self._values[setting.key]
        if isinstance(value, bool):
            self._take(setting, not value)
            return
        choice, field = self.query_one(Choice), self.query_one("#settings-value", Input)
        editor = choice if setting.choices else field
        self._edit_nothing()
        editor.styles.offset = (MARK + NAME + 1, (self._rows.highlighted or 0) - int(self._rows.scroll_offset.y))
        editor.display = True
        if setting.choices:
            choice.offer(named(setting.choices), typed(value))
            choice.focus()
            choice.action_show_overlay()
        else:
            field.value = typed(value)
            field.focus()
            field.action_select_all()
        self._say_keys(EDITING)

    def _edit_nothing(self) -> None:
        """Hide the fields; what is typed goes on finding."""
        self.query_one(Choice).display = self.query_one("#settings-value", Input).display = False
        self.judge("")
        self.query_one("#settings-find", Input).focus()
        self._say_keys(CHOOSING)

    def _say_keys(self, words: str) -> None:
        self.query_one(".dialog").border_subtitle = words

    @on(Input.Submitted, "#settings-value")
    def _take_text(self, event: Input.Submitted) -> None:
        if (setting := self.chosen) is not None:
            self._take(setting, read_value(setting, event.value))

    @on(Choice.Chosen)
    def _take_choice(self, event: Choice.Chosen) -> None:
        if (setting := self.chosen) is not None:
            self._take(setting, event.value)

    def action_take_back(self) -> None:
        """Let the setting under the cursor be what it was."""
        if (setting := self.chosen) is not None:
            self._take(setting, self._base[setting.key])

    def _take(self, setting: Setting, value: Any) -> None:
        """Change a setting, or say why it cannot have that value."""
        try:
            config = self._ask({**self._changes, setting.key: value})
        except TuiaeError as error:
            self.judge(str(error))
            return
        self._changes[setting.key] = value
        self._values = settings_of(config)
        self._find_settings(config)
        self._edit_nothing()
        self._list()

    def action_leave(self) -> None:
        """Leave the field, or the dialog; what was changed counts."""
        if self.query_one("#settings-find", Input).has_focus:
            self.dismiss(self._changes or None)
        else:
            self._edit_nothing()
