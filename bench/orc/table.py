"""Writes the table of the ORC benchmark, the same rows as ORC and as Parquet, both zstd: python table.py ROWS FOLDER

Needs pyarrow and numpy. The seed is fixed: the same rows each time.
"""
import sys

import numpy as np
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq

rows, folder = int(sys.argv[1]), sys.argv[2]
random = np.random.default_rng(20261121)
words = np.array(["word%05d" % i for i in range(20000)])
cities = np.array(["Helsinki", "Tampere", "Oulu", "Turku", "Espoo", "Vantaa", "Lahti", "Kuopio", "Pori", "Kouvola"])
start = np.datetime64("2024-01-01T00:00:00", "us")


def table(first, n):
    return pa.table(
        {
            "id": pa.array(np.arange(first, first + n, dtype=np.int64)),
            "user": pa.array(random.integers(0, 1_000_000, n).astype(np.int32)),
            "quantity": pa.array(random.integers(0, 100, n).astype(np.int32)),
            "account": pa.array(random.integers(0, 2**40, n).astype(np.int64)),
            "price": pa.array(np.round(random.random(n) * 1000, 2)),
            "score": pa.array(random.standard_normal(n)),
            "city": pa.array(cities[random.integers(0, 10, n)]),
            "name": pa.array(words[random.integers(0, 20000, n)]),
            "note": pa.array(np.char.add(np.char.add(words[random.integers(0, 20000, n)], " - "), random.integers(0, 10**9, n).astype(str))),
            "created": pa.array((start + random.integers(0, 86400 * 365 * 10**6, n)).astype("datetime64[us]")),
        }
    )


parquet = orc_file = None
for first in range(0, rows, 1_000_000):
    part = table(first, min(1_000_000, rows - first))
    if parquet is None:
        parquet = pq.ParquetWriter(f"{folder}/table.parquet", part.schema, compression="zstd")
        orc_file = orc.ORCWriter(f"{folder}/table.orc", compression="zstd", dictionary_key_size_threshold=0.8)
    parquet.write_table(part)
    orc_file.write(part)
parquet.close()
orc_file.close()
