"""The benchmark: the product and a rival do the same work on the lab, one after the other, and both must be right.

``measuring`` runs a row's two sides in turn and keeps ratios, ``report`` tells them. A row (``rows``) prepares data
that nobody has copied yet, lets each side work, and checks what came of it; a wrong result ends the benchmark.
"""
