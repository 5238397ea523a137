"""Results as tables, as a picture, and in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .formats import BASELINE, OURS
from .measures import BY_HAND, MODES, SHAPE_MODES
from .results import Results
from .workloads import MAIN, SHAPES, Workload

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "images" / "benchmarks.png"
BETWEEN_MARKERS = r"(?<=<!-- {0} -->\n).*(?=<!-- end of {0} -->)"
NOT_MEASURED = "-"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table that is one in a terminal, too. The first column holds names, the others numbers."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(
        f"| {' | '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])} |"
        for row in [head, rule, *cells[1:]]
    )


def number(value: float | None, form: str = "") -> str:
    """A number with as many digits as say something; a dash for what was not measured."""
    if value is None:
        return NOT_MEASURED
    return f"{value:{form or ('.0f' if value >= 10 else '.1f' if value >= 1 else '.2f')}}"


def tables(results: Results) -> str:
    """Everything that was measured, in Markdown."""
    measured = {row.workload for row in results.rows}
    main = [workload for workload in MAIN if workload.name in measured]
    shapes = [workload for workload in SHAPES if workload.name in measured]
    parts = [
        _about(results),
        *(_reading(results, workload) for workload in main),
    ]
    if main:
        parts.append(
            "**Beside reading**\n\n" + table(["", *(w.name for w in main)], filter(_known, _others(results, main)))
        )
    if shapes:
        parts.append(
            "**Other shapes**, atdata's speed over the baseline's\n\n"
            + table(["", *SHAPE_MODES], ([w.name, *_speeds(results, w, OURS, SHAPE_MODES)] for w in shapes))
        )
    return "\n\n".join(parts) + "\n"


def _about(results: Results) -> str:
    about = results.about
    scaled = f"; {about['scale']:g} of the samples" if about["scale"] != 1 else ""
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}, NumPy {about['numpy']}; "
        f"medians of {about['rounds']} rounds{scaled}."
    )


def loader_tables(results: Results) -> str:
    """What was measured of loaders, in Markdown."""
    from .feed import EPOCHS, PLACES
    from .loaders import MODES

    measured = {row.workload for row in results.rows if row.measure == "load"}
    workloads = [workload for workload in MAIN if workload.name in measured]
    memory = [
        [f"after {count} epochs", *(_cell(results, 1e-6, "epochs", w.name, str(count), OURS) for w in workloads)]
        for count in EPOCHS
    ]
    resuming = [
        [
            mode,
            *(_cell(results, 1e3, "resume", "", f"{mode}, {place}", OURS) for place in PLACES),
            _cell(results, 1, "state", "", mode, OURS),
        ]
        for mode in ("ordered", "shuffled")
    ]
    parts = [
        _about(results),
        *(_loading(results, workload, [*MODES]) for workload in workloads),
        "**Memory** of a process that loads epoch after epoch, MB\n\n"
        + table(["", *(w.name for w in workloads)], memory),
        "**Going on** in an epoch of a million samples: ms from a state to the next batch, bytes of the state\n\n"
        + table(["", *PLACES, "state"], resuming),
    ]
    return "\n\n".join(parts) + "\n"


def _loading(results: Results, workload: Workload, modes: list[str]) -> str:
    count = workload.scaled(results.about["scale"]).count
    rows = [
        [title, *(_cell(results, 1e6 / count, "load", workload.name, mode, name) for mode in modes)]
        for name, title in results.titles.items()
    ]
    ratios = []
    for mode in modes:
        ours, *others = (results.median("load", workload.name, mode, name) for name in results.titles)
        known = [other for other in others if other]
        ratios.append(number(min(known) / ours if ours and known else None))
    head = f"**{workload.name}**: {workload.about}; µs per sample\n\n"
    return head + table(["", *modes], [*rows, ["the best other over atdata", *ratios]])


def _cell(results: Results, unit: float, *measured: str) -> str:
    value = results.median(*measured)
    return number(value and value * unit)


def _reading(results: Results, workload: Workload) -> str:
    def speed(name: str) -> float:
        return results.speedup("read", workload.name, "ordered", name) or 0

    rows = []
    for name in sorted(results.titles, key=speed, reverse=True):
        size = number(results.median("disk", workload.name, "", name), ".2f")
        rows.append([results.titles[name], *_speeds(results, workload, name, MODES), size])
    seconds = (results.median("read", workload.name, mode, BASELINE) for mode in MODES)
    count = workload.scaled(results.about["scale"]).count
    times = [number(value and value / count * 1e6) for value in seconds]
    rows.append(["µs per sample of the baseline", *times, ""])
    return f"**{workload.name}**: {workload.about}\n\n" + table(["", *MODES, "on disk"], rows)


def _speeds(results: Results, workload: Workload, name: str, modes: Iterable[str]) -> list[str]:
    return [number(results.speedup("read", workload.name, mode, name)) for mode in modes]


def _others(results: Results, workloads: list[Workload]) -> Iterator[list[str]]:
    def line(text: str, measure: str, mode: str, name: str, unit: float) -> list[str]:
        medians = (results.median(measure, workload.name, mode, name) for workload in workloads)
        return [text, *(number(value and value / unit) for value in medians)]

    for name, text in ((OURS, "atdata"), (BY_HAND, "tarfile + ormsgpack")):
        ratios = (results.speedup("write", workload.name, "", name) for workload in workloads)
        yield [f"writing, {text}, over webdataset's writer", *map(number, ratios)]
    for mode in ("ordered", "shuffled"):
        for name in (OURS, BASELINE):
            yield line(f"first batch, {mode}, {results.titles[name]}, ms", "first", mode, name, 1e-3)
    for name in (OURS, BASELINE):
        yield line(f"peak memory, shuffled, {results.titles[name]}, MB", "memory", "shuffled", name, 1e6)
    for mode, text in (("picked", "a view that picks all but arrays"), ("function", "the same view by a function")):
        times = [[results.median("view", w.name, shown, OURS) for shown in ("whole", mode)] for w in workloads]
        yield [f"{text}, over whole samples", *(number(all_ / part if all_ and part else None) for all_, part in times)]
    times = [[results.median("processes", w.name, mode, OURS) for mode in ("one", "two")] for w in workloads]
    yield ["two readers over one, atdata", *(number(one / two if one and two else None) for one, two in times)]


def _known(row: list[str]) -> bool:
    return any(cell != NOT_MEASURED for cell in row[1:])


def draw(results: Results, path: Path) -> None:
    """Draw reading speeds as bars; nothing, if none of the main workloads was read."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    measured = {row.workload for row in results.rows}
    workloads = [workload.name for workload in MAIN if workload.name in measured]
    if not workloads:
        return
    modes = ["ordered", "shuffled", "samples"]
    muted = [color for number, color in enumerate(pyplot.get_cmap("tab10").colors) if number != 3]  # without the red
    others = [name for name in results.titles if name not in (OURS, BASELINE)]
    figure, axes = pyplot.subplots(len(modes), 1, figsize=(9, 9), sharex=True, layout="constrained")
    width = 0.8 / (len(others) + 1)
    for axis, mode in zip(axes, modes, strict=True):
        for place, name in enumerate([OURS, *others]):
            speeds = [results.speedup("read", workload, mode, name) or float("nan") for workload in workloads]
            axis.bar(
                [spot + (place - len(others) / 2) * width for spot in range(len(workloads))],
                [speed - 1 for speed in speeds],  # from the baseline, up or down
                width,
                bottom=1,
                label=results.titles[name] if axis is axes[0] else None,
                color="crimson" if name == OURS else (muted[(place - 1) % len(muted)], 0.5),
            )
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_ylabel(f"{MODES[mode]}\ntimes the baseline's speed")
    axes[-1].set_xticks(range(len(workloads)), workloads)
    figure.suptitle(f"Reading speed; 1 is {results.titles[BASELINE]} by hand")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def update_docs(results: Results, *, loaders: bool) -> None:
    """Put tables, and the picture of the formats, into the page."""
    if loaders:
        text, name = loader_tables(results), "loaders"
    else:
        link = f"![Reading speeds as bars]({PICTURE.relative_to(PAGE.parent).as_posix()})"
        text, name = f"{link}\n\n{tables(results)}", "results"
        draw(results, PICTURE)
    between = re.compile(BETWEEN_MARKERS.format(name), re.DOTALL)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(between.sub(lambda _: f"\n{text}\n", page), encoding="utf-8")
