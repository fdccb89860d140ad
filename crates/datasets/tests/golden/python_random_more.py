"""Records what CPython's random module returns, for the test `python_random`. Run with CPython 3.8 or newer:

    python python_random_more.py > python_random_more.json
"""

import json
import random


def shuffled(count):
    items = list(range(count))
    random.shuffle(items)
    return items


SEEDS = [4, 2**31, 2**32 - 1, 2**32, 123456789012345678, 2**64 - 1]
CASES = []
for seed in SEEDS:
    random.seed(seed)
    CASES.append({
        "seed": str(seed),
        "random": [random.random() for _ in range(4)],
        "getrandbits": [[bits, str(random.getrandbits(bits))] for bits in (1, 7, 31, 32, 33, 48, 63, 64)],
        "randbelow": [[str(n), str(random.randrange(n))] for n in (1, 2, 3, 2**31, 2**32, 2**32 + 1, 2**63, 2**64 - 1)],
        # The pool is used up to a population of 21, or 21 + 4 ** ceil(log(3 k, 4)) for k > 5; the set beyond.
        "sample": [
            [n, k, random.sample(range(n), k)]
            for n, k in ((20, 5), (21, 5), (22, 5), (85, 6), (86, 6), (85, 21), (277, 22), (278, 22), (5000, 64), (40, 40))
        ],
        "shuffle": [[n, shuffled(n)] for n in (3, 300)],
    })
print(json.dumps(CASES))
