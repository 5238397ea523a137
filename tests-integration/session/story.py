"""What Alice and Bob do: she makes a dataset of pictures and publishes it, he checks and downloads it."""

from __future__ import annotations

from pathlib import Path

from testnet.network import Network

from .terminal import Step, run

STORY = [
    ("alice", "ls pictures; ls pictures/7 | head -3"),
    ("alice", "atdata write pictures digits"),
    ("alice", "atdata inspect digits"),
    ("alice", "atdata head digits -n 3"),
    ("alice", "atdata stats digits --field label"),
    ("alice", "atdata validate digits"),
    ("alice", "atdata atmosphere login alice.test"),
    ("alice", "atdata publish digits --to @alice.test/digits --license CC-BY-4.0 --tag digits"),
    ("bob", "atdata atmosphere login bob.test"),
    ("bob", "atdata atmosphere ls @alice.test"),
    ("bob", "atdata atmosphere verify @alice.test/digits"),
    ("bob", "atdata get @alice.test/digits digits"),
    ("bob", "atdata diff ../alice/digits digits"),
    ("bob", "atdata head digits --image image --label label -n 40 --out digits.png"),
]


def pictures(folder: Path) -> None:
    """Real handwritten digits, a PNG each, in a folder for each digit."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:500], digits.target[:500], strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9375).astype("uint8")).save(folder / str(label) / f"{number:04}.png")


def play(network: Network, folder: Path) -> list[Step]:
    """Run the story in two homes of a folder."""
    steps = []
    for who in ("alice", "bob"):
        (folder / who).mkdir()
    pictures(folder / "alice" / "pictures")
    for who, command in STORY:
        environment = {
            "HOME": str(folder / who),
            "XDG_CACHE_HOME": str(folder / who / ".cache"),
            "XDG_CONFIG_HOME": str(folder / who / ".config"),
            "XDG_DATA_HOME": str(folder / who / ".data"),
            **network.environment,
            "ATDATA_APP_PASSWORD": network.accounts[who].appPassword,
        }
        steps.append(run(who, command, folder / who, environment))
    return steps
