"""Experiments that train, evaluate and compare several models."""
