"""Reads back what `spantally export` wrote, with pyarrow, and tells what is in it.

Usage: read_export.py DIRECTORY TABLE FORMAT. Prints one JSON object: the columns with their types, the rows of each
day, the exact sum of each decimal column by day, currency and cause, and the first row.
"""

import collections
import decimal
import json
import sys

import pyarrow.csv
import pyarrow.dataset
import pyarrow.json

MONEY = ["quantity", "cost_min", "cost_expected", "cost_max"]


def as_text(schema):
    return {field.name: str(field.type) for field in schema}


def main():
    directory, table, form = sys.argv[1:]
    source = f"{directory}/{table}"
    if form == "csv":
        reader = pyarrow.dataset.CsvFileFormat(
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pyarrow.string() for name in MONEY}, strings_can_be_null=True
            ),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        )
    elif form == "jsonl":
        reader = pyarrow.dataset.JsonFileFormat()
    else:
        reader = pyarrow.dataset.ParquetFileFormat()
    files = pyarrow.dataset.dataset(source, format=reader, partitioning="hive", exclude_invalid_files=False)
    rows = files.to_table().to_pylist()
    decimal.getcontext().prec = 60
    days, sums = collections.Counter(), collections.defaultdict(decimal.Decimal)
    for row in rows:
        days[str(row["day"])] += 1
        for name in (name for name in MONEY if name in row):
            key = "|".join([str(row["day"]), row["currency"] or "", row["cause"], name])
            sums[key] += decimal.Decimal(row[name])
    print(
        json.dumps(
            {
                "schema": as_text(files.schema),
                "days": days,
                "sums": {key: format(value, "f") for key, value in sums.items()},
                "first": rows[0] if rows else None,
            },
            default=str,
        )
    )


main()
