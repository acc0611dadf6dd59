"""The panel in a real Chromium, on a real Jupyter server."""
