"""Data from elsewhere as samples: tables, lines of JSON, NumPy files, folders of images.

``open_rows`` reads them row by row, ``type_for`` makes a sample type of what it finds, ``write_rows`` writes samples.
"""

from .fit import type_for, write_rows
from .formats import FORMATS, open_rows
from .rows import Row, Rows, type_name

__all__ = ["FORMATS", "Row", "Rows", "open_rows", "type_for", "type_name", "write_rows"]
