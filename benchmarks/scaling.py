#!/usr/bin/env python3
"""Runs benchmarks/scaling of a build folder and prints tables of times with the fitted exponent.

usage: scaling.py [--build build/release] [--runs 5] [--only text]

Times are medians in ms. The exponent e of time = c * x^e is fitted to the logarithms by least squares over all values
of x, and once more over the two largest: costs that do not grow hide the growth at small sizes.
"""

import argparse
import collections
import json
import math
import os
import subprocess


def slope(points):
    """Least-squares slope of log y over log x."""
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default=".*", help="a regular expression of benchmark names")
    arguments = parser.parse_args()
    output = subprocess.run(
        [os.path.join(arguments.build, "benchmarks", "scaling"), "--benchmark_format=json",
         f"--benchmark_repetitions={arguments.runs}", "--benchmark_report_aggregates_only=true",
         "--benchmark_min_time=0.05", f"--benchmark_filter={arguments.only}"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    tables = collections.defaultdict(lambda: collections.defaultdict(dict))
    for result in json.loads(output)["benchmarks"]:
        if result["aggregate_name"] == "median":
            name, grown, bf16 = result["run_name"].removesuffix("/real_time").rsplit("/", 2)
            what, value = grown.split(":")
            tables[name, what]["bf16" if bf16.endswith("1") else "f32"][int(value)] = result["real_time"]
    for (name, what), series in tables.items():
        values = sorted(next(iter(series.values())))
        print(f"\n{name}:\n")
        print(f"| {what} | " + " | ".join(map(str, values)) + " | exponent | of the last two |")
        print("|---" * (len(values) + 3) + "|")
        for precision, times in series.items():
            points = [(value, times[value]) for value in values]
            print(f"| {precision} | " + " | ".join(f"{time:.3g}" for _, time in points)
                  + f" | {slope(points):.2f} | {slope(points[-2:]):.2f} |")


if __name__ == "__main__":
    main()
