"""What all commands have in common: help, terminals, pipes, interruptions, errors, speed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import atdata
from atdata_cli.app import app
from atdata_cli.output import json_text, plain

from .conftest import COMMAND, Run

ROOT: Any = typer.main.get_command(app)


def commands() -> Iterator[tuple[str, Any]]:
    """All commands, with those of groups, as they are called and made."""
    with ROOT.make_context("atdata", [], resilient_parsing=True) as root:
        for name in ROOT.list_commands(root):
            context = ROOT.get_command(root, name).make_context(name, [], parent=root, resilient_parsing=True)
            command = context.command
            inner = getattr(command, "commands", {})
            if not inner or command.invoke_without_command:
                yield name, command
            for leaf, subcommand in inner.items():
                yield f"{name} {leaf}", subcommand


COMMANDS = dict(commands())


def test_the_walk_finds_commands_of_all_kinds() -> None:
    assert {"inspect", "head", "stats", "validate", "diff", "plugins"} <= COMMANDS.keys()


# ----------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_and_the_shared_options(name: str, run: Run) -> None:
    done = run(*name.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    for option in ("--quiet", "--verbose", "--debug"):
        assert option in done.out
    examples = done.out.partition("Examples:\n")[2].splitlines()
    assert examples, "its help has no examples"
    for line in examples:
        assert f"atdata {name}" in line


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_a_command_that_can_be_parsed(name: str) -> None:
    command = COMMANDS[name]
    for line in command.epilog.splitlines()[2:]:
        words = shlex.split(line.replace("$(", "").replace(")", "").replace('"', "").partition("atdata ")[2])
        arguments = words[len(name.split()) :]
        with command.make_context(name, [word for word in arguments if word != "|"]) as context:
            assert context.params


def test_help_lists_commands_by_what_they_are_for(run: Run) -> None:
    sections = [line for line in run("--help").out.splitlines() if line.endswith(":") and line[0].isalpha()]
    assert sections[:2] == ["Options:", "Looking:"]
    assert "This command:" in sections


def loaded(*arguments: str | Path) -> set[str]:
    """What a process has imported that runs the command."""
    program = (
        "import sys, atdata_cli\n"
        f"sys.argv = {['atdata', *map(str, arguments)]}\n"
        "try: atdata_cli.main()\n"
        "except SystemExit: print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_no_more_than_it_needs() -> None:
    found = loaded("--help")
    heavy = {"numpy", "rich", "logging", "asyncio", "atdata.dataset", "atdata_local", "atdata_atmosphere"}
    assert not found & heavy
    assert {name for name in found if name.startswith("atdata_cli.")} == {
        *("atdata_cli.app", "atdata_cli.commands", "atdata_cli.output", "atdata_cli.process")
    }
    assert not loaded("write", "--help") & {"webdataset", "PIL", "pyarrow", "tomlkit"}


def test_commands_import_no_backend_that_they_do_not_use(folder: Path) -> None:
    backends = {"atdata_local", "atdata_atmosphere", "boto3", "redis", "sqlite3", "atproto", "matplotlib", "PIL"}
    assert not loaded("validate", folder) & (backends | {"pandas", "torch", "rich"})
    assert not loaded("config", "path") & (backends | {"numpy"})


@pytest.mark.parametrize(
    ("words", "found"),
    [("atdata in", "inspect"), ("atdata head --im", "--image"), ("atdata stats --qu", "--quiet")],
)
def test_a_shell_completes_commands_and_options(execute: Run, words: str, found: str) -> None:
    place = str(len(words.split()) - 1)
    done = execute(_ATDATA_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=place)
    assert found in done.out.split()
    assert done.err == ""


# ------------------------------------------------------------------------------------ terminals and pipes


def test_colour_is_for_terminals_that_want_it(terminal: Run, execute: Run) -> None:
    assert "\x1b[" in terminal("plugins").out
    assert "\x1b" not in terminal("plugins", NO_COLOR="1").out
    assert "\x1b" not in terminal("plugins", TERM="dumb").out
    assert "\x1b" not in execute("plugins").out


def test_progress_is_for_terminals(terminal: Run, execute: Run, folder: Path) -> None:
    hides_cursor, shows_cursor = "\x1b[?25l", "\x1b[?25h"
    shown = terminal("stats", folder).out
    assert shown.count(hides_cursor) == shown.count(shows_cursor) == 2  # one bar for each split
    assert hides_cursor not in terminal("stats", folder, "-q").out
    assert hides_cursor not in terminal("-q", "stats", folder).out
    assert execute("stats", folder).err == ""


def test_tables_fit_into_the_terminal(terminal: Run, execute: Run, folder: Path) -> None:
    assert max(map(len, terminal("head", folder, NO_COLOR="1").out.splitlines())) <= 100
    assert len(execute("head", folder).out.splitlines()) == 6  # and into pipes line by line


def test_letters_that_an_output_does_not_have_are_escaped(execute: Run, tmp_path: Path) -> None:
    atdata.write_samples([{"name": "Zoë 日本"}], tmp_path / "names.tar")
    done = execute("head", "names.tar", PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert "Zo\\xeb \\u65e5\\u672c" in done.out
    assert "Zoë 日本" in execute("head", "names.tar").out


@pytest.mark.parametrize("arguments", [["head", "-n", "25"], ["head", "--json"], ["stats"], ["validate"], ["--help"]])
def test_a_reader_that_leaves_is_no_error(arguments: list[str], folder: Path, environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    where = [str(folder)] if arguments[0] != "--help" else []
    done = subprocess.run([COMMAND, *arguments, *where], stdout=write, stderr=subprocess.PIPE, env=environment)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_output_is_no_error(folder: Path, environment: dict[str, str]) -> None:
    for closing in (">&-", "2>&-"):
        done = subprocess.run(
            f'"{COMMAND}" head "{folder}" {closing}', shell=True, stderr=subprocess.PIPE, env=environment
        )
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_leaves_nothing(
    number: signal.Signals, code: int, environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    source = tmp_path / "source"
    atdata.write_samples(({"n": bytes(1000)} for _ in range(2000)), source / "n.tar")
    arguments = [COMMAND, "head", "-", "-n", "5000", "--image", "n", "--out", "n.png"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=tmp_path, env=environment, **pipes) as process:
        assert process.stdin is not None
        # more than a pipe holds: when all is written, the command is reading
        process.stdin.write((source / "n.tar").read_bytes()[: 1 << 20])
        process.stdin.flush()
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (code, b"", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


# ----------------------------------------------------------------------------------------------- errors


def test_debug_stands_before_or_behind_the_command(execute: Run) -> None:
    (line,) = execute("head", "nosuch.tar").err.splitlines()
    assert line.startswith("atdata: no shard at nosuch.tar; in ")
    for arguments in (["--debug", "head", "nosuch.tar"], ["head", "nosuch.tar", "--debug"]):
        done = execute(*arguments)
        assert done.code == 1
        assert done.err.startswith("Traceback")
        assert "ShardNotFound" in done.err.splitlines()[-1]


def test_an_error_of_the_users_own_code_is_one_line_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "exploding.py").write_text(
        "import atdata\n@atdata.packable\nclass Bomb:\n    n: int\n    def __post_init__(self):\n"
        "        raise RuntimeError('bo\\nom\\x1b')\n"
    )
    atdata.write_samples([{"n": 1}], tmp_path / "n.tar")
    done = run("head", "n.tar", "--type", "exploding:Bomb")
    assert (done.code, done.out) == (1, "")
    assert done.err == "atdata: RuntimeError: bo\\nom\\x1b. --debug shows where\n"
    checked = run("validate", "n.tar", "--type", "exploding:Bomb", "--json")
    (problem,) = json.loads(checked.out)["splits"]["train"]["shards"][0]["problems"]
    assert problem["message"] == "RuntimeError: bo\nom\x1b"


def test_a_full_or_missing_folder_is_told_by_the_name_that_was_given(run: Run, folder: Path) -> None:
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    done = run("head", folder, "--image", "image", "--out", "/nosuch/x.png")
    assert (done.code, done.err) == (1, "atdata: /nosuch/x.png: No such file or directory\n")


def test_warnings_are_one_line_and_quiet_hides_them(execute: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "own")
    # samples so large that they are read by their positions
    atdata.write_samples(({"n": bytes(40_000)} for _ in range(3)), tmp_path / "own" / "large.tar")
    (tmp_path / "own" / "large.tar.index").write_bytes(b"?")
    (line,) = execute("head", "own/large.tar").err.splitlines()
    assert line.startswith("atdata: warning: own/large.tar.index is ignored: it is truncated")
    assert execute("head", "own/large.tar", "--quiet").err == ""


def test_the_library_s_log_is_printed_if_it_matters_or_is_asked_for(execute: Run, tmp_path: Path) -> None:
    (tmp_path / "talking.py").write_text(
        "import logging, atdata\nlog = logging.getLogger('atdata.talking')\n"
        "log.warning('mind\\x1b this')\nlog.info('by the way')\n"
        "@atdata.packable\nclass N:\n    n: int\n"
    )
    atdata.write_samples([{"n": 1}], tmp_path / "n.tar")
    assert execute("head", "n.tar", "--type", "talking:N").err == "atdata: warning: mind\\x1b this\n"
    verbose = execute("head", "n.tar", "--type", "talking:N", "-v").err
    assert verbose == "atdata: warning: mind\\x1b this\natdata: info: by the way\n"
    assert execute("head", "n.tar", "--type", "talking:N", "-q").err == ""


# ------------------------------------------------------------------------------------------------- text


def test_plain_text_keeps_letters_and_shows_what_acts() -> None:
    kept = "aé日本 👩‍💻 नमस्ते\u200cx"
    assert plain(kept) == kept
    assert plain("\x1b[0m\n\u202e\ud800\x9b") == "\\x1b[0m\\n\\u202e\\ud800\\x9b"
    assert plain("a\nb\tc", keep="\n") == "a\nb\\tc"


def test_json_is_strict_and_safe_to_print() -> None:
    value = {"a\x9b\u2028": [float("nan"), float("inf"), -float("inf"), 1.5, True, None, Path("x"), ("\ud800",)], 1: 2}
    text = json_text(value, indent=None)
    assert text.isascii()
    assert json.loads(text) == {
        "a\x9b\u2028": ["NaN", "Infinity", "-Infinity", 1.5, True, None, "x", ["\ud800"]],
        "1": 2,
    }
