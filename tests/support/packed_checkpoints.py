"""Checkpoints as GPTQ, AWQ and compressed-tensors store them, with the numbers they stand for."""

from pathlib import Path

import numpy as np
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize

from support.checkpoints import edit_config, edit_tensors

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]

# Layouts of compressed-tensors with the arguments of their weights.
COMPRESSED = {
    "int4-group": ("pack-quantized", {"num_bits": 4, "strategy": "group", "group_size": 32}),
    "int4-group-asymmetric": (
        "pack-quantized",
        {"num_bits": 4, "strategy": "group", "group_size": 32, "symmetric": False},
    ),
    "int3-channel": ("pack-quantized", {"num_bits": 3, "strategy": "channel"}),
    "int8-channel-packed": ("pack-quantized", {"num_bits": 8, "strategy": "channel"}),
    "int8-channel": ("int-quantized", {"num_bits": 8, "strategy": "channel"}),
    "int8-channel-asymmetric": (
        "int-quantized", {"num_bits": 8, "strategy": "channel", "symmetric": False}
    ),
    "int8-tensor": ("int-quantized", {"num_bits": 8, "strategy": "tensor"}),
    "fp8-channel": (
        "float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}
    ),
    "nvfp4": (
        "nvfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    ),
    "mxfp4": (
        "mxfp4-pack-quantized",
        {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32},
    ),
}


def write_compressed(folder: Path, kind: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Compress the linears of a float checkpoint with the package; what its decompressor gives."""
    layout, arguments = COMPRESSED[kind]
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    compressor = BaseCompressor.get_value_from_registry(layout)
    numbers = {}

    def compress(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            weight = tensors.pop(name).float()
            state = compressor.compress(
                {"weight": weight, **_parameters(weight, scheme.weights)}, scheme
            )
            numbers[name] = _decompressed(compressor, state, scheme)
            for part, value in state.items():
                tensors[name.removesuffix("weight") + part] = value.contiguous()

    edit_tensors(folder, compress)
    edit_config(folder, lambda config: config.update(quantization_config={
        "quant_method": "compressed-tensors", "format": layout, "ignore": ["lm_head"],
        "quantization_status": "compressed", "kv_cache_scheme": None, "sparsity_config": {},
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": arguments}},
    }))
    return numbers


def _decompressed(compressor, state: dict[str, torch.Tensor], scheme) -> np.ndarray:
    """In float32; the package's NVFP4 decompressor rounds to bfloat16, so its parts are called."""
    if "weight_global_scale" not in state:
        return compressor.decompress(dict(state), scheme)["weight"].float().numpy()
    M, half = state["weight_packed"].shape
    codes = unpack_fp4_from_uint8(state["weight_packed"], M, 2 * half, dtype=torch.float32)
    return dequantize(
        codes, state["weight_scale"].float(), args=scheme.weights, dtype=torch.float32,
        global_scale=state["weight_global_scale"],
    ).numpy()


def _parameters(weight: torch.Tensor, arguments: QuantizationArgs) -> dict[str, torch.Tensor]:
    """Scales and zero points that use the codes' range, float16 numbers in float32."""
    M, K = weight.shape
    size = {"channel": K, "tensor": K}.get(arguments.strategy, arguments.group_size)
    groups = weight.reshape(M, -1, size)
    if arguments.type == "float" and arguments.num_bits == 4:
        absmax = groups.abs().amax(-1)
        if arguments.strategy == "group":
            return {"weight_scale": 2.0 ** torch.floor(torch.log2(absmax / 6) + 1)}
        divisor = (448 * 6 / weight.abs().max()).reshape(1)
        scale = (absmax / 6 * divisor).to(torch.float8_e4m3fn).float()
        return {"weight_scale": scale, "weight_global_scale": divisor}
    if arguments.strategy == "tensor":
        groups = weight.reshape(1, 1, -1)
    top = 448 if arguments.type == "float" else 2 ** (arguments.num_bits - 1) - 1
    if arguments.symmetric:
        return {"weight_scale": (groups.abs().amax(-1) / top).half().float()}
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = ((high - low) / (2 * top + 1)).half().float()
    zero_point = torch.clamp(torch.round(-top - 1 - low / scale), -top - 1, top)
    return {"weight_scale": scale, "weight_zero_point": zero_point.to(torch.int8)}


def write_gptq(
    folder: Path, bits: int, group_size: int, version: str = "gptq", act_order: bool = False,
    seed: int = 0, symmetric: bool = False,
) -> dict[str, np.ndarray]:
    """Store random codes in GPTQ's layout, bit by bit; the numbers they stand for."""
    random = np.random.default_rng(seed)
    numbers = {}

    def pack(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            M, K = tensors.pop(name).shape
            size = K if group_size == -1 else group_size
            index = np.arange(K) // size
            if act_order:
                random.shuffle(index)
            codes = random.integers(0, 2**bits, (K, M))
            groups = -(-K // size)
            zeros = random.integers(1, 2**bits, (groups, M))
            if symmetric:
                zeros[:] = 2 ** (bits - 1)
            scales = (random.random((groups, M)) * 0.02 + 0.001).astype(np.float16)
            numbers[name] = ((codes - zeros[index]) * scales[index].astype(np.float32)).T
            base = name.removesuffix("weight")
            stored = zeros - 1 if version == "gptq" else zeros
            tensors[base + "qweight"] = torch.from_numpy(words(codes.T, bits).T.copy())
            tensors[base + "qzeros"] = torch.from_numpy(words(stored, bits))
            tensors[base + "scales"] = torch.from_numpy(scales)
            tensors[base + "g_idx"] = torch.from_numpy(index.astype(np.int32))

    edit_tensors(folder, pack)
    edit_config(folder, lambda config: config.update(quantization_config={
        "quant_method": "gptq", "bits": bits, "group_size": group_size, "desc_act": act_order,
        "sym": symmetric, "checkpoint_format": version, "lm_head": False, "damp_percent": 0.01,
    }))
    return numbers


def write_awq(folder: Path, group_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Store random codes in AWQ's layout; the numbers they stand for."""
    random = np.random.default_rng(seed)
    numbers = {}

    def interleaved(columns):
        result = np.zeros((columns.shape[0], columns.shape[1] // 8), np.uint32)
        for word in range(result.shape[1]):
            for nibble, column in enumerate(AWQ_ORDER):
                result[:, word] |= columns[:, 8 * word + column].astype(np.uint32) << 4 * nibble
        return torch.from_numpy(result.view(np.int32))

    def pack(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            M, K = tensors.pop(name).shape
            codes = random.integers(0, 16, (K, M))
            zeros = random.integers(0, 16, (K // group_size, M))
            scales = (random.random((K // group_size, M)) * 0.02 + 0.001).astype(np.float16)
            index = np.arange(K) // group_size
            numbers[name] = ((codes - zeros[index]) * scales[index].astype(np.float32)).T
            base = name.removesuffix("weight")
            tensors[base + "qweight"] = interleaved(codes)
            tensors[base + "qzeros"] = interleaved(zeros)
            tensors[base + "scales"] = torch.from_numpy(scales)

    edit_tensors(folder, pack)
    edit_config(folder, lambda config: config.update(quantization_config={
        "quant_method": "awq", "bits": 4, "group_size": group_size, "zero_point": True,
        "version": "gemm", "modules_to_not_convert": None,
    }))
    return numbers


def words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Int32 [R, C * bits / 32]: a row's codes as one stream, built a bit at a time."""
    stream = (codes[:, :, None].astype(np.int64) >> np.arange(bits) & 1).reshape(len(codes), -1, 32)
    return (stream << np.arange(32)).sum(axis=2).astype(np.uint32).view(np.int32)


def write_fp8_tiles(folder: Path, height: int, width: int) -> dict[str, np.ndarray]:
    """Store the linears as FP8 with a scale per tile; the numbers they stand for, tile by tile."""
    numbers = {}

    def pack(tensors):
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            weight = tensors[name].float()
            M, K = weight.shape
            scales = torch.empty(-(-M // height), -(-K // width))
            codes = torch.empty(M, K, dtype=torch.float8_e4m3fn)
            restored = torch.empty(M, K)
            for row, column in np.ndindex(*scales.shape):
                tile = np.s_[row * height:(row + 1) * height, column * width:(column + 1) * width]
                scales[row, column] = weight[tile].abs().max() / 448
                codes[tile] = (weight[tile] / scales[row, column]).to(torch.float8_e4m3fn)
                restored[tile] = codes[tile].float() * scales[row, column]
            tensors[name], tensors[f"{name}_scale_inv"] = codes, scales
            numbers[name] = restored.numpy()

    edit_tensors(folder, pack)
    edit_config(folder, lambda config: config.update(quantization_config={
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
        "weight_block_size": [height, width], "modules_to_not_convert": ["lm_head"],
    }))
    return numbers
