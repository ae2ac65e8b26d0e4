"""Text of visitors and users: sanitized HTML, plain text, words of the search index."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import nh3
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAGS = {
    *("a", "b", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "hr", "i"),
    *("img", "ins", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup", "u", "ul"),
    *("table", "tbody", "td", "th", "thead", "tr"),
}
_ATTRIBUTES = {"a": {"href"}, "img": {"src", "alt"}}
_WEB_SCHEMES = {"http", "https"}
_SCHEMES = _WEB_SCHEMES | {"mailto", "tel"}
_BIDI_CONTROLS = dict.fromkeys(
    [*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"
)
_IMAGE = re.compile(r"<img\b([^>]*)>")
_IMAGE_ATTRIBUTE = re.compile(r'\b(src|alt)="([^"]*)"')


def sanitize(body: str) -> Markup:
    """Return HTML without scripts, styles, and links that do not lead to a website or address.

    An image becomes a link: it would be requested from another host when the page is opened.
    """
    clean = nh3.clean(
        body,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_absolute_urls,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(_IMAGE.sub(_image_link, clean))  # noqa: S704 - sanitized above


def is_web_link(url: object) -> bool:
    """Whether a value is an absolute URL with a harmless scheme.

    Without a host, as in `https:a.html`, a browser resolves it against the page's address.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return False
    if parts is None or parts.scheme not in _SCHEMES:
        return False
    return bool(parts.netloc) or parts.scheme not in _WEB_SCHEMES


def _absolute_urls(_tag: str, name: str, value: str) -> str | None:
    """Drop relative URLs, and thereby those that would lead to files beside the page."""
    return value if name not in {"href", "src"} or is_web_link(value) else None


def _image_link(match: re.Match[str]) -> str:
    """Return the link for an image of sanitized HTML, whose attribute values are escaped."""
    attributes = dict(_IMAGE_ATTRIBUTE.findall(match[1]))
    label = attributes.get("alt") or "without a description"
    source = attributes.get("src")
    if not source:
        return f"[image: {label}]"
    return f'<a href="{source}" rel="noopener noreferrer nofollow">[image: {label}]</a>'


def plain_text(body: str) -> str:
    """Return the text of HTML on one line."""
    # Tags separate words: <p>one</p><p>two</p>.
    text = html.unescape(nh3.clean(body.replace("<", " <"), tags=set(), link_rel=None))
    return " ".join(text.split())


def visible(text: str) -> str:
    """Show the characters that change the direction of text, as in the name `photo_gnp.exe`."""
    return text.translate(_BIDI_CONTROLS)


class _Separators(dict[int, str]):
    """Maps spaces and punctuation to a space, as MiniSearch's tokenizer splits text."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_separator = character in "\n\r" or unicodedata.category(character)[0] in "ZP"
        self[code] = " " if is_separator else character
        return self[code]


_SEPARATORS = _Separators()


def words(text: str) -> Iterator[str]:
    """Yield the words of a text as `assets/archive.js` processes those of a search."""
    return map(_normalize, text.translate(_SEPARATORS).split())


@lru_cache(maxsize=100_000)
def _normalize(word: str) -> str:
    """Return a word in lower case without accents."""
    if word.isascii():
        return word.lower()
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(each for each in decomposed if unicodedata.category(each)[0] != "M").lower()
