"""The pipeline: what it writes, for the shipped checkpoints and for small made-up ones."""

import hashlib
import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

import trilobite
from support.format_table import nmse
from support.llama_folder import CONFIG, contents, write_llama
from trilobite.errors import CheckpointError, FormatError
from trilobite.quant.checkpoint import DEMOS, open_checkpoint
from trilobite.quant.formats import Int8, PackedWeight, Ternary, format_from_spec
from trilobite.quant.output.manifest import Manifest
from trilobite.quant.pipeline import quantize
from trilobite.tools.progress import Silent

GATE = "model.layers.0.mlp.gate_proj.weight"
EMBEDDING = "model.embed_tokens.weight"

# Options, the spec they stand for, and for demo-llama a bound on the error of each linear weight.
CHOICES = [
    ("ternary", {"format": "ternary", "packing": "base3"}, 0.40),
    ("ternary,packing=2bit", {"format": "ternary", "packing": "2bit"}, 0.40),
    ("ternary-group", {"format": "ternary-group", "group_size": 128}, 0.21),
    ("int4", {"format": "int4", "group_size": 128, "symmetric": True}, 0.020),
    (
        "int4,group_size=32,asymmetric",
        {"format": "int4", "group_size": 32, "symmetric": False}, 0.010,
    ),
    ("int4,group_size=row", {"format": "int4", "group_size": None, "symmetric": True}, 0.030),
    ("int3", {"format": "int3", "group_size": 128, "symmetric": False}, 0.060),
    ("int2,group_size=32", {"format": "int2", "group_size": 32, "symmetric": False}, 0.20),
    (
        "int4-fp8,group_size=64",
        {"format": "int4-fp8", "group_size": 64, "tensor_scale": "largest"}, 0.015,
    ),
    ("mxfp4,scale_rule=floor", {"format": "mxfp4", "scale_rule": "floor"}, 0.015),
    ("nvfp4", {"format": "nvfp4"}, 0.010),
    ("int8", {"format": "int8"}, 0.0001),
    ("fp8", {"format": "fp8", "granularity": "row"}, 0.0008),
    ("fp8,granularity=tensor", {"format": "fp8", "granularity": "tensor"}, 0.0008),
]


@pytest.fixture
def llama(tmp_path):
    """A source folder, and its weights as float32."""
    weights = write_llama(tmp_path / "llama")
    return tmp_path / "llama", {name: w.astype(np.float32) for name, w in weights.items()}


@pytest.mark.parametrize("demo", DEMOS)
@pytest.mark.parametrize(("format", "spec", "limit"), CHOICES, ids=str)
def test_the_shipped_checkpoints_in_every_format(tmp_path, demo, format, spec, limit):
    out = tmp_path / "out"
    manifest = quantize(demo, out, format)
    assert manifest.format == spec
    assert Manifest.from_json((out / "manifest.json").read_text()) == manifest
    form = format_from_spec(spec)
    with open_checkpoint(demo) as source, open_checkpoint(out) as written:
        assert written.config == source.config
        linear = set(source.config.linear_weights())
        for record in manifest.tensors:
            weight = written.weight(record.name)
            if record.name in linear or record.name == EMBEDDING:
                assert isinstance(weight, PackedWeight)
                assert weight.format == (form if record.name in linear else Int8())
                assert weight.nbytes == record.bytes_after
            else:
                np.testing.assert_array_equal(weight, source.read(record.name))
            if demo == "demo-llama":
                assert record.nmse <= limit
    bits = 8 * sum(r.bytes_after for r in manifest.tensors if r.name in linear)
    assert manifest.totals.linear_bits_per_weight == bits / manifest.totals.linear_weights
    assert manifest.totals.file_bytes == (out / "model.safetensors").stat().st_size
    assert bool(manifest.warnings) == (demo == "demo-llama" and "ternary" in form.name)


@pytest.mark.parametrize("format", [choice[0] for choice in CHOICES])
def test_codes_and_errors_are_those_of_the_format(tmp_path, llama, format):
    folder, weights = llama
    format = format.replace("group_size=64", "group_size=32")   # K is 64 and 96
    manifest = quantize(folder, tmp_path / "out", format)
    form = format_from_spec(manifest.format)
    stored = load_file(tmp_path / "out" / "model.safetensors")
    for record in manifest.tensors:
        weight = weights[record.name]
        if record.format is None:
            assert stored[record.name].dtype == ml_dtypes.bfloat16
            np.testing.assert_array_equal(stored[record.name].astype(np.float32), weight)
            assert (record.nmse, record.max_abs_error) == (0, 0)
            continue
        chosen = form if record.name.endswith("_proj.weight") else Int8()
        assert record.format == chosen.spec()
        expected = chosen.quantize(weight)
        for suffix, tensor in expected.tensors.items():
            np.testing.assert_array_equal(stored[f"{record.name}_{suffix}"], tensor)
        quantized = expected.dequantize()
        assert record.nmse == pytest.approx(nmse(quantized, weight), rel=1e-5)
        assert record.max_abs_error == pytest.approx(np.abs(quantized - weight).max(), rel=1e-5)
    assert not any(name in stored for name in weights if name.endswith("_proj.weight"))


