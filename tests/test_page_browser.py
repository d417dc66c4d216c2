"""The page in a real browser: Debian's chromium, driven by Playwright, and axe-core for what everyone can use.

`pip install playwright`, `apt-get install chromium` and `npm install axe-core` (here, or elsewhere with its axe.min.js
in the environment's AXE) bring what these tests need; without one of them they say which.
"""

import base64
import json
import os
import re
import shutil
from pathlib import Path

from common.checkpoint import load
from common.heard import heard
from page.server import ROOT as PAGE
from studies.setup import load_any
from tests.lessons import serving

import pytest
import torch

pytestmark = [pytest.mark.slow]
driver = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(os.environ.get("AXE", Path(__file__).resolve().parent.parent / "node_modules/axe-core/axe.min.js"))
if CHROMIUM is None:
    pytest.skip("needs a browser: apt-get install chromium", allow_module_level=True)

VIEWS = ["ladder", "inside", "inside?model=task01", "lessons?model=task01", "lessons?model=task09_rope", "break", "own"]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
INDEX = json.loads((PAGE / "models/index.json").read_text(encoding="utf-8"))["models"]


@pytest.fixture(scope="module")
def served():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, served):
    """Open a view; at the end, nothing may have gone wrong in the console, and nothing been asked of others."""
    said, contexts = [], []

    def visit(view="ladder", width=1280, height=800, **context):
        size = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=size, bypass_csp=True, **context))  # Playwright waits by eval
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if not own(request.url) else None)
        page.goto(f"{served.address}#{view}")
        settle(page)
        return page

    def own(url):
        return url.startswith((served.address, "data:", "blob:"))

    yield visit
    for context in contexts:
        context.close()
    assert said == []


def settle(page):
    """Wait until the view is there."""
    page.wait_for_function("document.querySelector('h1') && document.querySelector('.view').childElementCount > 1")
    for view, last in (("inside", ".lens td"), ("lessons", ".diagram li"), ("break", ".sides")):
        if view in page.url:
            page.wait_for_selector(last)


def texts(page):
    return page.locator(".row .text").all_inner_texts()


def written(page):
    """The rows' texts, when all rest."""
    page.get_by_role("button", name="Write on").wait_for()
    return texts(page)


