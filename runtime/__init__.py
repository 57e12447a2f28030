"""The decoder on a CPU: the bit-exact reference that the hardware is checked against."""