@pytest.mark.parametrize("block_values", [1, 64, 96 * 7])
def test_the_block_size_does_not_show(tmp_path, llama, monkeypatch, block_values):
    folder, _ = llama
    for format in ("ternary", "fp8,granularity=tensor"):
        quantize(folder, tmp_path / f"{format} whole", format)
        with monkeypatch.context() as patch:
            patch.setattr("trilobite.quant.rounding.weight_blocks.BLOCK_VALUES", block_values)
            quantize(folder, tmp_path / f"{format} blocks", format)
        assert contents(tmp_path / f"{format} blocks") == contents(tmp_path / f"{format} whole")


@pytest.mark.parametrize("format", ["ternary", "int4"])
def test_the_same_input_gives_the_same_bytes(tmp_path, format):
    quantize("demo-llama", tmp_path / "one", format)
    quantize("demo-llama", tmp_path / "two", format)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_the_written_config(tmp_path, llama):
    folder, _ = llama
    manifest = quantize(folder, tmp_path / "out", "int4,group_size=32")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    quantization = config.pop("quantization_config")
    assert config == CONFIG
    assert quantization == {
        "quant_method": "trilobite", "version": 1, "format": "int4",
        "tensors": {record.name: record.format for record in manifest.tensors if record.format},
    }


def test_the_config_of_a_ternary_source_is_moved(tmp_path):
    quantize("demo-bitnet", tmp_path / "out")
    with open_checkpoint("demo-bitnet") as source:
        before = source.raw_config["quantization_config"]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["source_quantization_config"] == before
    assert config["quantization_config"]["quant_method"] == "trilobite"


def test_the_manifest_names_and_hashes_every_input(tmp_path, llama):
    folder, _ = llama
    for name in ("tokenizer_config.json", "generation_config.json", "training.json"):
        (folder / name).write_text(f'{{"name": "{name}"}}')
    (folder / "notes.txt").write_text("not read")
    manifest = quantize(folder, tmp_path / "out", "int8")
    assert manifest.source.name == "llama"
    assert [(file.name, file.bytes, file.sha256) for file in manifest.source.files] == [
        (name, len(data), hashlib.sha256(data).hexdigest())
        for name, data in contents(folder).items() if name != "notes.txt"
    ]
    out = contents(tmp_path / "out")
    assert sorted(out) == [
        "config.json", "generation_config.json", "manifest.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json", "training.json",
    ]
    assert out["tokenizer.json"] == (folder / "tokenizer.json").read_bytes()


def test_totals(tmp_path, llama):
    folder, weights = llama
    manifest = quantize(folder, tmp_path / "out", "int8")
    linear = [w for name, w in weights.items() if name.endswith("_proj.weight")]
    totals = manifest.totals
    assert totals.weights == sum(w.size for w in weights.values())
    assert totals.linear_weights == sum(w.size for w in linear)
    assert totals.bytes_before == 2 * totals.weights
    rows = sum(w.shape[0] for w in linear)
    assert totals.linear_bits_per_weight == 8 * (1 + 4 * rows / totals.linear_weights)
    assert totals.bits_per_weight == 8 * totals.file_bytes / totals.weights
    assert 0 < totals.file_bytes - totals.bytes_after < 20_000   # the header


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_kept_tensors_keep_type_and_bits(tmp_path, dtype, tied):
    weights = write_llama(tmp_path / "llama", dtype, tie_word_embeddings=tied)
    quantize(tmp_path / "llama", tmp_path / "out", "int8", embedding="keep")
    stored = load_file(tmp_path / "out" / "model.safetensors")
    kept = [name for name in weights if not name.endswith("_proj.weight")]
    assert ("lm_head.weight" in kept) != tied
    for name in kept:
        assert stored[name].dtype == dtype
        assert stored[name].tobytes() == weights[name].tobytes()


def test_trained_trits_of_master_weights_stay(tmp_path):
    quantize("demo-bitnet", tmp_path / "ternary")
    manifest = quantize("demo-bitnet", tmp_path / "int8", "int8")
    with (
        open_checkpoint("demo-bitnet") as source,
        open_checkpoint(tmp_path / "ternary") as ternary,
        open_checkpoint(tmp_path / "int8") as int8,
    ):
        used = source.weight(GATE)
        assert isinstance(used.format, Ternary)
        np.testing.assert_array_equal(ternary.weight(GATE).dequantize(), used.dequantize())
        # Not the master weight, which the model never computes with, but its rounding:
        np.testing.assert_allclose(int8.weight(GATE).dequantize(), used.dequantize(), rtol=1e-6)
    assert {r.nmse < 1e-12 for r in manifest.tensors if r.name.endswith("_proj.weight")} == {True}


