# SPDX-License-Identifier: Apache-2.0
"""Tests mirror the floors."""
