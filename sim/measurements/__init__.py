"""Rates and powers that others measured, and how far estimates are from them."""
