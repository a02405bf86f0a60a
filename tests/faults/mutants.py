"""Deliberate defects."""

from collections.abc import Mapping
from typing import Any

MUTANTS: Mapping[str, Any] = {}
