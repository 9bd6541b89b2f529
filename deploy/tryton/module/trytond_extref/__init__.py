# SPDX-License-Identifier: GPL-3.0-or-later
# This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public
# License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later
# version. It comes WITHOUT ANY WARRANTY. See <https://www.gnu.org/licenses/>.
"""Tryton module ``extref``: what an integration needs to write sales exactly once.

An invoice or credit note gets an ``external_id`` that is unique in its company, and the names of its order and of what it reverses; no
more is credited than is left of an invoice line. A sale gets an ``external_id`` that is unique in its company, and the ``event_id`` that it was last brought to. An amendment
carries the event that asked for it, once per sale, and may add lines. An address and a product get an ``external_id`` that is unique,
and so does the move of a payment, which is posted and pays its invoice in one call.
"""
