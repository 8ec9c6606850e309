# SPDX-License-Identifier: Apache-2.0
"""Bundles: written, read again, and every way to tamper with one."""