@pytest.mark.parametrize("linear_class", ["autobitlinear", "bitlinear"])
@pytest.mark.parametrize("packing", ["base3", "2bit"])
def test_packed_bitnet_weights_keep_their_trits_and_scale(tmp_path, linear_class, packing):
    checkpoints = pytest.importorskip("support.checkpoints")
    folder = checkpoints.write_bitnet(tmp_path / "bitnet", linear_class)
    manifest = quantize(folder, tmp_path / "out", f"ternary,packing={packing}")
    assert not manifest.warnings
    with open_checkpoint(folder) as source, open_checkpoint(tmp_path / "out") as written:
        for name in source.config.linear_weights():
            codes = written.weight(name).codes()
            stored = source.encoded(name, 0, source.tensors[name].shape[0])
            np.testing.assert_array_equal(codes.values, stored.values)
            assert codes.scale == stored.scale
    linear = [r for r in manifest.tensors if r.name.endswith("_proj.weight")]
    assert {(r.stored_before, r.nmse, r.max_abs_error) for r in linear} == {("ternary", 0, 0)}


def test_the_loud_warning(tmp_path, llama):
    folder, _ = llama
    manifest = quantize(folder, tmp_path / "out", "ternary")
    assert len(manifest.warnings) == 1
    assert "NOT TRAINED TERNARY" in manifest.warnings[0]
    assert "far worse" in manifest.warnings[0]


class Recorder(Silent):
    """Remembers what it was told."""

    def __init__(self):
        self.total, self.done, self.records = None, 0, []

    def start(self, total_bytes, what=""):
        assert self.total is None
        self.total = total_bytes

    def advance(self, nbytes):
        self.done += nbytes

    def finished(self, record):
        self.records.append(record)


@pytest.mark.parametrize("block_values", [100, 1 << 20])
def test_progress_adds_up(tmp_path, llama, monkeypatch, block_values):
    monkeypatch.setattr("trilobite.quant.rounding.weight_blocks.BLOCK_VALUES", block_values)
    folder, _ = llama
    recorder = Recorder()
    manifest = quantize(folder, tmp_path / "out", "int8", embedding="keep", progress=recorder)
    assert recorder.done == recorder.total > (folder / "model.safetensors").stat().st_size
    assert tuple(recorder.records) == manifest.tensors


def test_a_dry_run_has_the_sizes_and_writes_nothing(tmp_path, llama):
    folder, _ = llama
    dry = quantize(folder, tmp_path / "out", "int8", dry_run=True)
    assert not (tmp_path / "out").exists()
    wet = quantize(folder, tmp_path / "out", "int8")
    assert dry.totals == wet.totals
    for before, after in zip(dry.tensors, wet.tensors, strict=True):
        assert (before.nmse, before.max_abs_error) == (None, None)
        assert (before.name, before.format, before.bytes_after) == (
            after.name, after.format, after.bytes_after)
    assert {file.sha256 for file in dry.source.files} == {None}


def test_quantize_is_the_toolkits_interface():
    assert trilobite.quantize is quantize


def test_export_takes_the_name_of_a_target(tmp_path):
    write_llama(tmp_path / "llama")
    record = trilobite.export(tmp_path / "llama", tmp_path / "out", "hf", "float32")
    assert (tmp_path / "out" / "config.json").exists()
    assert all(tensor.exact for tensor in record.tensors)
    with pytest.raises(FormatError, match="'ggml' is unknown; known are gguf, hf, onnx"):
        trilobite.export(tmp_path / "llama", tmp_path / "none", "ggml")


def test_a_manifest_that_is_none_is_refused():
    for text in ("", "[]", "{}", '{"source": {"files": []}}', "[" * 100_000, "1" * 5000, '"x"', "3",
                 '{"source": {"files": 3}}', '{"source": [], "tensors": [[]]}'):
        with pytest.raises(CheckpointError, match="not a manifest"):
            Manifest.from_json(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "int5"}, "'int5' is unknown"),
        ({"format": "ternary,group_size=32"}, "ternary has no option 'group_size=32'; its options"),
        ({"format": "int8,asymmetric"}, "int8 has no option 'asymmetric'; it has none"),
        ({"format": "mxfp4,scale_rule=up"}, "scale_rule must be floor, even or ceil, not 'up'"),
        ({"format": "int4-fp8,group_size=row"}, "group_size must be 32, 64 or 128, not 'row'"),
        ({"format": "int4,group_size=48"}, "group_size must be 32, 64, 128 or row, not '48'"),
        ({"format": "fp8,granularity=group"}, "granularity must be row or tensor, not 'group'"),
        ({"format": "int8", "embedding": "int4"}, "embedding must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, llama, options, message):
    with pytest.raises(FormatError, match=message):
        quantize(llama[0], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
