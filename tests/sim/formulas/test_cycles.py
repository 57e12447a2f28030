import pytest

from support.estimates import TLMM
from trilobite.errors import EstimateError
from trilobite.hw import cycles
from trilobite.sim.formulas.cycles import CycleModel

PARAMETERS = TLMM.tlmm.parameters()


def test_the_formula_by_hand():
    # 1536 / 96: 16 passes; 1536 / 16: 96 blocks. First table 1 + 14, then 16 x 96, latency 7.
    assert PARAMETERS.latency == 7
    assert CycleModel(PARAMETERS).cycles(1536, 1536) == 1 + 14 + 16 * 96 + 7


def test_measured_cycles_are_used_where_they_were_measured():
    known = CycleModel(PARAMETERS, {(768, 256): 230})
    assert known.cycles(768, 256) == 230
    assert known.is_measured(768, 256)
    assert known.formula(768, 256) == cycles(PARAMETERS, K=256, M=768)
    for shape in ((256, 768, 1), (768, 256, 2)):   # another matrix; more tokens than were measured
        assert not known.is_measured(*shape)
        assert known.cycles(*shape) == known.formula(*shape)


def test_agreement_is_stated_as_it_is():
    right = cycles(PARAMETERS, K=256, M=768)
    shape = (768, 256)
    assert "not compared" in CycleModel(PARAMETERS).agreement
    assert CycleModel(PARAMETERS, {shape: right}).agreement.endswith("on 1 of 1 shapes")
    off = CycleModel(PARAMETERS, {shape: 2 * right}).agreement
    assert off.endswith("on 0 of 1 shapes, off by up to 50.0%")


@pytest.mark.parametrize(("M", "K"), [(8193, 16), (16, 8193)])
def test_a_matrix_larger_than_the_engine_is_refused(M, K):
    with pytest.raises(EstimateError, match=f"{M} outputs and {K} inputs does not fit the engine"):
        CycleModel(PARAMETERS).cycles(M, K)
