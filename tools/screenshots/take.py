"""Take the pictures: `python -m tools.screenshots.take --url … --database … --gateway … --root …`.

Run with an interpreter that has websocket-client and Pillow: that of Odoo's tests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

from ..env import gateway, rpc
from ..env.console import SetupError, complain, say
from . import world
from .browser import Browser, BrowserGone
from .pages import DESKTOP, LANGUAGES, PAGES, PHONE, Page, Record
from .pictures import shrink

MODULE = "sicantik_notification_automation"
IMAGES, DESCRIPTION = Path("docs/img"), Path("static/description")
#: A page that needs no translation.
NEUTRAL = "phones"
LOADED = (
    "document.querySelector('.o_list_renderer, .o_kanban_renderer, .o_form_renderer, .o_sicantik_overview,"
    " .o_setting_container, .o_graph_renderer')"
    " && !document.querySelector('.o_loading_indicator, .o_blockUI, .o_kanban_loading, .o_list_loading')"
)
TROUBLE = (
    "document.querySelector('.o_error_dialog, .o_dialog_error')?.textContent"
    # What Odoo shows when a style sheet does not compile.
    " || /css error/i.test(getComputedStyle(document.body, '::before').content)"
    " && 'A style sheet does not compile: see the log of Odoo.'"
)


class Photographer:
    """Goes through the pages of one Odoo.

    :param client: connected as the administrator
    :param phones: address of the gateway simulator
    :param root: the checkout that takes the pictures
    """

    def __init__(self, client: rpc.Client, browser: Browser, phones: str, root: Path) -> None:
        self.client, self.browser, self.phones, self.root = client, browser, phones, root
        self.failures: list[str] = []
        self.sizes: dict[Path, int] = {}

    def log_in(self) -> None:
        """Give the browser a session."""
        cookies = CookieJar()
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(cookies)
        )
        params = {"db": self.client.database, "login": "admin", "password": self.client.password}
        request = urllib.request.Request(
            f"{self.client.url}/web/session/authenticate",
            data=json.dumps({"jsonrpc": "2.0", "method": "call", "params": params}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with opener.open(request, timeout=60) as response:
            response.read()
        for cookie in cookies:
            self.browser.set_cookie(self.client.url, cookie.name, cookie.value or "")

    def take(self, page: Page, language: str) -> None:
        """Take the pictures of one page in one language; what goes wrong is noted and shown."""
        folder = IMAGES if page.action == NEUTRAL else IMAGES / language
        sizes = [(page.name, (DESKTOP[0], page.height))]
        if page.phone:
            sizes.append((f"{page.name}-phone", PHONE))
        for name, size in sizes:
            path = folder / f"{name}.png"
            try:
                self._save(path, self._look(page, size))
            except SetupError as error:
                self._fail(path, str(error))
                continue
            if page.app and language == "en" and size != PHONE:
                self._save(DESCRIPTION / f"{page.name}.png", (self.root / path).read_bytes())

    def _look(self, page: Page, size: tuple[int, int]) -> bytes:
        browser = self.browser
        browser.resize(*size)
        browser.take_errors()
        browser.open(self._address(page))
        if page.action != NEUTRAL:
            browser.wait(LOADED, "the page")
            browser.settle()
        for step in page.steps:
            browser.wait(step.script, step.what)
            browser.settle()
        browser.move_pointer(size[0] - 2, size[1] - 2)
        if trouble := browser.evaluate(TROUBLE):
            raise SetupError(trouble[:500])
        picture = browser.picture()
        if errors := browser.take_errors():
            raise SetupError(errors[0][:500])
        return shrink(picture)

    def _address(self, page: Page) -> str:
        if page.action == NEUTRAL:
            return self.phones
        name = page.action if "." in page.action else f"{MODULE}.{page.action}"
        address = f"{self.client.url}/web#action={self._id(name)}"
        if page.record:
            return f"{address}&id={self._record(page.record)}&model={page.record.model}&view_type=form"
        return f"{address}&view_type={page.view}" if page.view else address

    def _record(self, record: Record) -> int:
        """The id of the record that a page shows."""
        model, field = (record.by_model, record.by_field) if record.by_model else (record.model, "id")
        context = {"active_test": False}
        found = self.client.call(model, "search_read", record.domain, [field], limit=1, context=context)
        if not found:
            raise SetupError(f"No {model} meets {record.domain}.")
        value = found[0][field]
        return value[0] if isinstance(value, list) else value

    def _id(self, name: str) -> int:
        """The id behind an external id."""
        module, _dot, word = name.partition(".")
        found = self.client.call(
            "ir.model.data", "search_read", [["module", "=", module], ["name", "=", word]], ["res_id"]
        )
        if not found:
            raise SetupError(f"There is no action {name}.")
        return found[0]["res_id"]

    def _save(self, path: Path, picture: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture)
        self.sizes[path] = len(picture)

    def _fail(self, path: Path, reason: str) -> None:
        complain(f"{path}: {reason}")
        self.failures.append(str(path))


def main() -> int:
    """Take all pictures, or those of the pages named; exit code 1 when one could not be taken."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots.take")
    parser.add_argument("--url", required=True, help="address of an Odoo with demo data")
    parser.add_argument("--database", required=True)
    parser.add_argument("--gateway", required=True, help="address of the gateway simulator")
    parser.add_argument("--root", required=True, type=Path, help="the checkout that takes the pictures")
    parser.add_argument("--only", default="", help="names of pages, separated by commas")
    arguments = parser.parse_args()
    wanted = {name for name in arguments.only.replace(" ", "").split(",") if name}
    if unknown := wanted - {page.name for page in PAGES}:
        complain(f"No page is called {', '.join(sorted(unknown))}; see tools/screenshots/pages.py.")
        return 1
    pages = [page for page in PAGES if not wanted or page.name in wanted]
    begin = time.monotonic()
    try:
        client = rpc.Client(arguments.url, arguments.database)
        gateway.connect_providers(client, arguments.gateway)
        world.prepare(client)
        if not wanted:
            shutil.rmtree(arguments.root / IMAGES, ignore_errors=True)
        with Browser() as browser:
            photographer = Photographer(client, browser, arguments.gateway, arguments.root)
            photographer.log_in()
            for language, code in LANGUAGES.items():
                world.speak(client, code)
                # The first page after that still has the menus of the language before.
                browser.open(f"{client.url}/web")
                for page in pages:
                    if page.action != NEUTRAL or language == "en":
                        photographer.take(page, language)
    except (SetupError, BrowserGone) as error:
        complain(str(error))
        return 1
    sizes = photographer.sizes.values()
    say(
        f"{len(sizes)} pictures, {sum(sizes) / 1e6:.1f} MB, the largest {max(sizes, default=0) / 1e3:.0f} kB,"
        f" in {time.monotonic() - begin:.0f} s"
    )
    return 1 if photographer.failures else 0


if __name__ == "__main__":
    sys.exit(main())
