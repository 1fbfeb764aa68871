"""Pictures beside each other, as large as an area allows: grids (kinds in rows, examples in columns), planes of decoded
images, galleries, and strips to choose from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import Any

from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from tuiae.render import palette
from tuiae.render.pixels import CaptionRow, Captions, ImageRow, Pixels, draw_picture, sample_captions, sample_rows
from tuiae.render.text import caption, centred, clean, fitted, in_mode, in_the_middle, join_lines
from tuiae.runs.snapshot import Sample

MOST_ENLARGED = 4
LEAST_ROWS = 3
"""Lines below which a shrunk picture shows nothing."""
OWN_SIDE = 12
"""Pixels of a side from which pictures are first shown at their own size; smaller ones are enlarged at least so far."""
LEAST_SHOWN = 4
NARROW, LEAST_SHOWN_NARROW = 60, 3
"""Columns below which fewer and larger pictures say more."""
LABEL_LIMIT = 8
MANY_ROWS = 3
"""Rows beyond which even crisp pictures are kept apart: a column of them would read as one."""
ROOMY = 6
"""Lines from which a shrunk picture gives one up for an empty line between rows."""


@dataclass(frozen=True)
class GridLayout:
    """The sizes of a grid of pictures, in cells."""

    columns: int
    """Width of one picture."""
    rows: int
    """Height of one picture."""
    shown: int
    """Pictures a row."""
    gap: int
    """Empty lines between rows."""
    gutter: int
    """Width of the row labels, their gap included; 0 without labels."""


def cell_sizes(image_width: int, image_height: int) -> list[tuple[int, int]]:
    """(columns, rows) a picture may take, largest first: whole multiples, then ever smaller with its aspect."""
    whole = [(image_width * scale, (image_height * scale + 1) // 2) for scale in range(MOST_ENLARGED, 0, -1)]
    full_rows = whole[-1][1]
    return whole + [
        (max(round(image_width * 2 * rows / image_height), 1), rows)
        for rows in range(full_rows - 1, LEAST_ROWS - 1, -1)
    ]


def least_lines(height: int) -> int:
    """The lines below which a picture of this height shows nothing: of a tiny one those of its own size."""
    return (height + 1) // 2 if height < OWN_SIDE else LEAST_ROWS


def plan(
    shape: tuple[int, ...], kinds: int, width: int, height: int, gutter: int, least: int | None = None
) -> GridLayout | None:
    """The largest layout for `kinds` rows of (N, H, W) pictures, or None when nothing fits.

    Every row must fit the height, and at least `least` pictures the width: without it four (three where it is narrow),
    or all there are; tiny ones are fewer rather than below their own size.
    """
    number, image_height, image_width = shape
    tiny = least is None and image_height < OWN_SIDE
    if least is None:
        least = min(LEAST_SHOWN if width >= NARROW else LEAST_SHOWN_NARROW, number)
    for columns, rows in cell_sizes(image_width, image_height):
        shown = min(number, (width - gutter + 1) // (columns + 1))
        if shown < (1 if tiny and columns == image_width else least):
            continue
        crisp = columns % image_width == 0
        for gap in (1, 0) if crisp else (int(rows >= ROOMY),):
            if kinds * rows + (kinds - 1) * gap <= height:
                return GridLayout(columns, rows, shown, gap, gutter)
    return None


def image_grid(
    rows: Sequence[ImageRow],
    width: int,
    height: int,
    mode: str = "blocks",
    captions: Sequence[CaptionRow] = (),
    label_limit: int = LABEL_LIMIT,
) -> Text:
    """One line of pictures for each (label, (N, C, H, W) uint8), centred in width x height cells.

    Lines of `captions` go under the last row, a caption a column; a closing ✓ or ✗ survives when they are cut.
    """
    rows = drawable(rows)
    if not rows or width <= 0 or height <= 0:
        return centred("no images yet", width, height)
    layout = fit(rows, width, height, captions, label_limit)
    if layout is None:
        return centred("too small for images", width, height)
    lines = _picture_lines([(clean(label, label_limit), images) for label, images in rows], layout, mode)
    lines += [_caption_line(clean(label, label_limit), names, layout) for label, names in captions]
    return in_mode(in_the_middle(lines, width, height), mode)


LEAST_IN_BLOCK = 2  # pictures a row where rows stand in several blocks
_APART = 2  # cells between two blocks


def image_blocks(
    rows: Sequence[ImageRow], blocks: int, width: int, height: int, mode: str, label_limit: int = LABEL_LIMIT
) -> Text | None:
    """As `image_grid`, the rows in so many blocks beside each other, which show fewer pictures of each; None where the
    width or the height lacks."""
    rows = [(clean(label, label_limit), images) for label, images in drawable(rows)]
    if not rows:
        return None
    shape, down = (_count(rows), *rows[0][1].shape[2:]), math.ceil(len(rows) / blocks)
    parts = [rows[start : start + down] for start in range(0, len(rows), down)]
    gutters = [max(cell_len(label) for label, _ in part) + 2 for part in parts]
    room = (width - sum(gutters) - _APART * (len(parts) - 1)) // len(parts)
    layout = plan(shape, down, room, height, 0, min(LEAST_IN_BLOCK, shape[0]))
    if layout is None:
        return None
    drawn = (
        _picture_lines(part, replace(layout, gutter=gutter), mode) for part, gutter in zip(parts, gutters, strict=True)
    )
    lines = [Text(" " * _APART).join(line for line in across if line) for across in zip_longest(*drawn)]
    return in_mode(in_the_middle(lines, width, height), mode)


def drawable(rows: Sequence[ImageRow]) -> list[ImageRow]:
    """The rows that hold pictures."""
    return [(label, images) for label, images in rows if images.ndim == 4 and images.size and images.shape[1] in (1, 3)]


def fit(
    rows: Sequence[ImageRow], width: int, height: int, words: Sequence[CaptionRow] = (), label_limit: int = LABEL_LIMIT
) -> GridLayout | None:
    """The largest layout of drawable rows with lines of words below, without labels where that helps."""
    shape = (_count(rows), *rows[0][1].shape[2:])
    labels = [clean(label, label_limit) for label, _ in (*rows, *words)]
    gutter = max(map(cell_len, labels)) + 2
    spare = height - len(words)
    return plan(shape, len(rows), width, spare, gutter) or plan(shape, len(rows), width, spare, 0)


def _picture_lines(rows: Sequence[ImageRow], layout: GridLayout, mode: str) -> list[Text]:
    """The pictures that the layout shows of each row, its label before the middle of them."""
    lines: list[Text] = []
    for label, images in rows:
        lines += [Text()] * (layout.gap if lines else 0)
        shrunk = layout.columns % images.shape[-1] != 0
        trim = (shrunk or len(rows) > MANY_ROWS) and not layout.gap
        shown = (image.transpose(1, 2, 0) for image in images[: layout.shown])
        pictures = [draw_picture(image, layout.columns, layout.rows, mode, trim) for image in shown]
        for row, parts in enumerate(zip(*pictures, strict=True)):
            line = _gutter(label if row == (layout.rows - 1) // 2 else "", layout)
            lines.append(line.append_text(Text(" ").join(parts)))
    return lines


def _gutter(label: str, layout: GridLayout) -> Text:
    line = Text(end="", no_wrap=True)
    return line.append(f"{fitted(label, layout.gutter - 2, right=True)}  " if layout.gutter else "", "dim")


def _caption_line(label: str, captions: Sequence[str], layout: GridLayout, styles: Sequence[str] = ()) -> Text:
    """A caption below each picture, in a style of its own, else in that of the tick or cross at its end."""
    line = _gutter(label, layout)
    for index, words in enumerate(captions[: layout.shown]):
        words = caption(clean(words), layout.columns)
        style = palette.GOOD if words.endswith("✓") else palette.BAD if words.endswith("✗") else "dim"
        padded = fitted(" " * ((layout.columns - cell_len(words)) // 2) + words, layout.columns)
        line.append(" " if index else "").append(padded, styles[index] if styles else style)
    return line


# A sample of a run


def sample_grid(sample: Sample, width: int, height: int, mode: str = "blocks") -> Text:
    """The whole sample as one text of `width` x `height` cells at most."""
    return image_grid(sample_rows(sample), width, height, mode, sample_captions(sample))


# Samples whole: the pictures of each beside or below each other

_BETWEEN = 3  # cells between two samples, each of several pictures beside each other


@dataclass(frozen=True)
class SampleLayout:
    """Sizes of whole samples, in cells: `across` of them beside each other, `down` below each other."""

    columns: int  # of one picture
    rows: int
    kinds: int  # pictures of a sample
    words: int  # lines below a sample
    across: int
    down: int = 1
    gutter: int = -1
    """Width of the labels where the kinds stand below each other; -1 where they stand beside each other, under their
    labels."""
    gap: int = 1
    """Empty lines between pictures below each other."""

    @property
    def shown(self) -> int:
        return self.across * self.down

    @property
    def height(self) -> int:
        if self.gutter >= 0:
            return self.kinds * (self.rows + self.gap) - self.gap + self.words
        return int(self.kinds > 1) + self.down * (self.rows + self.words + 1) - 1


def sample_layouts(rows: Sequence[ImageRow], width: int, height: int, words: int = 0) -> list[SampleLayout]:
    """The ways to show samples whole, from few and large pictures to many small ones."""
    number, (image_height, image_width), kinds = _count(rows), rows[0][1].shape[2:], len(rows)
    gutter = max(cell_len(clean(label, LABEL_LIMIT)) for label, _ in rows) + 2
    found: list[SampleLayout] = []
    for columns, lines in cell_sizes(image_width, image_height):
        between = _BETWEEN if kinds > 1 else 1
        across = (width + between) // (kinds * (columns + 1) - 1 + between)
        down = (height - int(kinds > 1) + 1) // (lines + words + 1)
        ways = [SampleLayout(columns, lines, kinds, words, across, down)]
        for gap in (1, 0) if kinds > 1 else ():
            below = SampleLayout(columns, lines, kinds, words, (width - gutter + 1) // (columns + 1), 1, gutter, gap)
            ways += [below] * (below.height <= height)
        best = max(ways, key=lambda way: way.shown)
        if best.across > 0 and best.down > 0 and min(best.shown, number) > (found[-1].shown if found else 0):
            found.append(best)
    return found


def usual_layout(layouts: Sequence[SampleLayout], rows: Sequence[ImageRow]) -> int:
    """Which of these comes first: as many samples as there is room for with pictures of their own size; where that is
    none, the largest pictures."""
    wanted = own_layout(rows).columns
    return max((place for place, layout in enumerate(layouts) if layout.columns >= wanted), default=0)


def own_layout(rows: Sequence[ImageRow], words: int = 0) -> SampleLayout:
    """One sample, its pictures beside each other at their own size."""
    height, width = rows[0][1].shape[2:]
    scale = max(-(-OWN_SIDE // max(height, width)), 1)
    return SampleLayout(width * scale, (height * scale + 1) // 2, len(rows), words, 1)


def draw_samples(
    rows: Sequence[ImageRow], layout: SampleLayout, first: int, width: int, height: int, mode: str, words: Captions = ()
) -> Text:
    """The samples from the `first` on, with lines of words below each, centred in an area."""
    rows = [(clean(label, LABEL_LIMIT), images[first:]) for label, images in rows]
    words = [line[first:] for line in words]
    if layout.gutter >= 0:
        grid = GridLayout(layout.columns, layout.rows, min(layout.across, _count(rows)), layout.gap, layout.gutter)
        lines = [*_picture_lines(rows, grid, mode), *(_caption_line("", names, grid) for names in words)]
        return in_mode(in_the_middle(lines, width, height), mode)
    one = GridLayout(layout.columns, layout.rows, layout.kinds, 0, 0)
    whole = GridLayout(layout.kinds * (layout.columns + 1) - 1, layout.rows, 1, 0, 0)
    head = [_caption_line("", [label for label, _ in rows], one)] if layout.kinds > 1 else []
    between, lines = Text(" " * (_BETWEEN if layout.kinds > 1 else 1)), list[Text]()
    for start in range(0, min(layout.shown, _count(rows)), layout.across):
        places = range(start, min(start + layout.across, _count(rows)))
        samples = [
            _sample_lines([images[place] for _, images in rows], one, mode)
            + [_caption_line("", names[place : place + 1], whole) for names in words]
            for place in places
        ]
        head_line = [between.join(head * len(samples))] if head and not start else []
        lines += [*([Text()] if start else []), *head_line, *map(between.join, zip(*samples, strict=True))]
    return in_mode(in_the_middle(lines, width, height), mode)


def _sample_lines(images: Sequence[Pixels], layout: GridLayout, mode: str) -> list[Text]:
    """Images (C, H, W), grey ones and others, beside each other."""
    drawn = [draw_picture(image.transpose(1, 2, 0), layout.columns, layout.rows, mode) for image in images]
    return [Text(" ").join(parts) for parts in zip(*drawn, strict=True)]


def _count(rows: Sequence[ImageRow]) -> int:
    return min(len(images) for _, images in rows)


# Planes of decoded images

UNBOUNDED = 10**6  # lines
_GOOD_LINES, _LEAST_LINES = 5, 4
"""Lines of a picture of a plane below which fewer pictures say more, unless they are as small as that."""
_MANY, _FEW = 16, 9  # pictures of a plane, for which smaller ones are taken

Values = Sequence[float] | NDArray[Any]


def draw_plane(images: Pixels, x: Values, y: Values, width: int, mode: str) -> Text:
    """Images (rows, columns, C, H, W) of a plane, y on the left and x below, as large as the width lets them."""
    if layout := _lay_out_plane(images, x, y, width, 0):
        return _plane(images, x, y, layout, width, 0, mode)
    smallest = cell_sizes(images.shape[-1], images.shape[-2])[-1][0]
    needed = _plane_gutter(y) + len(x) * (smallest + 1) - 1
    return centred(f"{len(x)} pictures a row need {needed} columns", width, 1)


def fit_plane(images: Pixels, x: Values, y: Values, width: int, height: int, mode: str) -> Text:
    """`draw_plane` in an area: where not all pictures fit well, every second one or fewer of each row and column, the
    first and the last among them; of columns, which are narrower than rows are high, as many as there is room for."""
    steps = [step for step in range(1, len(x)) if (len(x) - 1) % step == 0]
    choices = sorted(((row, one) for row in steps for one in steps if one <= row), key=math.prod)
    parts = [(images[::row, ::one], x[::one], y[::row]) for row, one in choices if height > 0]
    fitting = [(part, layout) for part in parts if (layout := _lay_out_plane(*part, width, height)) is not None]
    if not fitting:
        return centred("too small for images", width, height)

    def shown(lines: int, pictures: int) -> Iterator[tuple[tuple[Pixels, Values, Values], GridLayout]]:
        least = min(lines, (images.shape[-2] + 1) // 2)
        return (found for found in fitting if found[1].rows >= least and math.prod(found[0][0].shape[:2]) >= pictures)

    wanted = ((lines, pictures) for pictures in (_MANY, _FEW) for lines in (_GOOD_LINES, _LEAST_LINES))
    part, layout = next(chain(*(shown(*each) for each in wanted), shown(_GOOD_LINES, 1), fitting[-1:]))
    return _plane(*part, layout, width, height, mode)


def _plane_gutter(y: Values) -> int:
    return max(len(f"{value:.3g}") for value in y) + 2


def _numbers(x: Values) -> Iterator[list[str]]:
    """Places as numbers that tell them apart, ever shorter."""
    for digits in (3, 2, 1):
        names = [f"{value:.{digits}g}" for value in x]
        if len(set(names)) == len(names):
            yield names


def _lay_out_plane(images: Pixels, x: Values, y: Values, width: int, height: int) -> GridLayout | None:
    """The largest layout in an area, whose height has no end where it is 0."""
    room = (height or UNBOUNDED) - 1
    return plan((len(x), *images.shape[-2:]), len(y), width, room, _plane_gutter(y), least=len(x))


def _plane(images: Pixels, x: Values, y: Values, layout: GridLayout, width: int, height: int, mode: str) -> Text:
    rows = [(f"{value:.3g}", row) for value, row in zip(y, images, strict=True)]
    below = next((names for names in _numbers(x) if max(map(len, names)) <= layout.columns), [f"{v:.3g}" for v in x])
    lines = [*_picture_lines(rows, layout, mode), _caption_line("", below, layout)]
    return in_mode(in_the_middle(lines, width, height), mode)


# Galleries: one picture after the other, on as many lines as they need

TALLEST = 8  # lines of a picture where the height has no end
ACROSS = 5
"""Pictures that stand beside each other at least there, where the width lets them."""
_NO_LABEL = 2  # cells left of pictures without a label


def draw_gallery(images: Pixels, width: int, mode: str, captions: Sequence[str] = ()) -> Text:
    """Images (N, C, H, W) in lines of about equally many, an empty line between, each with its caption below."""
    number, *_, rows, columns = images.shape
    leasts = (min(ACROSS, number), 1)
    layouts = (plan((number, rows, columns), 1, width, TALLEST, _NO_LABEL, least) for least in leasts)
    layout = next(filter(None, layouts), None)
    if layout is None:
        return centred("too narrow for images", width, 1)
    return _gallery(images, [captions] if captions else [], layout, number, width, 0, mode)


def fit_gallery(images: Pixels, width: int, height: int, mode: str, captions: Captions = ()) -> Text:
    """Images (N, C, H, W) in an area, as large as all of them can be; where they cannot, the first that fit."""
    if not len(images) or width <= 0 or height <= 0:
        return centred("no images", width, height)
    layout, down = _largest(images.shape[-2:], len(images), width, height, len(captions))
    if layout.shown < 1 or down < 1:
        return centred("too small for images", width, height)
    return _gallery(images, captions, layout, layout.shown * down, width, height, mode)


def fit_row(
    images: Pixels, words: Sequence[str], width: int, height: int, mode: str, least: int = LEAST_ROWS
) -> Text | None:
    """Images (N, C, H, W) beside each other in an area, as large as all of them can be, each with a word below; None
    where they would have fewer than `least` lines."""
    layout = plan((len(images), *images.shape[-2:]), 1, width, height - 1, 0, len(images))
    if layout is None or layout.rows < least:
        return None
    lines = [*_picture_lines([("", images)], layout, mode), _caption_line("", words, layout)]
    return in_mode(in_the_middle(lines, width, height), mode)


def _gallery(
    images: Pixels, captions: Captions, layout: GridLayout, most: int, width: int, height: int, mode: str
) -> Text:
    """The first `most` images in as few rows as hold them, about equally many in each."""
    number, lines = min(len(images), most), list[Text]()
    across = math.ceil(number / math.ceil(number / layout.shown))
    for row in (slice(start, min(start + across, number)) for start in range(0, number, across)):
        lines += _picture_lines([("", images[row])], layout, mode)
        lines += [*(_caption_line("", words[row], layout) for words in captions), Text()]
    return in_mode(in_the_middle(lines[:-1], width, height), mode)


_EVEN = 0.6
"""Share of the largest factor from which a whole one is taken."""


def draw_large(image: Pixels, width: int, height: int, mode: str) -> Text:
    """One image (C, H, W) as large as an area lets it be: by a whole factor, which keeps its pixels even, unless that
    leaves much of the area."""
    scale = min(width // image.shape[2], 2 * height // image.shape[1])
    if scale and scale >= _EVEN * min(width / image.shape[2], 2 * height / image.shape[1]):
        columns, lines = image.shape[2] * scale, (image.shape[1] * scale + 1) // 2
        return in_the_middle(draw_picture(image.transpose(1, 2, 0), columns, lines, mode), width, height)
    lines = min(height, int(width * image.shape[1] / (2 * image.shape[2])))
    columns = min(round(2 * lines * image.shape[2] / image.shape[1]), width)
    if lines < 1 or columns < 1:
        return centred("too small for images", width, height)
    return in_the_middle(draw_picture(image.transpose(1, 2, 0), columns, lines, mode), width, height)


def _largest(shape: tuple[int, ...], enough: int, width: int, height: int, words: int) -> tuple[GridLayout, int]:
    """The layout of the largest pictures (H, W), with so many lines of words below, of which enough fit, else of the
    smallest; and how many of its rows fit, an empty line between."""
    for columns, rows in cell_sizes(shape[1], shape[0]):
        across, down = (width + 1 - _NO_LABEL) // (columns + 1), (height + 1) // (rows + words + 1)
        if across * down >= enough:
            break
    apart = int(columns % shape[1] == 0 or rows >= ROOMY)
    return GridLayout(columns, rows, across, apart, _NO_LABEL), down


# A strip: pages of pictures, one of them under a cursor

WORDS = 2  # lines below a picture
ENOUGH = 4
"""Pictures that should show at once, where there are as many: larger ones show fewer."""


@dataclass(frozen=True)
class StripLayout:
    """Which pictures of a strip show, and where."""

    pictures: GridLayout
    first: int
    count: int
    across: int
    left: int
    top: int

    def index_at(self, column: int, row: int) -> int | None:
        """The picture of a cell, its words included."""
        columns, lines = self.pictures.columns, self.pictures.rows + WORDS
        across, inside = divmod(column - self.left, columns + 1)
        down, below = divmod(row - self.top, lines + 1)
        if not 0 <= across < self.across or inside == columns or down < 0 or below == lines:
            return None
        index = down * self.across + across
        return self.first + index if index < self.count else None


def lay_out_strip(shape: tuple[int, int], number: int, width: int, height: int, cursor: int = 0) -> StripLayout | None:
    """The largest pictures of shape (height, width) of which enough fit, the page that the cursor is on."""
    layout, down = _largest(shape, min(ENOUGH, number), width, height, WORDS)
    page = layout.shown * down
    if page < 1 or not number:
        return None
    first = cursor // page * page
    count, across = min(page, number - first), min(layout.shown, number)
    lines = -(-count // across) * (layout.rows + WORDS + 1) - 1
    left = max((width - across * (layout.columns + 1) + 1) // 2, _NO_LABEL)
    return StripLayout(layout, first, count, across, left, (height - lines) // 2)


def draw_strip(
    images: Pixels, captions: Sequence[tuple[str, str]], width: int, height: int, mode: str, cursor: int, focused: bool
) -> Text:
    """Images (N, C, H, W), two lines of words below each; those at the cursor are reversed while it can be moved."""
    strip = lay_out_strip(images.shape[-2:], len(images), width, height, cursor)
    if strip is None:
        return centred("too small for images", width, height)
    lines = [Text()] * strip.top
    left, end = " " * (strip.left - _NO_LABEL), strip.first + strip.count
    for start in range(strip.first, end, strip.across):
        row = slice(start, min(start + strip.across, end))
        drawn = _picture_lines([("", images[row])], strip.pictures, mode)
        for place in range(WORDS):
            styles = ["dim" if place else ""] * strip.across
            if row.start <= cursor < row.stop:
                styles[cursor - start] = f"bold {palette.SKY}{' reverse' if focused else ''}"
            drawn.append(_caption_line("", [words[place] for words in captions[row]], strip.pictures, styles))
        lines += [*(Text(left, end="").append_text(line) for line in drawn), Text()]
    return join_lines(lines[:-1])
