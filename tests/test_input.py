"""What a terminal sends: keys, the mouse and pastes act, and its answers never do."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest
from textual import events
from textual.constants import ESCAPE_DELAY
from textual.message import Message

from tuiae.ui.terminal.input import BURST, LONGEST_SECONDS, PATIENCE_SECONDS, BurstKey, TerminalInput

PAUSE = PATIENCE_SECONDS / 2
ESC = b"\x1b"

ANSWERS = {
    "version of tmux": b"\x1bP>|tmux 3.4\x1b\\",
    "version of xterm": b"\x1bP>|XTerm(379)\x1b\\",
    "termcap": b"\x1bP1+r544e=787465726d\x1b\\",
    "status string": b"\x1bP1$r0m\x1b\\",
    "background": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    "foreground, ended by BEL": b"\x1b]10;rgb:ffff/ffff/ffff\x07",
    "clipboard": b"\x1b]52;c;cnMK\x1b\\",
    "kitty pictures": b"\x1b_Gi=31;OK\x1b\\",
    "privacy message": b"\x1b^rxsq\x1b\\",
    "start of string": b"\x1bXrxsq\x1b\\",
    "first attributes": b"\x1b[?62;22c",
    "second attributes": b"\x1b[>41;379;0c",
    "third attributes": b"\x1bP!|7E565445\x1b\\",
    "status": b"\x1b[0n",
    "size in cells": b"\x1b[8;40;120t",
    "size in pixels": b"\x1b[4;800;1200t",
    "mode": b"\x1b[?25;1$y",
    "extended cursor": b"\x1b[?12;40;1R",
    "keyboard": b"\x1b[?31u",
    "modifiers": b"\x1b[>4;2m",
    "parameters": b"\x1b[2;1;1;128;128;1;0x",
    "checksum": b"\x1bP1!~0000\x1b\\",
    "cursor": b"\x1b[12;40R",
    "cursor in the first line": b"\x1b[1;2R",
    "title": "\x1b]lé—x\x1b\\".encode(),
    "cursor's shape": b"\x1bP1$r0 q\x1b\\",
}


def take(*chunks: bytes | float) -> list[Message]:
    """What comes of chunks, each its own read; a number is a pause in seconds. At the end nothing comes for long."""
    terminal_input, now = TerminalInput(), 100.0
    messages: list[Message] = []
    for chunk in (*chunks, 10 * PATIENCE_SECONDS):
        if isinstance(chunk, bytes):
            messages += terminal_input.feed(chunk, now)
        else:
            now += chunk
        messages += terminal_input.tick(now)
    return messages


def keys(*chunks: bytes | float) -> list[str]:
    return [message.key for message in take(*chunks) if isinstance(message, events.Key)]


def eight_bit(answer: bytes) -> bytes:
    """With control characters of eight bits."""
    for sequence in (b"\x1bP", b"\x1b]", b"\x1b_", b"\x1b^", b"\x1bX", b"\x1b[", b"\x1b\\"):
        answer = answer.replace(sequence, bytes([sequence[1] + 0x40]))
    return answer


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_no_key(answer: bytes) -> None:
    for form in (answer, eight_bit(answer)):
        assert not keys(form)
        assert keys(form, b"r") == ["r"]
        assert keys(form + b"\x1b[A") == ["up"]
        for cut in range(2, len(form)):
            assert keys(form[:cut] + form + b"j") == ["j"]  # interrupted by another answer
        for cut in range(1, len(form)):
            assert not keys(form[:cut], PAUSE / 10, form[cut:])
        for cut in range(2, len(form)):
            assert not keys(form[:cut], PAUSE, form[cut:])
            assert keys(form[:cut], 2 * PATIENCE_SECONDS, b"j") == ["j"]  # it never ended
    assert not keys(*(answer[place : place + 1] for place in range(len(answer))))


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_whose_beginning_went_elsewhere_is_no_letter(answer: bytes) -> None:
    for cut in range(1, len(answer) - 3):
        assert not [one for one in take(answer[cut:]) if isinstance(one, events.Key) and not isinstance(one, BurstKey)]


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_no_key_however_slowly_its_bytes_come(answer: bytes) -> None:
    for form in (answer, eight_bit(answer)):
        for gap in (0.0, 0.03, 0.09, 0.2):
            pressed = keys(*(part for place in range(len(form)) for part in (form[place : place + 1], gap)))
            assert set(pressed) <= ({"escape"} if gap > ESCAPE_DELAY else set()), (form, gap)


def test_answers_cut_anywhere_and_one_in_another_are_no_keys() -> None:
    # More of it: TUIAE_TEST_MUTATIONS=20000, as `make faults` has it.
    rng, forms = random.Random(12), [form for answer in ANSWERS.values() for form in (answer, eight_bit(answer))]
    for _ in range(int(os.environ.get("TUIAE_TEST_MUTATIONS", "1000"))):
        first, second = rng.choices(forms, k=2)
        text = first[: rng.randint(2, len(first))] + second
        cuts = sorted(rng.choices(range(1, len(text)), k=rng.randint(0, 6)))
        parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        pauses = [rng.choice((0.0, 0.001, 0.01, 0.03)) for _ in parts]
        assert not keys(*(part for pair in zip(parts, pauses, strict=True) for part in pair)), (parts, pauses)


def test_an_answer_that_comes_long_after_its_escape_presses_that_alone() -> None:
    assert keys(ESC, PAUSE, b"[?62;22c") == ["escape"]
    assert keys(ESC, PAUSE, b"P>|tmux 3.4\x1b\\") == ["escape"]


@pytest.mark.parametrize(
    ("chunks", "pressed"),
    [
        ((b"j",), ["j"]),
        ((ESC,), ["escape"]),
        ((ESC, PAUSE, b"["), ["escape", "left_square_bracket"]),
        ((ESC, PAUSE, b"[", PAUSE, b"r"), ["escape", "left_square_bracket", "r"]),
        ((ESC + ESC,), ["escape", "escape"]),
        ((b"\x1b[A\x1bOB\x1b[1;5C\x1b[Z\x1b[3~",), ["up", "down", "ctrl+right", "shift+tab", "delete"]),
        ((ESC, b"[", b"A"), ["up"]),
        ((b"\x1b[[A\x1bOP",), ["f1", "f1"]),
        ((b"\x1b[97;1u\x1b[13u",), ["a", "enter"]),
        ((b"\x1bb",), ["alt+b"]),
        (("é".encode()[:1], "é".encode()[1:]), ["é"]),
        ((b"\xff\xfe", b"j"), ["j"]),
        ((b"\x1bPno end", b"\x03"), ["ctrl+c"]),
        ((b"\x1b[200~no end", b"\x03"), ["ctrl+c"]),
        ((b"\x1b[12",), []),
        ((ESC, PAUSE / 5, b"]", 0.01, b"]"), ["escape", "right_square_bracket", "right_square_bracket"]),
        ((ESC + b"\x9b?62;22c",), []),
        ((b"\x1b[1:2;3u", b"\x1b[9999999999u", b"\x1b[" + b"1" * 5000 + b"u", b"j"), ["j"]),  # no characters
        ((b"\x1b[97A\x1b[114;1;114B",), []),
        ((b"\x1b[12", 2 * PATIENCE_SECONDS, b";40R", b"22c", b"j"), ["j"]),  # the rest of what was dropped
    ],
)
def test_keys_are_pressed(chunks: Sequence[bytes | float], pressed: list[str]) -> None:
    assert keys(*chunks) == pressed


def test_a_paste_is_one_text_however_it_is_cut() -> None:
    whole = b"\x1b[200~one r\ntwo\x1b[201~"
    for cut in range(1, len(whole)):
        [paste] = take(whole[:cut], 0.01, whole[cut:])
        assert isinstance(paste, events.Paste)
        assert paste.text == "one r\ntwo"


def test_keys_come_back_after_a_paste_that_never_ends() -> None:
    paste, key = take(b"\x1b[200~text", 2 * PATIENCE_SECONDS, b"j")
    assert isinstance(paste, events.Paste)
    assert isinstance(key, events.Key)
    assert (paste.text, key.key) == ("text", "j")
    assert keys(b"\x1b[200~text", *(0.3, b"j") * 10)[-1] == "j"  # also to somebody who does not wait


def test_what_a_terminal_sends_by_itself_does_not_prolong_a_paste_without_an_end() -> None:
    moves = (0.1, b"\x1b[<35;3;4M") * 15
    paste, *others = take(b"\x1b[200~text", *moves, b"j")
    assert isinstance(paste, events.Paste)
    assert isinstance(others[0], events.MouseMove)
    assert isinstance(others[-1], events.Key)


def test_a_paste_whose_beginning_went_elsewhere_is_one_text() -> None:
    [paste] = take(b"4 1 r x\x1b[201~")
    assert isinstance(paste, events.Paste)
    assert paste.text == "4 1 r x"


def test_a_report_that_began_before_the_program_is_no_key() -> None:
    for answer in (b"0n", b"?2c", b"22c", b";1R"):
        assert not list(TerminalInput(started=100.0).feed(answer, 100.2))
    assert len(TerminalInput(started=100.0).feed(b"4", 100.2)) == 1


def test_a_letter_after_what_was_dropped_starts_and_stops_no_training() -> None:
    [key] = take(b"\x1b[1;1", 2 * PATIENCE_SECONDS, b"R")
    assert isinstance(key, BurstKey)
    [key] = take(b"\x1b[1;1", 2 * LONGEST_SECONDS, b"R")
    assert not isinstance(key, BurstKey)


def test_many_letters_at_once_are_text() -> None:
    [paste] = take(b"r" * (BURST + 1))
    assert isinstance(paste, events.Paste)
    assert all(isinstance(key, BurstKey) for key in take(b"rx"))
    assert not any(isinstance(key, BurstKey) for key in take(b"r", b"x"))


def test_the_mouse_and_what_textual_asks_for_arrive() -> None:
    kinds = [type(message).__name__ for message in take(b"\x1b[<0;3;4M\x1b[<0;3;4m\x1b[?2026;2$y\x1b[I\x1b[O")]
    assert kinds == ["MouseDown", "MouseUp", "TerminalSupportsSynchronizedOutput", "AppFocus", "AppBlur"]
