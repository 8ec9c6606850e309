# SPDX-License-Identifier: Apache-2.0
"""The layout of graphs, which the console shares with the auditor's report."""

from __future__ import annotations

from governance.reports.layering import BEND_Y, GAP_X, GAP_Y, HEIGHT, MARGIN, WIDTH, Edge, Layout, Node, layout

__all__ = ["BEND_Y", "GAP_X", "GAP_Y", "HEIGHT", "MARGIN", "WIDTH", "Edge", "Layout", "Node", "layout"]
