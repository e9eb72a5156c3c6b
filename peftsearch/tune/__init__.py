"""Outer search: Optuna over the settings of a search, trial by trial, on a storage of its own.

Place in the flow: above the pipeline, of which every trial is a short run in a fresh process;
below the command line. Torch-free but for the process of a trial. Optuna is imported in here only.
"""

from __future__ import annotations
