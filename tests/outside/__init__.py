# SPDX-License-Identifier: Apache-2.0
"""Khatim judged by programs that others wrote."""
