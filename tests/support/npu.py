"""Jobs for the INT4 x FP8 array, whose totals must be the runtime's."""

import numpy as np

from trilobite.sim.verify.array import ArrayJob, run_array


def check(shape, problems):
    """Run ``(packed, units, keywords of ArrayJob)``; compare with the runtime; the cycles."""
    runs = run_array(shape, [ArrayJob(packed, units, **keywords)
                             for packed, units, keywords in problems])
    for run in runs:
        np.testing.assert_array_equal(run.totals, run.expected)
    return [run.cycles for run in runs]
