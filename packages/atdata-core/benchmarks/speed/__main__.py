"""Run everything: write the workloads, read them with every format, tell."""

from __future__ import annotations

import gc
import shutil
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import measures, processes, report
from .formats import OURS, Format
from .measures import MODES, SHAPE_MODES, say
from .options import parse
from .peers import load
from .results import Results, machine
from .tar import FORMATS
from .workloads import SHAPES, WORKLOADS, Workload


def installed(names: list[str]) -> dict[str, Format]:
    """The peers of those names that can be imported."""
    found = {}
    for name in names:
        try:
            found[name] = load(name)
        except Exception as error:  # an import may raise anything
            say(f"{name} is left out: {type(error).__name__}: {error}")
    return found


def measure(workload: Workload, formats: dict[str, Format], folder: Path, rounds: int, results: Results) -> None:
    """All about one workload."""
    # first: whoever waits for the disk, as ours do, would wait for gigabytes of the others, too
    measures.writing(workload, folder / "writing", rounds, results)
    written = {}
    for name, format in formats.items():
        try:
            measures.prepare(workload, format, folder / name)
        except Exception as error:
            if name in FORMATS:
                raise
            say(f"{workload.name}: {format.title} is left out: {type(error).__name__}: {error}")
        else:
            written[name] = format
            measures.disk(workload, folder / name, name, results)
    measures.reading(workload, written, folder, MODES, rounds, results)
    measures.first_batch(workload, folder, results)
    measures.views(workload, folder, rounds, results)
    processes.two_readers(workload, folder, rounds, results)
    if workload.name == "W2":
        processes.memory(workload, folder, rounds, results)


def measure_shape(workload: Workload, folder: Path, rounds: int, results: Results) -> None:
    """Reading one of the other shapes, beside the baseline."""
    measures.prepare(workload, FORMATS[OURS], folder / OURS)
    measures.reading(workload, FORMATS, folder, SHAPE_MODES, rounds, results)


def compare_formats(options: Namespace, root: Path, results: Results, formats: dict[str, Format]) -> None:
    """All workloads in all formats."""
    for name in options.workload or WORKLOADS:
        workload = WORKLOADS[name].scaled(options.scale)
        with _written(root, workload, keep=options.data is not None) as folder:
            if WORKLOADS[name] in SHAPES:
                measure_shape(workload, folder, options.rounds, results)
            else:
                measure(workload, formats, folder, options.rounds, results)


def compare_loaders(options: Namespace, root: Path, results: Results, formats: dict[str, Format]) -> None:
    """The loaders of batches of tensors, and what only ours are asked for."""
    from . import feed, loaders  # which need torch

    for name in options.workload or loaders.WORKLOADS:
        workload = WORKLOADS[name].scaled(options.scale)
        with _written(root, workload, keep=options.data is not None) as folder:
            for format, writer in formats.items():
                measures.prepare(workload, writer, folder / format)
            loaders.measure(workload, formats, folder, options.rounds, results)
            feed.epochs(workload, folder, results)
    feed.resume(options.scale, options.rounds, results)


@contextmanager
def _written(root: Path, workload: Workload, *, keep: bool) -> Iterator[Path]:
    """The folder of a workload, without what the code that changes has written there."""
    folder = root / f"{workload.name}-{workload.count}"
    shutil.rmtree(folder / OURS, ignore_errors=True)
    yield folder
    if not keep:
        shutil.rmtree(folder)  # all together are 20 GB


def main() -> None:
    """Measure what was asked for, and show, save and draw it."""
    options = parse()
    if unknown := set(options.workload or ()) - set(WORKLOADS):
        sys.exit(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    own = {OURS: FORMATS[OURS]} if options.loaders else FORMATS
    formats: dict[str, Format] = {**own, **installed(options.peers)}
    gc.freeze()  # the libraries that are loaded should not make collections slow
    about = machine() | {"rounds": options.rounds, "scale": options.scale}
    results = Results(about, {name: format.title for name, format in formats.items()})
    with ExitStack() as stack:
        root = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atdata-speed-")))
        (compare_loaders if options.loaders else compare_formats)(options, root, results, formats)
    results.save(options.json)
    if options.loaders:
        print(report.loader_tables(results))
    else:
        print(report.tables(results))
        report.draw(results, options.plot)
    if options.update_docs:
        report.update_docs(results, loaders=options.loaders)


if __name__ == "__main__":
    main()
