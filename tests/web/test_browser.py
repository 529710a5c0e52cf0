"""A real browser on the pages: every page at two widths, in both schemes, with and without the script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from oroboros_deploy.errors import RegistryUnavailable
from oroboros_deploy.records.record import HostRecord
from oroboros_deploy.registry import Registry, reading
from oroboros_deploy.registry.database import Database
from oroboros_deploy.web import display
from oroboros_deploy.web.site import site
from tests.support.applications import listening
from tests.support.history import HARM, SUBJECTS, History, sha, write
from tests.support.web_shop import Shop

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright, which drives the browser, is not installed")
axe = pytest.importorskip("axe_playwright_python", reason="axe-core, which finds what shuts people out, is missing")

AXE = (Path(axe.__file__).parent / "axe.min.js").read_text()
PICTURES = "TEST_ARTIFACTS" in os.environ  # of every page, for whoever wants to look at them
ARTIFACTS = Path(os.environ.get("TEST_ARTIFACTS", Path(__file__).parents[2] / "build" / "screenshots"))
# The last flags keep a browser that is new here from talking to its maker.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
WIDTHS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 360, "height": 740}}
SHOWN_WITHIN = 5.0  # seconds from a phase to the page that shows it, on a busy machine


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Any) -> Iterator[Any]:
    browser = launched(playwright)
    yield browser
    browser.close()


def launched(playwright: Any, **options: Any) -> Any:
    """A Chromium of the system's."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return playwright.chromium.launch(executable_path=path, args=FLAGS.split(), **options)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Real deploys, and a server over what they recorded."""
    directory = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        shop = Shop(directory)
        shas = shop.open()
        with Registry.open(shop.url) as registry, served(registry) as url:
            attempts = {each["release_id"]: each["attempt"] for each in registry.reader.attempts().items}
            yield SimpleNamespace(shop=shop, shas=shas, url=url, attempts=attempts)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A registry with weeks of attempts in every state, and a server over it."""
    history = History(f"sqlite:///{tmp_path_factory.mktemp('past')}/registry.db")
    made = write(history)
    with served(history.registry) as url:
        yield SimpleNamespace(made=made, url=url)
    history.close()


def served(registry: Registry) -> AbstractContextManager[str]:
    return listening(site(lambda: registry.reader))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test when its script or its policy complains."""
    context = browser.new_context(viewport=WIDTHS["desktop"])
    page = context.new_page()
    page.complaints = listen(page)
    yield page
    context.close()
    assert page.complaints == []


