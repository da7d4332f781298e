"""The study: does sparsity help, and what does it find? From long tables of errors and structure to an answer.

`rows` makes the long table of one dataset from its results; `tables` joins, writes and reads long tables; `effects` has
the paired differences with their hierarchical intervals and tests; `claims` is what is asked and by which rules,
`verdicts` what is found, and `answer` the page. Nothing here trains or forecasts.
"""