def problems(page):
    """What axe-core finds."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("tags => axe.run({runOnly: tags})", TAGS)["violations"]
    return [(each["id"], node["html"][:160], node["failureSummary"]) for each in found for node in each["nodes"]]


def test_all_lessons_write_from_the_prompt(visit):
    page = visit()
    rows = written(page)
    assert len(rows) == len(INDEX) and all(row.startswith("ROMEO:") for row in rows)
    assert len(set(rows)) == len(rows)
    labels = page.locator(".what").all_inner_texts()
    for about, label in zip(INDEX, labels, strict=True):
        assert f"{about['val_loss']:.4f}" in label
        assert f"{about['parameters']:,}" in label or f"{about['parameters'] / 1e6:.1f} million" in label
    page.get_by_role("button", name="Write on").wait_for()  # they rest


def test_pause_stops_all_and_start_goes_on(visit):
    page = visit()
    page.get_by_label("Speed").select_option("slowly")
    page.wait_for_function(
        "[...document.querySelectorAll('.row .text')].every(text => text.innerText)"
    )  # all are there
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(300)  # what was asked for arrives
    before = texts(page)
    page.wait_for_timeout(600)
    assert texts(page) == before
    page.get_by_label("Speed").select_option("fast")
    page.get_by_role("button", name="Start").click()
    assert all(after.startswith(text.rstrip()) for after, text in zip(written(page), before, strict=True))


def test_nothing_moves_under_reduced_motion(visit):
    page = visit(reduced_motion="reduce")
    page.wait_for_timeout(800)
    assert set(texts(page)) == {"ROMEO:"}
    page.get_by_role("button", name="Start").click()
    written(page)


def test_the_slider_goes_from_noise_to_words_and_back(visit):
    page = visit()
    last = written(page)
    slider = page.get_by_role("slider", name="Training step")
    slider.press("Home")
    with_steps = sum(bool(about["snapshots"]) for about in INDEX)
    texts_of = "[...document.querySelectorAll('.row .text')].map(text => text.innerText)"
    rows = f"last => {texts_of}.slice(0, {with_steps}).every((text, i) => "
    page.wait_for_function(rows + "text !== last[i] && text.length > 150)", arg=last)
    noise = texts(page)
    assert all(a != b for a, b in zip(noise[:with_steps], last[:with_steps], strict=True))
    assert slider.get_attribute("aria-valuetext") == "step 0" and "4.2491" in page.locator(".what").first.inner_text()
    assert "at its last step" in page.locator(".what").last.inner_text()  # it has no other weights
    slider.press("End")
    page.wait_for_function(rows + "text === last[i])", arg=last)


def test_a_link_restores_what_was_seen(visit):
    page = visit("ladder?prompt=Now&seed=7&temperature=0.5&step=500")
    rows = written(page)
    assert all(row.startswith("Now") for row in rows)
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "step 500"
    again = visit(page.url.partition("#")[2])
    assert written(again) == rows
    assert again.get_by_label("Seed").input_value() == "7" and again.get_by_label("Temperature").input_value() == "0.5"
    odd = visit("ladder?seed=x&temperature=9&step=-1&prompt=%C3%A9")
    assert odd.get_by_label("Seed").input_value() == "1" and odd.get_by_label("Temperature").input_value() == "0.8"
    odd.wait_for_function("document.querySelector('#error').textContent")
    assert "does not know the character “é”" in odd.get_by_role("alert").inner_text()


@pytest.mark.parametrize("name", ["task01", "task06"])
def test_heatmaps_are_pytorchs_attention_weights(visit, name):
    model, _, vocabulary, _ = load_any(PAGE / f"models/{name}.safetensors")
    with heard() as kept:
        model(torch.tensor([[vocabulary.index(c) for c in "ROMEO:"]]))
    for head in (0, kept[0].shape[1] - 1 if kept[0].dim() == 4 else 0):
        page = visit(f"inside?prompt=ROMEO:&model={name}&block={len(kept) - 1}&head={head}")
        said = [cell.inner_text() for cell in page.locator(".heat .hidden").all()]
        got = torch.tensor([float(text.rpartition(": ")[2]) for text in said]).view(6, 6)
        expected = kept[-1].view(-1, 6, 6)[head]
        assert (got - expected).abs().max() < 0.0006


def test_the_formula_has_the_numbers_of_the_cell(visit):
    page = visit("inside?prompt=ROMEO:&model=task06")
    page.get_by_role("button", name="“O”, number 5, looks at “E”, number 4").click()
    said = page.locator(".heat button[aria-pressed=true] .hidden").inner_text()
    assert page.locator(".formula b").inner_text() == said.rpartition(": ")[2]
    query, key, product = ([float(n) for n in row.split()] for row in rows(page, ".numbers tr", "td"))
    assert product == pytest.approx([q * k for q, k in zip(query, key, strict=True)], abs=0.03)
    dot, score, masked, exp, weight = (
        float(row[-1]) for row in (text.split() for text in rows(page, ".steps tr", "td"))
    )
    assert dot == pytest.approx(sum(product), abs=0.05) and score == masked == pytest.approx(dot * 32**-0.5, abs=0.001)
    total = float(re.search(r"of the row: ([\d.]+)", page.locator(".steps").inner_text())[1])
    assert weight == pytest.approx(exp / total, abs=0.001)
    page.get_by_role("button", name="“R”, number 1, looks at “O”, number 2").click()
    assert "−∞" in page.locator(".formula").inner_text()


def rows(page, selector, cells):
    return [" ".join(row.locator(cells).all_inner_texts()) for row in page.locator(selector).all()]


def test_what_comes_next_and_the_lens_follow_the_character(visit):
    page = visit("inside?prompt=ROMEO:&model=task06")
    last = page.locator(".bars").inner_text()
    page.get_by_role("button", name="R, number 1").click()
    page.wait_for_function("last => document.querySelector('.bars').innerText !== last", arg=last)
    assert "After “R”" in page.locator("#next").inner_text() and page.locator(".lens tr").count() == 3


def test_every_fault_is_seen_next_to_the_right_model(visit):
    page = visit("break")
    for about in INDEX:
        for fault in about["broken"]:
            page.get_by_role("radio", name=re.compile(fault["title"], re.I)).check()
            page.wait_for_function("text => document.querySelector('.fault')?.innerText === text", arg=fault["text"])
            right, wrong = page.locator(".sides .text").all_inner_texts()
            assert right != wrong
            assert f"{fault['log'][-1][2]:.4f}" in page.locator(".view").inner_text()


def test_a_lessons_line_leads_to_the_part_that_it_makes(visit):
    page = visit("lessons?model=task05")
    page.get_by_role("button", name="x = x + self.attention(x)").click()
    assert page.locator(".diagram .lit").all_inner_texts()[0].startswith("+ what went into attention")
    page.get_by_role("button", name="nn.ReLU()").click()
    assert [text.split("\n")[0] for text in page.locator(".diagram .lit").all_inner_texts()] == ["feed-forward"]
    page.get_by_role("link", name=re.compile("Task 6:")).click()
    page.get_by_role("heading", name="From task05.py to task06.py").wait_for()


@pytest.mark.parametrize("name", sorted(path.stem for path in PAGE.parent.glob("task0*.py")))
def test_every_lesson_has_its_page(visit, name):
    page = visit(f"lessons?model={name}")
    shown = page.locator(".view").inner_text()
    assert f"{name}.py" in shown and f"python {name}.py" in shown
    assert page.locator(".diff .come").count() or name == "task01"


def test_without_weights_the_page_says_so(browser, served):
    with browser.new_page(bypass_csp=True) as page:
        page.route("**/models/index.json", lambda route: route.fulfill(status=404))
        page.goto(served.address)
        page.wait_for_function("document.querySelector('#error').textContent")
        assert "no weights" in page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("saving", [False, True])
def test_a_large_model_joins_later_and_on_a_click_where_data_are_saved(browser, served, saving):
    """Task 6's file, called large."""
    models = [about | ({"bytes": 2_000_000} if about["name"] == "task06" else {}) for about in INDEX]
    with browser.new_page(bypass_csp=True) as page:
        page.route("**/models/index.json", lambda route: route.fulfill(json={"models": models}))
        if saving:
            page.add_init_script("Object.defineProperty(navigator, 'connection', { value: { saveData: true } })")
        page.goto(served.address)
        if saving:
            written(page)
            assert texts(page)[5] == ""
            page.get_by_role("button", name="Fetch 2.0 MB").click()
        page.wait_for_function("document.querySelectorAll('.row .text')[5].textContent.length > 150")


