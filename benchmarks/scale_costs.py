"""Computes the costs of up to 100 million streams from measured figures: ``python -m benchmarks.scale_costs``.

Measures nothing. The measured figures are medians in results/; everything else is an assumption with a name.
``--write`` writes the tables and the plot of docs/scale.md, which a test compares with this module's output.
"""

import argparse
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import RESULTS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "scale.md"
PLOT = DOCS / "images" / "scale.svg"

SIZES = (1_000_000, 10_000_000, 100_000_000)
PLOTTED_SIZES = tuple(round(10 ** (exponent / 4)) for exponent in range(20, 33))

MONTH_SECONDS = 30 * 86_400
KIB_PER_GIB = 1_048_576
BYTES_PER_TB = 1e12

# A mark's name, and the text up to its end.
MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class Measured(NamedTuple):
    """A measured figure: the value, its unit and the file of its source."""

    what: str
    value: float
    unit: str
    source: str


class Assumption(NamedTuple):
    """A figure that was not measured, with the reason for its value."""

    what: str
    value: float
    unit: str
    reason: str


def measured(results: Path = RESULTS) -> dict[str, Measured]:
    """The measured figures by name."""

    def run(name: str) -> dict[str, Any]:
        saved: dict[str, Any] = json.loads((results / f"{name}.json").read_text())
        return saved

    machine, tree = run("behind_nginx"), run("tree")["median"]
    plain, tls, refetches = (machine["median"][name] for name in ("plain", "TLS", "plain, with refetches"))

    def both(figures: dict[str, float], what: str, nginx: dict[str, float] | None = None) -> float:
        return figures[f"relay_{what}_us"] + (nginx or figures)[f"nginx_{what}_us"]

    def of_machine(what: str, value: float, unit: str) -> Measured:
        return Measured(what, value, unit, "behind_nginx")

    between, leaves = tree["level 1"]["last_ms"], tree["level 2"]["first_ms"]
    return {
        "process_mib": of_machine("a relay's process without streams", plain["relay_process_mib"], "MiB"),
        "streams_per_process": of_machine(
            "streams per process", machine["conditions"]["streams"] / machine["conditions"]["relays"], ""
        ),
        "stream_kib": of_machine("a stream in the relay", plain["relay_kib"], "KiB"),
        "proxy_kib": of_machine("a stream in nginx, without TLS", plain["nginx_kib"], "KiB"),
        "tls_kib": of_machine("its TLS in nginx", tls["nginx_kib"] - plain["nginx_kib"], "KiB"),
        "kernel_kib": of_machine("its three sockets in the kernel", plain["kernel_kib"], "KiB"),
        "idle_us": of_machine("the keep-alives of a stream", both(plain, "idle_second"), "µs of CPU per second"),
        "event_us": of_machine("an event to a stream, with TLS", both(plain, "event", tls), "µs of CPU"),
        "refetch_us": of_machine(
            "an event and its client's refetch, on a new connection without TLS",
            both(refetches, "refetch"),
            "µs of CPU",
        ),
        "connect_us": of_machine("a connect with its first event, without TLS", both(plain, "connect"), "µs of CPU"),
        "handshake_us": of_machine(
            "a TLS handshake, not resumed", tls["nginx_connect_us"] - plain["nginx_connect_us"], "µs of CPU"
        ),
        "level_ms": Measured(
            "an event from one level to the next, with the fetch of the document",
            max(between - tree["product"]["last_ms"], leaves - between),
            "ms",
            "tree",
        ),
    }


