"""Faults on purpose: kill, cut, fill and flip, then give the same command again.

python -m tests.faults --rounds 50 --seed 0
"""
