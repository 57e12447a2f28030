"""An example of what another package can add: see docs/how-to/plugins.md."""
