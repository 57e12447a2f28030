"""Kernels of the runtime: each that this CPU has, or the portable one."""

import pytest

from trilobite.runtime.kernels.choice import VARIABLE, available_kernels


@pytest.fixture(params=available_kernels())
def kernel(request, monkeypatch):
    monkeypatch.setenv(VARIABLE, request.param)
    return request.param


@pytest.fixture
def portable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "portable")
