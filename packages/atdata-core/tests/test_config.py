"""``atdata.config``: variables over profiles over nothing, and no secrets in the file."""

import subprocess
import sys
from pathlib import Path

import pytest

from atdata import config
from atdata.errors import ConfigError


@pytest.fixture
def file(tmp_path, monkeypatch):
    for setting in config.SETTINGS.values():
        monkeypatch.delenv(setting.variable, raising=False)
    path = tmp_path / "config.toml"
    monkeypatch.setenv("ATDATA_CONFIG", str(path))
    return path


TWO = """
profile = "lab"

[profiles.default]
index = "sqlite:///home/index.sqlite3"

[profiles.lab]
index = "redis://me@redis.example.org:6379/0"
store = "s3://lab/datasets"
"""


def test_without_a_file_nothing_is_set(file):
    assert config.find("index") == (None, "")
    assert config.find("profile") == ("default", "")
    assert config.get("app_password") is None


def test_a_variable_wins_over_the_profile_in_use(file, monkeypatch):
    file.write_text(TWO)
    assert config.find("index") == ("redis://me@redis.example.org:6379/0", "profile lab")
    assert config.find("profile") == ("lab", str(file))
    monkeypatch.setenv("ATDATA_INDEX_URL", "sqlite:///other")
    assert config.find("index") == ("sqlite:///other", "ATDATA_INDEX_URL")
    monkeypatch.setenv("ATDATA_INDEX_URL", "")
    assert config.find("index").origin == "profile lab"


def test_the_variable_names_the_profile(file, monkeypatch):
    file.write_text(TWO)
    monkeypatch.setenv("ATDATA_PROFILE", "default")
    assert config.get("index") == "sqlite:///home/index.sqlite3"
    assert config.get("store") is None
    monkeypatch.setenv("ATDATA_PROFILE", "lap")
    with pytest.raises(ConfigError, match="no profile 'lap'; there is default, lab"):
        config.get("index")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profile = ", "is not TOML: "),
        ("index = 'sqlite:///x'", r"'index' is neither .* settings go below \[profiles.NAME\]"),
        ("profile = 3", "'profile' is the name of one"),
        ("profiles = 3", "profiles are tables"),
        ("[profiles]\nlab = 3", "profiles are tables"),
        ("[profiles.default]\nindex = 3", "index is text; found int"),
        ("[profiles.default]\nindex = ''", "index is text"),
    ],
)
def test_a_damaged_file_is_named(file, text, said):
    file.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        config.get("index")
    assert str(file) in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_file_that_is_no_text_or_may_not_be_read_is_named(file):
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML"):
        config.get("index")
    file.unlink()
    file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        config.get("index")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2@redis.example.org/0",
        "redis://me:hunter2@redis.example.org/0",
        "redis://redis.example.org/0?password=hunter2",
        "https://example.org/?X-Amz-Signature=hunter2",
        "redis://[hunter2@x",
    ],
)
def test_a_url_with_a_password_is_refused_and_not_shown(file, url):
    with pytest.raises(ConfigError) as caught:
        config.check("index", url, "profile 'lab'")
    assert "hunter2" not in str(caught.value)
    assert "ATDATA_INDEX_URL" in str(caught.value)
    file.write_text(f"[profiles.default]\nindex = '{url}'")
    with pytest.raises(ConfigError) as caught:
        config.get("index")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["password", "app-password", "secret_key", "API-KEY", "session_token"])
def test_a_key_that_looks_like_a_secret_is_refused(name):
    with pytest.raises(ConfigError, match=r"ATDATA_APP_PASSWORD"):
        config.check(name, "x", "profile 'lab'")


def test_unknown_keys_are_told_which_there_are():
    with pytest.raises(ConfigError, match="'indx' is no setting of a profile; there is index, store"):
        config.check("indx", "x", "profile 'lab'")
    with pytest.raises(ConfigError, match="set ATDATA_ALLOW_INSECURE instead"):
        config.check("allow_insecure", "1", "profile 'lab'")


def test_shown_values_have_no_secrets():
    assert config.shown(config.SETTINGS["app_password"], "hunter2") == "(set)"
    assert config.shown(config.SETTINGS["index"], "redis://:hunter2@h:1/0") == "redis://h:1/0"
    assert config.shown(config.SETTINGS["session"], "/home/me/session.json") == "/home/me/session.json"


def test_the_file_is_in_the_users_configuration_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("ATDATA_CONFIG", raising=False)
    from platformdirs import user_config_path

    assert config.path() == user_config_path("atdata") / "config.toml"
    monkeypatch.setenv("ATDATA_CONFIG", "~/atdata.toml")
    assert config.path() == Path("~/atdata.toml").expanduser()


def test_it_is_light():
    program = "import sys, atdata.config; print('numpy' in sys.modules, 'platformdirs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
