"""Weights on their way from memory to the engine: layout, image, loader, unpacker, buffer."""
