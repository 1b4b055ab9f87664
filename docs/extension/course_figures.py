"""Pictures of the lessons get the alt text that their notebook has for them, in place of a file's name."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)


def alts(nb: dict) -> dict[str, str]:
    """The digest of each picture in a notebook's outputs, which myst-nb makes its file's name -> its alt text."""
    found = {}
    for cell in nb["cells"]:
        for out in cell.get("outputs", []):
            if png := "".join(out.get("data", {}).get("image/png", "")):
                said = out.get("metadata", {}).get("image/png", {}).get("alt")
                said = said or "".join(out["data"].get("text/plain", ""))
                found[hashlib.sha256(base64.b64decode(png)).hexdigest()] = said.strip()
    return found


class DescribePictures(SphinxTransform):
    default_priority = 400

    def apply(self, **kwargs) -> None:
        path = Path(self.env.srcdir) / f"{self.env.docname}.ipynb"
        if not path.exists():
            return
        words = alts(json.loads(path.read_text("utf-8")))
        for image in self.document.findall(nodes.image):
            digest = Path(image["uri"]).stem
            if digest in words:
                image["alt"] = words[digest]
                image["classes"].append("figure-card")
            if not image.get("alt"):
                logger.warning(
                    "a picture has no alt text: its output needs metadata['image/png']['alt']", location=image
                )


def setup(app) -> dict[str, bool]:
    app.add_transform(DescribePictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
