"""The sweeps of one study side by side: what distinguishes them, their answers, one figure.

Incoming: each sweep's tables and verdict. Each sweep has a report of its own, which this page
links to.
"""
