"""The plugin registry, against the hand-written distributions in fixtures/plugins."""

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.metadata import MetadataPathFinder
from pathlib import Path
from types import ModuleType

import pytest
from plugin_folders import installing

import atdata.plugins as registry
from atdata.errors import AtdataError
from atdata.plugins import Plugin, PluginBroken, PluginConflict, PluginNotFound

Installer = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    with installing(monkeypatch) as install:
        yield install


@pytest.fixture(autouse=True)
def forget_fixture_modules() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("fixture_")]:
        del sys.modules[name]


def test_plugins_lists_each_plugin_with_the_distribution_that_provides_it(install: Installer) -> None:
    install("works")
    assert registry.plugins() == [
        Plugin("atdata.commands", "greet", "fixture_greet:app", "atdata-fixture-works", "1.0"),
        Plugin("atdata.sources", "fixture", "fixture_works:open_source", "atdata-fixture-works", "1.0"),
    ]
    assert [plugin.name for plugin in registry.plugins("atdata.sources")] == ["fixture"]
    assert registry.plugins("atdata.stores") == []


def test_plugins_lists_broken_and_conflicting_ones_and_imports_nothing(install: Installer) -> None:
    install("rivals", "broken", "works")
    listed = [(plugin.name, plugin.distribution) for plugin in registry.plugins("atdata.sources")]
    assert listed == [
        ("broken", "atdata-fixture-broken"),
        ("claimed", "atdata-fixture-rival-a"),
        ("claimed", "atdata-fixture-rival-b"),
        ("fixture", "atdata-fixture-works"),
        ("no-such-attribute", "atdata-fixture-broken"),
        ("only-a", "atdata-fixture-rival-a"),
        ("only-b", "atdata-fixture-rival-b"),
        ("sound", "atdata-fixture-broken"),
    ]
    assert not [name for name in sys.modules if name.startswith("fixture_")]


def test_importing_the_registry_reads_no_metadata() -> None:
    program = (
        "import importlib.metadata\n"
        "def refuse(*args, **kwargs): raise AssertionError('metadata read at import')\n"
        "importlib.metadata.distributions = importlib.metadata.distribution = refuse\n"
        "import atdata.plugins\n"
        "try: atdata.plugins.plugins()\n"
        "except AssertionError: print('read on first use')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("read on first use", "")


def test_metadata_is_read_once_until_refreshed(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("works")
    assert len(registry.plugins()) == 2
    monkeypatch.setattr(MetadataPathFinder, "find_distributions", lambda context: [])
    assert len(registry.plugins()) == 2
    registry.refresh()
    assert registry.plugins() == []


def test_get_loads_the_object_once(install: Installer) -> None:
    install("works")
    open_source = registry.get("atdata.sources", "fixture")
    assert open_source(["a.tar"]) == ["a.tar"]
    del sys.modules["fixture_works"]
    assert registry.get("atdata.sources", "fixture") is open_source
    assert registry.plugins("atdata.sources")[0].load() is open_source


def test_get_in_many_threads_gives_one_object(install: Installer) -> None:
    install("works")
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(registry.get, "atdata.sources", "fixture") for _ in range(64)]
    assert len({future.result() for future in futures}) == 1


def test_get_of_an_unknown_name_lists_the_names_there_are(install: Installer) -> None:
    install("rivals")
    with pytest.raises(PluginNotFound) as caught:
        registry.get("atdata.sources", "ftp")
    assert str(caught.value) == (
        "no installed distribution provides 'ftp' in atdata.sources (there is: claimed, only-a, only-b)"
    )
    assert isinstance(caught.value, AtdataError)
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("group", "name", "command"),
    [
        ("atdata.sources", "s3", "pip install 'atdata-local[s3]'"),
        ("atdata.sources", "at", "pip install atdata-atmosphere"),
        ("atdata.stores", "file", "pip install atdata-local"),
        ("atdata.stores", "s3", "pip install 'atdata-local[s3]'"),
        ("atdata.stores", "pds", "pip install atdata-atmosphere"),
        ("atdata.indexes", "local", "pip install atdata-local"),
        ("atdata.indexes", "atmosphere", "pip install atdata-atmosphere"),
    ],
)
def test_get_of_a_well_known_name_says_what_to_install(
    install: Installer, group: registry.Group, name: str, command: str
) -> None:
    install()
    with pytest.raises(PluginNotFound) as caught:
        registry.get(group, name)
    assert str(caught.value) == (
        f"no installed distribution provides {name!r} in {group} (there is: none); run: {command}"
    )


def test_get_of_a_well_known_name_that_an_old_release_lacks_says_so(install: Installer, tmp_path: Path) -> None:
    info = tmp_path / "atdata_local-0.0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: atdata-local\nVersion: 0.0.1\n")
    install(str(tmp_path))
    with pytest.raises(
        PluginNotFound, match=r"atdata-local 0\.0\.1 does not have it, a newer release may: pip install -U"
    ):
        registry.get("atdata.sources", "s3")


