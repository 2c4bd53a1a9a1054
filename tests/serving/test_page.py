"""The page in a real browser: images are chosen and dropped."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from http_clients import png, serving

import nasnet_jax
from nasnet_jax.serving import make_app

DROP = """
([target, contents]) => {
  const bytes = Uint8Array.from(atob(contents), character => character.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
  for (const kind of ["dragover", "drop"])
    target.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}
"""


def test_images_are_dropped_and_chosen(browser: Any, model_folder: Path) -> None:
    model = nasnet_jax.load(model_folder)
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    best = model.predict(picture).top(1)[0][0]
    file = {"name": "<b>chosen</b>.png", "mimeType": "image/png", "buffer": png(picture)}
    wrong = {"name": "no.png", "mimeType": "image/png", "buffer": b"hello"}
    with serving(make_app(model, batch_size=1)) as port:
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("document.getElementById('model').textContent.includes('4 classes')")
        drop = page.locator("#drop").element_handle()
        page.evaluate(DROP, [drop, base64.b64encode(png(picture)).decode()])
        page.wait_for_selector("figure p.row")
        assert page.locator("figure p.row").first.text_content().startswith(best[0])
        assert f"{100 * best[1]:.1f} %" in page.locator("figure p.row").first.text_content()
        assert page.locator("figure img").get_attribute("alt") == "dropped.png"
        page.set_input_files("#drop input", [file, wrong])
        page.wait_for_function("document.querySelectorAll('figure p.row').length == 8")
        page.wait_for_selector("figure p.error")
        assert "no.png is not an image" in page.locator("figure p.error").text_content()
        page.close()
    assert not problems
