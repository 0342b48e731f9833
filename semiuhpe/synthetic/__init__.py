"""Synthetic data: rendered heads and scenes with exact labels, their stores, and masks drawn onto pictures."""
