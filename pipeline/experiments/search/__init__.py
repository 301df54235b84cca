"""Searching for better parameters, trial by trial."""
