"""The pages in a real browser, opened as files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from archive_runs import AGENT, ArchiveRuns, conversation, message
from chromium import chromium

from drift_archive.search_index import build_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

_ALERT = "document.title = 'a script of a visitor ran'; window.hacked = true"
HOSTILE = [
    f"<script>{_ALERT}</script>",
    f'<img src="x" onerror="{_ALERT}">',
    f'<svg onload="{_ALERT}"><script>{_ALERT}</script></svg>',
    f'<a id="bait" href="javascript:{_ALERT}">bait</a>',
    f'<a href="data:text/html,<script>{_ALERT}</script>">bait</a>',
    f"</script></div></li><script>{_ALERT}</script>",
    f'<iframe srcdoc="<script>{_ALERT}</script>"></iframe>',
    '<meta http-equiv="refresh" content="0;url=https://evil.example/">',
    '<style>body { display: none }</style><p style="position:fixed;inset:0">x</p>',
    '<form action="https://evil.example/"><button id="bait-button">bait</button></form>',
    "\u202edesrever",
    "\x01quoted\\'\u2028",
]
HOSTILE_NAME = f'</script><script>{_ALERT}</script>"\'><img src=x onerror="{_ALERT}">\u202egnp.exe'


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> ArchiveRuns:
    """An archive with 150 conversations, and one that tries to run scripts."""
    archive = ArchiveRuns(tmp_path_factory.mktemp("archive"))
    for number in range(1, 151):
        created = f"2026-{1 + number % 3:02}-10T{number % 24:02}:00:00.000+00:00"
        archive.add(
            "conversations",
            conversation(
                number, createdAt=created, contactId=number, status=["open", "closed"][number % 2]
            ),
        )
        archive.add("contacts", {"id": number, "attributes": {"name": f"Person {number}"}})
        body = f"<p>Grüße number{number} from <b>Bremen</b></p>"
        archive.add("messages", message(number, body, conversationId=number, createdAt=created))
    archive.add("messages", message(1_005, conversationId=5, author=AGENT))
    archive.add("users", {"id": 5, "name": "Grace", "bot": False})
    archive.add(
        "conversation_details",
        {"id": 9, "conversationId": 9, "conversationTags": [{"name": "vip"}]},
    )
    _add_hostile(archive)
    archive.run()
    return archive


def _add_hostile(archive: ArchiveRuns) -> None:
    created = "2025-12-24T00:00:00.000+00:00"
    file_name = "<img src=x onerror=hacked=1>.svg"
    folder = archive.folder / "attachments"
    folder.mkdir()
    (folder / file_name).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" onload="{_ALERT}"><script>{_ALERT}</script></svg>'
    )
    (folder / "page.html").write_text(f"<script>{_ALERT}</script>")
    archive.add(
        "conversations",
        conversation(666, createdAt=created, contactId=666, status=HOSTILE_NAME),
    )
    attributes = {"name": HOSTILE_NAME, "email": HOSTILE_NAME, HOSTILE_NAME: HOSTILE_NAME}
    archive.add("contacts", {"id": 666, "attributes": attributes})
    archive.add("users", {"id": 13, "name": HOSTILE_NAME})
    archive.add(
        "conversation_details",
        {
            "id": 666,
            "conversationId": 666,
            "participants": [13],
            "conversationTags": [{"name": HOSTILE_NAME, "color": '"/><script>'}],
        },
    )
    bodies = [*HOSTILE, HOSTILE_NAME]
    archive.add(
        "messages",
        *(
            message(
                5_000 + number,
                body,
                conversationId=666,
                createdAt=created,
                type=[HOSTILE_NAME, "chat"][number % 2],
                context={"title": HOSTILE_NAME, "href": "javascript:alert(1)"},
                buttons=[{"label": HOSTILE_NAME}],
                author={"type": "contact", "id": 666},
            )
            for number, body in enumerate(bodies)
        ),
    )
    for number, path in enumerate((file_name, "page.html")):
        archive.add(
            "attachments",
            {
                "id": number,
                "conversationId": 666,
                "messageId": 5_000,
                "fileName": HOSTILE_NAME,
                "mimeType": HOSTILE_NAME,
                "url": "javascript:alert(1)",
                "path": path,
            },
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if it requests anything but files, or has an error."""
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith("file:") else problems.append(request.url),
    )
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    yield page
    context.close()
    assert problems == []


def open_list(page: Page, archive: ArchiveRuns, fragment: str = "") -> None:
    page.goto(f"{(archive.folder / 'index.html').as_uri()}{fragment}")
    page.wait_for_selector("#results li")


def found(page: Page, text: str) -> list[str]:
    """Wait for the result of a search; return the names of the contacts in the list."""
    page.wait_for_function(
        "text => document.getElementById('found').textContent === text", arg=text
    )
    names: list[str] = page.locator("#results li a").all_inner_texts()
    return names


def test_list_starts_with_the_newest_and_shows_more(page: Page, archive: ArchiveRuns) -> None:
    open_list(page, archive)
    names = found(page, "151 conversations")
    assert names[:2] == ["Person 143", "Person 119"]
    assert len(names) == 100
    page.click("#more")
    page.wait_for_function("() => document.querySelectorAll('#results li').length === 151")
    assert page.locator("#more").is_hidden()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("number77", ["Person 77"]),
        ("GRUSSE number77 brem", []),
        ("grüße NUMBER77 brem", ["Person 77"]),
        ("grusse number77", []),
        ("Person 150", ["Person 150"]),
        ("vip", ["Person 9"]),
        ("77 number", ["Person 77"]),
    ],
)
def test_search_finds_all_words(
    page: Page, archive: ArchiveRuns, query: str, names: list[str]
) -> None:
    open_list(page, archive)
    page.fill("#query", query)
    assert found(page, f"{len(names)} of 151 conversations") == names


