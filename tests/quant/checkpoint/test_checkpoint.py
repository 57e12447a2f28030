"""Every family opens, and what is read is what transformers wrote."""

import numpy as np
import pytest
from safetensors.torch import load_file

from support.checkpoints import VARIANTS
from trilobite.quant.checkpoint import open_checkpoint


def stored_tensors(folder):
    return {
        name: tensor for file in folder.glob("*.safetensors") for name, tensor in
        load_file(file).items()
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_every_tensor_reads_as_written(library, name):
    folder = library(name)
    written = stored_tensors(folder)
    with open_checkpoint(folder) as checkpoint:
        assert set(checkpoint.tensors) == set(written)
        for tensor, info in checkpoint.tensors.items():
            values = checkpoint.read(tensor)
            assert values.dtype == np.float32
            assert info.shape == values.shape
            np.testing.assert_array_equal(values, written[tensor].float().numpy())
