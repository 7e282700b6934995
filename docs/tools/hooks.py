"""Links that leave docs/, to files of the repository, which must exist; the notebook's kernel."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LINK = re.compile(
    r"(?<!!)\[(?P<text>[^\[\]]+)\]\((?P<path>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)]*)?\)"
)


def on_config(config: Any, **_: Any) -> Any:
    """Let nbconvert read its settings beside this file: the talk with the kernel is encrypted."""
    others = os.environ.get("JUPYTER_CONFIG_PATH", "")
    here = str(Path(__file__).resolve().parent)
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, (here, others)))
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Point them at the repository on the web, or leave their text where it is not known."""
    root = Path(config.config_file_path).parent
    docs = Path(config.docs_dir)

    def outside(link: re.Match[str]) -> str:
        target = (docs / page.file.src_uri).parent.joinpath(link["path"]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri} links to {link['path']}, which does not exist")
        if not config.repo_url:
            return link["text"]
        address = f"{config.repo_url.rstrip('/')}/blob/HEAD/{target.relative_to(root)}"
        return f"[{link['text']}]({address}{link['anchor'] or ''})"

    return LINK.sub(outside, markdown)
