# SPDX-License-Identifier: Apache-2.0
"""document -- benchmarks.md and its plots.

What stands between the markers is written here; the rest of the page is kept by hand.
"""
import plot

BEGIN = "<!-- written by tests/bench/run --write: from here -->\n"
END = "<!-- to here -->\n"


def write(directory, table, description, series):
    path = f"{directory}/benchmarks.md"
    with open(path) as page:
        head, _, rest = page.read().partition(BEGIN)
        _, _, tail = rest.partition(END)
    body = f"{description}\n\n{table.markdown()}\n"
    with open(path, "w") as page:
        page.write(head + BEGIN + body + END + tail)
    for name, picture in (("latency", plot.latency(series["latency"])),
                          ("cold-start", plot.arrivals(series["arrivals"])),
                          ("growth", plot.growth(series["growth"]))):
        with open(f"{directory}/{name}.svg", "w") as out:
            out.write(picture)
