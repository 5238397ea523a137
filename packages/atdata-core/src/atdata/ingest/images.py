"""Folders of images, in which a folder is a label."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._extras import import_extra
from ..errors import RowError
from ..find import natural_order
from ..splits import split_of
from .infer import ndarray, primitive
from .rows import Row

_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"))
# What these modes hold, arrays hold as it is
_AS_THEY_ARE = ("L", "RGB", "RGBA", "I;16", "I", "F")


class ImageRows:
    """The images in and below a folder, in natural order; what is hidden is left out.

    A row has ``image``, the pixels as an array of shape (height, width) or (height, width, channels), turned as the
    camera says; ``label``, the folder below the top one, if there are such; and ``file``, the path.

    Args:
        folder: the folder.
        encoded: let ``image`` be the bytes of the file.

    Raises:
        RowError: no images; or folders that are called like splits, and so are no labels.
        BackendNotInstalled: Pillow is not installed, and pixels are wanted.
    """

    text = False

    def __init__(self, folder: Path, *, encoded: bool = False) -> None:
        self._folder = folder
        self._encoded = encoded
        self._images: Any = None if encoded else import_extra("PIL.Image", "images")
        found, self.others = _files(folder)
        self._files = sorted(found, key=natural_order)
        self.count: int | None = len(self._files)
        if not self._files:
            raise RowError(f"{folder} holds no images; those are {', '.join(sorted(_SUFFIXES))}")
        labels = {parts[0] if len(parts) > 1 else None for parts in self._files}
        if None not in labels and all(split_of(f"{label}/") for label in labels):
            name = min(filter(None, labels))
            raise RowError(
                f"the folders in {folder} are splits ({', '.join(sorted(filter(None, labels)))}), not labels; write "
                f"each by itself: atdata write {folder / name} DIR/{name}"
            )
        self._labelled = labels != {None}
        self._optional = None in labels

    def fields(self) -> list[dict[str, Any]]:
        """See ``Rows``."""
        image = primitive("bytes") if self._encoded else ndarray(self._read(self._files[0]).dtype, "the first image")
        label = {"name": "label", "fieldType": primitive("str"), "optional": self._optional}
        return [
            {"name": "image", "fieldType": image, "optional": False},
            *([label] if self._labelled else []),
            {"name": "file", "fieldType": primitive("str"), "optional": False},
        ]

    def __iter__(self) -> Iterator[Row]:
        for parts in self._files:
            values = {"image": self._read(parts), "file": "/".join(parts)}
            label = {"label": parts[0] if len(parts) > 1 else None} if self._labelled else {}
            yield Row(str(self._folder.joinpath(*parts)), values | label)

    def _read(self, parts: tuple[str, ...]) -> Any:
        path = self._folder.joinpath(*parts)
        if self._encoded:
            return path.read_bytes()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", self._images.DecompressionBombWarning)
                with self._images.open(path) as image:
                    return _pixels(image)
        # what a damaged file makes its decoder raise is known to nobody
        except Exception as error:
            raise RowError(
                f"{path} is no image that can be read: {error}; remove it, or keep the files as they are with --encoded"
            ) from error


def _pixels(image: Any) -> np.ndarray[Any, Any]:
    upright = import_extra("PIL.ImageOps", "images").exif_transpose(image)
    if upright.mode not in _AS_THEY_ARE:
        clear = upright.mode in ("LA", "PA", "La") or "transparency" in upright.info
        upright = upright.convert("RGBA" if clear else "L" if upright.mode == "1" else "RGB")
    pixels = np.asarray(upright)
    return np.array(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def _files(folder: Path) -> tuple[list[tuple[str, ...]], int]:
    """Relative paths of the images below a folder, and how many other files there are."""
    found: list[tuple[str, ...]] = []
    others = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(place).relative_to(folder).parts
        for name in names:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in _SUFFIXES:
                found.append((*below, name))
            else:
                others += 1
    return found, others
