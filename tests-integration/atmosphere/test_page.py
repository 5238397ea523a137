"""The page on publishing, run as it stands, with the names of the test network."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from testnet.files import Files
from testnet.network import Network

import atdata
from atdata.atmosphere import AtmosphereClient, DatasetLoader, LensLoader, SchemaPublisher
from atdata_local import Index

PAGE = Path(__file__).parents[2] / "docs" / "atmosphere.md"


@atdata.packable
class Bird:
    image: NDArray[np.uint8]
    label: str


@atdata.packable
class Label:
    label: str


def test_page(
    network: Network,
    alice: AtmosphereClient,
    bob: AtmosphereClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in network.environment.items():
        monkeypatch.setenv(name, value)
    birds = [Bird(image=np.full((2, 2), n, np.uint8), label=f"bird {n}") for n in range(40)]
    atdata.write_samples(birds, tmp_path / "pictures.tar", maxcount=2)
    for shard in tmp_path.glob("*.tar"):
        shard.rename(tmp_path / f"pictures-{shard.stem[-3:]}.tar")
    SchemaPublisher(bob).publish(Label, rkey="label")
    monkeypatch.setenv("ATDATA_INDEX_URL", f"sqlite://{tmp_path / 'index.sqlite3'}")
    Index().insert_dataset(atdata.write_samples(birds, tmp_path / "team" / "nests.tar"), name="nests")
    server = Files(tmp_path)

    here = f"base_url={network.pds!r}, plc_url={network.plc!r}, allow_insecure=True"
    program = "\n".join(re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    for text, instead in {
        'AtmosphereClient(base_url="https://pds.example.org")': f"AtmosphereClient({here})",
        "AtmosphereClient()": f"AtmosphereClient({here})",
        "xxxx-xxxx-xxxx-xxxx": network.accounts["alice"].appPassword,
        "https://data.example.org": server.url,
        "example.org": "test",
    }.items():
        assert text in program
        program = program.replace(text, instead)
    more = {"collection": "ac.foundation.dataset.lens", "records": [{"$type": "ac.foundation.dataset.lens"}] * 3}
    (tmp_path / "page.py").write_text(program, encoding="utf-8")
    with server, pytest.warns(match="nobody else can read it"):  # the URLs of this test are not https
        names = runpy.run_path(str(tmp_path / "page.py"), more)
    assert names["picture"].label == "bird 39"
    assert DatasetLoader(bob).get_metadata(names["dataset_uri"]) is None
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(" at:")[0] for line in said[:2]] == ["Birds, as blobs", "Pictures of birds"]
    assert said[-1] == "ok: all of it is what was signed"
    with pytest.warns(match="left out of a listing"):  # the three
        (lens,) = LensLoader(bob).find_by_schemas(names["schema_uri"], repo="alice.test")
    assert lens["getterCode"]["path"] == "birds.lenses:label"
    assert (tmp_path / "session").stat().st_mode & 0o777 == 0o600
