"""Open every page of the site in Chromium, at the width of a phone and of a screen, light and dark.

A page that is wider than its window, has a missing picture, or logs an error fails. Pictures of the pages go to the
folder that is named.

    python docs/site/browse.py SITE PICTURES [CHROMIUM]
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WINDOWS = {"phone": (390, 844), "screen": (1280, 900)}
# Wide tables, code and signatures scroll within the page; the page itself must not.
TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"
BROKEN = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Only faults are worth a line."""


def faults_of(page: Page, url: str, picture: Path) -> list[str]:
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("requestfailed", lambda request: said.append(f"cannot load {request.url}"))
    page.goto(url, wait_until="networkidle")
    if (wider := page.evaluate(TOO_WIDE)) > 0:
        said.append(f"{wider} px wider than its window")
    said += [f"no picture at {source}" for source in page.evaluate(BROKEN)]
    page.screenshot(path=picture, full_page=False)
    return said


def main(site: Path, pictures: Path, chromium: str | None = None) -> int:
    pictures.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = sorted(path.parent.relative_to(site) for path in site.rglob("index.html"))
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for window, (width, height) in WINDOWS.items():
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
                )
                for path in pages:
                    page = context.new_page()
                    name = f"{str(path).replace('/', '-')}-{window}-{scheme}"
                    url = f"http://127.0.0.1:{server.server_port}/{'' if path == Path() else f'{path}/'}"
                    faults += [f"{name}: {fault}" for fault in faults_of(page, url, pictures / f"{name}.png")]
                    page.close()
                context.close()
        browser.close()
    print(f"{len(pages)} pages, {len(faults)} faults; pictures are in {pictures}")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:4]))
