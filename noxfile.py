"""Development sessions. Plain `nox` runs what a change passes before it is pushed; `nox -l` lists them all."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
IMPORT_NAMES = {
    "atdata-core": "atdata",
    "atdata-local": "atdata_local",
    "atdata-atmosphere": "atdata_atmosphere",
    "atdata-cli": "atdata_cli",
}
CONSTRAINTS = "constraints.txt"
EXAMPLES = "docs/examples/requirements.txt"
SUITE = {"PYTHONPATH": str(ROOT / "packages" / "atdata-core" / "benchmarks")}
# The distribution "atdata" pulls in all others, editable too, as members of its workspace.
WORKSPACE = ["-e", ".[atmosphere]"]

PYTHONS = ["3.11", "3.12", "3.13"]
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
if THIS_PYTHON not in PYTHONS:  # so that the tests never pass by being skipped everywhere
    PYTHONS.append(THIS_PYTHON)

nox.needs_version = ">=2026.2.9"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

# The same build tools everywhere, too; uv reads this wherever it builds a distribution.
os.environ["UV_BUILD_CONSTRAINT"] = str(ROOT / CONSTRAINTS)

# A pyenv shim answers only for the versions that are switched on: switch on all.
if shutil.which("pyenv") and "PYENV_VERSION" not in os.environ:
    versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True).stdout.split()
    os.environ["PYENV_VERSION"] = ":".join(v for v in versions if v.rpartition(".")[0] in PYTHONS)


def install(session: nox.Session, *what: str) -> None:
    session.install("-c", CONSTRAINTS, *what)


def build(session: nox.Session, *options: str) -> list[Path]:
    """Build all five distributions into an empty folder and give its files."""
    out = Path(session.create_tmp(), "dist").resolve()
    shutil.rmtree(out, ignore_errors=True)
    session.run("uv", "build", "--quiet", "--all-packages", "--out-dir", str(out), *options)
    return sorted(out.glob("atdata*"))


def new_python(session: nox.Session, name: str, *options: str) -> str:
    """The Python of a new, empty environment."""
    folder = Path(session.create_tmp(), name).resolve()
    session.run("uv", "venv", "--quiet", "--clear", *options, str(folder))
    return str(folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


def build_site(session: nox.Session) -> None:
    # Its tools warn of a major version that the dependency group keeps out.
    session.run("mkdocs", "build", "--strict", "--quiet", env={"DISABLE_MKDOCS_2_WARNING": "true"})


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint."""
    install(session, "--group", "lint")
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")


@nox.session
@nox.parametrize("installed", ["workspace", "wheels"])
def types(session: nox.Session, installed: str) -> None:
    """Check types: of the packages, and of a project that uses them, in the workspace and from wheels."""
    if installed == "workspace":
        install(session, *WORKSPACE, "--group", "types")
        session.run("mypy")
        session.run("pyright")
    else:
        install(session, *map(str, build(session, "--wheel")), "--group", "types")
    with session.chdir("tests-consumer"):
        session.run("mypy", ".")
        session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test the packages and the examples."""
    install(session, *WORKSPACE, "-r", EXAMPLES, "--group", "test")
    session.run("pytest", "-n", "auto", "packages", "docs/test_examples.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Test the packages with the lowest versions that they say they work with."""
    session.install("--resolution", "lowest-direct", *WORKSPACE, "--group", "readers")
    session.install("--group", "test")
    session.run("pytest", "-n", "auto", "packages", *session.posargs)


@nox.session
def dist(session: nox.Session) -> None:
    """Build sdists, wheels from the sdists, twice alike; check them; try each alone, then all together."""
    files = build(session)
    contents = {file.name: file.read_bytes() for file in files}
    assert {file.name: file.read_bytes() for file in build(session)} == contents, "two builds differ"
    wheels = {file.name.split("-")[0].replace("_", "-"): file for file in files if file.suffix == ".whl"}
    assert len(files) == 2 * len(wheels) == 2 * (len(IMPORT_NAMES) + 1), files
    for file in files:
        check_contents(file)

    install(session, str(wheels["atdata-core"]))
    session.run("python", "-c", CORE_ALONE)
    example = ROOT / "docs" / "examples" / "core_only.py"
    with session.chdir(session.create_tmp()):
        session.run("python", "-W", "error", str(example))

    for name, package in IMPORT_NAMES.items():
        for resolution in ("highest", "lowest-direct"):
            python = new_python(session, "alone")
            what = sorted({str(wheels[name]), str(wheels["atdata-core"])})
            session.run("uv", "pip", "install", "--quiet", "--python", python, "--resolution", resolution, *what)
            session.run(python, "-c", f"import {package}, atdata; print({package}.__version__)", external=True)

    install(session, *map(str, wheels.values()))
    session.run("atdata", "--version")
    session.run("atdata", "plugins")


