"""Descriptions of devices, accelerators and model shapes, and how they are read."""
