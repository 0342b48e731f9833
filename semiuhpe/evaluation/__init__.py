"""Evaluation: metrics, intervals, calibration, break-downs, report pages, comparisons, tables and submissions."""
