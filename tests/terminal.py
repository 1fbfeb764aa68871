"""A real terminal for tests and benchmarks: a program in a pseudo-terminal, what it drew, and what it left behind.

    with Terminal(["tuiae"], columns=120, rows=40) as terminal:
        terminal.wait_for("quickstart")
        terminal.send("q")
        assert terminal.exit_code() == 0
        assert not terminal.left_on()

A thread takes what the program writes, as fast as a terminal would, answers its queries and stamps every chunk with
its time. The screen is emulated only when somebody looks at it, so that watching costs the program nothing. Times are
those of `time.monotonic()`. Whatever the program started is found by a variable in its environment and killed at the
end, processes in sessions of their own included.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import secrets
import select
import shutil
import signal as signals
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import psutil

from tests.terminal_screen import Screen, answers, left_on

ENTER, ESCAPE, TAB, BACKTAB = "\r", "\x1b", "\t", "\x1b[Z"
UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
CTRL_C = "\x03"

# `tuiae` without a standby, which imports torch where nobody trains.
COLD = (
    sys.executable,
    "-c",
    "from tuiae.ui.session import Launcher; Launcher._keep_warm = lambda self: None\n"
    "from tuiae.__main__ import main; main()",
)

MARK = "TERMINAL_UNDER_TEST"
POLL_SECONDS = 0.01  # between looks at a condition that is not on the screen

# What the shell that runs the tests has and a terminal of its own would not give.
FOREIGN = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TMUX", "STY", "SSH_TTY")
# A shell in the background ignores SIGINT, and Python SIGPIPE; a login shell ignores none.
HEARD = [signals.SIGINT, signals.SIGQUIT, signals.SIGTERM, signals.SIGHUP, signals.SIGPIPE]


@dataclass(frozen=True)
class Usage:
    """What one process has used so far: CPU in seconds, resident memory in bytes."""

    pid: int
    command: str
    cpu: float
    rss: int


class Terminal:
    """A program in a pseudo-terminal; a context manager that leaves no process behind."""

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        columns: int = 120,
        rows: int = 40,
        env: Mapping[str, str] | None = None,
        pictures: bool = False,
    ) -> None:
        """`pictures`: it says that it draws kitty's."""
        self.command = [os.fspath(part) for part in command]
        self.pid = 0
        self.started = 0.0
        self.stalled = False
        """While true nothing is read, as by a terminal behind a connection that hangs."""
        self._pictures = pictures
        self._mark = secrets.token_hex(8)
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
        own = {"TERM": "xterm-256color", "COLORTERM": "truecolor", MARK: self._mark}
        self._env = {**inherited, **own, **(env or {})}
        self._screen = Screen(columns, rows)
        self._chunks: list[tuple[float, bytes]] = []
        self._drawn = 0
        self._arrival = threading.Condition()
        self._ended = False

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self._wake_read, self._wake_write = os.pipe()
        try:
            self._set_size()
            self._spawn(os.ttyname(slave))
        finally:
            os.close(slave)
        self._process = psutil.Process(self.pid)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()
        return self

    def _spawn(self, tty: str) -> None:
        """A session leader without a controlling terminal gets the first one that it opens."""
        program = shutil.which(self.command[0], path=self._env.get("PATH")) or self.command[0]
        opened = (os.POSIX_SPAWN_OPEN, 0, tty, os.O_RDWR, 0)
        copied = [(os.POSIX_SPAWN_DUP2, 0, descriptor) for descriptor in (1, 2)]
        self.started = time.monotonic()
        self.pid = os.posix_spawn(
            program, self.command, self._env, file_actions=[opened, *copied], setsid=True, setsigdef=HEARD
        )

    def __exit__(self, *_: object) -> None:
        end = time.monotonic() + 10
        # Again until none is left: what is being killed may start something at that moment.
        while (alive := self.processes()) and time.monotonic() < end:
            for process in alive:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(POLL_SECONDS)
        self.hang_up()
        with contextlib.suppress(psutil.Error):
            self._process.wait(1)

    # Looking

    def _read(self) -> None:
        tail = b""
        while True:
            watched = [self._wake_read] if self.stalled else [self._wake_read, self._master]
            ready, _, _ = select.select(watched, [], [], 0.05)
            if self._wake_read in ready:
                break
            if self._master not in ready or self.stalled:
                continue
            try:
                chunk = os.read(self._master, 65536)
            except OSError:
                break  # how Linux words the end of a terminal
            if not chunk:
                break
            with self._arrival:
                self._chunks.append((time.monotonic(), chunk))
                self._arrival.notify_all()
            replies, tail = answers(tail + chunk, self._pictures)
            for reply in replies:
                os.write(self._master, reply)
        with self._arrival:
            self._ended = True
            self._arrival.notify_all()

    def _draw_next(self) -> float | None:
        """Draw the next chunk and return when it came; None when everything is drawn."""
        with self._arrival:
            if self._drawn == len(self._chunks):
                return None
            when, chunk = self._chunks[self._drawn]
        self._drawn += 1
        self._screen.take(chunk)
        return when

    def lines(self) -> list[str]:
        """The screen as it is now, without trailing blanks."""
        while self._draw_next() is not None:
            pass
        return self._screen.rows()

    def text(self) -> str:
        return "\n".join(self.lines())

    @property
    def raw(self) -> bytes:
        """Everything that the program has written so far."""
        with self._arrival:
            return b"".join(chunk for _, chunk in self._chunks)

    @property
    def received(self) -> int:
        """How many bytes that is."""
        with self._arrival:
            return sum(len(chunk) for _, chunk in self._chunks)

    # Waiting

    def wait_for(self, wanted: str | Callable[[str], object], deadline: float = 60.0) -> float:
        """Wait for a text on the screen, or until a function of the screen's text is true; returns when that was.

        For what the screen shows that is when the bytes came that made it so, however late it is looked at.

        Raises:
            AssertionError: not within `deadline` seconds, or the program ended without it; shows the screen.
        """
        holds = wanted if callable(wanted) else lambda text: wanted in text
        end = time.monotonic() + deadline
        while True:
            ended, late = self._ended, time.monotonic() > end
            if holds("\n".join(self._screen.rows())):
                return time.monotonic()
            while (arrived := self._draw_next()) is not None:
                if holds("\n".join(self._screen.rows())):
                    return arrived
            if late or (ended and isinstance(wanted, str)):
                raise AssertionError(self._complaint(f"waited {deadline:g} s for {wanted!r}"))
            with self._arrival:
                self._arrival.wait_for(lambda: self._drawn < len(self._chunks), POLL_SECONDS)

    def latency(self, keys: str, deadline: float = 5.0) -> float:
        """Send keys and return the seconds to the first output after them."""
        with self._arrival:
            before = len(self._chunks)
        sent = self.send(keys)
        with self._arrival:
            if self._arrival.wait_for(lambda: len(self._chunks) > before, deadline):
                return self._chunks[before][0] - sent
        raise AssertionError(self._complaint(f"no output within {deadline:g} s of {keys!r}"))

    def latency_to(self, keys: str, look: Callable[[Screen], object], deadline: float = 5.0) -> float:
        """Send keys and return the seconds to the output that changes what `look` sees of the screen."""
        self.lines()
        before = look(self._screen)
        sent = self.send(keys)
        while time.monotonic() < sent + deadline:
            while (arrived := self._draw_next()) is not None:
                if look(self._screen) != before:
                    return arrived - sent
            with self._arrival:
                self._arrival.wait_for(lambda: self._drawn < len(self._chunks), POLL_SECONDS)
        raise AssertionError(self._complaint(f"nothing of it changed within {deadline:g} s of {keys!r}"))

    def exit_code(self, deadline: float = 60.0) -> int:
        """Wait for the program's end; a signal that ended it counts as its negative number.

        Raises:
            AssertionError: it still runs after `deadline` seconds; shows the screen.
        """
        try:
            code = self._process.wait(deadline)
        except psutil.TimeoutExpired:
            raise AssertionError(self._complaint(f"still running after {deadline:g} s")) from None
        self._reader.join(1)  # its last words may still be on their way
        return int(code)

    def _complaint(self, what: str) -> str:
        rule = f"+{'-' * self._screen.columns}+"
        rows = [f"|{line:{self._screen.columns}}|" for line in self.lines()]
        state = "ended" if self._ended else "running"
        return "\n".join([f"{what}; {' '.join(self.command)} ({state}) shows:", rule, *rows, rule])

    # Acting

    def send(self, keys: str) -> float:
        """Type keys; returns when."""
        now = time.monotonic()
        os.write(self._master, keys.encode())
        return now

    def signal(self, number: int) -> None:
        """Send a signal to the program alone."""
        os.kill(self.pid, number)

    def resize(self, columns: int, rows: int) -> None:
        """Change the window; the program gets SIGWINCH."""
        self.lines()
        self._screen.resize(rows, columns)
        self._set_size()

    def spoil(self) -> None:
        """Wipe the screen, as something else that writes on the terminal may; the program does not hear of it."""
        self.lines()
        self._screen.take(b"\x1b[2J")

    def _set_size(self) -> None:
        size = struct.pack("HHHH", self._screen.lines, self._screen.columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def hang_up(self) -> None:
        """Close the terminal as a lost connection does; the program gets SIGHUP."""
        if self._master < 0:
            return
        os.write(self._wake_write, b"x")
        self._reader.join(5)
        for descriptor in (self._master, self._wake_read, self._wake_write):
            os.close(descriptor)
        self._master = -1

    # What it used, and what it left

    def processes(self) -> list[psutil.Process]:
        """Every living process that came of the command, the oldest first, wherever it has gone since."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self._mark:
                    found.append(process)
        return sorted(found, key=lambda process: (process.create_time(), process.pid))

    def usage(self) -> list[Usage]:
        """CPU and memory of each of them."""
        used = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                cpu, rss = process.cpu_times(), process.memory_info().rss
                used.append(Usage(process.pid, " ".join(process.cmdline()), cpu.user + cpu.system, rss))
        return used

    def left_on(self) -> set[str]:
        """What the program switched and has not switched back, in words; empty when the terminal is as it was."""
        flags = termios.tcgetattr(self._master)[3]
        raw_input = flags & (termios.ECHO | termios.ICANON) != (termios.ECHO | termios.ICANON)
        return left_on(self.raw) | ({"raw input"} if raw_input else set())