@nox.session
def compat(session: nox.Session) -> None:
    """Test the other packages with the newest release of the core's previous minor version."""
    listed = subprocess.run(
        ["git", "tag", "--list", "atdata-core-v*"], capture_output=True, text=True, check=True
    ).stdout
    releases = [tuple(map(int, tag.rpartition("-v")[2].split("."))) for tag in listed.split()]
    older = sorted(release for release in releases if release[:2] < max(releases)[:2])
    if not older:
        session.log(f"the core has no two minor releases yet, but {releases}: nothing to try the others with")
        return
    tag = f"atdata-core-v{'.'.join(map(str, older[-1]))}"
    core = f"atdata-core @ git+{ROOT.as_uri()}@{tag}#subdirectory=packages/atdata-core"
    others = [name for name in IMPORT_NAMES if name != "atdata-core"]
    install(session, core, *(f"./packages/{name}" for name in others), "--no-sources", "--group", "test")
    install(session, "boto3", "redis-om")
    session.run("pytest", "-n", "auto", *(f"packages/{name}" for name in others), *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Build into dist/ what a tag such as atdata-core-v1.2.3 releases."""
    (tag,) = session.posargs
    name, version = tag.rsplit("-v", 1)
    changelog = ROOT / ("CHANGELOG.md" if name == "atdata" else f"packages/{name}/CHANGELOG.md")
    if name != "atdata" and f"## {version}" not in changelog.read_text(encoding="utf-8"):
        session.error(f"{changelog} has no section '## {version}'; name the unreleased one so before tagging")
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    for file in build(session):
        if file.name.split("-")[0].replace("_", "-") == name:
            found = file.name.removesuffix(".tar.gz").split("-")[1]
            if found != version:
                session.error(f"{file.name} is not of version {version}: is {tag} the tag of this commit?")
            out.mkdir(exist_ok=True)
            shutil.copy2(file, out)
    if not out.exists():
        session.error(f"{tag} names no distribution; there are atdata and {', '.join(IMPORT_NAMES)}")


CORE_ALONE = """
import sys
from importlib.util import find_spec

strangers = ["boto3", "redis", "atproto", "pandas", "torch"]
assert not (found := [name for name in strangers if find_spec(name)]), f"installed with the core: {found}"

import atdata

late = ["webdataset", "boto3", "redis", "atproto", "pydantic", "pandas"]
assert not (found := [name for name in late if name in sys.modules]), f"imported by atdata: {found}"
"""


def check_contents(file: Path) -> None:
    """A distribution holds its import package, typed and licensed, and nothing else: no tests, no tools."""
    name = file.name.split("-")[0].replace("_", "-")
    package = IMPORT_NAMES.get(name)  # the distribution "atdata" has none
    if file.suffix == ".whl":
        names = zipfile.ZipFile(file).namelist()
        (metadata,) = {top for name in names if (top := name.split("/")[0]).endswith(".dist-info")}
        licenses, source, allowed = f"{metadata}/licenses/LICENSE", "", {metadata, package}
    else:
        with tarfile.open(file) as sdist:
            names = [name.partition("/")[2] for name in sdist.getnames()]
        licenses, source = "LICENSE", "src/"
        allowed = {"src", "LICENSE", "PKG-INFO", "README.md", "CHANGELOG.md", "pyproject.toml", ".gitignore"}
    assert licenses in names, f"{file.name}: no license"
    if package is not None:
        assert f"{source}{package}/py.typed" in names, f"{file.name}: no py.typed"
    if package == "atdata_atmosphere":
        assert any(name.endswith("ac/foundation/dataset/record.json") for name in names), f"{file.name}: no lexicons"
    strangers = [name for name in names if name.split("/")[0] not in allowed]
    assert not strangers, f"{file.name}: {strangers} do not belong there"


@nox.session
def integration(session: nox.Session) -> None:
    """Test across processes, programs and servers; the first run installs the servers."""
    install(session, *WORKSPACE, "-r", EXAMPLES, "--group", "test", "--group", "servers")
    session.run("pytest", "tests-integration", *session.posargs)


@nox.session(python="3.12")  # the older one needs it
def interop(session: nox.Session) -> None:
    """Exchange shards with the older atdata, WebDataset, tarfile and GNU tar, both ways."""
    install(session, *WORKSPACE, "--group", "test")
    python = new_python(session, "older", "--python", str(session.python))
    session.run("uv", "pip", "install", "--quiet", "--python", python, "atdata==0.7.0b1")
    tests = ["tests-interop", "tests-integration/test_other_programs.py"]
    session.run("pytest", "-n", "auto", *tests, *session.posargs, env={"ATDATA_OLDER": python})


@nox.session
def lexicons(session: nox.Session) -> None:
    """Compare the record types with the lexicons, or write them anew with `-- --write`; validate; refuse breaks."""
    install(session, *WORKSPACE, "--group", "lint", "--group", "servers")
    tools = ROOT / "lexicons" / "tools"
    session.run("python", str(tools / "lexicon_types.py"), *session.posargs)
    session.run("python", str(tools / "lexicon_changes.py"))
    records = Path(session.create_tmp(), "records").resolve()
    shutil.rmtree(records, ignore_errors=True)
    records.mkdir()
    session.run("python", str(tools / "lexicon_samples.py"), str(records))
    install_node = ["python", "tests-integration/testnet/install.py", "lexicons/tools"]
    node, validator = session.run(*install_node, silent=True).split()
    session.run(node, f"{validator}/validate.mjs", str(ROOT / "lexicons"), str(records), external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Run every Python block of the pages, and the examples; compare the public API with its list; build the site."""
    backend = ["-e", "docs/examples/backend"]
    install(session, *WORKSPACE, *backend, "-r", EXAMPLES, "--group", "test", "--group", "recipes", "--group", "site")
    session.run("pytest", "-n", "auto", "docs", *session.posargs)
    build_site(session)


@nox.session
def browse(session: nox.Session) -> None:
    """Open every page of the site in Chromium, narrow and wide, light and dark; pictures are left in its tmp."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        session.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    install(session, *WORKSPACE, "--group", "test", "--group", "site", "playwright")
    build_site(session)
    session.run("python", "docs/site/browse.py", "site", str(Path(session.create_tmp(), "pages")), chromium)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Read many more random and damaged shards, schemas and references than the tests do: 50 times, or as you say."""
    install(session, *WORKSPACE, "--group", "test")
    times = session.posargs[0] if session.posargs else "50"
    names = ("differential", "mutations", "plan", "schema_fuzz", "stream")
    files = [f"packages/atdata-core/tests/test_{name}.py" for name in names]
    session.run("pytest", "-n", "auto", "--dist", "worksteal", "-rP", *files, env={"ATDATA_FUZZ": times})


# pip, because a build of torch without gigabytes for graphics cards may be at hand for it alone; and kept, because what
# is installed is large. So in the next session, too.
@nox.session(python=PYTHONS[0], venv_backend="venv", reuse_venv=True)
def torch(session: nox.Session) -> None:
    """Test what needs torch, on the CPU: tensors, workers, ranks, and the training example."""
    install(session, "-e", "packages/atdata-core", "hypothesis", "pytest", "pytest-xdist", "scikit-learn")
    session.run("python", "-m", "speed.install", "--loaders", "--peers", "none", env=SUITE)
    found = "from importlib.util import find_spec; print(find_spec('torch'))"
    if "None" in session.run("python", "-c", found, silent=True):
        session.skip("pip finds no torch for CPUs alone")
    session.install("torchdata")
    folder = ROOT / "packages" / "atdata-core" / "tests"
    tests = [*sorted(folder.glob("test_torch_*.py")), folder / "test_dataset.py", folder / "test_stream.py"]
    session.run("pytest", "-n", "auto", *map(str, tests), *session.posargs)
    session.run("pytest", "docs", "-k", "torch or loaders")


@nox.session(python=PYTHONS[0], venv_backend="venv", reuse_venv=True)
def bench(session: nox.Session) -> None:
    """Compare speed with other formats; docs/benchmarks.md lists the options."""
    install(session, "-e", "packages/atdata-core", "matplotlib")
    session.run("python", "-m", "speed.install", *session.posargs, env=SUITE)
    session.run("python", "-m", "speed", *session.posargs, env=SUITE)
    if not session.posargs:
        session.run("python", "packages/atdata-core/benchmarks/import_time.py")


@nox.session
def constraints(session: nox.Session) -> None:
    """Write constraints.txt anew from the newest versions."""
    projects = [ROOT / "pyproject.toml", *(ROOT / "packages" / name / "pyproject.toml" for name in IMPORT_NAMES)]
    tables = [nox.project.load_toml(path)["project"].get("optional-dependencies", {}) for path in projects]
    extras = sorted({name for table in tables for name in table} - {"torch"})  # which the torch session installs
    session.run(
        *("uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", PYTHONS[0]),
        *("--custom-compile-command", "nox -s constraints", "--no-annotate", "--group", "dev"),
        *(f"--extra={name}" for name in extras),
        *(f"--no-emit-package={name}" for name in ("atdata", *IMPORT_NAMES)),
        *(*map(str, projects), EXAMPLES),
        *("--output-file", CONSTRAINTS),
    )
