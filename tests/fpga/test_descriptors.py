import numpy as np
import pytest

from trilobite.fpga.descriptors import (
    DESCRIPTOR_BYTES,
    FIELDS,
    FLOATS,
    TILE_BYTES,
    Descriptor,
    Operation,
    Post,
    WeightTile,
)
from trilobite.fpga.layouts import descriptor_layout, weight_tile_layout


def test_a_descriptor_worked_out_by_hand():
    """Operation 3 and post 2 in the first byte, ``a`` from bit 16 on, ``x`` as float32 bits."""
    packed = Descriptor(Operation.MATMUL, post=Post.GATE, silu=1, a=0x01020304,
                        x=np.float32(1.5)).pack()
    assert len(packed) == DESCRIPTOR_BYTES
    assert packed[:6] == bytes([0x23, 0x02, 0x04, 0x03, 0x02, 0x01])
    place = sum(width for name, width in FIELDS.items()
                if list(FIELDS).index(name) < list(FIELDS).index("x"))
    assert int.from_bytes(packed, "little") >> place & 0xFFFF_FFFF == 0x3FC0_0000


def test_the_hardware_reads_the_fields_that_are_packed():
    values = {name: 1 + number for number, name in enumerate(FIELDS)
              if FIELDS[name] > 5 and name not in FLOATS}
    packed = int.from_bytes(Descriptor(Operation.ATTEND, **values).pack(), "little")
    read = descriptor_layout().from_bits(packed)
    assert descriptor_layout().size == 8 * DESCRIPTOR_BYTES
    assert read["operation"] == Operation.ATTEND
    assert {name: read[name] for name in values} == values


def test_the_hardware_reads_the_weight_tiles_that_are_packed():
    packed = WeightTile(0x1234, 77, 0x89ABC).pack()
    assert len(packed) == TILE_BYTES
    read = weight_tile_layout().from_bits(int.from_bytes(packed, "little"))
    assert (read["word"], read["words"], read["beats"]) == (0x1234, 77, 0x89ABC)


@pytest.mark.parametrize(("field", "value"), [("a", 1 << 32), ("beats", 65536), ("heads", -1)])
def test_a_value_that_does_not_fit_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} = {value} does not fit"):
        Descriptor(Operation.QUANTIZE, **{field: value}).pack()
