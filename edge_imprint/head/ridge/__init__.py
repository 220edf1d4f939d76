"""The second-moment head: linear discriminants from the classes' means and the scatter of all shots about them.

A class answers with A^-1 m, m its mean and A the scatter within classes plus a little, instead of with m itself: what
varies within every class counts for less. That is least squares (Fisher 1936; Rao 1948, the version for many classes)
made streaming: the scatter is one packed matrix of whole numbers, to which each shot adds once.
"""
