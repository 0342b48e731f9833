"""Experiments on rendered data that train, evaluate and compare several models: the quickstart and the tables."""
