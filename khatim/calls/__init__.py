# SPDX-License-Identifier: Apache-2.0
"""What `khatim.client.Client` is made of: the connection, and one class a noun with one method a verb."""
