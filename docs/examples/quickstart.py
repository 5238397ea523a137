"""Real images into typed shards, and a classifier trained from their batches.

Takes the 1,797 handwritten digits (8 x 8 pixels) that come with scikit-learn, writes them as typed shards, reads
them in order and shuffled, trains a classifier batch by batch, and saves a picture of what it saw.

Run: python quickstart.py [FOLDER]
"""

import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import atdata

mpl.use("Agg")  # draw into a file; no screen needed


@atdata.packable
class Digit:
    """A handwritten digit."""

    image: NDArray[np.uint8]
    label: int
    split: str


def digits(split: slice) -> list[Digit]:
    """The digits of one split as samples; gray levels 0 to 16."""
    source = load_digits()
    name = "train" if split.start is None else "test"
    return [
        Digit(image=image.astype(np.uint8), label=int(label), split=name)
        for image, label in zip(source.images[split], source.target[split], strict=True)
    ]


def pixels(batch: atdata.SampleBatch[Digit]) -> NDArray[np.float64]:
    """A batch's images, (n, 8, 8) uint8, as rows of 64 numbers from 0 to 1."""
    return batch.image.reshape(len(batch), -1) / 16.0


def save_picture(batch: atdata.SampleBatch[Digit], predicted: NDArray[np.int64], path: Path) -> None:
    """Draw the first samples of a batch with what the classifier said of them."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 8, figsize=(8, 3.6))
    for axis, image, label, guess in zip(axes.flat, batch.image, batch.label, predicted, strict=False):
        axis.imshow(image, cmap="gray_r")
        axis.set_title(f"{label} → {guess}", color="black" if label == guess else "red", fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main(folder: Path) -> float:
    """Write, read, train, score. Returns the accuracy on the test split."""
    train = atdata.write_samples(digits(slice(None, 1500)), folder / "train-%06d.tar", maxcount=500, overwrite=True)
    test = atdata.write_samples(digits(slice(1500, None)), folder / "test.tar", overwrite=True)
    print(train)
    print(test)

    classifier = SGDClassifier(loss="log_loss", alpha=1e-4, random_state=0)
    print("\nepoch  samples  seconds  accuracy")
    accuracy = 0.0
    for epoch in range(5):
        started, seen = time.perf_counter(), 0
        for batch in train.shuffled(batch_size=64, seed=0, epoch=epoch):
            classifier.partial_fit(pixels(batch), batch.label, classes=range(10))
            seen += len(batch)
        seconds = time.perf_counter() - started
        right = [
            guess == label
            for batch in test.ordered(batch_size=64)
            for guess, label in zip(classifier.predict(pixels(batch)), batch.label, strict=True)
        ]
        accuracy = sum(right) / len(right)
        print(f"{epoch:5}  {seen:7,}  {seconds:7.3f}  {accuracy:8.1%}")

    batch = next(iter(test.ordered(batch_size=24)))
    picture = folder / "digits.png"
    save_picture(batch, classifier.predict(pixels(batch)), picture)
    print(f"\nA few test digits, each with its label and what the classifier says: {picture}")
    return accuracy


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart-data"))
