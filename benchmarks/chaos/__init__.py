"""Kill anything at any time: nothing is lost, nothing is applied twice, order holds per user.

`load` says what is produced, `producing` sends it, `worker` runs the product's own commands with
`extractors` made for the purpose, `faults` breaks things while `supervision` keeps what should run
running, `proxy` cuts connections, `snapshot` reads the store in the end and `checks` judge it.
`breaks` are the faults that the checks must be able to see.
"""
