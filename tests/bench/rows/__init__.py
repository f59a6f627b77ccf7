# SPDX-License-Identifier: Apache-2.0
"""rows -- one module for each family of benchmarks.

ROWS are the rows of the table of goals that it fills; measure(bench) yields their checks.
"""
