"""What happens where an array is stored in another dtype than its field declares."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np

DtypePolicy: TypeAlias = Literal["strict", "same-kind", "unsafe"]

_NUMBERS = "biufc"
_CASTING: dict[DtypePolicy, Literal["equiv", "same_kind", "unsafe"]] = {
    "strict": "equiv",
    "same-kind": "same_kind",
    "unsafe": "unsafe",
}


def check_policy(policy: str) -> None:
    """Refuse what is no policy.

    Raises:
        ValueError: names those that there are.
    """
    if policy not in get_args(DtypePolicy):
        raise ValueError(f"dtypes is {policy!r:.80}; it must be one of {', '.join(map(repr, get_args(DtypePolicy)))}")


def agrees(stored: np.dtype[Any], declared: np.dtype[Any]) -> bool:
    """Whether arrays need no conversion: text of any length and times of any unit are what was declared."""
    return stored == declared or (stored.kind == declared.kind and declared.kind in "USMm")


def may_convert(stored: np.dtype[Any], declared: np.dtype[Any], policy: DtypePolicy) -> bool:
    """Whether a policy lets arrays of one dtype be read as another.

    ``strict`` allows another byte order only; ``same-kind`` what NumPy's casting of that name allows among numbers,
    such as float64 to float32 and int16 to float32, but not float32 to int16; ``unsafe`` everything.
    """
    numbers = stored.kind in _NUMBERS and declared.kind in _NUMBERS
    return agrees(stored, declared) or (
        (numbers or policy == "unsafe") and np.can_cast(stored, declared, _CASTING[policy])
    )
