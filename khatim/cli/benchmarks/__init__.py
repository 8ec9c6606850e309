# SPDX-License-Identifier: Apache-2.0
"""``khatim bench``: what Khatim costs, measured in one run beside plain ways of doing the same, written to a page."""
