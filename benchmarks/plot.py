"""Wall time over round trip time, one panel a job, as a small SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.measure import Spread

Line = tuple[str, Mapping[int, Spread]]

WIDTH, HEIGHT, LEFT, TOP = 300, 180, 50, 40  # of a panel's axes, and the room around them
COLOURS = ("#0b6e4f", "#8a4b08")
STYLE = "font-family:sans-serif;font-size:12px"


def plot(panels: Mapping[str, Sequence[Line]]) -> str:
    """The drawing: medians as lines, smallest to largest as strokes."""
    wide, high = len(panels) * (WIDTH + 2 * LEFT), HEIGHT + 2 * TOP + 20
    drawn = "".join(_panel(number, title, lines) for number, (title, lines) in enumerate(panels.items()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" style="{STYLE}">'
        f'<rect width="100%" height="100%" fill="white"/>{drawn}</svg>\n'
    )


def _panel(number: int, title: str, lines: Sequence[Line]) -> str:
    top = max(spread.most for _, values in lines for spread in values.values()) * 1.05
    longest = max(rtt for _, values in lines for rtt in values)
    seconds = [tick for tick in (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5) if tick <= top]

    def x(rtt: float) -> float:
        return WIDTH * rtt / longest

    def y(value: float) -> float:
        return round(HEIGHT * (1 - value / top), 1)

    parts = [f'<text x="0" y="-15" font-weight="bold">{title}: seconds by RTT</text>']
    for tick in seconds:
        parts.append(f'<path d="M0 {y(tick)}H{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="-8" y="{y(tick) + 4}" text-anchor="end">{tick:g}</text>')
    for rtt in lines[0][1]:
        parts.append(f'<text x="{x(rtt)}" y="{HEIGHT + 18}" text-anchor="middle">{rtt} ms</text>')
    for place, (colour, (name, values)) in enumerate(zip(COLOURS, lines, strict=True)):
        path = "L".join(f"{x(rtt)} {y(spread.median)}" for rtt, spread in values.items())
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for rtt, spread in values.items():
            parts.append(f'<path d="M{x(rtt)} {y(spread.least)}V{y(spread.most)}" stroke="{colour}" stroke-width="4"/>')
        parts.append(f'<text x="{10 + 150 * place}" y="{HEIGHT + 40}" fill="{colour}">{name}</text>')
    return f'<g transform="translate({LEFT + number * (WIDTH + 2 * LEFT)} {TOP})">{"".join(parts)}</g>'
