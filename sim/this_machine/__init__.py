"""The machine at hand: measured, and made a device that estimates take."""
