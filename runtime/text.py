"""Text to tokens and back, and the text that a perplexity is measured on."""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tokenizers

from ..errors import CheckpointError, TrilobiteError
from ..quant.checkpoint.files.fields import parse_json_object, read_json
from ..quant.checkpoint.files.special_tokens import wants_begin_token, with_stated_tokens
from ..quant.checkpoint.files.tokenizer_file import check_tokenizer
from ..quant.checkpoint.vocabularies import SOURCES, made_tokenizer
from ..tools.files import read_bounded
from .chat_template import ChatTemplate, stated_template

__all__ = ["TextStream", "Tokenizer", "held_out_documents", "read_text", "training_documents"]

_TOKENIZER_LIMIT = 64 << 20   # bytes; the largest of public models has 33 MB
_TEXT_LIMIT = 256 << 20

# Folders of the standard library that the demo models were not trained on: tests, generated tables
# and what other packages bring.
_NOT_TRAINED_ON = {
    "__pycache__", "dist-packages", "encodings", "idlelib", "lib2to3", "pydoc_data",
    "site-packages", "test", "tests", "turtledemo",
}


_REPLACEMENT = "\ufffd"


class Tokenizer:
    """A Hugging Face ``tokenizer.json`` with the begin and end tokens of its model.

    Parameters
    ----------
    file
        The ``tokenizer.json``, which is made where the folder has another kind of vocabulary (see
        ``made_tokenizer``); ``tokenizer_config.json`` and ``added_tokens.json`` beside it are
        read for tokens that it lacks, and for ``add_bos_token``.
    bos_token_id, eos_token_ids
        From the model's config. The begin token is put before a text if ``add_bos_token`` is true;
        where it is not, the template of ``tokenizer.json`` alone says what a text begins with.
    files
        The content of both by name, where they are not on the disk.

    Raises
    ------
    CheckpointError
        A file is missing or is not what its name says.
    """

    def __init__(
        self, file: Path, bos_token_id: int | None = None, eos_token_ids: tuple[int, ...] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        content = _content(file, files)
        if content is None:
            content = made_tokenizer(
                lambda name: _content(file.with_name(name), files), str(file.parent))
        if content is None:
            raise CheckpointError(
                f"{file} does not exist; text needs the model's tokenizer.json, or what makes one: "
                f"{', '.join(SOURCES[:-2])}, or {' with '.join(SOURCES[-2:])}")
        settings, added = (
            _object(file.with_name(name), files)
            for name in ("tokenizer_config.json", "added_tokens.json")
        )
        stated = parse_json_object(content, str(file))
        check_tokenizer(stated, str(file))
        complete = with_stated_tokens(stated, settings, added, str(file))
        if complete is not stated:
            content = json.dumps(complete).encode()
        self._file = file
        with self._library("is not a tokenizer"):
            self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
            # A tokenizer that trained a model may cut and fill up its texts. Here text is text.
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        self._settings, self._files = settings, files
        wants_begin = wants_begin_token(settings, str(file.with_name("tokenizer_config.json")))
        self.bos_token_id = bos_token_id if wants_begin else None
        self.eos_token_ids = eos_token_ids

    def chat_template(self) -> ChatTemplate | None:
        """The template that the files state; None if they state none.

        Raises ``CheckpointError`` if it is no template.
        """
        settings_file = self._file.with_name("tokenizer_config.json")
        file = self._file.with_name("chat_template.jinja")
        content = _content(file, self._files)
        try:
            source = stated_template(
                self._settings, None if content is None else content.decode(), settings_file
            )
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{file} is not UTF-8: {error}") from None
        return None if source is None else self.templated(source, str(self._file.parent))

    def templated(self, source: str, where: str) -> ChatTemplate:
        """A chat template that knows the special tokens of this tokenizer."""
        named = {
            field: value.get("content") if isinstance(value, dict) else value
            for field, value in self._settings.items() if field.endswith("_token")
        }
        special = {field: name for field, name in named.items() if isinstance(name, str)}
        return ChatTemplate(source, special, where)

    @contextmanager
    def _library(self, what: str) -> Iterator[None]:
        """Errors of ``tokenizers`` as a sentence: it raises bare ``Exception``, and panics.

        A panic of its Rust code is no ``Exception``, and has a type without a public name.
        """
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise CheckpointError(f"{self._file} {what}: {error}") from None
            raise

    def encode(self, text: str, begin: bool = True) -> list[int]:
        """Token ids of ``text``, with the begin token in front where the model has one.

        Without ``begin`` nothing is put in front or behind: the text of a chat template has all.
        Raises ``TrilobiteError`` if there are bytes in it that were not UTF-8.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TrilobiteError(
                f"The text is not UTF-8: character {error.start + 1} is a byte of its own, "
                f"{text[error.start]!a}"
            ) from None
        with self._library("cannot split this text into tokens"):
            ids = self._tokenizer.encode(text, add_special_tokens=begin).ids
        if begin and self.bos_token_id is not None and ids[:1] != [self.bos_token_id]:
            return [self.bos_token_id, *ids]
        return ids

    def encode_documents(self, documents: Iterable[str]) -> list[int]:
        """Each document as begin token, its tokens, end token, all joined."""
        joined: list[int] = []
        for text in documents:
            joined += self.encode(text)
            joined += self.eos_token_ids[:1]
        return joined

    def decode(self, token_ids: Iterable[int]) -> str:
        """Text of ``token_ids``, special tokens left out."""
        with self._library("cannot make text of these tokens"):
            return self._tokenizer.decode(list(token_ids))

    def stream(self, token_ids: Iterable[int]) -> Iterator[str]:
        """Text pieces of ``token_ids`` as they come: those of a ``TextStream``."""
        text = TextStream(self)
        for token_id in token_ids:
            if piece := text.push(token_id):
                yield piece
        if piece := text.end():
            yield piece


class TextStream:
    """Tokens that come one by one, as text; a piece waits until its bytes are complete.

    Bytes that never are complete, in the text or at its end, are U+FFFD, as in
    ``Tokenizer.decode``.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._decode = tokenizer.decode
        self._shown: list[int] = []   # the tokens of the last piece, for what they do to the next
        self._waiting: list[int] = []

    def push(self, token_id: int) -> str:
        """What is complete with ``token_id``; empty if nothing is."""
        self._waiting.append(token_id)
        piece = self._added()
        if not piece or piece.endswith(_REPLACEMENT):
            return ""
        self._shown, self._waiting = self._waiting, []
        return piece

    def end(self) -> str:
        """What waits, now that nothing more comes."""
        return self._added()

    def _added(self) -> str:
        """What the waiting tokens add to the text of the shown; alone, if they change that."""
        before, after = self._decode(self._shown), self._decode([*self._shown, *self._waiting])
        if after.startswith(before):
            return after.removeprefix(before)
        return self._decode(self._waiting)


def _object(file: Path, files: Mapping[str, bytes] | None) -> dict[str, Any]:
    """The JSON object that ``file`` holds; empty where it does not exist."""
    content = _content(file, files)
    return {} if content is None else parse_json_object(content, str(file))


def _content(file: Path, files: Mapping[str, bytes] | None) -> bytes | None:
    """What ``file`` holds, on the disk or in ``files``; None where it does not exist."""
    if files is not None:
        return files.get(file.name)
    if not os.path.lexists(file):
        return None
    return read_bounded(file, _TOKENIZER_LIMIT, CheckpointError, within=file.parent)


def held_out_documents(training_file: Path) -> list[str]:
    """Sources of the standard-library modules that ``training.json`` names as held out.

    They come in the order of their sorted paths, from the standard library of the Python that
    runs, so that another Python version gives slightly other text.

    Raises
    ------
    TrilobiteError
        The file is missing or names no modules, or a module is not in this Python's library.
    """
    modules = _held_out(training_file)
    root = Path(sysconfig.get_paths()["stdlib"]).resolve()
    paths = [root / module for module in modules]
    try:
        outside = [path for path in paths if not path.resolve().is_relative_to(root)]
        missing = [path for path in paths if not path.is_file()]
    except (OSError, RuntimeError, ValueError) as error:
        raise TrilobiteError(f"{training_file} names a module that is no path: {error}") from None
    if outside:
        raise TrilobiteError(
            f"{training_file} names a module outside the standard library: {outside[0]}"
        )
    if missing:
        raise TrilobiteError(
            f"This Python's standard library lacks {', '.join(map(str, missing[:5]))}"
        )
    return [path.read_text(encoding="utf-8", errors="replace") for path in sorted(paths)]


def training_documents(training_file: Path) -> list[str]:
    """Sources of the standard-library modules that ``training.json`` does not hold out.

    In the order of their sorted paths; raises as ``held_out_documents`` does.
    """
    held_out = set(_held_out(training_file))
    root = Path(sysconfig.get_paths()["stdlib"]).resolve()
    modules = [path.relative_to(root) for path in sorted(root.rglob("*.py"))]
    return [
        (root / module).read_text(encoding="utf-8", errors="replace")
        for module in modules
        if not _NOT_TRAINED_ON & set(module.parts) and module.as_posix() not in held_out
    ]


def read_text(file: Path) -> str:
    """A UTF-8 text file, or a pipe, of at most 256 MiB; ``TrilobiteError`` if it is none.

    A byte order mark in front, as editors of Windows write it, is no text.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_TEXT_LIMIT + 1)
    except OSError as error:
        raise TrilobiteError(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > _TEXT_LIMIT:
        raise TrilobiteError(f"{file} is larger than {_TEXT_LIMIT >> 20} MiB; name a shorter text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrilobiteError(f"{file} is not UTF-8 text: {error}") from None


def _held_out(training_file: Path) -> list[str]:
    """The module names in ``training.json``."""
    if not os.path.lexists(training_file):
        raise TrilobiteError(
            f"{training_file} does not exist, so there is no default text for this model; "
            "name a text file"
        )
    modules = read_json(training_file, training_file.parent).get("held_out_modules")
    if not isinstance(modules, list) or not all(isinstance(module, str) for module in modules):
        raise TrilobiteError(f'{training_file}: "held_out_modules" must be a list of file names')
    return [str(Path(module)) for module in modules]
