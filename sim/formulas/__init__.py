"""Analytic models: cycles, latency and energy by formulas, and estimates made of them."""
