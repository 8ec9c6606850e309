# SPDX-License-Identifier: Apache-2.0
"""Tests of the rules and of what evaluates them."""
