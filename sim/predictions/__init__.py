"""Estimates made of the cycle model: a program's steps, a generation, a whole accelerator."""
