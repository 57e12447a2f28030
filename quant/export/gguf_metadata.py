"""What llama.cpp must be told of a model: architecture, shapes, rotary embedding, tokenizer."""

from __future__ import annotations

from typing import Any

from ...errors import CheckpointError
from ...model import ModelConfig
from ..checkpoint import Checkpoint
from ..checkpoint.files.fields import parse_json_object, shown
from ..checkpoint.files.special_tokens import (
    begins_by_template,
    wants_begin_token,
    with_stated_tokens,
)
from ..checkpoint.files.tokenizer_file import added_tokens, check_tokenizer, vocabulary
from ..checkpoint.gguf.tokenizer import split_name
from ..checkpoint.vocabularies.pieces import CONTROL, NORMAL, UNUSED, USER
from .gguf_families import GRAPHS, usual_yarn, yarn_settings
from .gguf_pieces import is_pieces, pieces_metadata
from .gguf_writer import Unsigned

__all__ = ["architecture", "metadata"]

_QUANTIZATION_VERSION = 2
_ROPES = ("rope_linear", "rope_llama3", "rope_yarn")
# By architecture, which peculiarities of a model its graph has. Windows that reach as far as the
# model are none.
_KNOWN = {
    "llama": ("windows", *_ROPES), "qwen2": ("windows", *_ROPES), "bitnet": _ROPES,
    "qwen3": ("windows", "qk_norm", *_ROPES),
}


def architecture(config: ModelConfig, where: str) -> str:
    """llama.cpp's architecture that computes what ``config`` describes.

    Raises
    ------
    CheckpointError
        There is none: names the setting that llama.cpp's graph does not have.
    """
    name = {"mistral": "llama"}.get(config.family, config.family)
    if name in GRAPHS:
        what = GRAPHS[name].refusal(config)
        _refuse(where, name, what is not None, what or "")
        return name
    if name not in _KNOWN:
        raise CheckpointError(f"{where} is a {name}, which is not written to GGUF; export it with "
                              "--to hf, or choose one of " + ", ".join((*_KNOWN, *GRAPHS)))
    if name == "bitnet":
        name = "bitnet" if config.activation == "silu" else "bitnet-b1.58"
        _refuse(where, name, config.qkv_bias or config.o_bias or config.mlp_bias, "biases")
        wide = config.num_heads * config.head_dim != config.hidden_size
        _refuse(where, name, wide, "heads that together are not as wide as the hidden state")
        _refuse(where, name, not config.tie_word_embeddings, "a head of its own")
    else:
        _refuse(where, name, config.activation != "silu", f"the activation {config.activation}")
    if name in ("qwen2", "qwen3"):
        _refuse(where, name, config.o_bias or config.mlp_bias, "biases of o_proj or the MLP")
    short = any(window is not None and window < config.max_position_embeddings
                for window in config.sliding_windows)
    _refuse(where, name, short, "sliding windows")
    what = config.refusal(_KNOWN["bitnet" if name.startswith("bitnet") else name])
    _refuse(where, name, what is not None, what or "")
    _refuse(where, name, not usual_yarn(config), "a scaling of YaRN of its own")
    scaled = config.rope_scaling is not None and config.rope_scaling.kind == "llama3"
    _refuse(where, name, scaled and name != "llama", "Llama 3's rotary scaling")
    return name


def _refuse(where: str, name: str, wrong: bool, what: str) -> None:
    if wrong:
        raise CheckpointError(f"{where} has {what}, which llama.cpp's architecture {name} has not")


def metadata(checkpoint: Checkpoint, file_type: int) -> tuple[dict[str, Any], list[str]]:
    """The metadata of a GGUF file, in its order, and warnings; raises as ``architecture`` does.

    Also ``CheckpointError`` if llama.cpp would split text in another way than the tokenizer.
    """
    config = checkpoint.config
    name = architecture(config, str(checkpoint.folder))
    values: dict[str, Any] = {
        "general.architecture": name, "general.type": "model",
        "general.name": checkpoint.folder.stem, "general.file_type": Unsigned(file_type),
        "general.quantization_version": Unsigned(_QUANTIZATION_VERSION),
        f"{name}.block_count": Unsigned(config.num_layers),
        f"{name}.context_length": Unsigned(config.max_position_embeddings),
        f"{name}.embedding_length": Unsigned(config.hidden_size),
        f"{name}.feed_forward_length": Unsigned(config.intermediate_size),
        f"{name}.attention.head_count": Unsigned(config.num_heads),
        f"{name}.attention.head_count_kv": Unsigned(config.num_kv_heads),
        f"{name}.attention.key_length": Unsigned(config.head_dim),
        f"{name}.attention.value_length": Unsigned(config.head_dim),
        f"{name}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{name}.rope.dimension_count": Unsigned(config.head_dim),
        f"{name}.rope.freq_base": float(config.rope_theta),
        f"{name}.vocab_size": Unsigned(config.vocab_size),
        **_rope(config, name),
        **_graph(config, name),
        **_special(config),
    }
    files = checkpoint.companions()
    if "tokenizer.json" not in files:
        values["tokenizer.ggml.model"] = "none"
        return values, [
            f"{checkpoint.folder} has no tokenizer.json, so the file has no vocabulary: llama.cpp "
            "takes token ids only"
        ]
    return values | _tokenizer(checkpoint, files), []


