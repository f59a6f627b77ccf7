# SPDX-License-Identifier: Apache-2.0
"""table -- the rows that we want to reach, what was measured for each, and the verdicts.

A row has several checks: our figure, a peer's, and how many times the peer's ours may be at most.
A row is met when every check is that had a peer; at least one must have had.  Where a part of a peer
stands in for all of it, a goal that is met is; one that is not says nothing.
"""
import dataclasses

from measure import Missing

GOALS = {
    1: "cold `ls -lR` of the merged root, loopback registry",
    2: "the same at 50 ms round trip and 100 Mbit/s",
    3: "first file of a single-layer image, no index",
    4: "index saved, nothing else local: mount and first file over the WAN",
    5: "index saved: 4 KiB in the middle of the big file over the WAN",
    6: "index of one gzip layer",
    7: "index of a layer of many small entries",
    8: "mount with saved index, to the first `ls`",
    9: "first walk of all metadata",
    10: "second walk",
    11: "`ls -lR`",
    12: "random 4 KiB in a gzip file, nothing cached",
    13: "the same, span in memory",
    14: "sequential read of the big gzip file",
    15: "a folder of small files",
    16: "resident memory",
    17: "index on disk",
    18: "`diff -rq` of two roots sharing layers, indexes saved",
    19: "small files of one span over the WAN",
}

UNITS = {
    "s": lambda value: f"{value:.3f} s" if value < 10 else f"{value:.1f} s",
    "ms": lambda value: f"{value * 1000:.3f} ms",
    "MB": lambda value: f"{value / 1e6:.2f} MB",
    "B": lambda value: f"{value:.1f} B",
    "%": lambda value: f"{value * 100:.2f} %",
    "": lambda value: f"{value:g}",
}


@dataclasses.dataclass
class Check:
    row: int
    what: str
    unit: str
    ours: object                # number, or Missing
    peer_name: str
    peer: object                # number, or Missing
    limit: float = None         # ours / peer at most; None: for information
    is_bound: bool = False      # the peer is a part of what is meant, which takes that long at least

    @property
    def ratio(self):
        if isinstance(self.ours, Missing) or isinstance(self.peer, Missing) or not self.peer:
            return None
        return self.ours / self.peer

    @property
    def verdict(self):
        if self.ratio is None:
            why = next((side for side in (self.ours, self.peer) if isinstance(side, Missing)),
                       f"{self.peer_name} took no measurable time")
            return f"no peer here: {why}"
        if self.limit is None:
            return "not judged"
        if self.ratio <= self.limit:
            return "met"
        return "no peer here: a part of it takes less" if self.is_bound else "not met"

    def cells(self):
        def shown(value):
            return "-" if isinstance(value, Missing) else UNITS[self.unit](value)

        return [self.what, shown(self.ours), f"{self.peer_name} {shown(self.peer)}".strip(),
                "-" if self.ratio is None else f"{self.ratio:.3f}",
                "-" if self.limit is None else f"<= {self.limit:.3f}", self.verdict]


class Table:
    """Checks as they come in, and which rows went wrong."""

    def __init__(self):
        self.checks = []
        self.errors = {}        # family: what kept it from its end
        self.failures = {}      # row of such a family: the same

    def add(self, check):
        self.checks.append(check)
        print(f"{check.row:3}  {{:<46}} {{:>12}}  {{:<34}} {{:>8}} {{:>9}}  {{}}".format(*check.cells()),
              flush=True)

    def fail(self, family, rows, why):
        self.errors[family] = why
        self.failures.update(dict.fromkeys(rows, why))

    def of(self, row):
        return [check for check in self.checks if check.row == row]

    def verdict(self, row):
        if row in self.failures:
            return f"failed: {self.failures[row]}"
        verdicts = [check.verdict for check in self.of(row)]
        for verdict in ("not met", "met"):
            if verdict in verdicts:
                return verdict
        return next((verdict for verdict in verdicts if verdict != "not judged"), "not measured")

    def rows(self):
        return sorted({check.row for check in self.checks} | set(self.failures))

    def summary(self):
        lines = [f"row {row:2}: {self.verdict(row)} ({GOALS[row].replace('`', '')})" for row in self.rows()]
        verdicts = [self.verdict(row).split(":")[0] for row in self.rows()]
        counts = ", ".join(f"{verdicts.count(name)} {name}" for name in ("met", "not met", "no peer here", "failed"))
        lines += [f"{family}: failed: {why}" for family, why in self.errors.items()]
        return "\n".join(lines + [f"{len(verdicts)} rows: {counts}"])

    def markdown(self):
        lines = ["| # | what | ours | against | ratio | goal | |", "|---|---|---|---|---|---|---|"]
        for row in self.rows():
            lines.append(f"| **{row}** | **{GOALS[row]}** | | | | | **{self.verdict(row)}** |")
            lines += ["| | " + " | ".join(cell.replace("|", "\\|") for cell in check.cells()) + " |"
                      for check in self.of(row)]
        return "\n".join(lines)
