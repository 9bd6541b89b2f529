{{ config(materialized='view') }}
-- Grain: code. Key: code.
-- Why: every reason for which an event is not simply posted, in one place: how severe, who owns it, what to do. `precedence` orders
-- the reasons of an event; the first names its exception. It is fixed, so that a passing deadline never renames an exception.
select *
from (
    values
    ('pre_cutover', 10, 'ignore', 'revops', 'P3', 'Booked before the cut-over',
        'Nothing to do: orders booked before effective_from stay with the process that was in use then.'),
    ('corrected_by_later_version', 15, 'ignore', 'revops', 'P3', 'A later version of the order can be posted',
        'Nothing to do: the later version carries the whole order.'),
    ('amount_negative', 20, 'reject', 'finance', 'P2', 'The order is worth less than nothing',
        'Correct the amount in the CRM; a credit is not an order.'),
    ('quantity_negative', 25, 'reject', 'finance', 'P2', 'A line has a negative quantity',
        'Correct the line in the CRM; a return or a downsell is an amendment of the original order.'),
    ('root_not_found', 30, 'review', 'revops', 'P2', 'The order that this deal amends is not known',
        'Enter the original opportunity in the CRM, or extract it again if it was deleted there.'),
    ('root_not_won', 35, 'review', 'revops', 'P2', 'An amendment was won before its order',
        'Close the original opportunity as won, or take the amendment back.'),
    ('reopened', 40, 'review', 'finance', 'P2', 'A cancelled order is open again',
        'Decide whether the order lives: enter a new opportunity for it, or set this one back to lost.'),
    ('net_quantity_negative', 45, 'review', 'revops', 'P2', 'Amendments take away more than was ordered',
        'Correct the amendment so that product, unit of measure, price and discount match the line that it reduces.'),
    ('customer_missing', 50, 'review', 'revops', 'P2', 'The deal names no customer',
        'Enter the account on the opportunity in the CRM.'),
    ('currency_missing', 55, 'review', 'finance', 'P2', 'The deal has no currency',
        'Enter the currency in the CRM, or set default_currency in the policy.'),
    ('currency_invalid', 56, 'review', 'finance', 'P2', 'The currency is not an ISO 4217 code',
        'Correct the currency in the CRM: three capital letters, for example USD.'),
    ('amount_missing', 60, 'review', 'revops', 'P2', 'The deal has no amount',
        'Enter the amount in the CRM; a number of 10^15 or more counts as none.'),
    ('booking_date_missing', 65, 'review', 'revops', 'P2', 'The deal has no close date',
        'Enter the close date in the CRM.'),
    ('product_unmapped', 70, 'review', 'revops', 'P2', 'A product is not in the catalog',
        'Map the code to a catalog product (`meshline catalog map CODE PRODUCT`), add the product, or correct the line in the CRM.'),
    ('product_inactive', 75, 'review', 'revops', 'P2', 'A product was retired before the order',
        'Activate the product, map its code to the one that took its place, or correct the line in the CRM.'),
    ('line_amount_mismatch', 80, 'review', 'finance', 'P2', 'Quantity, price and total of a line do not agree',
        'Correct quantity, unit price, discount or total of the line in the CRM.'),
    ('lines_missing', 85, 'review', 'revops', 'P2', 'The order has no lines and no amount',
        'Enter what was sold, or set the opportunity to lost.'),
    ('customer_not_landed', 90, 'hold', 'integrations', 'P2', 'The customer has not arrived',
        'Nothing within the limit. Then: check the account feed and that the account is not deleted in the CRM.'),
    ('lines_incomplete', 95, 'hold', 'integrations', 'P2', 'Lines and amount do not agree',
        'Nothing within the limit. Then: check the line item feed, or correct amount or lines in the CRM.')
) as reasons (code, precedence, severity, owner, priority, title, fix)
