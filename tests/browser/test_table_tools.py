"""Tables sort, filter and copy as CSV."""

import csv
import io

import pytest
from playwright.sync_api import Locator, Page

from helpers.pages import FORMULA, HOSTILE, Open
from helpers.tables import example_cells

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}


def tools(page: Page, table: str) -> Locator:
    return page.locator(f".tools:has(+ .scroll #table-{table})")


def heading(page: Page, table: str, text: str) -> Locator:
    return page.locator(f"#table-{table} thead button").get_by_text(text, exact=True)


def column(page: Page, table: str, text: str) -> list[str]:
    """Return the texts of a column as they stand, of the rows that are shown."""
    names = page.locator(f"#table-{table} thead th").all_text_contents()
    place = names.index(text) + 1
    return page.locator(f"#table-{table} tbody tr:visible > :nth-child({place})").all_text_contents()


def copied(page: Page, table: str) -> list[list[str]]:
    tools(page, table).get_by_role("button", name="Copy as CSV").click()
    page.locator("[role=status]:not(:empty)").first.wait_for(state="attached")  # a function would need eval
    return list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"), newline="")))


def test_clicks_sort_up_then_down_missing_stays_last(report: str, open_page: Open) -> None:
    page = open_page(report)
    found = {}
    for direction in ("ascending", "descending"):
        heading(page, "speed", "Latency (s)").click()
        sorted_by = page.locator("#table-speed thead th[aria-sort]")
        assert (sorted_by.count(), sorted_by.get_attribute("aria-sort")) == (1, direction)
        *found[direction], last = column(page, "speed", "Latency (s)")
        assert last == "–"
    numbers = list(map(float, found["ascending"]))
    assert numbers == sorted(numbers)
    assert found["descending"] == found["ascending"][::-1]


def test_text_is_sorted_as_words(report: str, open_page: Open) -> None:
    page = open_page(report)
    heading(page, "speed", "Model").click()
    names = column(page, "speed", "Model")
    assert names[0] == HOSTILE and names[-1] == "whisper-tiny.en"


def test_the_filter_takes_rows_with_all_words_and_says_how_many(report: str, open_page: Open) -> None:
    page = open_page(report)
    own, total = tools(page, "speed"), len(example_cells(("cpu", "cuda")))
    own.get_by_label("Filter").fill("  TINY cuda ")
    shown = column(page, "speed", "Model")
    assert set(shown) == {"whisper-tiny.en"} and set(column(page, "speed", "Device")) == {"cuda"}
    assert own.get_by_role("status").text_content() == f"{len(shown)} of {total} rows"
    own.get_by_label("Filter").fill("nothing like it")
    assert own.get_by_role("status").text_content() == f"0 of {total} rows"
    own.get_by_label("Filter").fill("")
    assert own.get_by_role("status").text_content() == ""
    assert len(column(page, "speed", "Model")) == total


def test_short_tables_need_no_filter(report: str, open_page: Open) -> None:
    own = tools(open_page(report), "models")
    assert own.get_by_role("button", name="Copy as CSV").is_visible()
    assert not own.get_by_label("Filter").is_visible()


def test_csv_has_units_all_digits_and_interval_columns(report: str, open_page: Open) -> None:
    page = open_page(report, **CLIPBOARD)
    header, *rows = copied(page, "speed")
    names = ["Model", "Variant", "Device", "Audio (s)", "Batch", "Status", "Latency (s)"]
    assert header[:9] == [*names, "95 % interval (s), low", "95 % interval (s), high"]
    cells = {
        (row["model"].replace("whisper-base", HOSTILE), row["device"], row["duration_s"], row["batch_size"]): row
        for row in example_cells(("cpu", "cuda"))
    }
    assert len(rows) == len(cells)
    for row in rows:
        cell = cells[row[0], row[2], int(row[3]), int(row[4])]
        times = [cell[f"latency_s_{part}"] for part in ("median", "ci_low", "ci_high")]
        assert row[6:9] == ["" if value is None else f"{value!r}" for value in times]
    assert f"{len(rows)}" in tools(page, "speed").get_by_role("status").text_content()


def test_csv_keeps_what_stands_below_or_beside_a_number(report: str, open_page: Open) -> None:
    page = open_page(report, **CLIPBOARD)
    header, *rows = copied(page, "models")
    place = header.index("Best RTFx, note")
    assert all(float(row[place - 1]) > 0 and "batch" in row[place] for row in rows)
    header, *rows = copied(page, "edlm2025")
    place = header.index("Published in 2025, note")
    assert rows[0][place - 2 : place + 1] == ["1040", "2086", "ms"]


def test_csv_has_the_shown_rows_and_text_is_not_a_formula(report: str, open_page: Open) -> None:
    page = open_page(report, **CLIPBOARD)
    tools(page, "speed").get_by_label("Filter").fill("killed")
    _, row = copied(page, "speed")
    assert row[-1] == f"'{FORMULA}"
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.endswith(',"\'=1+1, ""quoted"""\r\n') and text.count("\r\n") == 2


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@a", "＝1", "＋1", "－1", "＠a", " =1", "\u200b=1", "\ufeff\t\u2060＝1"]
)
def test_no_sign_in_front_and_no_wide_one_makes_text_a_formula(text: str, report: str, open_page: Open) -> None:
    page = open_page(report)
    assert page.evaluate("text => field(text)", text) == f"'{text}"
    assert page.evaluate("text => field(text)", f"a{text}") == f"a{text}"


def test_refused_clipboard_selects_the_rows_to_copy(report: str, open_page: Open) -> None:
    page = open_page(report)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')) }")
    tools(page, "models").get_by_role("button", name="Copy as CSV").click()
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert page.evaluate("getSelection().toString()").startswith("Model,Variant,")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Copy as CSV"


@pytest.mark.parametrize("table", ["models", "verdicts", "scaling", "flops", "resources", "accuracy", "failures"])
def test_every_table_can_be_sorted_by_every_column_and_copied(table: str, report: str, open_page: Open) -> None:
    page = open_page(report, **CLIPBOARD)
    buttons = page.locator(f"#table-{table} thead button")
    for index in range(buttons.count()):
        buttons.nth(index).click()
    header, *rows = copied(page, table)
    assert len(rows) == page.locator(f"#table-{table} tbody tr").count()
    assert {len(row) for row in rows} == {len(header)}
