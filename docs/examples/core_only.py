"""The core of the quick start, with nothing installed but atdata-core: define, write, read, batch."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import atdata


@atdata.packable
class Point:
    """A point in space with a name."""

    position: NDArray[np.float32]
    name: str


def main() -> None:
    """Write 100 points, read them back, and check that they are the same."""
    points = [Point(position=np.full(3, number, np.float32), name=f"point {number}") for number in range(100)]
    with tempfile.TemporaryDirectory() as folder:
        dataset = atdata.write_samples(points, Path(folder) / "points.tar", maxcount=40)
        print(dataset)
        assert list(dataset) == points
        for batch in dataset.ordered(batch_size=32):
            print(batch, batch.position.shape, batch.name[0])
        shuffled = [name for batch in dataset.shuffled(batch_size=32, seed=0) for name in batch.name]
        assert sorted(shuffled) == sorted(point.name for point in points)


if __name__ == "__main__":
    main()