def listen(page: Any) -> list[str]:
    """Everything the browser complains about from now on."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    return complaints


def real_places(shop: Any) -> dict[str, str]:
    """Every page over what real deploys recorded."""
    attempts = {f"attempt-{name}": f"/attempts/{shop.attempts[shop.shas[name]]}" for name in ("second", "bad", "harm")}
    releases = {f"release-{name}": f"/releases/{shop.shas[name]}" for name in ("second", "bad")}
    others = {
        "overview": "/",
        "host": "/hosts/web2",
        "hosts": "/hosts",
        "figures": "/figures",
        "figures-prod": "/figures?environment=prod",
    }
    return {**others, **attempts, **releases, "filtered": "/?host=web1&state=restored"}


def past_places(past: Any) -> dict[str, str]:
    """Every page over weeks in every state."""
    attempts = {f"attempt-{name}": f"/attempts/{attempt}" for name, attempt in past.made.items()}
    hosts = {
        "hosts": "/hosts",
        "hosts-drift": "/hosts?drift=1",
        "host": "/hosts/web1",
        "host-harm": f"/hosts/{quote(f'h/{HARM}', safe='')}",
    }
    return {
        "overview": "/",
        "figures": "/figures?days=30",
        "release": f"/releases/{sha(1)}",
        "releases": "/releases",
        **attempts,
        **hosts,
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
class TestEveryPage:
    """No page shuts anybody out, is wider than its screen, or makes the browser complain."""

    def test_of_real_deploys(self, browser: Any, shop: Any, width: str, scheme: str) -> None:
        """With the script, over what real deploys recorded."""
        assert faults(browser, shop.url, real_places(shop), f"real-{width}-{scheme}", width, scheme) == {}

    def test_of_real_deploys_without_the_script(self, browser: Any, shop: Any, width: str, scheme: str) -> None:
        """Without any JavaScript, over what real deploys recorded."""
        name = f"real-{width}-{scheme}-no-script"
        assert faults(browser, shop.url, real_places(shop), name, width, scheme, script=False) == {}

    def test_of_every_state(self, browser: Any, past: Any, width: str, scheme: str) -> None:
        """With the script, over weeks of attempts in every state."""
        assert faults(browser, past.url, past_places(past), f"past-{width}-{scheme}", width, scheme) == {}


def faults(
    browser: Any, url: str, places: dict[str, str], name: str, width: str, scheme: str, *, script: bool = True
) -> dict[str, list[str]]:
    """What is wrong with each of these pages; takes a picture of each where somebody wants to look at them."""
    looks = {"viewport": WIDTHS[width], "color_scheme": scheme}
    context = browser.new_context(java_script_enabled=script, **looks)
    auditor = context if script else without_page_script(browser.new_context(**looks))
    found = {place: on_page(context, auditor, url + path, f"{name}-{place}", width) for place, path in places.items()}
    context.close()
    auditor.close()
    return {place: wrong for place, wrong in found.items() if wrong}


def on_page(context: Any, auditor: Any, url: str, picture: str, width: str) -> list[str]:
    page = context.new_page()
    complaints = listen(page)
    page.goto(url)
    if PICTURES:
        page.screenshot(path=ARTIFACTS / f"{picture}.png", full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth") - WIDTHS[width]["width"]
    if auditor is not context:
        page.close()
        page = auditor.new_page()
        page.goto(url)
    found = complaints + violations(page) + ([f"{wide} px too wide"] if wide > 0 else [])
    page.close()
    return found


def without_page_script(context: Any) -> Any:
    """A context for axe-core, which is a script itself, in which the page's own is empty."""
    context.route("**/page.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
    return context


def violations(page: Any) -> list[str]:
    """What axe-core finds against a page, best practices included."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(found => found.violations)")
    return [f"{each['id']}: {node['html'][:120]}" for each in found for node in each["nodes"]]


def test_text_from_elsewhere_does_nothing(page: Any, past: Any) -> None:
    """Markup in a subject, a host or a log neither runs nor becomes an element."""
    page.goto(f"{past.url}/attempts/{past.made['harm']}")
    assert page.title().startswith("Deploy of ")
    assert page.locator("main b, main script, [onclick]").count() == 0
    assert "<script>document.title='owned'</script>" in page.locator("h1").inner_text()


def test_with_the_keyboard_alone(page: Any, past: Any) -> None:
    """Tab reaches the way past the navigation first, every stop is visible, and Enter filters."""
    page.goto(f"{past.url}/")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".filters summary").focus()
    page.keyboard.press("Enter")
    for _ in range(7):  # the seventh field is the commit
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.type(sha(1)[:8])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**sha={sha(1)[:8]}*")
    assert page.locator(".attempt").count() == 1


def follow(page: Any, what: Any) -> None:
    """Click what leads to another page, and wait until that is there."""
    with page.expect_navigation():
        what.click()


def test_without_the_script_everything_can_be_reached(browser: Any, past: Any) -> None:
    """Filters, older and newer, and an attempt's page need no script."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(past.url)
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Environment").select_option("prod")
    follow(page, page.get_by_role("button", name="Show"))
    assert set(page.locator(".attempt .environment").all_inner_texts()) == {"prod"}
    for name in ("Environment prod", "Older →", "← Newer"):
        follow(page, page.get_by_role("link", name=name))
    assert page.url == f"{past.url}/#stream-title"
    follow(page, page.get_by_role("link", name="Search understands umlauts").first)
    assert page.locator("h1").inner_text() == "Search understands umlauts"
    context.close()


def test_a_deploy_moves_before_ones_eyes(page: Any, shop: Any) -> None:
    """A deploy that runs elsewhere appears, moves and ends on the open page, each phase at once."""
    shop.shop.events.clear()
    shop.shop.hold.touch()
    page.goto(shop.url)
    await_link(page, "live")
    with deploying(lambda: shop.shop.deploy("web1", shop.shas["next"])):
        at = shop.shop.reached("restarted")
        page.wait_for_selector(".way .now:has-text('gate')", timeout=15000)
        assert time.time() - at < SHOWN_WITHIN
        assert "is running" in page.locator("#headline").inner_text()
        page.screenshot(path=ARTIFACTS / "real-running.png", full_page=True)
        shop.shop.hold.unlink()
        at = shop.shop.reached("committed")
        page.wait_for_selector(".attempt >> nth=0 >> .badge.live", timeout=15000)
        assert time.time() - at < SHOWN_WITHIN  # the record with its commits comes after the last phase
    assert page.locator("#serving tr:has-text('web1')").inner_text().split()[1] == shop.shas["next"][:10]


def test_focus_and_open_tables_survive_news(page: Any, past: Any, shop: Any) -> None:
    """News neither takes the keyboard's place away nor closes what was opened."""
    page.goto(f"{shop.url}/figures")
    await_link(page, "live")
    page.locator("#figures summary").first.click()
    page.evaluate("document.querySelector('.figure').textContent = 'old'; served.set(figures, '')")
    page.evaluate("refresh()")
    page.locator(".figure:not(:text-is('old'))").first.wait_for()
    assert page.locator("#figures details").first.get_attribute("open") is not None
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_a_selection_stays(page: Any, past: Any) -> None:
    """News wait while somebody copies from the part that they would replace."""
    page.goto(past.url)
    await_link(page, "live")
    page.evaluate("getSelection().selectAllChildren(headline); served.set(headline, '')")
    copied = page.evaluate("getSelection().toString()")
    page.evaluate("refresh()")
    assert (page.evaluate("getSelection().toString()"), "is not known" in copied) == (copied, True)


LINES = """names => names.map(name => {
  const words = document.createRange();
  words.selectNodeContents(name);
  return new Set([...words.getClientRects()].map(line => Math.round(line.top))).size;
})"""


@pytest.mark.parametrize("width", WIDTHS)
def test_names_break_nowhere(page: Any, tmp_path: Path, width: str) -> None:
    """A person, a machine, a host or an option begins a line of its own before it breaks, in lists, facts, commands."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    hosts = [f"web{at}.eu-central.example.org" for at in range(3)]
    parts = [HostRecord(name, "live", sha(1), sha(7)) for name in hosts]
    made = history.attempt(sha(1), *parts, actor="margaret.hamilton@mbp-16-2024", subject=SUBJECTS[5])
    page.set_viewport_size(WIDTHS[width])
    lines: dict[str, dict[str, int]] = {}
    with served(history.registry) as url:
        for path in ("/", "/hosts", "/releases", f"/attempts/{made}"):
            page.goto(f"{url}{path}")
            names = page.locator(".name:visible, .word:visible, .top nav a")
            lines[path] = dict(zip(names.all_inner_texts(), names.evaluate_all(LINES), strict=True))
        page.goto("about:blank")  # the server goes away
    history.close()
    person = "margaret.hamilton@mbp-16-2024"
    assert [path for path, found in lines.items() if not found.keys() & {person, *hosts}] == []
    longest = {"desktop": 60, "phone": 40}[width]  # what is longer than a line has to break
    broken = {name for found in lines.values() for name, count in found.items() if count > 1 and len(name) < longest}
    assert (broken, f"--release={sha(7)}" in lines["/"]) == (set(), True)


APART = """kept => kept.filter(each => {
  const words = document.createRange();
  words.selectNodeContents(each);
  const tops = [...words.getClientRects()].map(line => line.top);
  return Math.max(...tops) - Math.min(...tops) > 8;
}).map(each => each.innerText)"""


def test_no_line_begins_with_a_mark(page: Any, tmp_path: Path) -> None:
    """How wide the window ever is, the comma or the colon after a name stands on the line of this name."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    hosts = [f"web{at}.example.org" for at in range(3)]
    history.attempt(sha(1), *(HostRecord(name, "live", sha(1), sha(7)) for name in hosts), ago=timedelta(hours=4))
    ends = [HostRecord(hosts[0], "not_switched", sha(1), sha(1), "the build of 'frontend' exited 1")]
    ends += [HostRecord(name, "skipped", sha(1), sha(1)) for name in hosts[1:]]
    history.attempt(sha(2), *ends, ago=timedelta(minutes=9), exit_code=30)
    found = {}
    with served(history.registry) as url:
        page.goto(url)
        kept = page.locator(".kept:visible")
        texts = kept.all_inner_texts()
        for width in range(380, 1240, 20):
            page.set_viewport_size({"width": width, "height": 800})
            found[width] = kept.evaluate_all(APART)
        page.goto("about:blank")  # the server goes away
    history.close()
    assert {f"{hosts[0]}:", f"{hosts[0]},"} <= {*texts}
    assert {width: apart for width, apart in found.items() if apart} == {}


def test_on_paper_a_page_is_what_it_says(page: Any, past: Any) -> None:
    """What can only be clicked is not printed, and the paper stays white whatever the screen is."""
    page.emulate_media(media="print", color_scheme="dark")
    page.goto(past.url)
    clicked = (".top nav", "form", ".filters", "#stream ~ .pager", ".link")
    assert [each for each in clicked if page.locator(each).first.is_visible()] == []
    assert page.locator("#headline").is_visible() and page.locator(".attempt").first.is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    ink = "getComputedStyle(document.querySelector('#headline')).color.match(/\\d+/g).every(each => each < 100)"
    assert page.evaluate(ink)


def test_a_killed_deployer_is_said_to_be_lost(page: Any, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the deployer dies the page says what was heard last, and that nobody knows what came after."""
    shop.shop.hold.touch()
    program = [sys.executable, "-m", "tests.support.web_shop", str(shop.shop.directory), "web2", shop.shas["next"]]
    deployer = subprocess.Popen(program, cwd=Path(__file__).parents[2])
    page.goto(shop.url)
    page.wait_for_selector(".way .now:has-text('gate')", timeout=15000)
    deployer.kill()
    deployer.wait()
    monkeypatch.setattr(reading, "LOST_AFTER", timedelta(seconds=1))
    page.wait_for_selector(".attempt >> nth=0 >> .badge.lost", timeout=15000)
    assert "What the hosts did since is not known here" in page.locator(".attempt").first.inner_text()
    follow(page, page.locator(".attempt .subject").first)
    assert "The control node was last heard of" in page.locator(".verdict").inner_text()
    page.screenshot(path=ARTIFACTS / "real-lost.png", full_page=True)
    shop.shop.hold.unlink()


def test_a_server_that_goes_away_is_said(browser: Any, past: Any, tmp_path: Path) -> None:
    """A page says that it is up to date, and that it is not any more when its server is gone."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    context = browser.new_context()
    page = context.new_page()
    with served(history.registry) as url:
        page.goto(url)
        await_link(page, "live")
        assert page.locator("#link").inner_text() == "page up to date"
    await_link(page, "lost")
    assert page.locator("#link").inner_text() == "page not up to date, trying again"
    context.close()
    history.close()


def test_a_database_that_comes_back_makes_the_page_live_again(browser: Any, tmp_path: Path) -> None:
    """While the database is away the page says so; when it is back, the page follows again by itself."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    context = browser.new_context()
    page = context.new_page()
    with served(history.registry) as url, pytest.MonkeyPatch.context() as patch:
        page.goto(url)
        await_link(page, "live")
        with page.expect_response(lambda answer: "/api/live" in answer.url and answer.status == 503):
            patch.setattr(Database, "ask", away)
        await_link(page, "lost")
        patch.undo()
        await_link(page, "live")
        shows_the_next_deploy(page, history)
    context.close()
    history.close()


def test_the_way_back_leads_to_a_live_page(playwright: Any, tmp_path: Path) -> None:
    """A page that the browser kept and shows again, by its back button, follows again."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    browser = launched(playwright, ignore_default_args=["--disable-back-forward-cache"])
    with served(history.registry) as url:
        page = browser.new_page()
        page.goto(url)
        await_link(page, "live")
        page.evaluate("document.body.dataset.kept = 'yes'")
        page.goto(f"{url}/figures")
        page.go_back(wait_until="commit")
        page.locator("body[data-kept]").wait_for()
        shows_the_next_deploy(page, history)
    browser.close()
    history.close()


def test_pages_that_nobody_looks_at_hold_no_connection(browser: Any, past: Any) -> None:
    """More tabs than a browser has connections: those behind let go of theirs, and take one up when looked at."""
    context = browser.new_context()
    tabs = [context.new_page() for _ in range(8)]
    for tab in tabs:
        tab.goto(past.url, timeout=8000)
        await_link(tab, "live")
        look(tab, away=True)
    with tabs[0].expect_response("**/api/live?*"):
        look(tabs[0], away=False)
    await_link(tabs[0], "live")
    context.close()


def look(page: Any, *, away: bool) -> None:
    """Make a page believe that it is looked at, or not: without a screen, each of them is."""
    page.evaluate(
        f"() => {{ Object.defineProperty(document, 'hidden', {{ value: {str(away).lower()}, configurable: true }}) }}"
    )
    page.evaluate("() => { document.dispatchEvent(new Event('visibilitychange')) }")


def shows_the_next_deploy(page: Any, history: History) -> None:
    """A deploy that begins now appears on the open overview."""
    history.attempt(sha(9), HostRecord("web1"), exit_code=None)
    page.locator("#headline", has_text="is running").wait_for()


def away(*_: object) -> None:
    raise RegistryUnavailable("the database does not answer")


def await_link(page: Any, state: str) -> None:
    """Wait until the page says so.  By a selector: a condition in words is evaluated, which our policy forbids."""
    page.locator(f"#link[data-state={state}]").wait_for(state="attached")


@contextmanager
def deploying(work: Callable[[], object]) -> Iterator[None]:
    """Work in a thread, which is over at the end."""
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def test_the_first_screen_of_twenty_hosts_answers(page: Any, tmp_path: Path) -> None:
    """What serves in each environment, a split, why the last attempt failed, and the way back need no scroll."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    fleet = {"prod": 14, "qa": 3, "staging": 3}
    for name, count in fleet.items():
        hosts = [HostRecord(f"{name}{at}.example.org", "live", sha(1), sha(7)) for at in range(count)]
        history.attempt(sha(1), *hosts, ago=timedelta(hours=4), environment=name, subject="Round half to even")
    ends = [HostRecord(f"prod{at}.example.org", "live", sha(2), sha(1)) for at in range(7)]
    ends.append(HostRecord("prod7.example.org", "restored", sha(1), sha(1), "the gate was not passed"))
    history.attempt(sha(2), *ends, ago=timedelta(hours=1), subject="Speed up the export", exit_code=10)
    with served(history.registry) as url:
        page.goto(url)
        seen = [page.get_by_role("heading", name=name, exact=True) for name in fleet]
        seen += [page.locator("#serving").get_by_text(said) for said in ("live on some", "the gate was not passed")]
        seen += [page.get_by_text(f"fab -H prod rollback --release={sha(1)}")]
        below = [str(each) for each in seen if (each.bounding_box() or {"y": 9999})["y"] > WIDTHS["desktop"]["height"]]
        assert (below, page.title()) == ([], "To look at · Overview · Oroboros Deploy")
        page.goto("about:blank")  # the server goes away
    history.close()


def test_a_page_is_fetched_once_until_something_happens(page: Any, past: Any) -> None:
    """A page that was just loaded is not fetched again; what happens after it was made is shown without that."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/live" not in request.url else None)
    page.goto(past.url)
    await_link(page, "live")
    page.wait_for_timeout(1000)
    assert [url for url in asked if url == f"{past.url}/"] == [f"{past.url}/"]


def test_times_are_those_of_the_browser(browser: Any, tmp_path: Path) -> None:
    """Elsewhere than in UTC times and days of a list are local ones, each with its UTC in the title."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    history.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3))
    row = history.registry.reader.hosts().items[0]
    began = history.registry.reader.attempts().items[0]["started_at"]
    context = browser.new_context(timezone_id="Asia/Tokyo")
    page = context.new_page()
    with served(history.registry) as url:
        page.goto(url)
        since = page.locator(f'.serving time[datetime="{row["since"]}"]:not([data-ago])')
        tokyo = ZoneInfo("Asia/Tokyo")
        local, utc = (datetime.fromisoformat(row["since"]).astimezone(zone) for zone in (tokyo, UTC))
        assert since.inner_text() == local.strftime("%-d %b, %H:%M")
        assert since.get_attribute("title") == utc.strftime("%-d %b, %H:%M UTC")
        day = datetime.fromisoformat(began).astimezone(tokyo).strftime("%-d %B %Y")
        assert day in page.locator(".stream .day").inner_text()
        assert "Asia/Tokyo" in page.locator("footer").inner_text()
        page.goto("about:blank")
    context.close()
    history.close()


class Stopped(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(2030, 1, 1, tzinfo=tz)


def test_the_script_writes_times_as_the_server_does(page: Any, past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on for 65 minutes reads the same before and after the script has counted on."""
    page.goto(past.url)
    monkeypatch.setattr(display, "datetime", Stopped)
    seconds = [0, 59, 60, 192, 3600, 3660, 3900, 86399, 86400, 187200, 5 * 86400 + 60]
    began = [Stopped.now(UTC) - timedelta(seconds=each) for each in seconds]
    told = [[display.ago(each.isoformat()), display.elapsed(each.isoformat())] for each in began]
    assert page.evaluate("seconds => seconds.map((each) => [ago(each), passed(each)])", seconds) == told
    ahead = [display.ago((Stopped.now(UTC) + timedelta(seconds=each)).isoformat()) for each in (59, 3700)]
    assert page.evaluate("[ago(-59), ago(-3700)]") == ahead


def test_the_icon_tells_that_something_is_wrong(page: Any, tmp_path: Path) -> None:
    """The tab's icon is another one while something has to be looked at, also on a page that was open before."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    history.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3))
    icon = page.locator("link[rel=icon]")
    with served(history.registry) as url:
        page.goto(url)
        await_link(page, "live")
        assert "/static/icon.svg" in (icon.get_attribute("href") or "")
        history.attempt(sha(2), HostRecord("w1", "restored", sha(1), sha(1)), exit_code=10)
        page.locator("link[rel=icon][href*='icon-wrong.svg']").wait_for(state="attached")
        page.goto("about:blank")
    history.close()


HOLD = {"actor": "grace@laptop", "at": 1_900_000_000.0, "reason": "the database is moved"}
LAST = f"The last deploy in prod, {sha(2)[:10]} by ada@desk,"
WHEN = {
    "unknown": "How the deploy of",
    "lost": "How the deploy of",
    "split": "prod is split: 1 host serves",
    "restored": f"{LAST} was undone on w1. What served before serves again.",
    "failed": f"{LAST} failed before the switch on w1. What served before still serves.",
    "held": "Deploys to w1 (prod) are held by grace@laptop since 17 Mar 2030, 17:46: the database is moved.",
    "stale": "Nobody has checked the 2 hosts since",
    "running": "is running: connect on 1 host.",
    "broken": "broken w1 serves nothing.",
}


@pytest.mark.parametrize("state", WHEN)
def test_the_headline_is_never_wrong(page: Any, tmp_path: Path, state: str) -> None:
    """In a real browser each way in which something is not as it should be stands in the headline, and is not quiet."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    began = [HostRecord(name, "live", sha(1), sha(7)) for name in ("w1", "w2")]
    history.attempt(sha(1), *began, ago=timedelta(hours=3))
    history.asked({"w1": sha(1), "w2": sha(1)}, "prod", timedelta(hours=1))
    become(history, state)
    with served(history.registry) as url:
        page.goto(url)
        said = page.locator("#headline").inner_text()
        page.goto("about:blank")
    history.close()
    assert (WHEN[state] in " ".join(said.split()), "Quiet" in said) == (True, False), said


def test_a_red_row_ends_where_the_others_end(page: Any, tmp_path: Path) -> None:
    """The row of a broken attempt reaches no further to the right than the row of one that is live."""
    history = History(f"sqlite:///{tmp_path}/registry.db")
    history.attempt(sha(1), HostRecord("w1", "live", sha(1)), ago=timedelta(hours=3))
    become(history, "broken")
    with served(history.registry) as url:
        page.goto(url)
        ends = "rows => rows.map(row => Math.round(row.getBoundingClientRect().right))"
        right = page.locator(".attempt").evaluate_all(ends)
        page.goto("about:blank")
    history.close()
    assert (len(right), len(set(right))) == (2, 1), right


def become(history: History, state: str) -> None:
    """Let that be so of two hosts that were well."""
    ends = {
        "unknown": (HostRecord("w1", "unknown", None, sha(1)), 40),
        "split": (HostRecord("w1", "live", sha(2), sha(1)), 0),
        "restored": (HostRecord("w1", "restored", sha(1), sha(1)), 10),
        "failed": (HostRecord("w1", "not_switched", sha(1), sha(1)), 30),
        "broken": (HostRecord("w1", "not_restored", None, sha(1)), 11),
        "running": (HostRecord("w1"), None),
        "lost": (HostRecord("w1"), None),
    }
    if state == "held":
        history.registry.observe({"w1": sha(1)}, "prod", {"w1": HOLD})
    elif state == "stale":
        history.asked({"w1": sha(1), "w2": sha(1)}, "prod", timedelta(days=2))
        history.age(timedelta(days=3))
    else:
        part, code = ends[state]
        attempt = history.attempt(sha(2), part, ago=timedelta(minutes=9), exit_code=code)
        history.lose(attempt, timedelta(minutes=8) if state == "lost" else timedelta())
