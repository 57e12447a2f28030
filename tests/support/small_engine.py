"""The KV260's accelerator with a smaller engine, which compiles faster."""

from pathlib import Path

import trilobite

DESCRIPTIONS = Path(trilobite.__file__).parent / "sim" / "descriptions"


def write_small_engine(folder):
    text = (DESCRIPTIONS / "hardware" / "tlmm-kv260.toml").read_text()
    for before, after in (("32, unit = \"tables", "5, unit = \"tables"),
                          ("16, unit = \"output", "4, unit = \"output")):
        assert before in text
        text = text.replace(before, after)
    file = folder / "small.toml"
    file.write_text(text)
    return file
