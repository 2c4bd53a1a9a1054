"""The report in a real browser, driven as a person would: mouse, keyboard, phone, dark."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nasnet_jax.report import LiveReport, write_report
from nasnet_jax.space import LABELS, Architecture

FIRST_ROW = "#grid-body [role=row][aria-rowindex='2']"


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a report; at the end nothing may have been requested and no error logged."""
    contexts, problems = [], []

    def show(path: Path, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url == path.as_uri() or request.url.startswith(("data:", "blob:"))
                else problems.append(f"request: {request.url}")
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield show
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture(scope="module")
def report(make_workdir: Callable[..., Path]) -> Path:
    return write_report(make_workdir(60))


def column(page: Any, number: int) -> list[str]:
    """The texts of a column of the rows in sight."""
    return page.eval_on_selector_all(
        "#grid-body [role=row]", f"rows => rows.map(row => row.children[{number}].textContent)"
    )


def test_the_best_child_is_shown_at_first(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    chosen = page.locator("#grid-body [aria-selected=true]")
    assert chosen.get_attribute("aria-rowindex") == "2"
    title = page.inner_text("#child-title")
    assert title == f"Child {column(page, 0)[0]}"
    assert page.locator("#cells svg").count() == 2
    assert page.locator("figure canvas, figure .bk-Figure").count() >= 5


def test_headings_sort(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    heading = page.get_by_role("button", name="parameters")
    for order, ordered in (("ascending", sorted), ("descending", lambda v: sorted(v)[::-1])):
        heading.click()
        assert page.locator(f"[aria-sort={order}]").inner_text().startswith("parameters")
        numbers = [int(text.replace(",", "")) for text in column(page, 3)]
        assert len(numbers) > 10 and numbers == ordered(numbers)
    assert numbers[0] > numbers[-1]


def test_children_that_were_not_ranked_again_come_by_reward(
    show: Callable[..., Any], report: Path
) -> None:
    page = show(report)
    page.get_by_role("button", name="batch").click()  # Many are equal here.
    page.get_by_role("button", name="re-ranked").click()
    reranked, rewards = column(page, 2), [float(text) for text in column(page, 1)]
    ranked = sum(text != "–" for text in reranked)
    assert ranked == 5 and all(text == "–" for text in reranked[ranked:])
    assert len(rewards) > 10 and rewards[ranked:] == sorted(rewards[ranked:], reverse=True)


def test_filters_filter(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    count = page.locator("#count")
    assert count.inner_text() == "59 of 60 children"  # One is a repeat.
    page.get_by_label("show repeats").check()
    assert count.inner_text() == "60 of 60 children"
    page.locator(".chip", has_text=LABELS["sep_conv_7x7"]).click()
    page.locator(".chip", has_text="identity").click()
    shown = int(count.inner_text().split()[0])
    assert 0 < shown < 60
    for _ in range(3):
        page.focus("#grid")
        page.keyboard.press("ArrowDown")
        line = page.input_value("#one-line")
        assert "sep_conv_7x7" in line and "identity" in line
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('59 ')")
    least = sorted(int(text.replace(",", "")) for text in column(page, 3))[5]
    page.get_by_label("parameters from").fill(str(least))
    assert all(int(text.replace(",", "")) >= least for text in column(page, 3))
    page.get_by_label("to", exact=True).fill(str(least))
    assert {text.replace(",", "") for text in column(page, 3)} == {str(least)}
    page.get_by_label("to", exact=True).fill("1")
    assert count.inner_text() == "0 of 60 children" and column(page, 0) == []


def test_a_click_draws_the_cells_of_a_row(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    page.locator("#grid-body [role=row][aria-rowindex='7']").click()
    clicked = Architecture.from_one_line(page.input_value("#one-line"))
    assert Architecture.from_json(page.input_value("#json")) == clicked
    child = int(page.locator("#grid-body [aria-selected=true] [role=gridcell]").first.inner_text())
    with (report.parent / "history.csv").open(encoding="utf-8") as history:
        assert list(history)[child + 1].rstrip("\n").endswith(clicked.one_line())
    for cell, drawing in zip(
        (clicked.normal, clicked.reduction), page.locator("#cells svg").all(), strict=True
    ):
        words = drawing.locator("text").all_text_contents()
        expected = [
            LABELS[name] for block in cell.blocks for name in (block.left_op, block.right_op)
        ]
        combined = [block.combine for block in cell.blocks]
        assert sorted(words) == sorted(
            [*expected, *combined, "concat", "hi", "hi\N{MINUS SIGN}1", "hi+1"]
        )
        # An edge for each half and output, a joint for each half, and the way out.
        assert drawing.locator("path.line").count() == 4 * len(combined) + len(cell.outputs) + 1


def test_the_keyboard_reaches_everything(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(e => e.id || e.name || e.dataset.copy || e.textContent.trim())"
                "(document.activeElement)"
            )
        )
    needed = {"theme", "least", "most", "repeats", "operation", "Clear", "grid", "one-line", "json"}
    assert needed | {"reward", "parameters", "multiply-adds", "re-ranked"} <= reached
    page.focus("#grid")
    titles = []
    for key in ("Home", "ArrowDown", "PageDown", "End", "ArrowUp"):
        page.keyboard.press(key)
        titles.append(page.inner_text("#child-title"))
        active = page.get_attribute("#grid", "aria-activedescendant")
        assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
        assert page.locator(f"#{active}").is_visible()
    assert len(set(titles)) == 5
    page.locator(".grid-head button", has_text="reward").focus()
    page.keyboard.press("Enter")
    assert page.locator("[aria-sort=descending]").inner_text().startswith("reward")


def test_copying_puts_the_form_on_the_clipboard(show: Callable[..., Any], report: Path) -> None:
    page = show(report, permissions=["clipboard-read", "clipboard-write"])
    for form in ("one-line", "json"):
        page.click(f"[data-copy={form}]")
        page.wait_for_selector(f"[data-copy={form}]:text('Copied')")
        assert page.evaluate("navigator.clipboard.readText()") == page.input_value(f"#{form}")


def test_a_click_on_a_point_shows_its_child(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    page.evaluate("window.nasnetReport.select(0, 12)")
    assert page.inner_text("#child-title") == "Child 12"
    page.evaluate(
        """() => { for (const doc of Bokeh.documents) for (const model of doc._all_models.values())
             if (model.tags.includes("children")) {
               model.data_source.selected.indices = [17]; return; } }"""
    )
    assert page.inner_text("#child-title") == "Child 17"


PLOTS = """(() => { const found = [];
  for (const plots of Bokeh.documents) for (const model of plots._all_models.values())
    if (model.type === "GlyphRenderer") found.push(model);
  return found; })()"""


def test_the_plots_ring_the_chosen_child(show: Callable[..., Any], report: Path) -> None:
    page = show(report)
    with (report.parent / "history.csv").open(encoding="utf-8", newline="") as file:
        children = list(csv.DictReader(file))
    for row in (3, 9):
        page.locator(f"#grid-body [role=row][aria-rowindex='{row}']").click()
        child = int(page.inner_text("#child-title").removeprefix("Child "))
        page.wait_for_function(
            f"{PLOTS}.filter(model => model.tags.includes('chosen'))"
            f".every(model => Math.abs(model.data_source.data.y[0] - {children[child]['reward']})"
            " < 1e-6)"
        )
        rings = page.evaluate(
            f"{PLOTS}.filter(model => model.tags.includes('chosen'))"
            ".map(model => model.data_source.data.x[0])"
        )
        assert sorted(rings) == sorted(
            [child + 1, int(children[child]["params"]), int(children[child]["macs"])]
        )


def test_a_point_that_the_filters_leave_out_is_shown_without_a_row(
    show: Callable[..., Any], report: Path
) -> None:
    page = show(report)
    page.get_by_label("to", exact=True).fill("1")
    page.evaluate("window.nasnetReport.select(0, 12)")
    assert page.inner_text("#child-title") == "Child 12"
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('59 ')")
    assert page.locator("#grid-body [aria-selected=true]").count() == 0


def test_paper_is_white(show: Callable[..., Any], report: Path) -> None:
    page = show(report, color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.locator("canvas.paper").count() == 5  # They fit the paper, as the plots do not.
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("canvas.paper").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_system_and_the_button(
    show: Callable[..., Any], report: Path, scheme: str
) -> None:
    page = show(report, color_scheme=scheme)

    def brightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(colour.removeprefix("rgb(").split(",")[0])

    light = brightness() > 128
    assert light == (scheme == "light")
    page.click("#theme")
    assert (brightness() > 128) != light


def test_a_phone_scrolls_down_only(show: Callable[..., Any], report: Path) -> None:
    page = show(report, viewport={"width": 360, "height": 640}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator(FIRST_ROW).click()
    assert page.locator("#cells svg").count() == 2
    edges = page.evaluate(
        """() => ["#grid-head", "#grid-body [role=row]"].map((row) =>
             [...document.querySelector(row).children].filter((cell) => cell.offsetWidth)
               .map((cell) => Math.round(cell.getBoundingClientRect().right)))"""
    )
    assert edges[0] == edges[1] and len(edges[0]) == 4  # Headings stand above their columns.


def test_several_searches_are_compared(
    show: Callable[..., Any], make_workdir: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [make_workdir(40), make_workdir(45, "random")]
    page = show(write_report(*folders, output=tmp_path / "both.html"))
    assert page.locator(".facts tbody tr").count() == 2
    assert page.inner_text("#count") == "83 of 85 children"
    page.select_option("[name=run]", "1")
    assert page.inner_text("#count") == "44 of 85 children"
    assert all(name.endswith(folders[1].name) for name in column(page, 0))
    page.get_by_text("Settings, of which 1 differs").click()
    assert page.locator(".differs").inner_text().split() == ["strategy.name", "ppo", "random"]
    # The name of a search hides it in every plot, also by keyboard.
    name = page.get_by_role("button", name=f"{folders[1].parent.name}/{folders[1].name}")
    for pressed in ("false", "true"):
        name.press("Enter")
        assert name.get_attribute("aria-pressed") == pressed
        visible = f"{PLOTS}.filter(model => model.tags[0] === %d).map(model => model.visible)"
        assert set(page.evaluate(visible % 0)) == {True}
        assert set(page.evaluate(visible % 1)) == {pressed == "true"}


def test_twenty_thousand_children_stay_quick(
    show: Callable[..., Any], make_workdir: Callable[..., Path]
) -> None:
    path = write_report(make_workdir(20_000))
    assert path.stat().st_size < 8e6
    page = show(path)
    assert page.locator("#grid-body [role=row]").count() < 100
    milliseconds = page.evaluate(
        """() => { const start = performance.now();
             for (const head of document.querySelectorAll(".grid-head button")) head.click();
             document.querySelector("#filters [name=operation]").click();
             return performance.now() - start; }"""
    )
    # Seven sorts and a filter; about 0.6 s on one core, with room for a busy machine.
    assert milliseconds < 6_000
    page.focus("#grid")
    page.keyboard.press("End")
    assert page.locator("#cells svg").count() == 2


def test_a_name_cannot_smuggle_markup_in(
    show: Callable[..., Any], make_workdir: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    shutil.copytree(make_workdir(40), folder)
    (folder / "config.json").write_text(json.dumps({"strategy": {"name": "</script>"}}))
    page = show(write_report(folder, output=tmp_path / "report.html"))
    assert folder.name in page.inner_text("h1")
    assert page.locator("img").count() == 0


def test_a_live_report_costs_a_hundredth_of_the_time(make_workdir: Callable[..., Path]) -> None:
    folder = make_workdir(40)
    live = LiveReport(folder)
    assert live.update() and (folder / "report.html").is_file()
    assert not live.update()
