"""Sanitized HTML, plain text, and words of the search."""

from __future__ import annotations

import pytest

from drift_archive.text import plain_text, sanitize, visible, words


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href="JaVaScRiPt&#58;alert(1)">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        "<svg onload=alert(1)><script>alert(1)</script></svg>",
        '<p style="background:url(javascript:alert(1))" onclick="alert(1)">x</p>',
        '<iframe src="https://evil.example"></iframe><object data="x"></object>',
        '<form action="https://evil.example"><input name="password"></form>',
        '<math><mi//xlink:href="data:x,<script>alert(1)</script>">',
        '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
        '<base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=//evil">',
        '<img src="https://e.example/a" alt="&quot; onerror=&quot;alert(1)">',
    ],
)
def test_hostile_body_has_no_active_content(body: str) -> None:
    # What remains of an attribute's text is escaped, so no quote ends it early.
    clean = str(sanitize(body)).lower().replace("&quot; onerror=&quot;", "")
    for active in ("<script", "onerror", "onload", "onclick", "javascript:", "data:", "style="):
        assert active not in clean
    for tag in ("<iframe", "<object", "<form", "<input", "<svg", "<base", "<meta", "<img"):
        assert tag not in clean


@pytest.mark.parametrize(
    "url",
    [
        *("/etc/passwd", "../secret.html", "//host/share", "file:///etc"),
        # On a web server, a browser resolves these against the page's address.
        *("https:../../attachments/1/a.html", "http:a.html", "https:/attachments/1/a.html"),
    ],
)
def test_link_to_a_file_is_removed(url: str) -> None:
    assert "href" not in sanitize(f'<a href="{url}">x</a>')


def test_link_to_a_website_sends_no_referrer() -> None:
    link = '<a href="https://acme.example/?a=1&amp;b=2" rel="noopener noreferrer nofollow">x</a>'
    assert sanitize('<a href="https://acme.example/?a=1&b=2" onclick="x()">x</a>') == link


def test_formatting_is_kept() -> None:
    body = "<p>20 <b>people</b><br>and <i>more</i> &amp; so on</p><ul><li>one</li></ul>"
    assert sanitize(body) == body


def test_image_becomes_a_link_to_it() -> None:
    assert sanitize('<img src="https://acme.example/a.png" alt="A cat" width="1">') == (
        '<a href="https://acme.example/a.png" rel="noopener noreferrer nofollow">[image: A cat]</a>'
    )


def test_image_of_a_file_is_named_only() -> None:
    assert sanitize('<img src="file:///etc/a.png">') == "[image: without a description]"


def test_plain_text_separates_paragraphs() -> None:
    assert (
        plain_text("<p>one</p><p>two&nbsp;&amp; three</p><script>x</script>") == "one two & three"
    )


def test_direction_controls_are_shown() -> None:
    assert visible("photo_\u202egnp.exe") == "photo_\N{REPLACEMENT CHARACTER}gnp.exe"


def test_words_are_lower_case_without_accents_or_punctuation() -> None:
    assert [*words("Grüße, aus “Bremen”—don't!")] == ["gruße", "aus", "bremen", "don", "t"]
