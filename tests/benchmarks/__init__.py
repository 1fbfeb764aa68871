"""Figures that are measured, not tested: `make bench`, or `python -m tests.benchmarks [NAME...] [--quick]`.

Contestants take turns in one run, and what is reported is their medians and ratios. All files go to a temporary
directory; in the checkout Python writes its byte code and nothing else is written.
"""
