"""How far the reading of shards is."""

import io

from atdata import metering
from atdata.metering import Meter, MeteredStream


def test_many_small_reads_are_told_at_times_at_the_end_and_at_the_total(monkeypatch):
    now = 5.0
    monkeypatch.setattr(metering, "monotonic", lambda: now)
    calls = []
    meter = Meter(lambda done, total: calls.append((done, total)), 12)
    stream = MeteredStream(io.BytesIO(b"x" * 10), meter)
    for _ in range(9):
        stream.read(1)
    assert calls == [(1, 12)]
    now += 1
    stream.read(1)
    assert calls == [(1, 12), (10, 12)]
    assert stream.read(1) == b""
    meter.advance(2)
    assert calls[2:] == [(10, 12), (12, 12)]
