"""Pictures of the page for README: python -m tools.page_pictures

Writes docs/images/page_wide.png, page_dark.png and page_narrow.png with chromium, when all have written.
"""

import threading

from common.extras import optional
from common.parser import Parser
from common.run import progress, run
from page.server import ROOT, Server
from tools.page_speed import chromium

IMAGES = ROOT.parent / "docs" / "images"
PICTURES = {  # file → view, width, height, colours
    "page_wide.png": ("ladder", 1280, 0, "light"),
    "page_dark.png": ("inside?prompt=ROMEO:&model=task06&block=0&head=1", 1280, 0, "dark"),
    "page_narrow.png": ("ladder?step=500", 360, 780, "light"),
}


def main() -> None:
    Parser(description=__doc__).parse_args()
    driver = optional("playwright.sync_api", "browser")
    progress.where = "while pictures were taken"
    with Server(0) as server, driver.sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, (view, width, height, scheme) in PICTURES.items():
            size = {"width": width, "height": height or 800}
            page = browser.new_page(viewport=size, color_scheme=scheme, bypass_csp=True)
            page.goto(f"{server.address}#{view}")
            if "ladder" in view:
                page.get_by_role("button", name="Write on").wait_for(timeout=120_000)
            else:
                page.wait_for_selector(".lens td")
            page.screenshot(path=IMAGES / name, full_page=not height)
            print(f"docs/images/{name}: {(IMAGES / name).stat().st_size / 1000:.0f} kB")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    run(main)
