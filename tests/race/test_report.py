from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
from rich.console import Console

from piste.race import charts
from piste.race.report import render, write
from piste.race.score import profiles, score
from piste.race.terminal import print_leaderboard
from race.synthetic import failed, results

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """A strict enough reader: every tag closed in order, ids collected, text kept."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def text() -> str:
    return render(results())


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


def test_the_page_is_well_formed_and_its_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))
    assert ("html", {"lang": "en"}) in page.tags


def test_the_page_is_self_contained(text):
    assert "<script" not in text
    assert not re.search(r"""(src|href)=["'](?!#)""", text)
    assert not re.search(r"@import|url\((?!#)", text)
    assert not re.search(r"https?://", text)


def test_it_is_made_for_phones_and_for_dark_rooms(text, page):
    assert "width=device-width" in text
    assert "prefers-color-scheme: dark" in text
    assert "max-width: 760px" in text
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert not re.search(r"(fill|stroke): #", drawn)  # every colour is the page's
    for role in set(re.findall(r"var\((--[a-z0-9]+)\)", drawn)):
        assert len(re.findall(rf"{role}:", text)) >= 2 or role in ("--sans", "--mono", "--serif")


def test_every_table_states_its_scale(text, page):
    tables = [m.end() for m in re.finditer(r"</table>", text)]
    assert len(tables) >= 7
    for end in tables:
        after = text[end : end + 400]
        assert "«does not extrapolate»" in after
        assert "229,504 parameters" in after
        assert "400 steps" in after or "800 steps" in after
        assert "3 fresh seeds" in after


def test_charts_have_labels_and_legible_text(page):
    drawings = [a for tag, a in page.tags if tag == "svg" and a.get("class") == "chart"]
    assert len(drawings) == 7  # three per task and the profiles
    assert all(a["aria-label"] for a in drawings)
    words = [a for tag, a in page.tags if tag == "text"]
    assert len(words) > 40
    assert all(float(re.search(r"font-size: ([\d.]+)px", a["style"])[1]) >= 10 for a in words)


def test_what_was_found_is_said_in_words(page):
    assert "cannot be told apart. AdamW needs at least 2 times the steps" in page.text
    assert "9f" * 32 in page.text
    assert "hidden matrix" in page.text
    assert "the best learning rate lies at the edge" in page.text
    assert "None: all" in page.text


def test_failures_are_shown_and_not_dropped():
    race = results()
    broken = tuple(failed(r) if r.entry == "Muon" and r.phase == "final" else r for r in race.records)
    page = Page(render(replace(race, records=broken)))
    assert page.text.count("loss is NaN at step 37") == 6
    assert "3 of 3 fresh-seed runs failed" in page.text
    assert "last evaluated at step 40 of 400" in page.text


def test_unfinished_and_empty_races_render():
    race = results()
    page = Page(render(replace(race, records=race.records[:20])))
    assert f"not finished: 20 of {race.planned}" in page.text
    assert "still to run" in page.text
    empty = Page(render(replace(race, records=())))
    assert "No task of this race separates" in empty.text
    nothing = Page(render(replace(race, records=(), tasks={}, entries={}, routing={})))
    assert "«does not extrapolate»" in nothing.text


def test_a_hostile_task_file_cannot_write_into_the_page():
    race = results()
    evil = '<img src=x> & "$\\alpha$'
    task = replace(race.tasks["code"], description=evil, metric=evil)
    text = render(replace(race, tasks={**race.tasks, "code": task}))
    assert "<img" not in text
    assert "&lt;img" in text
    Page(text)


def test_write_makes_the_folder(tmp_path):
    path = write(results(), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_same_race_gives_the_same_page(text):
    assert render(results()) == text


def test_entries_differ_by_more_than_colour():
    names = [f"Opt{i}" for i in range(24)]
    found = charts.looks(names, "Opt0")
    assert found["Opt0"].variable == "--ink"
    drawn = {(look.hue, look.dash, look.marker) for look in found.values()}
    assert len(drawn) == 24
    hues = [look for look in found.values() if look.hue == 3]
    assert len({look.dash for look in hues}) == len(hues)


def test_bands_span_the_steps_all_seeds_reached():
    runs = results().select("code", "Muon", "final")
    rows = charts.band(runs)
    assert [r[0] for r in rows] == [40 * i for i in range(11)]
    assert all(low <= mean <= high for _, low, mean, high in rows)
    assert len(charts.band([runs[0], failed(runs[1])])) == 2
    assert charts.band([]) == []


def test_charts_survive_a_task_that_spans_decades_and_one_that_is_flat():
    race = results()
    for change in (lambda r: r.val_loss**6 * 1e-6, lambda r: 1.0):
        records = tuple(replace(r, val_loss=change(r)) for r in race.records)
        Page(render(replace(race, records=records)))


def test_no_profile_without_positive_losses():
    race = results()
    shifted = replace(race, records=tuple(replace(r, val_loss=r.val_loss - 10) for r in race.records))
    assert profiles(score(shifted)) == {}
    Page(render(shifted))


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_says_the_same(width):
    console = Console(file=StringIO(), width=width)
    print_leaderboard(results(), console)
    said = console.file.getvalue()
    assert "On code" in said
    assert said.count("«does not extrapolate»") == 2
    assert "1=" in said
    assert max(len(line) for line in said.splitlines()) <= width
    assert ("800 kB" in said) == (width > 100)


def test_the_terminal_marks_diagnostics_and_what_is_missing():
    race = results(noise=60.0)
    console = Console(file=StringIO(), width=120)
    print_leaderboard(replace(race, planned=race.planned + 5), console)
    said = console.file.getvalue()
    assert "diagnostic: best and worst differ" in said
    assert "5 of" in said
