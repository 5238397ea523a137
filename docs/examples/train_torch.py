"""A network learns to read digits, is interrupted in the middle of an epoch, and goes on as if it had not been.

Takes the 1,797 handwritten digits (8 x 8 pixels) that come with scikit-learn, writes them as typed shards, and trains a
small convolutional network on the CPU: once in one go, and once with a stop, after which model, optimizer and data go
on from a checkpoint. Every loss of the second run is, to the last bit, that of the first.

Needs: pip install 'atdata-core[torch]' scikit-learn
Run: python train_torch.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

import atdata

EPOCHS, BATCH, TEST = 5, 64, 297
STOP = 40  # a step in the middle of the second epoch


@atdata.packable
class Digit:
    """A handwritten digit; gray levels 0 to 16."""

    image: NDArray[np.uint8]
    label: int


def digits(which: slice) -> list[Digit]:
    """Some of scikit-learn's digits as samples."""
    source = load_digits()
    images, labels = source.images[which].astype(np.uint8), source.target[which].tolist()
    return [Digit(image=image, label=label) for image, label in zip(images, labels, strict=True)]


def network() -> nn.Module:
    """A few thousand weights, the same in every run."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten()),
        nn.Linear(32 * 4 * 4, 10),
    )


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Images, (n, 8, 8) uint8, as the network takes them: (n, 1, 8, 8) from 0 to 1."""
    return images.unsqueeze(1) / 16


def train(data: atdata.Dataset[Digit], checkpoint: Path, stop: int | None = None) -> tuple[nn.Module, list[float]]:
    """Train from the checkpoint on, if there is one; with ``stop``, leave one after so many steps and return."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = data.to_torch(batch_size=BATCH, shuffle=True, seed=0)
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loader.load_state_dict(saved["loader"])
        first = saved["epoch"]

    losses: list[float] = []
    for epoch in range(first, EPOCHS):
        loader.set_epoch(epoch)
        for batch in loader:
            loss = nn.functional.cross_entropy(model(pixels(batch["image"])), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == stop:
                parts = {"model": model, "optimizer": optimizer, "loader": loader}
                torch.save({"epoch": epoch} | {name: part.state_dict() for name, part in parts.items()}, checkpoint)
                return model, losses
    return model, losses


def accuracy(model: nn.Module, data: atdata.Dataset[Digit]) -> float:
    """The share of digits that the model reads right."""
    with torch.no_grad():
        right = [model(pixels(batch["image"])).argmax(1) == batch["label"] for batch in data.to_torch(batch_size=256)]
    return torch.cat(right).float().mean().item()


def main(folder: Path) -> float:
    """Write, train in one go, train with a stop, compare. Returns the accuracy on the test split."""
    training, test = digits(slice(None, -TEST)), digits(slice(-TEST, None))
    data = atdata.write_samples(training, folder / "train-%06d.tar", maxcount=500, overwrite=True)
    held_out = atdata.write_samples(test, folder / "test.tar", overwrite=True)
    print(data)

    torch.use_deterministic_algorithms(True)  # sums in the same order, whatever the threads
    model, losses = train(data, folder / "never.pt")
    right = accuracy(model, held_out)
    print(f"in one go: {len(losses)} steps to loss {losses[-1]:.4f}; {right:.1%} of the test digits are read right")

    checkpoint = folder / "stopped.pt"
    checkpoint.unlink(missing_ok=True)
    _, before = train(data, checkpoint, stop=STOP)
    print(f"stopped after {len(before)} steps")
    _, after = train(data, checkpoint)
    print(f"went on for {len(after)} steps to loss {after[-1]:.4f}")
    assert before + after == losses, "a loss differs from that of the run in one go"
    print("every loss is that of the run in one go")
    return right


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "training-data"))
