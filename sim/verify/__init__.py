"""Proofs in simulation that the hardware computes what the runtime computes."""