@dataclass(frozen=True)
class Assumptions:
    """The figures that were not measured. Options of the command line change them."""

    price: float = 24
    machine_cores: float = 2
    machine_gib: float = 4
    machine_tb: float = 4
    traffic_price: float = 10
    usable_memory: float = 0.75
    usable_cpu: float = 0.7
    spare: float = 0.25
    new_connections: float = 1
    refetch_seconds: float = 10
    fan_out: float = 50
    stream_seconds: float = 540
    handshake_bytes: float = 4000
    keepalive_seconds: float = 9
    keepalive_bytes: float = 100
    events_per_day: float = 20
    refetch_bytes: float = 3000

    def described(self) -> dict[str, Assumption]:
        """The assumptions by name, for the page."""
        texts = {
            "price": ("a small virtual machine", "US$ per month", "a list price; take your provider's"),
            "machine_cores": ("its cores", "", "shared ones, as fast as those of the measurements"),
            "machine_gib": ("its memory", "GiB", ""),
            "machine_tb": ("its outgoing traffic in that price", "TB per month", ""),
            "traffic_price": ("further traffic", "US$ per TB", ""),
            "usable_memory": ("part of the memory that streams may use", "", "the rest: the system, documents, bursts"),
            "usable_cpu": ("part of the cores that a peak may use", "", "the rest: keep-alives, the system"),
            "spare": ("machines more than needed", "", "for one that ends, and for an uneven balance"),
            "new_connections": (
                "part of the refetches and of the streams on a new TLS connection",
                "",
                "the worst case; a browser uses its stream's connection (HTTP/2)",
            ),
            "refetch_seconds": ("all clients have refetched after", "s", "the goal; a spread can lengthen it"),
            "fan_out": ("relays below a relay", "", "each fetches the document once per version"),
            "stream_seconds": ("until a stream ends and is opened again", "s", "REALTIME_STREAM_SECONDS, on average"),
            "handshake_bytes": ("a TLS handshake, outgoing", "bytes", "mostly the certificates"),
            "keepalive_seconds": ("between two keep-alives", "s", "REALTIME_KEEPALIVE_SECONDS, less a random part"),
            "keepalive_bytes": ("a keep-alive on the wire", "bytes", "3 of comment; the rest: chunk, TLS, TCP, IP"),
            "events_per_day": ("events of an environment", "per day", ""),
            "refetch_bytes": ("an event, and a compressed flags/", "bytes", "about 50 flags"),
        }
        return {name: Assumption(texts[name][0], value, *texts[name][1:]) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Costs:
    """What a number of streams costs."""

    streams: int
    leaves: int
    inner: int
    levels: int
    cores: int
    memory_gib: float
    last_event_seconds: float
    last_refetch_seconds: float
    traffic_tb: float
    dollars: float


class Model:
    """The arithmetic, per stream and per machine."""

    def __init__(self, figures: dict[str, Measured], assumed: Assumptions) -> None:
        self.figures = figures
        self.assumed = assumed
        self._value = {name: figure.value for name, figure in figures.items()}

    @property
    def memory_kib(self) -> dict[str, float]:
        """The memory of a stream by what holds it."""
        value = self._value
        return {
            "the stream": value["stream_kib"],
            "its share of a process": value["process_mib"] * 1024 / value["streams_per_process"],
            "nginx": value["proxy_kib"],
            "TLS": value["tls_kib"],
            "kernel": value["kernel_kib"],
        }

    @property
    def limits(self) -> dict[str, int]:
        """The streams of a machine by what limits them."""
        assumed = self.assumed
        peak_seconds = assumed.machine_cores * assumed.usable_cpu * assumed.refetch_seconds
        return {
            "memory": int(assumed.machine_gib * KIB_PER_GIB * assumed.usable_memory / sum(self.memory_kib.values())),
            "refetches": int(peak_seconds * 1e6 / self._refetch_us),
        }

    @property
    def streams_per_machine(self) -> int:
        return min(self.limits.values())

    def costs(self, streams: int) -> Costs:
        assumed = self.assumed
        leaves = math.ceil(streams / self.streams_per_machine * (1 + assumed.spare))
        inner, levels, relays = 0, 1, leaves
        while relays > assumed.fan_out:
            relays = math.ceil(relays / assumed.fan_out)
            inner, levels = inner + relays, levels + 1
        machines = leaves + inner
        traffic = streams * sum(self.stream_bytes.values()) / BYTES_PER_TB
        extra = max(0.0, traffic - machines * assumed.machine_tb) * assumed.traffic_price
        descent = levels * self._value["level_ms"] / 1000
        return Costs(
            streams=streams,
            leaves=leaves,
            inner=inner,
            levels=levels,
            cores=round(machines * assumed.machine_cores),
            memory_gib=machines * assumed.machine_gib,
            last_event_seconds=descent + self._peak(streams / leaves, self._value["event_us"]),
            last_refetch_seconds=descent + self._peak(streams / leaves, self._refetch_us),
            traffic_tb=traffic,
            dollars=machines * assumed.price + extra,
        )

    @property
    def idle_us(self) -> dict[str, float]:
        """The CPU time of a stream per second, without events, by its cause."""
        return {"keep-alives": self._value["idle_us"], "reconnects": self._reconnect_us / self.assumed.stream_seconds}

    def percent(self, microseconds: float) -> float:
        """The part of a machine's cores that so much CPU time per stream and second takes, in percent."""
        return self.streams_per_machine * microseconds / 1e6 / self.assumed.machine_cores * 100

    def reconnect_seconds(self) -> float:
        """The CPU time of the streams of a machine that ended, at the machines that get them."""
        return self.streams_per_machine * self._reconnect_us / 1e6

    @property
    def stream_bytes(self) -> dict[str, float]:
        """The outgoing traffic of a stream in a month, by its cause."""
        assumed = self.assumed
        handshake = assumed.new_connections * assumed.handshake_bytes
        return {
            "keep-alives": MONTH_SECONDS / assumed.keepalive_seconds * assumed.keepalive_bytes,
            "reconnects": MONTH_SECONDS / assumed.stream_seconds * handshake,
            "events and refetches": MONTH_SECONDS
            / 86_400
            * assumed.events_per_day
            * (assumed.refetch_bytes + handshake),
        }

    @property
    def _refetch_us(self) -> float:
        return self._value["refetch_us"] + self.assumed.new_connections * self._value["handshake_us"]

    @property
    def _reconnect_us(self) -> float:
        return self._value["connect_us"] + self.assumed.new_connections * self._value["handshake_us"]

    def _peak(self, streams: float, microseconds: float) -> float:
        usable = self.assumed.machine_cores * self.assumed.usable_cpu
        return streams * microseconds / 1e6 / usable


def number(value: float) -> str:
    """The value with three significant digits, and commas between thousands."""
    if value >= 1000:
        digits = 2 - math.floor(math.log10(value))
        return f"{round(value, digits):,.0f}"
    return f"{value:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def reusing(model: Model) -> Model:
    """The model of clients that need no new TLS connection, as browsers with HTTP/2."""
    return Model(model.figures, replace(model.assumed, new_connections=0))


def table_of_costs(model: Model) -> str:
    rows = []
    for streams in SIZES:
        costs = model.costs(streams)
        values = [costs.cores, costs.memory_gib, costs.last_event_seconds, costs.last_refetch_seconds]
        cells = [f"{costs.streams:,}", f"{costs.leaves:,} + {costs.inner:,}", str(costs.levels)]
        money = [number(costs.traffic_tb), number(costs.dollars), number(costs.dollars / streams * 1e6)]
        rows.append([*cells, *map(number, values), *money])
    head = ["streams", "relays: leaves + inner", "levels", "cores", "memory, GiB", "last event, s", "last refetch, s"]
    return table([*head, "TB per month", "US$ per month", "US$ per million streams"], rows)


def tables(model: Model) -> dict[str, str]:
    """The page's tables by the names of their marks."""
    memory = [[what, number(kib)] for what, kib in model.memory_kib.items()]
    memory.append(["**together**", f"**{number(sum(model.memory_kib.values()))}**"])
    limits = [[f"streams, limited by {name}", number(count)] for name, count in model.limits.items()]
    limits += [[f"{name}, percent of its cores", number(model.percent(each))] for name, each in model.idle_us.items()]
    limits.append(["CPU seconds of others when its streams reconnect", number(model.reconnect_seconds())])
    return {
        "costs": table_of_costs(model),
        "reusing": table_of_costs(reusing(model)),
        "memory": table(["memory of a stream", "KiB"], memory),
        "machine": table(["a machine", ""], limits),
        "traffic": table(
            ["traffic of a stream per month", "MB"],
            [[name, number(size / 1e6)] for name, size in model.stream_bytes.items()],
        ),
        "measured": table(
            ["measured", "", "in results/"],
            [
                [each.what, f"{number(each.value)} {each.unit}".strip(), f"`{each.source}`"]
                for each in model.figures.values()
            ],
        ),
        "assumed": table(
            ["assumed", "", ""],
            [
                [each.what, f"{number(each.value)} {each.unit}".strip(), each.reason]
                for each in model.assumed.described().values()
            ],
        ),
    }


def with_tables(page: str, rendered: dict[str, str]) -> str:
    """The page with these tables between its marks."""
    return MARKED.sub(lambda match: f"{match[1]}{rendered[match[2]]}{match[3]}", page)


def plot(model: Model) -> str:
    """The costs per month over the number of streams, both logarithmic, as SVG."""
    left, top, width, height = 80, 30, 520, 300
    low_x, high_x, low_y, high_y = 5, 8, 1, 6

    def x(streams: float) -> float:
        return left + (math.log10(streams) - low_x) / (high_x - low_x) * width

    def y(dollars: float) -> float:
        return top + height - (math.log10(dollars) - low_y) / (high_y - low_y) * height

    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 390" font-family="sans-serif" font-size="13">',
        "<title>Costs per month by number of streams</title>",
        '<rect width="660" height="390" fill="#ffffff"/>',
    ]
    for exponent in range(low_x, high_x + 1):
        at = f"{x(10**exponent):.1f}"
        lines.append(f'<line x1="{at}" y1="{top}" x2="{at}" y2="{top + height}" stroke="#dddddd"/>')
        lines.append(f'<text x="{at}" y="{top + height + 18}" text-anchor="middle">{10**exponent:,}</text>')
    for exponent in range(low_y, high_y + 1):
        high = y(10**exponent)
        lines.append(f'<line x1="{left}" y1="{high:.1f}" x2="{left + width}" y2="{high:.1f}" stroke="#dddddd"/>')
        lines.append(f'<text x="{left - 8}" y="{high + 4:.1f}" text-anchor="end">{10**exponent:,}</text>')
    curves = (
        (model, "#0b5fff", "end", -8, -8, "refetches and streams on new TLS connections"),
        (reusing(model), "#0a7d4f", "start", 8, 18, "on one connection of each client"),
    )
    for row, (drawn, colour, anchor, right, down, what) in enumerate(curves):
        costs = {streams: drawn.costs(streams).dollars for streams in (*PLOTTED_SIZES, *SIZES)}
        points = " ".join(f"{x(streams):.1f},{y(costs[streams]):.1f}" for streams in PLOTTED_SIZES)
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="{left + 12}" y="{top + 22 + 18 * row}" fill="{colour}">{what}</text>')
        for streams in SIZES:
            at_x, at_y = x(streams), y(costs[streams])
            lines.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4" fill="{colour}"/>')
            lines.append(
                f'<text x="{at_x + right:.1f}" y="{at_y + down:.1f}" fill="{colour}" text-anchor="{anchor}">'
                f"{number(costs[streams])}</text>"
            )
    lines.append(f'<text x="{left + width / 2:.1f}" y="{top + height + 42}" text-anchor="middle">streams</text>')
    lines.append(f'<text x="{left - 60}" y="18">US$ per month</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale_costs", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--write", action="store_true", help="write the tables and the plot of docs/scale.md")
    for name, assumption in Assumptions().described().items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=float, default=assumption.value, help=assumption.what)
    arguments = parser.parse_args()
    model = Model(measured(), Assumptions(**{name: getattr(arguments, name) for name in asdict(Assumptions())}))
    rendered = tables(model)
    if arguments.write:
        PAGE.write_text(with_tables(PAGE.read_text(), rendered))
        PLOT.write_text(plot(model))
    elif arguments.json:
        print(
            json.dumps({"costs": [asdict(model.costs(streams)) for streams in SIZES], "assumed": asdict(model.assumed)})
        )
    else:
        print("\n".join(rendered.values()))


if __name__ == "__main__":
    main()
