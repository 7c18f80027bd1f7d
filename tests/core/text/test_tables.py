"""Text and HTML tables."""

from __future__ import annotations

import re
from base64 import b64decode
from decimal import Decimal

from bs4 import BeautifulSoup

from botlib.core.text.tables import Tone, Toned, html_picture, html_table, text_table


def test_a_text_table_is_aligned_and_keeps_its_texts() -> None:
    table = text_table(
        ["task", "runs"], [["a", 7], ["a longer name", Decimal("1.50")], ["c", None]]
    )
    assert [line.rstrip() for line in table.splitlines()] == [
        "task             runs",
        "-------------  ------",
        "a                 7.0",
        "a longer name     1.5",
        "c",
    ]


def test_numbers_in_text_keep_their_zeros() -> None:
    assert "0010.500" in text_table(["amount"], [["0010.500"]])
    assert "1e5" in text_table(["amount"], [["1e5"]])


def test_a_table_without_rows_still_has_its_headers() -> None:
    assert text_table(["task"], []).splitlines()[0] == "task"
    assert BeautifulSoup(html_table(["task"], []), "html.parser").th.text == "task"


def test_an_html_table_has_the_same_cells() -> None:
    soup = BeautifulSoup(html_table(["a", "b"], [[1, None], ["x", 2.5]]), "html.parser")
    assert [cell.text for cell in soup("th")] == ["a", "b"]
    assert [[cell.text for cell in row("td")] for row in soup.tbody("tr")] == [
        ["1", ""],
        ["x", "2.5"],
    ]
    assert ["right" in cell["style"] for cell in soup("td")] == [False, True, False, True]


def test_numbers_of_a_column_have_equal_decimals_and_stand_on_the_right() -> None:
    rows = [[Decimal("0.01511"), 66139.61, "trend"], [0, Toned(-1234.5, Tone.BAD), "12"]]
    soup = BeautifulSoup(html_table(["amount", "price", "name"], rows), "html.parser")
    assert [[cell.text for cell in row("td")] for row in soup.tbody("tr")] == [
        ["0.01511", "66\u2009139.61", "trend"],
        ["0.00000", "\u22121\u2009234.50", "12"],
    ]
    assert ["right" in cell["style"] for cell in soup("th")] == [True, True, False]
    lines = text_table(["amount", "price", "name"], rows).splitlines()
    assert lines[2].startswith(" 0.01511  66\u2009139.61  trend")


def test_texts_that_are_figures_stand_on_the_right() -> None:
    columns = [["1.23\u2009%", "\u221210.00\u2009%"], ["26 ms", "2 h 5 min"], ["–", "1.23K"]]
    others = [["2026-01-05", "2026-01-06"], ["14:03:07", ""], ["8 tasks", "9"], ["", None]]
    for cells in columns + others:
        right = "text-align:right" in html_table(["a"], [[cell] for cell in cells])
        assert right == (cells in columns), cells


def test_truth_values_are_words() -> None:
    assert text_table(["live"], [[True], [False]]).split()[-2:] == ["yes", "no"]


def test_an_html_table_escapes_all_texts() -> None:
    evil = "<script>alert('x')</script>"
    html = html_table([evil], [[evil], [Toned(evil, Tone.BAD)]])
    assert "<script" not in html
    soup = BeautifulSoup(html, "html.parser")
    assert [soup.th.text, *(cell.text for cell in soup("td"))] == [evil] * 3


def test_an_html_table_is_self_contained() -> None:
    soup = BeautifulSoup(html_table(["a"], [[1]]), "html.parser")
    assert soup(["script", "link", "style", "img"]) == []
    assert len(soup("table", class_="botlib")) == 1


def test_a_toned_cell_has_its_colour_in_html_and_only_its_text_in_plain_text() -> None:
    rows = [[Toned(7, Tone.of(7))], [Toned(-7, Tone.of(-7))], [Toned(None, Tone.of(0))]]
    soup = BeautifulSoup(html_table(["a"], rows), "html.parser")
    colours = [Tone.GOOD.value in cell["style"] for cell in soup("td")]
    assert colours == [True, False, False]
    assert Tone.BAD.value in soup("td")[1]["style"]
    assert text_table(["a"], rows).split()[-2:] == ["7", "\u22127"]


def test_an_svg_is_embedded_as_an_image_with_a_colour_of_its_own() -> None:
    html = html_picture('<svg fill="currentColor"/>', 'a "picture"')
    data = re.search(r'base64,([^"]+)"', html)
    assert data is not None
    assert b64decode(data[1]).decode() == '<svg fill="#8a8f98"/>'
    assert 'alt="a &quot;picture&quot;"' in html
