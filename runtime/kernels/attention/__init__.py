"""Attention over the KV cache: the portable definition, and its fast forms by CPU."""
