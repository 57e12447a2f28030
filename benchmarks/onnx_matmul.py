"""onnxruntime's matmuls: MatMulNBits with int8 activations, and dynamic quantization to int8."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import numpy as np

__all__ = ["OnnxWeight", "available"]

_SCALE_OF_INT8 = 127.0
_DOMAIN = "com.microsoft"
_INT8_ACTIVATIONS = 4   # accuracy_level


def available() -> bool:
    """Whether onnxruntime, and onnx to describe models, are installed."""
    return all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


def _model(nodes: list, weights: dict[str, np.ndarray], K: int, M: int) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", K])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", M])
    given = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "matmul", [x], [y], given)
    domains = [helper.make_opsetid("", 21), helper.make_opsetid(_DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=domains)
    model.ir_version = 10
    return model.SerializeToString()


def _dynamic(weight: np.ndarray) -> tuple[bytes, int]:
    """DynamicQuantizeMatMul: uint8 activations times int8 weights, one scale for the weight."""
    from onnx import helper

    scale = np.float32(np.abs(weight).max() / _SCALE_OF_INT8)
    codes = np.ascontiguousarray(np.rint(weight / scale).astype(np.int8).T)
    names = ["x", "w", "scale", "zero"]
    node = helper.make_node("DynamicQuantizeMatMul", names, ["y"], domain=_DOMAIN)
    weights = {"w": codes, "scale": scale, "zero": np.int8(0)}
    return _model([node], weights, weight.shape[1], weight.shape[0]), codes.nbytes


def _blocks(weight: np.ndarray, bits: int, block: int) -> tuple[bytes, int]:
    """MatMulNBits at accuracy level 4; absmax scales."""
    from onnx import helper

    M, K = weight.shape
    middle = 1 << bits - 1
    grouped = weight.reshape(M, K // block, block)
    scale = np.abs(grouped).max(axis=2) / np.float32(max(middle - 1, 1))
    quotients = np.rint(grouped / scale[:, :, None]) + middle
    codes = np.clip(quotients, 0, 2 * middle - 1).astype(np.uint8)
    parts = codes.reshape(M, K // block, -1, 8 // bits)
    packed = np.zeros(parts.shape[:3], np.uint8)
    for place in range(8 // bits):
        packed |= parts[..., place] << np.uint8(bits * place)
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "scale"], ["y"], domain=_DOMAIN, K=K, N=M, bits=bits,
        block_size=block, accuracy_level=_INT8_ACTIVATIONS,
    )
    model = _model([node], {"w": packed, "scale": scale}, K, M)
    return model, packed.nbytes + scale.nbytes


@cache
def _share_threads(threads: int) -> bool:
    """Make one pool for all sessions: a pool each would leave as many threads waiting actively."""
    import onnxruntime

    onnxruntime.set_global_thread_pool_sizes(threads, 1)
    return True


class OnnxWeight:
    """``copies`` of a float32 ``weight`` [M, K]; ``nbytes`` of one copy.

    ``bits`` and ``block`` are MatMulNBits'; without a block it is DynamicQuantizeMatMul. All of a
    process run with the same number of ``threads``.
    """

    def __init__(
        self, bits: int, block: int | None, weight: np.ndarray, threads: int, copies: int
    ) -> None:
        import onnxruntime

        model, self.nbytes = _blocks(weight, bits, block) if block else _dynamic(weight)
        options = onnxruntime.SessionOptions()
        options.use_per_session_threads = not _share_threads(threads)
        options.log_severity_level = 3
        self._M = len(weight)
        self._sessions = [
            onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
            for _ in range(copies)
        ]

    def calls(self, x: np.ndarray, copies: int) -> list[Callable[[], np.ndarray]]:
        """Calls that multiply float32 ``x`` [N, K] with a copy each."""
        import onnxruntime

        calls = []
        for session in self._sessions[:copies]:
            binding = session.io_binding()
            y = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty((len(x), self._M), np.float32))
            binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
            binding.bind_ortvalue_output("y", y)

            def call(session=session, binding=binding, y=y) -> np.ndarray:   # noqa: ANN001
                session.run_with_iobinding(binding)
                return y

            calls.append(call)
        return calls

    def close(self) -> None:
        """Give the memory back."""
        self._sessions.clear()
