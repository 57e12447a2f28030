"""Attention in gates over an int8 cache in external memory, bit for bit the runtime's.

``attention.Attention`` is the unit; the other modules are the stages that it is made of, in the
order in which a tile of the cache passes through them: ``tile_walker``, ``words``, ``query_lane``,
``scores``, ``exponentials``, ``softmax_sums``, ``softmax_weights``, ``outputs``. ``cache_layout``
says how keys and values lie in memory.
"""
