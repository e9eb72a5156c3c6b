"""Child seeds: stable for ever, in range, different for different names."""

from __future__ import annotations

from peftsearch.seeds import derive

RECORDED = (1609362278, 269285068, 2027532681)


def test_stable_for_ever() -> None:
    """Recorded once: a change would change every published run."""
    assert (derive(0), derive(0, "search", 3), derive(7, "head")) == RECORDED


def test_range_and_no_clash() -> None:
    found = [derive(root, name, step) for root in (0, 1) for name in "ab" for step in range(500)]
    assert len(set(found)) == len(found)
    assert all(0 <= seed < 2**31 for seed in found)
    # Every bit is drawn.
    assert all(any(seed >> bit & 1 for seed in found) for bit in range(31))


def test_names_and_numbers_alike() -> None:
    assert derive(0, 1) == derive(0, "1")
    assert derive(0, "a", "b") != derive(0, "b", "a")
