"""What the machine does while one looks."""

from __future__ import annotations

import threading
import time

from rich.text import Text
from textual import on
from textual.message import Message

from tuiae.machine import Machine, MachineReader
from tuiae.render.machine import draw_machine
from tuiae.ui.widgets.panel import Panel

EVERY_SECONDS = 2.0
FIRST_SECONDS = 0.3  # until the first figures: how busy a core is takes a while to see


class MachineRead(Message):
    """A look at the machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine


class MachinePanel(Panel):
    """Cores, memory and cards; a thread looks every two seconds while the panel is on the screen, and not otherwise."""

    def __init__(self, title: str = "machine", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(title, id=id)
        self.set_note("g closes it")  # it may stand in the place of something else
        self.machine: Machine | None = None
        self._wanted = threading.Event()
        self._left = False

    def on_mount(self) -> None:
        self.call_after_refresh(self._want)
        self.set_interval(EVERY_SECONDS, self._want)
        threading.Thread(target=self._look, name="machine", daemon=True).start()

    def on_unmount(self) -> None:
        self._left = True
        self._wanted.set()

    def on_show(self) -> None:
        self._want()

    @property
    def is_seen(self) -> bool:
        """Whether it is in front of somebody: on the screen, and no other screen over it."""
        return self.is_attached and self.screen.is_active and self.is_on_screen

    def _want(self) -> None:
        if self.is_seen:
            self._wanted.set()

    def _look(self) -> None:
        """In the thread: nothing is opened before the first time that the panel is seen."""
        reader = None
        while self._wanted.wait() and not self._left:
            if reader is None:
                reader = MachineReader()
                time.sleep(FIRST_SECONDS)
            self._wanted.clear()
            self.post_message(MachineRead(reader.read()))

    @on(MachineRead)
    def _show(self, event: MachineRead) -> None:
        event.stop()
        self.show(event.machine)

    def show(self, machine: Machine) -> None:
        """Replace what is shown; what looks the same costs nothing."""
        if machine != self.machine:
            self.machine = machine
            self.changed()

    def draw(self, width: int, height: int) -> Text:
        return draw_machine(self.machine, width, height, self.terminal.ascii)
