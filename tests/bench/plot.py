# SPDX-License-Identifier: Apache-2.0
"""plot -- line plots as SVG, with nothing but the standard library.

A panel has two axes, each linear or logarithmic, and curves {name: [(x, y), ...]}.
"""
import html
import math

COLOURS = ("#0b6e4f", "#c8553d", "#3d5a98", "#8f6bb3", "#b08900", "#5b5b5b")
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'
WIDTH, HEIGHT = 440, 250    # of what a panel's axes enclose
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 46
LEGEND_LINE = 18


class Axis:
    def __init__(self, label, values, is_log, length):
        self.label, self.is_log, self.length = label, is_log, length
        low, high = min(values, default=0), max(values, default=1)
        if is_log:
            self.low, self.high = math.floor(math.log10(low)), math.ceil(math.log10(high) - 1e-9)
            self.high = max(self.high, self.low + 1)
            self.ticks = [10.0 ** power for power in range(self.low, self.high + 1)]
        else:
            step = nice_step(high)
            self.low, self.high = 0, math.ceil(high / step) * step
            self.ticks = [step * n for n in range(round(self.high / step) + 1)]

    def at(self, value):
        """How far along the axis, in its direction."""
        place = math.log10(value) if self.is_log else value
        return (place - self.low) / (self.high - self.low) * self.length


def nice_step(high):
    """About five steps of 1, 2 or 5 times a power of ten."""
    rough = (high or 1) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough)


def tick_text(value):
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {more}>{html.escape(words)}</text>'


def line(points, colour, more=""):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" {more}/>'


def panel(title, x_label, y_label, curves, x_log=False, y_log=False, dots=False):
    """The elements of one panel, its upper left corner at 0, 0."""
    points = [point for curve in curves.values() for point in curve]
    x_axis = Axis(x_label, [x for x, _ in points], x_log, WIDTH)
    y_axis = Axis(y_label, [y for _, y in points], y_log, HEIGHT)
    bottom = TOP + HEIGHT
    parts = [text(LEFT, 20, title, "start", 'font-weight="bold"')]
    for tick in x_axis.ticks:
        x = LEFT + x_axis.at(tick)
        parts += [line([(x, TOP), (x, bottom)], "#ddd"), text(x, bottom + 17, tick_text(tick))]
    for tick in y_axis.ticks:
        y = bottom - y_axis.at(tick)
        parts += [line([(LEFT, y), (LEFT + WIDTH, y)], "#ddd"), text(LEFT - 6, y + 4, tick_text(tick), "end")]
    parts.append(text(LEFT + WIDTH / 2, bottom + 36, x_label))
    middle = TOP + HEIGHT / 2
    parts.append(text(16, middle, y_label, more=f'transform="rotate(-90 16 {middle:.1f})"'))
    for number, (name, curve) in enumerate(curves.items()):
        places = [(LEFT + x_axis.at(x), bottom - y_axis.at(y)) for x, y in curve]
        parts.append(line(places, COLOURS[number], 'stroke-width="2"'))
        if dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[number]}"/>' for x, y in places]
        y = bottom + BOTTOM + LEGEND_LINE * number + 8
        parts += [line([(LEFT, y - 4), (LEFT + 24, y - 4)], COLOURS[number], 'stroke-width="3"'),
                  text(LEFT + 32, y, name, "start")]
    return "\n".join(parts), BOTTOM + bottom + LEGEND_LINE * len(curves) + 8


def picture(panels, columns=1):
    """Puts panels beside and below each other."""
    width = LEFT + WIDTH + RIGHT
    height = max((height for _, height in panels), default=0)
    rows = -(-len(panels) // columns)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * columns} {height * rows}" '
             f'width="{width * columns}" height="{height * rows}">',
             "<!-- SPDX-License-Identifier: Apache-2.0; drawn by tests/bench/plot.py -->",
             '<rect width="100%" height="100%" fill="#fff"/>']
    for number, (content, _) in enumerate(panels):
        x, y = width * (number % columns), height * (number // columns)
        parts.append(f'<g transform="translate({x} {y})">\n{content}\n</g>')
    return "\n".join([*parts, "</svg>", ""])


# ---- the plots of docs/benchmarks.md --------------------------------------------------------------

def thinned(values, most=200):
    step = max(1, len(values) // most)
    return values[::step]


def apart(points):
    """Those that a logarithmic axis shows apart, and the last one."""
    kept = points[:1]
    for point in points[1:-1]:
        if point[0] >= 1.02 * kept[-1][0]:
            kept.append(point)
    return kept + points[-1:]


def latency(series):
    """{name: [seconds]} as the share of reads that were faster."""
    curves = {}
    for name, times in series.items():
        ordered = sorted(times)
        curves[name] = thinned([(seconds * 1000, (n + 1) / len(ordered) * 100)
                                for n, seconds in enumerate(ordered)])
    return picture([panel("Random reads of 4 KiB in a large file", "milliseconds", "% of reads are faster",
                          curves, x_log=True)])


def arrivals(series):
    """{name: [(seconds, bytes)]} as what has come over the link so far."""
    curves = {name: apart([(max(seconds, 0.01), max(count, 1000) / 1e6) for seconds, count in points])
              for name, points in series.items()}
    return picture([panel("A cold start, 50 ms and 100 Mbit/s away", "seconds", "MB received",
                          curves, x_log=True, y_log=True)])


def growth(series):
    """{axis: [(count, {first, second, memory})]}: times above, memory below."""
    times = [panel(f"{axis}: time", axis, "seconds", {
        name: [(count, point[key]) for count, point in points]
        for name, key in (("mount and first ls -l", "first"), ("second ls -l", "second"))}, True, True, True)
        for axis, points in series.items()]
    memory = [panel(f"{axis}: memory", axis, "MB", {
        "resident, not mapped": [(count, point["memory"] / 1e6) for count, point in points]}, True, False, True)
        for axis, points in series.items()]
    return picture(times + memory, columns=len(series) or 1)
