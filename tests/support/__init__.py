"""Helpers that tests share: made-up data, real processes, kernels and pages."""
