"""Simulation benches, workloads, latency and energy models, device presets, reports."""
