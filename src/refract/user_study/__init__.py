"""The blind pairwise user study: the page that asks raters, and the key that stays at home.

What the votes say is counted in `evaluation/votes`.
"""
