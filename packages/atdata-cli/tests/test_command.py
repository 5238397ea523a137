"""The ``atdata`` command, with the hand-written distributions of atdata-core's tests installed beside it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

import pytest
from plugin_folders import FIXTURES, installing
from typer.testing import CliRunner

import atdata_cli
from atdata_cli.app import app


def atdata(*arguments: str, plugins: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    """Run the real command, with fixture folders first on its path."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "COLUMNS", "PYTHONWARNINGS")
    }
    path = os.pathsep.join(filter(None, [*(str(FIXTURES / name) for name in plugins), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "atdata_cli", *arguments],
        env={**inherited, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    with installing(monkeypatch) as install:
        yield install


def test_version_names_every_installed_atdata_distribution() -> None:
    done = atdata("--version", plugins=("works",))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == sorted(lines)
    assert f"atdata-core {metadata.version('atdata-core')}" in lines
    assert f"atdata-cli {metadata.version('atdata-cli')}" in lines
    assert "atdata-fixture-works 1.0" in lines
    assert atdata_cli.__version__ == metadata.version("atdata-cli")


def test_help_lists_registered_groups_without_importing_them() -> None:
    done = atdata("--help", plugins=("works", "broken", "rivals"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "plugins List what the installed distributions add to atdata." in lines
    assert "greet Added by atdata-fixture-works 1.0." in lines
    assert "broken Added by atdata-fixture-broken 0.3." in lines
    assert any(line.startswith("claimed Unusable: claimed by atdata-fixture-rival-a 1.1 and") for line in lines)


def test_help_is_plain_text_when_it_goes_to_a_pipe() -> None:
    assert atdata("--help").stdout.isascii()
    assert "\x1b" not in atdata("plugins", "--help").stdout


def test_registered_group_runs_its_commands() -> None:
    done = atdata("greet", "hello", "world", plugins=("works",))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello world\n", "")


def test_registered_group_prints_its_own_help() -> None:
    done = atdata("greet", "--help", plugins=("works",))
    assert done.returncode == 0, done.stderr
    assert "Usage: atdata greet" in done.stdout
    assert "Greet someone." in done.stdout
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("group", "folder", "named"),
    [
        ("broken", "broken", ["atdata-fixture-broken 0.3", "No module named 'a_dependency_of_the_fixture'"]),
        ("no-typer", "broken", ["atdata-fixture-broken 0.3", "is not a typer.Typer"]),
        ("claimed", "rivals", ["atdata-fixture-rival-a 1.1", "atdata-fixture-rival-b 2.2", "uninstall all but one"]),
    ],
)
def test_unusable_group_is_one_line_that_names_its_distribution(group: str, folder: str, named: list[str]) -> None:
    done = atdata(group, "anything", plugins=(folder, "works"))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("atdata: ")
    for text in named:
        assert text in line


def test_unusable_group_leaves_the_others_usable() -> None:
    done = atdata("greet", "hello", "world", plugins=("broken", "rivals", "works"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello world\n", "")


def test_debug_prints_the_traceback_with_its_cause() -> None:
    done = atdata("--debug", "broken", plugins=("broken",))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "fixture_broken.py" in done.stderr
    assert "PluginBroken" in done.stderr.splitlines()[-1]


def test_unknown_command_is_a_usage_error() -> None:
    done = atdata("no-such-command")
    assert done.returncode == 2
    assert "No such command 'no-such-command'" in done.stderr


def test_plugins_prints_one_line_for_each_plugin_and_no_boxes_to_a_pipe() -> None:
    done = atdata("plugins", plugins=("works", "rivals"), COLUMNS="40")
    assert done.returncode == 0, done.stderr
    rows = [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]
    assert rows[0] == ["group", "name", "object", "distribution", "version", "status"]
    assert [
        "atdata.sources",
        "fixture",
        "fixture_works:open_source",
        "atdata-fixture-works",
        "1.0",
        "not loaded",
    ] in rows
    assert ["atdata.sources", "claimed", "fixture_rivals:open_a", "atdata-fixture-rival-a", "1.1", "conflict"] in rows
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout


def test_plugins_as_json_has_stable_keys() -> None:
    done = atdata("plugins", "--json", plugins=("works",))
    assert done.returncode == 0, done.stderr
    assert {
        "group": "atdata.sources",
        "name": "fixture",
        "object": "fixture_works:open_source",
        "distribution": "atdata-fixture-works",
        "version": "1.0",
        "status": "not loaded",
        "error": None,
    } in json.loads(done.stdout)


def test_check_passes_where_every_plugin_loads(install: Callable[..., None]) -> None:
    install("works")
    done = CliRunner().invoke(app, ["plugins", "--check", "--json"])
    assert done.exit_code == 0, done.output
    assert {row["name"]: row["status"] for row in json.loads(done.stdout)} == {"greet": "ok", "fixture": "ok"}


def test_check_fails_and_says_what_is_broken_or_in_conflict(install: Callable[..., None]) -> None:
    install("works", "broken", "rivals", "intruder")
    done = CliRunner().invoke(app, ["plugins", "--check", "--json"])
    assert done.exit_code == 1
    rows = json.loads(done.stdout)
    assert {(row["group"].removeprefix("atdata."), row["name"]): row["status"] for row in rows} == {
        ("commands", "broken"): "broken",
        ("commands", "claimed"): "conflict",
        ("commands", "greet"): "ok",
        ("commands", "no-typer"): "broken",
        ("commands", "plugins"): "conflict",
        ("sources", "broken"): "broken",
        ("sources", "claimed"): "conflict",
        ("sources", "fixture"): "ok",
        ("sources", "no-such-attribute"): "broken",
        ("sources", "only-a"): "ok",
        ("sources", "only-b"): "ok",
        ("sources", "sound"): "ok",
    }
    for row in rows:
        assert (row["error"] is None) == (row["status"] == "ok")


def test_check_prints_the_causes_beside_the_table() -> None:
    done = atdata("plugins", "--check", plugins=("broken",))
    assert done.returncode == 1
    assert "No module named 'a_dependency_of_the_fixture'" in done.stderr
    assert all(line.startswith("atdata: ") for line in done.stderr.splitlines())


def test_plugins_says_when_there_are_none(install: Callable[..., None]) -> None:
    install()
    done = CliRunner().invoke(app, ["plugins"])
    assert (done.exit_code, done.stdout) == (0, "No installed distribution adds a plugin to atdata.\n")


def test_completion_of_an_unusable_group_stays_quiet() -> None:
    done = atdata(plugins=("broken",), _ATDATA_COMPLETE="complete_bash", COMP_WORDS="atdata broken ", COMP_CWORD="2")
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_completion_reaches_the_commands_of_a_registered_group() -> None:
    done = atdata(plugins=("works",), _ATDATA_COMPLETE="complete_bash", COMP_WORDS="atdata greet ", COMP_CWORD="2")
    assert done.stdout.split() == ["hello"]
