"""The report: one folder with a page that shows what a run made and measured, without a network.

Shows figures and computes none but chart positions: those come from `evaluation`.
"""
