"""Numbered SQL files and the runner that applies them."""