def test_unknown_group_is_refused_with_the_groups_there_are() -> None:
    with pytest.raises(ValueError, match=r"'atdata\.source' is not a plugin group; the groups are atdata\.commands, "):
        registry.plugins("atdata.source")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_name_claimed_by_two_distributions_is_an_error_that_names_both(install: Installer) -> None:
    install("rivals")
    with pytest.raises(PluginConflict) as caught:
        registry.get("atdata.sources", "claimed")
    assert str(caught.value) == (
        "'claimed' in atdata.sources is claimed by atdata-fixture-rival-a 1.1 (fixture_rivals:open_a) and by "
        "atdata-fixture-rival-b 2.2 (fixture_rivals:open_b); uninstall all but one of them"
    )
    assert isinstance(caught.value, AtdataError)


def test_conflict_leaves_the_other_names_of_both_distributions_usable(install: Installer) -> None:
    install("rivals")
    assert registry.get("atdata.sources", "only-a")(["a"]) == ["a"]
    assert registry.get("atdata.sources", "only-b")(["b"]) == ["b"]


def test_distribution_found_twice_counts_once_and_the_first_on_the_path_is_used(install: Installer) -> None:
    install("works", "older")
    assert [(plugin.name, plugin.version) for plugin in registry.plugins("atdata.sources")] == [("fixture", "1.0")]
    install("older", "works")
    assert [(plugin.name, plugin.version) for plugin in registry.plugins("atdata.sources")] == [
        ("dropped-in-1.0", "0.9"),
        ("fixture", "0.9"),
    ]


def test_release_without_entry_points_hides_an_older_one_with_them(install: Installer, tmp_path: Path) -> None:
    info = tmp_path / "atdata_fixture_works-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: atdata-fixture-works\nVersion: 2.0\n")
    install(str(tmp_path), "works")
    assert registry.plugins() == []


def test_plugin_that_fails_to_import_raises_each_time_with_its_cause_and_distribution(install: Installer) -> None:
    install("broken")
    for _ in range(2):
        with pytest.raises(PluginBroken) as caught:
            registry.get("atdata.sources", "broken")
        assert str(caught.value) == (
            "'broken' in atdata.sources cannot be loaded from atdata-fixture-broken 0.3 (fixture_broken:open_source): "
            "ModuleNotFoundError: No module named 'a_dependency_of_the_fixture'"
        )
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)
        assert isinstance(caught.value, AtdataError)
        assert isinstance(caught.value, ImportError)


def test_plugin_whose_module_lacks_the_object_is_broken(install: Installer) -> None:
    install("broken")
    with pytest.raises(PluginBroken, match=r"AttributeError: module 'fixture_sound' has no attribute 'close_source'"):
        registry.get("atdata.sources", "no-such-attribute")


def test_broken_plugin_loads_once_its_cause_is_gone(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("broken")
    with pytest.raises(PluginBroken):
        registry.get("atdata.sources", "broken")
    repaired = ModuleType("fixture_broken")
    repaired.open_source = list  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fixture_broken", repaired)
    assert registry.get("atdata.sources", "broken") is list


def test_missing_extra_of_a_well_known_plugin_says_what_brings_it(install: Installer, tmp_path: Path) -> None:
    info = tmp_path / "atdata_local-9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: atdata-local\nVersion: 9.0\n")
    (info / "entry_points.txt").write_text("[atdata.sources]\ns3 = fixture_broken:open_source\n")
    install(str(tmp_path), "broken")
    with pytest.raises(PluginBroken, match=r"; what it needs comes with: pip install 'atdata-local\[s3\]'$"):
        registry.get("atdata.sources", "s3")


def test_load_all_gives_the_working_plugins_and_reports_the_others_once(install: Installer) -> None:
    install("works", "broken", "rivals")
    with pytest.warns(RuntimeWarning, match="plugin left out") as caught:
        loaded = registry.load_all("atdata.sources")
    assert sorted(loaded) == ["fixture", "only-a", "only-b", "sound"]
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 3
    assert "'a_dependency_of_the_fixture'" in messages[0]
    assert "atdata-fixture-rival-a 1.1" in messages[1]
    assert "'close_source'" in messages[2]
    assert {warning.filename for warning in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.load_all("atdata.sources") == loaded


def test_malformed_entry_points_are_reported_and_break_no_other_distribution(install: Installer) -> None:
    install("malformed", "works")
    with pytest.warns(RuntimeWarning, match="the entry points of atdata-fixture-malformed cannot be read"):
        assert [plugin.name for plugin in registry.plugins("atdata.sources")] == ["fixture"]
    assert registry.get("atdata.sources", "fixture")(["a"]) == ["a"]


def test_remains_of_a_distribution_without_metadata_are_ignored(install: Installer, tmp_path: Path) -> None:
    info = tmp_path / "atdata_fixture_removed-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[atdata.sources]\nremoved = fixture_removed:open_source\n")
    install(str(tmp_path), "works")
    assert [plugin.name for plugin in registry.plugins("atdata.sources")] == ["fixture"]


def test_entry_points_of_the_environment_are_listed_with_their_installed_version() -> None:
    registry.refresh()
    for plugin in registry.plugins():
        assert plugin.version == metadata.version(plugin.distribution)


def test_plugin_errors_survive_pickling(install: Installer) -> None:
    install("broken")
    with pytest.raises(PluginBroken) as caught:
        registry.get("atdata.sources", "broken")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is PluginBroken
    assert str(copy) == str(caught.value)
