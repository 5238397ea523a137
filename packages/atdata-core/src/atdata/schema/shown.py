"""Values from records in messages."""

from __future__ import annotations

import reprlib


class _Shown(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to spell out enormous ones
        return super().repr_int(x, level) if x.bit_length() <= 128 else f"an integer of {x.bit_length():,} bits"


_shown = _Shown()
_shown.maxstring = _shown.maxother = 80
_shown.maxlevel = 2


def shown(value: object) -> str:
    """Any value from a record in a few words, for messages: ``repr`` fails on what is nested too deeply."""
    return _shown.repr(value)
