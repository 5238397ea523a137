"""PNG files: contact sheets of pictures, and plots of statistics. Needs the extras ``images`` and ``plots``."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atdata._extras import import_extra
from atdata.atomic import replace_file
from atdata.look.statistics import FieldStatistics, Statistics
from atdata_cli.output import plain
from atdata_cli.showing import brief

_DISTRIBUTION = "atdata-cli"
# Pixels of a picture on a sheet, of the gap between two, and of a line of text
_SIDE, _GAP, _LINE = 96, 8, 14
# Pillow runs other programs for some formats, and reads others with code that few have looked at
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
_COLUMNS = 3
_BARS = 20


def save(png: bytes, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    try:
        replace_file(path, png)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the temporary name


def contact_sheet(pictures: Sequence[tuple[Any, Any]], field: str) -> bytes:
    """Pictures side by side as one PNG, each with what stands below it.

    Args:
        pictures: arrays of shape (height, width), (height, width, 1, 3 or 4) or (1, 3 or 4, height, width), or the
            bytes of an image file; and a label, or None.
        field: the field they are from, for messages.

    Raises:
        BackendNotInstalled: Pillow is not installed.
        ValueError: there is none, or one is no picture; names the field.
    """
    image: Any = import_extra("PIL.Image", "images", _DISTRIBUTION)
    draw_on: Any = import_extra("PIL.ImageDraw", "images", _DISTRIBUTION).Draw
    tiles = [(_tile(image, value, field), label) for value, label in pictures if value is not None]
    if not tiles:
        raise ValueError(f"no sample has a picture in {field!r}; atdata inspect shows which fields there are")
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    text = _LINE if any(label is not None for _, label in tiles) else 0
    wide, high = _SIDE + _GAP, _SIDE + _GAP + text
    sheet = image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), "white")
    draw = draw_on(sheet)
    for number, (tile, label) in enumerate(tiles):
        left, top = number % columns * wide + _GAP, number // columns * high + _GAP
        sheet.paste(tile, (left + (_SIDE - tile.width) // 2, top + (_SIDE - tile.height) // 2))
        if label is not None:
            # the font that Pillow brings has no other letters
            letters = brief(label).encode("latin-1", "replace").decode("latin-1")[: _SIDE // 6]
            draw.text((left, top + _SIDE + 1), letters, fill="black")
    return _png(sheet)


def _png(sheet: Any) -> bytes:
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _tile(image: Any, value: Any, field: str) -> Any:
    """A picture of at most ``_SIDE`` pixels; small ones are enlarged by a whole number."""
    try:
        if isinstance(value, np.ndarray):
            tile = image.fromarray(pixels(value))
        elif isinstance(value, bytes):
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # Pillow only warns of images that would fill the memory
                tile = image.open(io.BytesIO(value), formats=_FORMATS)
                tile.load()
        else:
            raise ValueError(f"{type(value).__name__} is no picture")
    except Exception as error:  # Pillow raises many classes on damaged files
        raise ValueError(
            f"{field!r} cannot be shown: {error}. Pictures are arrays of shape height x width, with 1, 3 or 4 "
            "channels, or the bytes of an image file"
        ) from error
    tile = tile.convert("RGB")
    times = _SIDE // max(tile.size)
    if times > 1:
        return tile.resize((tile.width * times, tile.height * times), image.Resampling.NEAREST)
    tile.thumbnail((_SIDE, _SIDE))
    return tile


def pixels(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """An array as a picture: channels last, and values spread over 0 to 255 where they are not bytes.

    Raises:
        ValueError: its shape or dtype is not that of a picture.
    """
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)) or not array.size:
        raise ValueError(f"an array of shape {array.shape} is no picture")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of dtype {array.dtype} is no picture")
    if array.dtype != np.uint8:
        values = np.nan_to_num(array.astype(np.float64), posinf=0.0, neginf=0.0)
        low, high = values.min(), values.max()
        array = ((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    return np.ascontiguousarray(array)


def report(title: str, statistics: Statistics) -> bytes:
    """A plot for each field, as one PNG: bars for few values, histograms of numbers and lengths for others.

    Raises:
        BackendNotInstalled: Matplotlib is not installed.
    """
    figure_module: Any = import_extra("matplotlib.figure", "plots", _DISTRIBUTION)
    fields = list(statistics.fields.values())
    rows = max(1, math.ceil(len(fields) / _COLUMNS))
    figure = figure_module.Figure(figsize=(4.5 * _COLUMNS, 3.2 * rows + 0.6), layout="constrained")
    figure.suptitle(plain(f"{title}: {statistics.samples:,} samples"), parse_math=False)
    for number, field in enumerate(fields):
        axes = figure.add_subplot(rows, _COLUMNS, number + 1)
        missing = f", {field.missing:,} missing" if field.missing else ""
        axes.set_title(plain(f"{field.name}: {field.type}{missing}")[:60], fontsize=9, parse_math=False)
        axes.tick_params(labelsize=8)
        _plot(axes, field)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that its font has not
        figure.savefig(out, format="png", dpi=100)
    return out.getvalue()


def _plot(axes: Any, field: FieldStatistics) -> None:
    shown = field.numbers or field.lengths
    few = field.distinct_is_exact and field.distinct is not None and 0 < field.distinct <= _BARS
    if few and len(field.common) == field.distinct:
        names = [brief(value)[:20] for value, _ in field.common]
        positions = range(len(names))
        axes.barh(positions, [count for _, count in field.common])
        axes.set_yticks(positions)
        axes.set_yticklabels(names, parse_math=False)
        axes.invert_yaxis()
    elif shown is not None and shown.histogram is not None:
        edges, counts = shown.histogram.edges, shown.histogram.counts
        axes.stairs(counts, edges, fill=True)
        used = [number for number, count in enumerate(counts) if count]
        axes.set_xlim(edges[used[0]], edges[used[-1] + 1])
        if field.numbers is None:
            axes.set_xlabel("length", fontsize=8)
    else:
        axes.text(0.5, 0.5, "nothing to plot", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
