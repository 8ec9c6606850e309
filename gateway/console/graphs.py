# SPDX-License-Identifier: Apache-2.0
"""Lineage as a picture, which the console shares with the auditor's report."""

from __future__ import annotations

from governance.reports.graphs import HEIGHT, WIDTH, Edge, Layout, Node, layout, svg

__all__ = ["HEIGHT", "WIDTH", "Edge", "Layout", "Node", "layout", "svg"]
