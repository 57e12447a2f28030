"""Cycles of the accelerator, predicted from its descriptors."""
