"""Two themes, dark and light, of one palette that stays apart for colour-blind eyes."""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

from tuiae.errors import ConfigError
from tuiae.ui.render import palette

DARK = Theme(
    name="tuiae",
    primary="#56B4E9",
    secondary="#8A93A0",
    accent="#56B4E9",
    success="#1DB88A",
    warning="#E69F00",
    error="#E8743B",
    foreground="#D8DEE6",
    background="#0E1116",
    surface="#161B22",
    panel="#1C232C",
    dark=True,
)
LIGHT = Theme(
    name="tuiae-light",
    primary="#00639C",
    secondary="#5B6470",
    accent="#00639C",
    success="#006B4A",
    warning="#8A5200",
    error="#AD3A08",
    foreground="#1B2129",
    background="#FAFAF8",
    surface="#F0F1F2",
    panel="#E6E9EC",
    dark=False,
)
BY_CHOICE = {"dark": DARK.name, "light": LIGHT.name}
CHOICES = ("auto", *BY_CHOICE)

ON_LIGHT: Mapping[str, str] = {
    palette.SKY: "#00639C",
    palette.ORANGE: "#8A5200",
    palette.GREEN: "#006B4A",
    palette.YELLOW: "#6B6000",
    palette.BLUE: "#3A45A8",
    palette.VERMILLION: "#AD3A08",
    palette.PURPLE: "#96326C",
    palette.GREY: "#5B6470",
    palette.PINK: "#C0225F",
    palette.BROWN: "#6E4B1E",
}
"""The colours of drawings on a light background: the same hues, dark enough for text (contrast 4.5 and more)."""


def drawn_colours(dark: bool) -> Mapping[str, str]:
    """What the colours of drawings become on a screen of this kind; those that stay are left out."""
    return {} if dark else ON_LIGHT


def choose_theme(choice: str, remembered: str, environ: Mapping[str, str]) -> str:
    """The name of a theme: what was asked for, else what was chosen before, else what COLORFGBG says of the terminal.

    Raises:
        ConfigError: there is no such theme.
    """
    if choice in BY_CHOICE:
        return BY_CHOICE[choice]
    if choice not in ("", "auto"):
        raise ConfigError(f"--theme {choice} is not known", f"one of {', '.join(CHOICES)}")
    if not choice and remembered:
        return remembered
    return BY_CHOICE["light" if _is_light(environ) else "dark"]


def _is_light(environ: Mapping[str, str]) -> bool:
    """COLORFGBG is `foreground;background` in the 16 colours, as rxvt, Konsole and others set it."""
    background = environ.get("COLORFGBG", "").rpartition(";")[2]
    return background.isdigit() and int(background) in (7, *range(9, 16))
