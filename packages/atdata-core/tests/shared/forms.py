"""What was read, as something that is equal only if it is the same in every way."""

import struct

import numpy as np

from atdata.errors import AtdataError


def form(value):
    """A value as something hashable: dtypes, byte orders, NaN and the sign of zero count, too."""
    if isinstance(value, np.ndarray):
        if value.dtype.names is not None:
            content = tuple(form(np.ascontiguousarray(value[name])) for name in value.dtype.names)
        else:
            content = value.tobytes()
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        return "array", repr(value.dtype), value.dtype.byteorder, value.shape, fortran, content
    if isinstance(value, float):
        return "float", struct.pack(">d", value) if value == value else "nan"
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(form, value))
    if isinstance(value, dict):
        return "dict", tuple((form(key), form(item)) for key, item in value.items())
    return type(value).__name__, value


def drained(stream):
    """What a stream yields, and the error that ends it, or None."""
    got = []
    try:
        for item in stream:
            got.append(item)
    except AtdataError as error:
        return got, error
    return got, None
