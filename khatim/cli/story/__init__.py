# SPDX-License-Identifier: Apache-2.0
"""The demo: the main job of a hospital group, end to end, with real processes and the SDK over HTTP only."""
