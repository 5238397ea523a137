"""``atdata config`` and ``--profile``: the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


@pytest.fixture
def file(tmp_path: Path, environment: dict[str, str]) -> Path:
    """The file of the settings, in a folder that there is not yet."""
    path = tmp_path / "settings" / "config.toml"
    environment["ATDATA_CONFIG"] = str(path)
    for name in [name for name in environment if name.startswith("ATDATA_") and name != "ATDATA_CONFIG"]:
        del environment[name]
    return path


def settings(run: Run, *before: str, **env: str) -> dict[str, tuple[str | None, str | None]]:
    done = run(*before, "config", "--json", **env)
    assert done.code == 0, done.err
    told: Any = json.loads(done.out)
    return {row["name"]: (row["value"], row["origin"]) for row in told["settings"]}


def test_settings_and_where_they_come_from(run: Run, file: Path) -> None:
    assert settings(run)["index"] == (None, None)
    assert run("config", "set", "index", "redis://redis.example.org:6379/0").code == 0
    assert run("config", "set", "store", "s3://lab/datasets", "--profile", "lab").code == 0
    assert settings(run)["index"] == ("redis://redis.example.org:6379/0", "profile default")
    assert settings(run, ATDATA_INDEX_URL="sqlite:///x")["index"] == ("sqlite:///x", "ATDATA_INDEX_URL")
    assert settings(run, "--profile", "lab")["store"] == ("s3://lab/datasets", "profile lab")
    assert settings(run, ATDATA_PROFILE="lab")["index"] == (None, None)
    assert run("config", "set", "profile", "lab").code == 0
    assert settings(run)["profile"] == ("lab", str(file))
    assert settings(run)["store"] == ("s3://lab/datasets", "profile lab")
    assert run("config", "unset", "store").code == 0
    assert run("config", "unset", "store").code == 2
    assert run("config", "unset", "profile").code == 0
    assert run("config", "path").out == f"{file}\n"


def test_a_table_for_people(run: Run, terminal: Run, file: Path) -> None:
    run("config", "set", "handle", "alice.example.org")
    done = run("config")
    assert done.out.splitlines()[0].split() == ["setting", "value", "from", "variable"]
    assert "alice.example.org" in done.out
    assert done.err == f"Profiles: default; in {file}\n"
    assert "alice.example.org" in terminal("config").out


def test_comments_and_links_stay(run: Run, file: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("# mine\n[profiles.default] # this one\nindex = 'sqlite:///x' # fast\n")
    file.parent.mkdir()
    file.symlink_to(kept)
    assert run("config", "set", "store", "data").code == 0
    assert file.is_symlink()
    assert kept.read_text() == (
        f"# mine\n[profiles.default] # this one\nindex = 'sqlite:///x' # fast\nstore = \"{tmp_path / 'data'}\"\n"
    )
    assert run("config", "unset", "index").code == 0
    assert "# mine" in kept.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dotfiles.toml", "settings"]


def test_secrets_are_refused_and_hidden(run: Run, file: Path) -> None:
    done = run("config", "set", "index", "redis://:hunter2@redis.example.org/0")
    assert done.code == 1
    assert "ATDATA_INDEX_URL" in done.err
    assert "hunter2" not in done.err
    assert "set ATDATA_APP_PASSWORD instead" in run("config", "set", "app_password", "hunter2").err
    assert "looks like a secret" in run("config", "set", "aws_secret_key", "hunter2").err
    assert not file.exists()
    url = "redis://:hunter2@redis.example.org/0"
    for options in ((), ("--json",)):
        done = run("config", *options, ATDATA_INDEX_URL=url, ATDATA_APP_PASSWORD="hunter2")
        assert "hunter2" not in done.out + done.err
        assert "redis.example.org" in done.out
        assert "(set)" in done.out
    file.parent.mkdir()
    file.write_text(f"[profiles.default]\nindex = '{url}'\n")
    done = run("config")
    assert done.code == 1
    assert "hunter2" not in done.out + done.err
    assert run("config", "unset", "index").code == 0
    assert run("config").code == 0


def test_what_cannot_be_is_told(run: Run, file: Path) -> None:
    assert "there is index, store" in run("config", "set", "indx", "x").err
    assert run("config", "set", "profile", "a/b").code == 2
    assert run("config", "set", "profile", "lab", "--profile", "x").code == 2
    assert "no profile 'lab' yet" in run("config", "set", "profile", "lab").err
    file.write_text("index = ")
    done = run("config", "set", "store", "s3://x")
    assert (done.code, file.read_text()) == (1, "index = ")
    assert f"{file} is not TOML" in done.err
    assert run("--help").code == 0


def test_the_index_of_the_profile_is_used(run: Run, file: Path, tmp_path: Path) -> None:
    run("config", "set", "index", f"sqlite://{tmp_path}/team.sqlite3")
    done = run("index", "list", "--json")
    assert (done.code, json.loads(done.out)) == (0, [])
    run("config", "set", "index", "http://example.org")
    assert "is not the URL of an index" in run("index", "list").err
    assert run("index", "list", "--index", f"sqlite://{tmp_path}/team.sqlite3").code == 0
    assert run("index", "list", ATDATA_INDEX_URL=f"sqlite://{tmp_path}/team.sqlite3").code == 0
