"""The KV260's accelerator with a smaller engine, which compiles faster."""

from pathlib import Path

import trilobite
from trilobite.sim.descriptions.tables import bundled_folder

DESCRIPTIONS = Path(trilobite.__file__).parent / "sim" / "descriptions"


def write_small_engine(folder):
    text = (bundled_folder("accelerators") / "tlmm-kv260.toml").read_text()
    for before, after in (("tables = 32", "tables = 5"), ("columns = 16", "columns = 4")):
        assert before in text
        text = text.replace(before, after)
    file = folder / "small.toml"
    file.write_text(text)
    return file
