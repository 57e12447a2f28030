"""Images for the hardware: what $readmemh and a memory see is what the layout packs."""

import json

import numpy as np
import pytest

from trilobite.errors import CheckpointError
from trilobite.hw import TlmmParameters
from trilobite.hw.weights.images import WeightImages, readmemh
from trilobite.hw.weights.weight_layout import WeightLayout
from trilobite.quant.checkpoint import open_checkpoint
from trilobite.quant.export import export

ENGINE = TlmmParameters(group_size=3, tables=32, columns=16, max_k=8192, max_m=8192)


def words_of(file, word_bytes):
    """The words that $readmemh reads from ``file``, as bytes in memory."""
    numbers = [int(line, 16) for line in file.read_text().split()]
    return np.array([list(n.to_bytes(word_bytes, "little")) for n in numbers], np.uint8)


def test_a_word_by_hand():
    # Byte 0 of a word is its lowest: it is printed last.
    assert readmemh(np.array([[0x01, 0x02, 0xF2], [0, 0, 0x10]], np.uint8)) == "f20201\n100000\n"


@pytest.mark.parametrize("word_bytes", [16, 64])
def test_both_kinds_hold_the_image_of_every_matrix(tmp_path, word_bytes):
    exporter = WeightImages(ENGINE, word_bytes)
    export("demo-bitnet", tmp_path / "hex", exporter)
    export("demo-bitnet", tmp_path / "bin", exporter, "bin")
    index = json.loads((tmp_path / "hex" / "index.json").read_text())
    assert index["engine"] == {"group_size": 3, "tables": 32, "columns": 16}
    layout = WeightLayout(ENGINE, word_bytes)
    with open_checkpoint("demo-bitnet") as checkpoint:
        assert [m["name"] for m in index["matrices"]] == checkpoint.config.linear_weights()
        for matrix in index["matrices"]:
            codes = checkpoint.weight(matrix["name"]).codes()
            image = words_of(tmp_path / "hex" / matrix["file"], word_bytes)
            assert len(image) == matrix["words"]
            np.testing.assert_array_equal(layout.unpack(image, matrix["M"], matrix["K"]),
                                          codes.values)
            binary = tmp_path / "bin" / matrix["file"].replace(".hex", ".bin")
            assert binary.read_bytes() == image.tobytes()
            scale = np.array([int(matrix["scale_bits"], 16)], np.uint32).view(np.float32)
            assert scale == codes.scale == np.float32(matrix["scale"])


def test_what_the_engine_does_not_take_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is in floats, and the table-lookup engine"):
        export("demo-llama", tmp_path / "out", WeightImages(ENGINE, 16))
    small = TlmmParameters(group_size=3, tables=32, columns=16, max_k=512, max_m=8192)
    with pytest.raises(CheckpointError, match="down_proj.weight is 256 x 768; the engine takes"):
        export("demo-bitnet", tmp_path / "out", WeightImages(small, 16))
    assert list(tmp_path.iterdir()) == []
