"""Synthetic data: rendered heads and scenes with exact labels, their stores, and masks drawn onto pictures."""

from semiuhpe.synthetic.anatomy import landmarks68

__all__ = ["landmarks68"]
