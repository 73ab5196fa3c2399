"""Markdown of a model on pages that run scripts, and where its blocks end."""

from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cogent.display.blocks import Blocks
from cogent.display.safe_markdown import entities, safe_markdown

render = MarkdownIt("commonmark", {"html": True}).enable("table").render
# Pieces that renderers give a meaning to, also where they stand in each other's way.
PIECES = [
    *("<script>alert(1)</script>", "<x onclick=a>", "<!--", "-->", "<![CDATA[", "<"),
    *(
        "\n",
        "\n\n",
        "\r",
        "\t",
        "  ",
        "    ",
        "\u2028",
        "\x0b",
        "text",
        "\\",
        "|",
        "--",
    ),
    *("```", "```py", "~~~", "````", "`", "``", "\n```\n", "     ```\n", "```~~\n"),
    *("- ", "- ```", "\n- a\n", "1. ", "10. ", "> ", "- > ```\n", "[^1]: "),
    *("[a](", "![c](", "[b]: ", "[b]", ")", "javascript:a", "java&#115;cript:a"),
    *("<https://x.y/onclick=a>", "&lt;script>", "$$", "*", "_", '{: onclick="a" }'),
]


class Page(HTMLParser):
    """Notes what a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "x"):
            self.runs.append(tag)
        for name, value in attrs:
            target = "".join((value or "").split()).lower()
            if name in ("href", "src") and target.startswith("javascript"):
                self.runs.append(target)


def what_runs(html: str) -> list[str]:
    """What a page with this in it would run, now or at a click."""
    page = Page()
    page.feed(html)
    page.close()
    return page.runs


@given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=14).map("".join))
@settings(max_examples=400, deadline=None)
@example(" ````[a](\r````\n`|```<--><x onclick=a>-->")
@example("[b]: \n```\n<x onclick=a>")
@example("- a\n\n     ```\n     x\n  ```\n  <x onclick=a>")
@example("- ```\n  a\n  ```\n  <x onclick=a>")
def test_no_text_of_a_model_runs(text: str) -> None:
    """However the pieces of Markdown stand, no script, no attribute and no link of theirs runs."""
    assert what_runs(render(safe_markdown(text))) == []
    assert what_runs(render(safe_markdown(text, code_as_html=True))) == []


@given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=14).map("".join))
@settings(max_examples=200, deadline=None)
def test_blocks_by_themselves_run_nothing_either(text: str) -> None:
    """Nor where each block is made safe by itself, as while it comes."""
    blocks = Blocks()
    ended = [*blocks.feed(text), *blocks.close()]
    whole = "\n\n".join(safe_markdown(block.text) for block in ended)
    assert what_runs(render(whole)) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b and b<c", "<p>a &lt; b and b&lt;c</p>"),
        ("**bold** `x`", "<p><strong>bold</strong> <code>x</code></p>"),
        ("the `<div>` tag", "<p>the <code>&lt;div&gt;</code> tag</p>"),
        (r"`a\*b` \<b>", r"<p><code>a\*b</code> &lt;b&gt;</p>"),
        ("[it](https://a.b/c)", '<p><a href="https://a.b/c">it</a></p>'),
        ("[it](#top) x", '<p><a href="#top">it</a> x</p>'),
        (
            "```html\n<b>\n```",
            '<pre><code class="language-html">&lt;b&gt;\n</code></pre>',
        ),
        ("[x](javascript:a)", "<p>[x](javascript:a)</p>"),
    ],
)
def test_it_looks_as_the_model_meant_it(text: str, shown: str) -> None:
    """What is made safe still looks the same, tags as text."""
    assert render(safe_markdown(text)).strip() == shown


def test_entities_are_no_markdown() -> None:
    """Whatever a tool gives stands in a page as it is, in one line."""
    text = "*a* <b> `c`\n$d$ | [e](f)"
    assert "\n" not in entities(text)
    assert render(entities(text)).strip() == render("").strip() + (
        "<p>*a* &lt;b&gt; `c`\n$d$ | [e](f)</p>"
    )


def test_blocks_end_where_more_text_cannot_change_them() -> None:
    """Paragraphs, items, tables and code come as soon as they are whole, however they are cut."""
    text = (
        "# Head\nOne\nparagraph.\n\n- a\n- b\n  - c\n\n  more of b\n\n"
        "```py\nx = 1\n\ny\n```\n| a |\n|---|\n\nlast"
    )
    parts = [
        *("# Head", "One\nparagraph.", "- a", "- b\n  - c\n\n  more of b"),
        *("```py\nx = 1\n\ny\n```", "| a |\n|---|", "last"),
    ]
    for size in (1, 3, len(text)):
        blocks = Blocks()
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        ended = [block for piece in pieces for block in blocks.feed(piece)]
        assert [block.text for block in ended] == parts[:-1]
        assert blocks.rest.text == "last"
        assert [block.text for block in blocks.close()] == parts[-1:]
        assert [b.text for b in ended if b.follows_item] == [parts[3]]