def _graph(config: ModelConfig, name: str) -> dict[str, Any]:
    """What only the graphs of ``GRAPHS`` are told."""
    settings = GRAPHS[name].settings if name in GRAPHS else None
    return {f"{name}.{key}": value for key, value in (settings(config) if settings else {}).items()}


def _rope(config: ModelConfig, name: str) -> dict[str, Any]:
    """Linear scaling by its factor; Llama 3's is a tensor, but for what brings it back."""
    scaling = config.rope_scaling
    if scaling is None:
        return {}
    if scaling.kind == "yarn":
        return {f"{name}.{key}": value for key, value in yarn_settings(config).items()}
    if scaling.kind == "linear":
        return {f"{name}.rope.scaling.type": "linear",
                f"{name}.rope.scaling.factor": float(scaling.factor)}
    return {"trilobite.rope.original_context_length":
            Unsigned(scaling.original_max_position_embeddings)}


def _tokenizer(checkpoint: Checkpoint, files: dict[str, bytes]) -> dict[str, Any]:
    where = str(checkpoint.folder / "tokenizer.json")
    settings, added = (
        parse_json_object(files.get(name, b"{}"), str(checkpoint.folder / name))
        for name in ("tokenizer_config.json", "added_tokens.json")
    )
    content = parse_json_object(files["tokenizer.json"], where)
    check_tokenizer(content, where)
    content = with_stated_tokens(content, settings, added, where)
    tokens, types = _vocabulary(content, checkpoint.config.vocab_size, where)
    begins = begins_by_template(content, where)
    further = _settings(checkpoint.config, files, settings, begins)
    if is_pieces(content["model"]):
        return pieces_metadata(content, tokens, types, where) | further
    return _byte_level(content, tokens, types, where) | further


def _byte_level(
    content: dict[str, Any], tokens: list[str], types: list[int], where: str
) -> dict[str, Any]:
    """Tokens and merges of byte-level BPE, and llama.cpp's name for how text is split."""
    model = content["model"]
    if model.get("type") != "BPE":
        raise CheckpointError(f"{where}: the tokenizer is {shown(model.get('type'))}; byte-level "
                              "BPE and BPE of SentencePiece are written to GGUF")
    split = split_name(content.get("pre_tokenizer"), where)
    if content.get("normalizer") not in (None, {"type": "NFC"}):
        raise CheckpointError(f"{where}: the normalizer {shown(content['normalizer'])} has no "
                              "counterpart in llama.cpp")
    values: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": split,
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types,
    }
    merges = [merge if isinstance(merge, str) else " ".join(merge)
              for merge in model.get("merges") or []]
    if merges:
        values["tokenizer.ggml.merges"] = merges
    return values


def _vocabulary(content: dict[str, Any], size: int, where: str) -> tuple[list[str], list[int]]:
    """Tokens by id and their types; ids that no token has get a name of their own."""
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [UNUSED] * size
    for token, index in vocabulary(content, where).items():
        if index >= size:
            raise CheckpointError(
                f"{where}: the token {shown(token)} has the id {index}; the model has {size}"
            )
        tokens[index], types[index] = token, NORMAL
    for added in added_tokens(content, where):
        types[added["id"]] = CONTROL if added.get("special") else USER
    return tokens, types


def _special(config: ModelConfig) -> dict[str, Any]:
    """Begin and end tokens."""
    ids = {"bos": config.bos_token_id}
    ids |= dict(zip(("eos", "eot"), config.eos_token_ids, strict=False))
    return {
        f"tokenizer.ggml.{kind}_token_id": Unsigned(token)
        for kind, token in ids.items() if token is not None
    }


def _settings(
    config: ModelConfig, files: dict[str, bytes], settings: dict[str, Any], begins: bool
) -> dict[str, Any]:
    """Whether text begins with the begin token (as ``runtime.text`` decides it); the template."""
    begins = begins or wants_begin_token(settings, "tokenizer_config.json")
    values: dict[str, Any] = {
        "tokenizer.ggml.add_bos_token": begins and config.bos_token_id is not None
    }
    try:
        template = files.get("chat_template.jinja", b"").decode() or settings.get("chat_template")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"chat_template.jinja is not UTF-8: {error}") from None
    if isinstance(template, str):
        values["tokenizer.chat_template"] = template
    return values