DROP = """([name, data]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def drop(page, name, data):
    page.evaluate(DROP, [name, base64.b64encode(data).decode()])


def test_a_dropped_model_writes_on_every_view(visit, trained):
    from common.safetensors import as_safetensors

    page = visit()
    drop(page, "mine.safetensors", as_safetensors(load(trained)))
    page.get_by_role("heading", name="mine").wait_for()
    page.wait_for_function("document.querySelector('.verse').textContent.length > 200")
    page.get_by_role("link", name="on the ladder").click()
    page.wait_for_function("n => document.querySelectorAll('.row').length === n", arg=len(INDEX) + 1)
    assert len(written(page)) == len(INDEX) + 1
    page.get_by_role("link", name="inside Yours").click()
    page.wait_for_selector(".lens td")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("my.pt", b"PK", "python -m tools.export my.pt"),
        ("my.safetensors", b"", "too short"),
        ("my.safetensors", b"\xff" * 100, "not a safetensors file"),
        ("my.safetensors", (PAGE / "models/task01.safetensors").read_bytes()[:9000], "ends within"),
        ("a.txt", (2).to_bytes(8, "little") + b"{}" + bytes(100), "holds no model"),
    ],
)
def test_a_broken_file_is_refused_in_words(visit, name, data, words):
    page = visit()
    drop(page, name, data)
    page.wait_for_function("document.querySelector('#error').textContent")
    said = page.get_by_role("alert").inner_text()
    assert said.startswith(name) and words in said


def test_weights_from_the_command_line_are_there(browser, trained):
    from page.__main__ import own_weights

    with serving(own_weights(trained), "mine") as server, browser.new_page() as page:
        page.goto(server.address)
        page.get_by_role("heading", name="mine").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install axe-core, and AXE=…/axe.min.js")
def test_axe_finds_nothing(visit, view, scheme):
    page = visit(view, color_scheme=scheme)
    if view == "ladder":
        written(page)
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    assert problems(page) == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [320, 640])  # a small phone; 1280 pixels at 200%
def test_no_view_is_wider_than_the_screen(visit, view, width):
    page = visit(view, width=width, height=640)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = """() => [...document.querySelectorAll('button, input, select, a:not(.skip)')].filter(e => {
      const box = e.getBoundingClientRect();
      return (box.right > innerWidth + 1 || box.left < -1) && !e.closest('.scroll, .heads');
    }).map(e => e.outerHTML)"""
    assert page.evaluate(outside) == []


@pytest.mark.parametrize("view", VIEWS)
def test_the_keyboard_alone_reaches_everything(visit, view):
    """Tab comes to every control once, each is seen when it has the focus, and the last lets go."""
    page = visit(view, reduced_motion="reduce")
    page.evaluate("document.activeElement.blur()")
    stops = """() => [...document.querySelectorAll('a, button, input, select, summary, [tabindex="0"]')]
      .filter(e => e.tabIndex >= 0 && e.checkVisibility() && (e.type !== 'radio' || e.checked)).length"""
    seen = []
    for _ in range(page.evaluate(stops)):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate("""() => {
          const e = document.activeElement, box = e.getBoundingClientRect();
          e.dataset.reached = '';
          const inside = box.width > 1 && box.top < innerHeight && box.bottom > 0;
          return [e.outerHTML.slice(0, 90), inside, getComputedStyle(e).outlineStyle];
        }""")
        )
    assert all(visible and outline != "none" for _, visible, outline in seen), seen
    assert page.evaluate("document.querySelectorAll('[data-reached]').length") == len(seen)


def test_the_arrow_keys_walk_a_heatmap_and_enter_chooses(visit):
    page = visit("inside?prompt=ROMEO:&model=task06")
    page.locator(".heat button[tabindex='0']").focus()
    for key in ("ArrowUp", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    said = page.locator(".heat button[aria-pressed=true] .hidden").inner_text()
    assert said.startswith("“O”, number 5, looks at “O”, number 5")
    assert page.evaluate("document.activeElement.firstChild.textContent") == said


def test_the_first_text_is_there_within_a_second(visit, served):
    page = visit(service_workers="block")
    page.wait_for_function("document.querySelector('.row .text').textContent.length > 6")
    assert page.evaluate("performance.now()") < 1000 + 5000 * bool(os.environ.get("CI"))
