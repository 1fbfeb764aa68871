"""The harness itself: what it says about a program must be true before it is believed about ours."""

from __future__ import annotations

import signal
import sys

import psutil
import pytest

from tests.terminal import Terminal


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def test_keys_reach_the_program_and_its_answer_reaches_the_screen() -> None:
    with Terminal(python("print(input('name: ')[::-1]); raise SystemExit(3)"), 40, 5) as terminal:
        terminal.wait_for("name:")
        terminal.send("abc\r")
        assert terminal.exit_code() == 3
        assert terminal.lines()[:2] == ["name: abc", "cba"]
        assert terminal.left_on() == set()


def test_a_wait_that_fails_shows_the_screen() -> None:
    with Terminal(python("print('something else')"), 40, 5) as terminal:
        terminal.wait_for("something", deadline=30)
        with pytest.raises(AssertionError, match="something else"):
            terminal.wait_for("what never comes", deadline=30)


def test_what_a_program_leaves_switched_on_is_named() -> None:
    code = r"""
import sys, tty
tty.setraw(0)
sys.stdout.write("\x1b[?1049h\x1b[?1000;1006h\x1b[?25l\x1b[>1uup"); sys.stdout.flush()
while (key := sys.stdin.read(1)) != "q":
    sys.stdout.write("\x1b[<u\x1b[?1006l\x1b[?1000l\x1b[?1049l\x1b[?25hdown"); sys.stdout.flush()
"""
    with Terminal(["sh", "-c", 'printf prompt; exec "$@"', "sh", *python(code)], 40, 5) as terminal:
        terminal.wait_for("up")
        assert "prompt" not in terminal.text()
        assert terminal.left_on() == {"alternate screen", "mouse", "hidden cursor", "kitty keyboard", "raw input"}
        terminal.send("x")
        terminal.wait_for("promptdown")
        assert terminal.left_on() == {"raw input"}


def test_queries_are_answered_and_strange_sequences_are_not_drawn() -> None:
    code = r"""
import os, tty
tty.setraw(0)
for query in (b"\x1b[c", b"\x1b[6n", b"\x1b[?2026$p", b"\x1b[?u", b"\x1b]11;?\x1b\\"):
    os.write(1, query[:2]); os.write(1, query[2:])
    os.write(1, ascii(os.read(0, 99)).encode() + b"\r\n")
os.write(1, b"\x1b[>4;1m\x1b[<u\x1bP+q54\x1b\\\x1b[2 q\x1b_Gi=1;\x1b\\end")
"""
    with Terminal(python(code), 40, 8) as terminal:
        terminal.wait_for("end")
        answers = ["[?62;22c", "[1;1R", "[?2026;2$y", "[?0u", "]11;rgb:0/0/0"]
        assert [line[6 : 6 + len(wanted)] for line, wanted in zip(terminal.lines(), answers, strict=False)] == answers
        assert terminal.lines()[5] == "end"


def test_a_resize_and_a_hang_up_reach_the_program() -> None:
    code = """
import os, signal, time
signal.signal(signal.SIGWINCH, lambda *_: print(*os.get_terminal_size(), flush=True))
print(*os.get_terminal_size(), flush=True)
while True: time.sleep(60)
"""
    with Terminal(python(code), 40, 5) as terminal:
        terminal.wait_for("40 5")
        terminal.resize(30, 6)
        terminal.wait_for("30 6")
        terminal.hang_up()
        assert terminal.exit_code() == -signal.SIGHUP


def test_no_process_outlives_the_terminal_not_even_in_a_session_of_its_own() -> None:
    code = """
import subprocess, sys
nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
worker = subprocess.Popen(["sleep", "600"], start_new_session=True, **nowhere)
print("started", worker.pid, flush=True)
"""
    with Terminal(python(code), 40, 5) as terminal:
        terminal.wait_for("started")
        assert terminal.exit_code() == 0
        (worker,) = terminal.processes()
        assert str(worker.pid) in terminal.text()
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