def test_filters_narrow_the_list(page: Page, archive: ArchiveRuns) -> None:
    open_list(page, archive)
    page.select_option("#status", "open")
    assert len(found(page, "75 of 151 conversations")) == 75
    page.fill("#from", "2026-02-01")
    page.fill("#to", "2026-02-28")
    assert len(found(page, "25 of 151 conversations")) == 25
    page.click("button[type=reset]")
    page.select_option("#agent", label="Grace (1)")
    assert found(page, "1 of 151 conversations") == ["Person 5"]
    page.click("button[type=reset]")
    page.select_option("#tag", "vip")
    assert found(page, "1 of 151 conversations") == ["Person 9"]
    page.click("button[type=reset]")
    page.select_option("#inbox", "3")
    page.fill("#query", "number9")
    expected = {"Person 9", *(f"Person {number}" for number in range(90, 100))}
    assert {*found(page, "11 of 151 conversations")} == expected


def test_filters_are_kept_in_the_address(page: Page, archive: ArchiveRuns) -> None:
    open_list(page, archive)
    page.fill("#query", "number77")
    found(page, "1 of 151 conversations")
    page.click("#results li a")
    page.wait_for_selector(".message")
    assert page.inner_text("h1").startswith("Person 77")
    page.go_back()
    assert found(page, "1 of 151 conversations") == ["Person 77"]


def test_missing_file_of_the_list_is_named(page: Page, archive: ArchiveRuns) -> None:
    search = archive.folder / "search" / "2026-01.js"
    hidden = search.rename(search.with_suffix(".hidden"))
    try:
        open_list(page, archive)
        page.fill("#query", "number77")
        found(page, "A file of the archive is missing: search/2026-01.js")
    finally:
        hidden.rename(search)


def test_no_script_of_a_visitor_runs_in_the_list(page: Page, archive: ArchiveRuns) -> None:
    open_list(page, archive, "#to=2025-12-31")
    names = found(page, "1 of 151 conversations")
    assert names == [HOSTILE_NAME.replace("\u202e", "\N{REPLACEMENT CHARACTER}")]
    page.fill("#query", "desrever")
    found(page, "1 of 151 conversations")
    assert page.evaluate("window.hacked") is None
    assert page.locator("script:not([src])").count() == 0


def test_no_script_of_a_visitor_runs_in_a_conversation(page: Page, archive: ArchiveRuns) -> None:
    address = (archive.folder / "conversations" / "666" / "666.html").as_uri()
    page.goto(address)
    for link in page.locator(".body a, .body button").all():
        link.click()
    assert page.url == address
    assert page.title() == "Conversation 666 · Drift archive"
    assert page.evaluate("window.hacked") is None
    assert page.locator("script, iframe, form, .body [style], .body style").count() == 0
    assert page.locator(".message").count() == len(HOSTILE) + 1
    assert page.locator(".message").first.is_visible()
    # The SVG is an image, in which no script runs; neither it nor the HTML file is linked.
    assert page.locator(".attachments img").count() == 1
    assert page.locator(".attachments a").count() == 0


def test_policy_stops_a_script_that_got_through(page: Page, archive: ArchiveRuns) -> None:
    """Even if the sanitizer failed, the page's policy lets no script of the page run."""
    original = archive.folder / "conversations" / "001" / "1.html"
    attacked = original.with_name("attacked.html")
    script = f'<script>{_ALERT}</script><img src=x onerror="{_ALERT}">'
    attacked.write_text(original.read_text().replace("<main>", f"<main>{script}"))
    page.goto(attacked.as_uri())
    assert page.locator("main script").count() == 1
    assert page.evaluate("window.hacked") is None
    attacked.unlink()


def test_charts_are_drawn(page: Page, archive: ArchiveRuns) -> None:
    page.goto((archive.folder / "charts.html").as_uri())
    widths = page.evaluate("() => [...document.images].map((image) => image.naturalWidth)")
    assert len(widths) == 3
    assert all(widths)


def test_index_is_the_one_that_minisearch_makes(page: Page, archive: ArchiveRuns) -> None:
    """The index made in Python has the terms and counts of MiniSearch's own."""
    open_list(page, archive)
    texts = [
        ("Grüße number1 from Bremen", "Ada"),
        ("½ x² ﬁne — naïve Ωμέγας", "Bo Li"),
        ("don't “quote” a-b a_b", "bo@example.org"),
    ]
    made = page.evaluate(
        """(texts) => {
            const processTerm = (word) =>
                word.normalize('NFKD').replace(/\\p{M}/gu, '').toLowerCase();
            const search = new MiniSearch({ fields: ['text', 'people'], processTerm });
            search.addAll(texts.map(([text, people], id) => ({ id, text, people })));
            return JSON.parse(JSON.stringify(search));
        }""",
        texts,
    )
    assert comparable(made) == comparable(json.loads(json.dumps(build_index(texts))))


def comparable(index: dict[str, Any]) -> dict[str, Any]:
    """Return an index without the order of its terms."""
    return index | {"index": dict(index["index"])}
