"""How a prompt goes through the model: the policies of ``sim.serving.policies``, for one request.

Alone, ``layered`` costs what the whole prompt costs; what it changes is how long others wait.
``flow`` interrupts for other prompts, never for decode, and is ``whole`` here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PromptPolicy", "prompt_policies"]

_CHUNKS = (16, 32, 64, 128)
_GROUPS = 8


@dataclass(frozen=True)
class PromptPolicy:
    """``chunk`` tokens at once, and of the layers one of ``groups`` groups at once."""

    chunk: int
    groups: int
    prompt: int

    @property
    def name(self) -> str:
        """``whole``, ``layered-8`` or ``chunked-32``."""
        if self.groups > 1:
            return f"layered-{self.groups}"
        return "whole" if self.chunk >= self.prompt else f"chunked-{self.chunk}"


def prompt_policies(prompt: int, layers: int) -> tuple[PromptPolicy, ...]:
    """All policies for a prompt of ``prompt`` tokens through ``layers`` layers."""
    found = [PromptPolicy(chunk, 1, prompt) for chunk in _CHUNKS if chunk < prompt]
    found.append(PromptPolicy(prompt, 1, prompt))
    if layers > 1:
        found.append(PromptPolicy(prompt, min(_GROUPS, layers), prompt))
    return tuple(found)
