"""What a user's code sees of types that were made of schemas: the modules in ``stubs/``, as atdata writes them.

Checked like ``consumer.py``.
"""

from __future__ import annotations

from typing import Any, assert_type

import numpy as np
from local.Digit_1_0_0 import Digit
from local.Odd_2_0_0 import Odd
from numpy.typing import NDArray

import atdata
from atdata import schema

IMAGE = np.zeros((28, 28), np.uint8)


def fields() -> None:
    digit = Digit(image=IMAGE, label=3)
    assert_type(digit, Digit)
    assert_type(digit.image, NDArray[np.uint8])
    assert_type(digit.label, int)
    assert_type(digit.weights, list[float])
    assert_type(digit.note, str | None)
    Digit(IMAGE, 3, [0.5], "by position")
    Digit(image=IMAGE)  # type: ignore[call-arg]
    Digit(image=IMAGE, label="three")  # type: ignore[arg-type]
    digit.lable = 3  # type: ignore[attr-defined]

    odd = Odd(NDArray=IMAGE, field="a")
    assert_type(odd.list, list[list[float]])
    assert_type(odd.int, int | None)
    assert_type(odd.str, bytes)
    assert_type(odd.np, NDArray[np.float32] | None)
    assert_type(odd.NDArray, NDArray[Any])
    assert_type(odd.tags, list[str] | None)
    Odd(IMAGE, "by position")  # type: ignore[call-arg, arg-type]


def samples() -> None:
    dataset = atdata.Dataset[Digit]("digits.tar", dtypes="strict")
    for digit in dataset:
        assert_type(digit, Digit)
    assert_type(Digit.from_bytes(b""), Digit)
    packable: type[atdata.Packable] = Odd
    print(packable)


def schemas(record: dict[str, Any]) -> None:
    assert_type(schema.schema_of(Digit, version="1.0.1", description="text"), dict[str, Any])
    assert_type(schema.type_of(record), type[atdata.PackableSample])
    assert_type(schema.diff(record, record).compatible, bool)
    assert_type(schema.Version.parse("1.0.0") < schema.Version(1, 0, 1), bool)
    assert_type(atdata.cid.generate_cid(record), str)
    found = atdata.uri.parse("@local/digits")
    if isinstance(found, atdata.uri.SchemaRef):
        assert_type(found.version, schema.Version | None)
