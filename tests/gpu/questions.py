"""Ordinary questions, of many kinds: what the quality of answers is measured over."""

from pathlib import Path

QUESTIONS = tuple(Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines())
