"""Computes the costs of up to 100 million streams from measured figures: ``python -m benchmarks.scale_costs``.

Measures nothing. The measured figures are medians in results/; everything else is an assumption with a name.
``--write`` writes the tables and the plot of docs/scale.md, which a test compares with this module's output.
"""

import argparse
import json
import math
import re
from dataclasses import asdict, dataclass
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

    memory, fanout, refetch, largest = run("memory"), run("fanout"), run("refetch_load"), run("hundred_thousand")
    restart, connects, propagation = run("rolling_restart"), run("connects"), run("propagation")
    ours = memory["median"]["ours"]
    return {
        "process_mib": Measured("a process without streams", ours["pss_without_mib"], "MiB", "memory"),
        "stream_kib": Measured("a stream in the process", ours["pss_per_stream_kib"], "KiB", "memory"),
        "idle_us": Measured(
            "an idle stream with its keep-alives",
            ours["idle_core_percent"] / 100 * 1e6 / memory["conditions"]["streams"],
            "µs of CPU per second",
            "memory",
        ),
        "streams_per_process": Measured(
            "streams per process",
            largest["conditions"]["streams"] / largest["conditions"]["server_processes"],
            "",
            "hundred_thousand",
        ),
        "proxy_kib": Measured(
            "a stream in nginx, without TLS",
            restart["median"]["all"]["nginx_pss_mib"] * 1024 / restart["conditions"]["streams"],
            "KiB",
            "rolling_restart",
        ),
        "event_us": Measured(
            "an event to a stream",
            fanout["median"]["ours"]["server_cpu_ms"] * 1000 / fanout["conditions"]["streams"],
            "µs of CPU",
            "fanout",
        ),
        "refetch_us": Measured(
            "an event to a stream and its client's refetch, on a new connection",
            refetch["median"]["ours"]["server_cpu_ms"] * 1000 / refetch["conditions"]["streams"],
            "µs of CPU",
            "refetch_load",
        ),
        "connects": Measured(
            "connects with their first event, without TLS",
            connects["median"]["ours"]["connects_per_cpu_second"],
            "per CPU second",
            "connects",
        ),
        "hop_ms": Measured(
            "a version from process to process to a stream, by Redis, p99",
            propagation["median"]["redis"]["version_to_event_p99_ms"],
            "ms",
            "propagation",
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
    tls_kib: float = 20
    sockets: float = 3
    socket_kib: float = 4
    proxy_cpu: float = 1
    refetch_seconds: float = 10
    fan_out: float = 50
    level_ms: float = 50
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
            "tls_kib": ("TLS of a connection in nginx", "KiB", "nginx was measured without TLS"),
            "sockets": ("sockets of a stream", "", "nginx's two, and the relay's"),
            "socket_kib": ("a socket in the kernel, idle", "KiB", "no benchmark counts the kernel's memory"),
            "proxy_cpu": ("nginx's CPU time, relative to the relay's", "", "it passes on the same bytes"),
            "refetch_seconds": ("all clients have refetched after", "s", "the goal; a spread can lengthen it"),
            "fan_out": ("relays below a relay", "", "each fetches the document once per version"),
            "level_ms": ("the fetch of a document, per level", "ms", "the trees are not measured in results/ yet"),
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
        self.assumed = assumed
        self._value = {name: figure.value for name, figure in figures.items()}

    @property
    def memory_kib(self) -> dict[str, float]:
        """The memory of a stream by what holds it."""
        value, assumed = self._value, self.assumed
        return {
            "the stream": value["stream_kib"],
            "its share of a process": value["process_mib"] * 1024 / value["streams_per_process"],
            "nginx": value["proxy_kib"],
            "TLS": assumed.tls_kib,
            "sockets in the kernel": assumed.sockets * assumed.socket_kib,
        }

    @property
    def limits(self) -> dict[str, int]:
        """The streams of a machine by what limits them."""
        assumed = self.assumed
        peak_seconds = assumed.machine_cores * assumed.usable_cpu * assumed.refetch_seconds
        return {
            "memory": int(assumed.machine_gib * KIB_PER_GIB * assumed.usable_memory / sum(self.memory_kib.values())),
            "refetches": int(peak_seconds * 1e6 / self._with_proxy("refetch_us")),
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
        traffic = streams * self._stream_bytes() / BYTES_PER_TB
        extra = max(0.0, traffic - machines * assumed.machine_tb) * assumed.traffic_price
        descent = levels * (assumed.level_ms + self._value["hop_ms"]) / 1000
        return Costs(
            streams=streams,
            leaves=leaves,
            inner=inner,
            levels=levels,
            cores=round(machines * assumed.machine_cores),
            memory_gib=machines * assumed.machine_gib,
            last_event_seconds=descent + self._peak(streams / leaves, "event_us"),
            last_refetch_seconds=descent + self._peak(streams / leaves, "refetch_us"),
            traffic_tb=traffic,
            dollars=machines * assumed.price + extra,
        )

    def idle_percent(self) -> float:
        """The part of a machine's cores that its keep-alives take, in percent."""
        return self.streams_per_machine * self._with_proxy("idle_us") / 1e6 / self.assumed.machine_cores * 100

    def reconnect_seconds(self) -> float:
        """The CPU time of the streams of a machine that ended, at the machines that get them."""
        return self.streams_per_machine / self._value["connects"] * (1 + self.assumed.proxy_cpu)

    def _with_proxy(self, name: str) -> float:
        return self._value[name] * (1 + self.assumed.proxy_cpu)

    def _peak(self, streams: float, name: str) -> float:
        usable = self.assumed.machine_cores * self.assumed.usable_cpu
        return streams * self._with_proxy(name) / 1e6 / usable

    def _stream_bytes(self) -> float:
        """The outgoing traffic of a stream and its refetches in a month."""
        assumed = self.assumed
        keepalives = MONTH_SECONDS / assumed.keepalive_seconds * assumed.keepalive_bytes
        return keepalives + MONTH_SECONDS / 86_400 * assumed.events_per_day * assumed.refetch_bytes


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


def tables(model: Model, figures: dict[str, Measured]) -> dict[str, str]:
    """The page's tables by the names of their marks."""
    rows = []
    for streams in SIZES:
        costs = model.costs(streams)
        values = [costs.cores, costs.memory_gib, costs.last_event_seconds, costs.last_refetch_seconds]
        cells = [f"{costs.streams:,}", f"{costs.leaves:,} + {costs.inner:,}", str(costs.levels)]
        money = [number(costs.traffic_tb), number(costs.dollars), number(costs.dollars / streams * 1e6)]
        rows.append([*cells, *map(number, values), *money])
    head = ["streams", "relays: leaves + inner", "levels", "cores", "memory, GiB", "last event, s", "last refetch, s"]
    memory = [[what, number(kib)] for what, kib in model.memory_kib.items()]
    memory.append(["**together**", f"**{number(sum(model.memory_kib.values()))}**"])
    limits = [[f"streams, limited by {name}", number(count)] for name, count in model.limits.items()]
    limits.append(["keep-alives, percent of its cores", number(model.idle_percent())])
    limits.append(["CPU seconds of others when its streams reconnect", number(model.reconnect_seconds())])
    return {
        "costs": table([*head, "TB per month", "US$ per month", "US$ per million streams"], rows),
        "memory": table(["memory of a stream", "KiB"], memory),
        "machine": table(["a machine", ""], limits),
        "measured": table(
            ["measured", "", "in results/"],
            [[each.what, f"{number(each.value)} {each.unit}".strip(), f"`{each.source}`"] for each in figures.values()],
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
    low_x, high_x, low_y, high_y = 5, 8, 1, 5

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
    points = " ".join(f"{x(streams):.1f},{y(model.costs(streams).dollars):.1f}" for streams in PLOTTED_SIZES)
    lines.append(f'<polyline points="{points}" fill="none" stroke="#0b5fff" stroke-width="2"/>')
    for streams in SIZES:
        dollars = model.costs(streams).dollars
        lines.append(f'<circle cx="{x(streams):.1f}" cy="{y(dollars):.1f}" r="4" fill="#0b5fff"/>')
        lines.append(
            f'<text x="{x(streams) - 8:.1f}" y="{y(dollars) - 8:.1f}" text-anchor="end">{number(dollars)}</text>'
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
    figures = measured()
    model = Model(figures, Assumptions(**{name: getattr(arguments, name) for name in asdict(Assumptions())}))
    rendered = tables(model, figures)
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
