"""Models for EleutherAI's ``lm_eval`` (extra ``eval``): its tasks on what the runtime computes.

    import lm_eval
    from trilobite.api.lm_eval import TrilobiteLM
    lm_eval.simple_evaluate(TrilobiteLM("demo-llama"), tasks=["hellaswag"], limit=100)

Importing this module registers the class as ``trilobite`` (``lm_eval --model trilobite
--model_args pretrained=FOLDER`` after ``--include_path`` or an import).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from typing_extensions import override

from ..errors import TrilobiteError
from ..runtime.kv_cache.cache import KVKind
from ..runtime.language_model import LanguageModel
from .models import load

try:
    from lm_eval import utils
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import register_model
except ImportError as error:
    raise TrilobiteError(
        f"lm_eval cannot be imported ({error}): pip install 'trilobite[eval]'"
    ) from None

__all__ = ["TrilobiteLM"]

Pair = tuple[Any, list[int], list[int]]   # (texts), tokens before, tokens to score
_NEW_TOKENS = 256   # of a generation, where a task does not say


@register_model("trilobite")
class TrilobiteLM(TemplateLM):
    """A model as ``lm_eval`` asks it: log-likelihoods of texts, and greedy or sampled text.

    Parameters
    ----------
    pretrained
        What ``trilobite.load`` takes, or a loaded model.
    kv
        How keys and values are kept, as in ``trilobite.load``.
    max_length
        The most tokens of a text; the model's positions if None. Longer contexts lose their begin.
    batch_size, device, max_batch_size
        Are accepted, since the harness passes them, and change nothing: sequences run one by one.
    """

    def __init__(
        self, pretrained: str | LanguageModel, kv: KVKind | Literal["auto"] = "auto",
        max_length: int | None = None, batch_size: object = 1, device: object = None,
        max_batch_size: object = None,
    ) -> None:
        super().__init__()
        del batch_size, device, max_batch_size
        self.model = (
            pretrained if isinstance(pretrained, LanguageModel) else load(pretrained, kv=kv))
        positions = self.model.config.max_position_embeddings
        self.max_length = positions if max_length is None else min(int(max_length), positions)

    @property
    def eot_token_id(self) -> int:
        """The end token, or the begin token of a model without one."""
        ends = self.model.config.eos_token_ids
        begin = self.model.config.bos_token_id
        if not ends and begin is None:
            raise TrilobiteError(f"{self.model.folder} states no begin or end token, which lm_eval "
                                 "puts before a text without context")
        return ends[0] if ends else int(begin or 0)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context: the begin token, or the end token."""
        begin = self.model.config.bos_token_id
        return self.eot_token_id if begin is None else begin

    @property
    def tokenizer_name(self) -> str:
        """The model's folder, for the cache of requests."""
        return str(self.model.folder)

    @override
    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Token ids; by default with the begin token, if the model puts one before a text."""
        return self.model.tokenizer.encode(string, begin=add_special_tokens is not False)

    @override
    def _loglikelihood_tokens(
        self, requests: list[Pair], disable_tqdm: bool = False, **_: object
    ) -> list[tuple[float, bool]]:
        return [self._scored(before, scored) for _, before, scored in requests]

    @override
    def loglikelihood_rolling(
        self, requests: list[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """The log-likelihood of each whole text, in windows that do not overlap."""
        totals = []
        for request in requests:
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            windows = utils.get_rolling_token_windows(
                ids, self.prefix_token_id, self.max_length, context_len=1)
            totals.append(sum(
                self._scored(*utils.make_disjoint_window(window))[0] for window in windows))
        return totals

    @override
    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Text up to a stop string, or of ``max_gen_toks`` tokens."""
        return [self._generated(*request.args) for request in requests]

    @override
    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The model's chat template, rendered; refuses a history that an answer shall continue."""
        template = self.model.tokenizer.chat_template()
        if template is None:
            raise TrilobiteError(f"{self.model.folder} has no chat template")
        if not add_generation_prompt:
            raise TrilobiteError("Answers are not continued: a history must end with a question")
        return template.render(chat_history)

    def _scored(self, before: list[int], scored: list[int]) -> tuple[float, bool]:
        """Log-likelihood of ``scored`` after ``before``, and whether each is the likeliest."""
        if not scored:
            return 0.0, True
        if len(scored) > self.max_length:
            raise TrilobiteError(f"A text of {len(scored)} tokens is to be scored; the model takes "
                                 f"{self.max_length}")
        ids = (before + scored)[-(self.max_length + 1):]
        logits = self.model.logits(ids[:-1])[-len(scored):].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(scored)), scored]
        total = float((chosen - np.log(np.exp(logits).sum(axis=1))).sum())
        return total, bool((logits.argmax(axis=1) == scored).all())

    def _generated(self, context: str, options: dict[str, Any]) -> str:
        options = dict(options)
        until = options.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        count = int(options.get("max_gen_toks", _NEW_TOKENS))
        if not 0 < count < self.max_length:
            raise TrilobiteError(f"max_gen_toks is {count}; the model has {self.max_length} "
                                 "positions")
        sampled = bool(options.get("do_sample", False))
        temperature = float(options.get("temperature", 0.0)) if sampled else 0.0
        ids = self.tok_encode(context)[-(self.max_length - count):]
        return "".join(self.model.generate(ids, count, temperature, stop=stops))
