"""How fast the page is in a real browser: python -m tools.page_speed

Opens the page in a new chromium (tests/test_page_browser.py says what that needs) and prints when the first character
of each lesson is there, the longest time between two frames and the longest task while all write.
"""

import shutil
import threading

from common.extras import optional
from common.machine import describe
from common.parser import Parser
from common.run import UserError, progress, run
from page.server import Server

# Times in ms since the page was opened. A frame is the time between two callbacks before a paint.
WATCH = """
window.seen = { first: {}, frame: 0, frames: 0, tasks: [] };
new PerformanceObserver(list => seen.tasks.push(...list.getEntries().map(task => task.duration)))
  .observe({ type: 'longtask', buffered: true });
const arrived = number => performance.getEntriesByType('resource')
  .find(({ name }) => RegExp(`/task0${number}[^/]*[.]safetensors`).test(name))?.responseEnd ?? 0;
let before;
const frame = now => {
  if (before) { seen.frame = Math.max(seen.frame, now - before); seen.frames++; }
  before = now;
  document.querySelectorAll('.row').forEach(row => {
    const [text, prompt] = [row.querySelector('.text'), row.querySelector('.text b')];
    const written = text.textContent.length - (prompt?.textContent.length ?? 0);
    const name = row.querySelector('.number').textContent;
    if (written > 0 && !(name in seen.first)) seen.first[name] = [performance.now(), arrived(name)];
  });
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""


def chromium() -> str:
    """The path of the browser. Raises UserError if there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise UserError("needs a browser: apt-get install chromium")
    return found


def main() -> None:
    Parser(description=__doc__).parse_args()
    driver = optional("playwright.sync_api", "browser")
    progress.where = "while the page was measured"
    with Server(0) as server, driver.sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(bypass_csp=True)
        page.add_init_script(WATCH)
        page.goto(server.address)
        page.get_by_role("button", name="Write on").wait_for(timeout=120_000)
        seen = page.evaluate("seen")
        version = browser.version
        browser.close()
        server.shutdown()
    for name, (at, arrived) in seen["first"].items():
        after = f", {at - arrived:,.0f} ms after its weights" if arrived else ""
        print(f"task {name}: its first character after {at:,.0f} ms{after}")
    print(f"longest of {seen['frames']:,} frames: {seen['frame']:,.0f} ms")
    print(f"tasks over 50 ms: {len(seen['tasks'])}; the longest: {max(seen['tasks'], default=0):,.0f} ms")
    print(f"# chromium {version} on {describe()}")


if __name__ == "__main__":
    run(main)
