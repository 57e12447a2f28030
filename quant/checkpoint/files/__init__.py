"""Files of checkpoints, not trusted: JSON, safetensors, GGUF, tokenizers, and their tensors."""
