"""What is remembered of predictions is bounded: a long-lived process asks for any length."""

from trilobite.sim.predictions import extrapolation


def test_steps_that_were_predicted_are_forgotten_again():
    for function in (extrapolation.whole_step, extrapolation._rows):
        assert function.cache_info().maxsize <= 1024
